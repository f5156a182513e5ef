-- Puts failed and skipped deliveries back, due from where they queued, if their tokens may still be mailed. A sent
-- delivery is never put back, because a recipient who never got it needs a new token. The error and the number of
-- attempts stay. A delivery that another transaction has locked is tried again for 1 s. With p_dry true it changes
-- nothing.
-- Called by: the commands retry and failed.
-- Returns: one row for each different token, with a code. "reason" says the same to people; it is null for retried.
--   retried    it is put back, or with p_dry would be
--   locked     another transaction has it
--   unsettled  it has not failed: it waits, or is claimed or being sent
--   sent       it is sent already
--   emitted    it was handed out to a reader that does not acknowledge
--   stale      it may not be mailed any more
--   gone       the token is gone
--   unknown    no such token in this queue
CREATE OR REPLACE FUNCTION mailroom_retry_rows(p_queue job_type, p_tokens bigint[], p_dry boolean)
RETURNS TABLE (token bigint, code text, reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    free bigint[];
BEGIN
    IF NOT p_dry THEN
        free := mailroom_lock_deliveries(p_queue, p_tokens, 1000);
    END IF;
    RETURN QUERY
    WITH seen AS MATERIALIZED (
        SELECT asked.token, d.state, CASE
            WHEN d.token IS NULL THEN 'unknown'
            WHEN d.token <> ALL (free) THEN 'locked'
            WHEN d.state = 'emitted' THEN 'emitted'
            WHEN d.state = 'sent' THEN 'sent'
            WHEN d.settled_at IS NULL THEN 'unsettled'
            WHEN t.id IS NULL THEN 'gone' END AS code,
            coalesce(mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status),
                     mailroom_replaced(p_queue, t.id, t.account, t.action),
                     mailroom_limited(p_queue, t.id, t.account, t.action)) AS stale
        FROM (SELECT DISTINCT u.token FROM unnest(p_tokens) AS u (token)) asked
            LEFT JOIN deliveries d ON d.queue = p_queue AND d.token = asked.token
            LEFT JOIN tokens t ON t.id = asked.token LEFT JOIN accounts a ON a.id = t.account
    ), judged AS MATERIALIZED (
        SELECT s.token, s.state, s.stale,
               coalesce(s.code, CASE WHEN s.stale IS NOT NULL THEN 'stale' ELSE 'retried' END) AS code
        FROM seen s
    ), put_back AS (
        UPDATE deliveries d SET state = 'pending', holder = NULL, settled_at = NULL,
            due_at = mailroom_due_from(d.queued_at, d.head_start)
        FROM judged j
        WHERE NOT p_dry AND d.queue = p_queue AND d.token = j.token AND j.code = 'retried'
    )
    SELECT j.token, j.code, CASE j.code
        WHEN 'unknown' THEN 'no such token in this queue'
        WHEN 'locked' THEN 'locked by another transaction'
        WHEN 'emitted' THEN 'it was handed out to a reader that does not acknowledge'
        WHEN 'sent' THEN 'already sent'
        WHEN 'unsettled' THEN 'it is not given up: ' || j.state
        WHEN 'gone' THEN 'the token is gone'
        WHEN 'stale' THEN j.stale END
    FROM judged j ORDER BY j.token;
    IF NOT p_dry THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
END $$;
