-- The oldest token that may still be mailed and is not, whether it waits, is claimed or is being sent.
-- Called by: status and metrics.
-- Returns: one row, or none.
CREATE OR REPLACE FUNCTION mailroom_oldest(queue job_type)
RETURNS TABLE (token bigint, queued_at timestamptz, expires_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH unsettled AS MATERIALIZED (
        SELECT d.token, d.queued_at FROM deliveries d WHERE d.queue = $1 AND d.settled_at IS NULL
    )
    SELECT u.token, coalesce(u.queued_at, to_timestamp(t.created_at)), to_timestamp(t.expires_at)
    -- Sorted before the join as well: so it looks up tokens one by one, and ends at the first.
    FROM (SELECT * FROM unsettled ORDER BY token) u
        JOIN tokens t ON t.id = u.token JOIN accounts a ON a.id = t.account
    WHERE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL
      AND mailroom_replaced($1, t.id, t.account, t.action) IS NULL
      AND mailroom_limited($1, t.id, t.account, t.action) IS NULL
    ORDER BY u.token LIMIT 1;
END $$;
