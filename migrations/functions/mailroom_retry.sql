-- The retry of version 0.2 and before: mailroom_retry_rows without the codes.
-- Called by: the command retry of version 0.2 and before.
-- Returns: one row for each different token: null, or why it was not put back.
CREATE OR REPLACE FUNCTION mailroom_retry(queue job_type, tokens bigint[], dry boolean)
RETURNS TABLE (token bigint, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue  ALIAS FOR queue;
    p_tokens ALIAS FOR tokens;
    p_dry    ALIAS FOR dry;
BEGIN
    RETURN QUERY SELECT r.token, r.reason FROM mailroom_retry_rows(p_queue, p_tokens, p_dry) r ORDER BY r.token;
END $$;
