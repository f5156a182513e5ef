-- Deletes the deliveries of tokens that are deleted or truncated.
-- Called by: the triggers mailroom_token_deleted and mailroom_tokens_truncated. Nobody may execute it directly.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_token_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM deliveries;  -- not TRUNCATE: the same statement may have named it already
    ELSE
        DELETE FROM deliveries d USING deleted WHERE d.token = deleted.id;
    END IF;
    RETURN NULL;
END $$;
