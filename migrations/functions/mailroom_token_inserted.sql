-- Notifies collectors of new tokens. From 1_ledger on no trigger calls it: mailroom_announce does this instead. It
-- stays, because the way down to 0_init needs it.
-- Called by: nothing, from 1_ledger on.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_token_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted) THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN NULL;
END $$;
