-- Gives each account that is inserted as provisioned its activation token, in the same statement. An account with a
-- created_at that is older than the lifetime of such a token comes from a dump, and gets none. Names are qualified,
-- because setting a search_path would cost each sign-up 3 microseconds.
-- Called by: the trigger mailroom_account_inserted, with the rights of the role that inserts accounts.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_account_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mailroom.tokens (action, account, expires_at)
    SELECT 'activation', id, pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                             + mailroom.mailroom_action_longest_life('activation')
    FROM inserted
    WHERE status = 'provisioned'
      AND created_at > EXTRACT(epoch FROM pg_catalog.now()) - mailroom.mailroom_action_lifetime('activation');
    RETURN NULL;
END $$;
