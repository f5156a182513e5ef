-- Activates the account of an activation token when the token is consumed.
-- Called by: the trigger mailroom_token_consumed, with the rights of the role that updates tokens.
-- Returns: null, as an AFTER trigger does.
CREATE OR REPLACE FUNCTION mailroom_token_consumed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET status = 'active' WHERE id = NEW.account AND status = 'provisioned';
    RETURN NULL;
END $$;
