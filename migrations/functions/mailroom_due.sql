-- Counts what waits in a queue. In a paused queue nothing waits.
-- Called by: the collector, before it claims and before it sleeps.
-- Returns: one row.
--   waiting      how many deliveries are due now, counted up to p_max_rows
--   next_due_ms  in how many milliseconds the next one is due; null if nothing else is unsettled
--   attended     whether another session polls fast, so that inserts do not notify
--   urgent       whether one of those that were counted is of an urgent action
CREATE OR REPLACE FUNCTION mailroom_due(p_queue job_type, p_max_rows integer)
RETURNS TABLE (waiting integer, next_due_ms bigint, attended boolean, urgent boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    is_urgent boolean := false;
BEGIN
    IF mailroom_has_urgent() THEN
        SELECT coalesce(bool_or(mailroom_action_urgent(t.action)), false) INTO is_urgent FROM (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL
            ORDER BY d.due_at LIMIT p_max_rows) due JOIN tokens t ON t.id = due.token;
    END IF;
    RETURN QUERY SELECT l.waiting, l.next_due_ms, l.attended, is_urgent FROM mailroom_look(p_queue, p_max_rows) l;
END $$;
