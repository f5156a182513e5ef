-- Writes a delivery for each new token and queue, in the transaction of the token, and notifies collectors. It does not
-- notify while a collector polls fast (docs/internals.md, "Fast polling", explains the two advisory locks). An insert
-- that does not get lock 1 at once notifies instead of waiting, so no collector has to know that it is in progress. A
-- delivery gets the head start of its action, unless its statement inserts more than 10 tokens: an import queues behind
-- people. A token without a delivery would never be mailed. So the insert fails where row-level security hides the
-- queues. It runs as its owner, so an application may insert tokens without any right to the ledger. Names are
-- qualified, because setting a search_path would cost each sign-up 3 microseconds.
-- Called by: the trigger mailroom_announce, for each statement that inserts tokens. Nobody may execute it directly.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO mailroom.deliveries (queue, token, due_at, head_start, lifetime)
    SELECT j.job_type, t.id, mailroom.mailroom_due_from(pg_catalog.now(), t.head_start), t.head_start,
           mailroom.mailroom_action_life_from_mail(t.action)
    FROM (SELECT i.id, i.action, CASE WHEN EXISTS (SELECT FROM inserted OFFSET 10) THEN 0
                                      ELSE mailroom.mailroom_action_head_start(i.action) END AS head_start
          FROM inserted i OFFSET 0) t  -- OFFSET 0: the head start is found once, though it is written twice
        CROSS JOIN mailroom.jobs j;
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
