-- The parts of the state that may change at any moment: whether the queue is paused, and whether a collector polls
-- fast.
-- Called by: the collector when it is notified, and every few seconds; the sender's check.
-- Returns: one row.
CREATE OR REPLACE FUNCTION mailroom_watch(p_queue job_type)
RETURNS TABLE (paused_at timestamptz, paused_reason text, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.paused_at, q.paused_reason,
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2))
    FROM jobs q WHERE q.job_type = p_queue;
END $$;
