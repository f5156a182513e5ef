-- Settles as failed the deliveries that the holder has claimed but can't sign or print. A delivery that another
-- transaction has locked is left out, and is claimed again when its lease ends.
-- Called by: the collector.
-- Returns: how many deliveries are settled so.
CREATE OR REPLACE FUNCTION mailroom_set_aside(queue job_type, holder text, tokens bigint[], reasons text[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue   ALIAS FOR queue;
    p_holder  ALIAS FOR holder;
    p_tokens  ALIAS FOR tokens;
    p_reasons ALIAS FOR reasons;
    held      bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        FOR UPDATE SKIP LOCKED);
    aside     integer;
BEGIN
    UPDATE deliveries d SET state = 'failed', error = r.reason, error_code = NULL, settled_at = now()
    FROM unnest(p_tokens, p_reasons) AS r (token, reason)
    WHERE d.queue = p_queue AND d.token = r.token AND d.token = ANY (held);
    GET DIAGNOSTICS aside = ROW_COUNT;
    RETURN aside;
END $$;
