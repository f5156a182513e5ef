-- The claim of a collector of version 0.1, which knows two actions. It does what mailroom_claim_any does, but leaves
-- tokens of other actions to other collectors.
-- Called by: collectors of version 0.1.
-- Returns: one row for each delivery that was claimed or skipped, as mailroom_claim_any.
CREATE OR REPLACE FUNCTION mailroom_claim(queue job_type, holder text, lease_ms integer, max_rows integer,
                                          after_due timestamptz DEFAULT NULL, after_token bigint DEFAULT NULL)
RETURNS TABLE (token bigint, action token_action, email text, login text, secret bytea,
               code text, stale text, doubt boolean, acknowledged boolean, due_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.token, CASE c.action WHEN 1 THEN 'activation' WHEN 2 THEN 'password_recovery' END::token_action,
           c.email, c.login, c.secret, c.code, c.stale, c.doubt, c.acknowledged, c.due_at
    FROM mailroom_claim_any($1, $2, $3, $4, $5, $6, 2::smallint) c
    WHERE c.action IS NOT NULL OR c.stale IS NOT NULL;
END $$;
