-- Removes settled deliveries that are older than a limit and whose tokens are over. It reads up to max_rows deliveries
-- behind a token, in the order of tokens. That is about the order in which they were settled, so it can end at the
-- first that is too young, and needs no index. A removed delivery is never mailed again: claim and begin know only what
-- is in the ledger. A delivery that another transaction has locked is removed another time. With dry true it only
-- counts.
-- Called by: the command prune.
-- Returns: one row.
--   last_token  the last token that was read, to go on behind it
--   reached     when that token was queued
--   is_end      nothing that is old enough is left behind it
--   sent, failed, skipped, emitted  how many were removed, by state
CREATE OR REPLACE FUNCTION mailroom_prune(queue job_type, older_than interval, after_token bigint, max_rows integer,
                                          dry boolean)
RETURNS TABLE (last_token bigint, reached timestamptz, is_end boolean,
               sent bigint, failed bigint, skipped bigint, emitted bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue       ALIAS FOR queue;
    p_older_than  ALIAS FOR older_than;
    p_after_token ALIAS FOR after_token;
    p_max_rows    ALIAS FOR max_rows;
    p_dry         ALIAS FOR dry;
    before        timestamptz := now() - p_older_than;
BEGIN
    -- No lease is longer than a day. So nothing is removed that a program may still hold.
    IF p_older_than IS NULL OR before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'what is younger than 1 day is not removed' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);  -- lost in a crash, it is removed another time
    RETURN QUERY
    WITH read_rows AS MATERIALIZED (
        SELECT d.token, d.state, coalesce(d.queued_at, to_timestamp(t.created_at), d.settled_at) AS queued_at,
               d.settled_at < before
               AND (t.id IS NULL OR t.consumed_at IS NOT NULL OR t.expires_at <= extract(epoch FROM now())) AS is_over
        FROM (SELECT * FROM deliveries
              WHERE token > p_after_token AND queue = p_queue ORDER BY token LIMIT p_max_rows) d
            LEFT JOIN tokens t ON t.id = d.token
    ), free AS MATERIALIZED (
        SELECT d.token FROM read_rows l JOIN deliveries d ON d.queue = p_queue AND d.token = l.token
        WHERE NOT p_dry AND l.is_over AND d.settled_at < before
        FOR UPDATE OF d SKIP LOCKED
    ), removed AS (
        DELETE FROM deliveries d USING free f
        WHERE d.queue = p_queue AND d.token = f.token
        RETURNING d.state
    ), counted AS (
        SELECT r.state FROM removed r
        UNION ALL SELECT l.state FROM read_rows l WHERE p_dry AND l.is_over
    )
    SELECT (SELECT max(l.token) FROM read_rows l), (SELECT max(l.queued_at) FROM read_rows l),
           (SELECT count(*) < p_max_rows OR coalesce(bool_or(l.queued_at >= before), true) FROM read_rows l),
           count(*) FILTER (WHERE c.state = 'sent'), count(*) FILTER (WHERE c.state = 'failed'),
           count(*) FILTER (WHERE c.state = 'skipped'), count(*) FILTER (WHERE c.state = 'emitted')
    FROM counted c;
END $$;
