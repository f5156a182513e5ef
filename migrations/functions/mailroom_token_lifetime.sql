-- Gives a token that is inserted without expires_at the lifetime of its action. If that begins with the mail, the token
-- may also wait for longest_wait. Names are qualified, because setting a search_path would cost each insert 3
-- microseconds.
-- Called by: the trigger "00_mailroom_token_lifetime", with the rights of the role that inserts tokens.
-- Returns: the new row.
CREATE OR REPLACE FUNCTION mailroom_token_lifetime() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.expires_at := pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                      + mailroom.mailroom_action_longest_life(NEW.action);
    RETURN NEW;
END $$;
