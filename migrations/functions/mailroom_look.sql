-- What waits in a queue. A paused queue has nothing that waits.
-- Called by: the collector, before it claims and before it sleeps.
-- Returns: one row.
--   waiting      how many deliveries are due now, counted up to max_rows
--   next_due_ms  in how many milliseconds the next one is due; null if nothing else is unsettled
--   attended     whether another session polls fast, so that inserts do not notify
CREATE OR REPLACE FUNCTION mailroom_look(queue job_type, max_rows integer)
RETURNS TABLE (waiting integer, next_due_ms bigint, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_max_rows ALIAS FOR max_rows;
BEGIN
    RETURN QUERY SELECT
        (SELECT count(*)::integer FROM (
            SELECT FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL LIMIT p_max_rows) due),
        (SELECT ceil(1000 * extract(epoch FROM min(d.due_at) - now()))::bigint
            FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at > now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL),
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2));
END $$;
