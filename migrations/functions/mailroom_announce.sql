-- Writes a delivery for each new token and queue, in the transaction of the token, and notifies collectors. It does not
-- notify while a collector polls fast (docs/internals.md, "Fast polling", explains the two advisory locks). An insert
-- that does not get lock 1 at once notifies instead of waiting, so no collector has to know that it is in progress. A
-- token without a delivery would never be mailed. So the insert fails where row-level security hides the queues. It
-- runs as its owner, so an application may insert tokens without any right to the ledger. Names are qualified, because
-- setting a search_path would cost each sign-up 3 microseconds.
-- Called by: the trigger mailroom_announce, for each statement that inserts tokens. Nobody may execute it directly.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO mailroom.deliveries (queue, token)
    SELECT j.job_type, i.id FROM inserted i CROSS JOIN mailroom.jobs j;
    IF FOUND THEN
        -- One expression, so that a cancelled statement can't keep lock 2.
        IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1835100524, 1)
           OR pg_catalog.pg_try_advisory_lock_shared(1835100524, 2)
              AND pg_catalog.pg_advisory_unlock_shared(1835100524, 2) THEN
            PERFORM pg_catalog.pg_notify('token_insert', '');
        END IF;
    ELSIF pg_catalog.row_security_active('mailroom.jobs') AND EXISTS (SELECT FROM inserted) THEN
        RAISE EXCEPTION 'row-level security hides the queues from the owner of mailroom''s functions'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
