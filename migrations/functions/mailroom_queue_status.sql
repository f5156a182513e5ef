-- The state of the queue: what mailroom_queue returns, and whether the queue is paused.
-- Called by: status and metrics.
-- Returns: one row.
CREATE OR REPLACE FUNCTION mailroom_queue_status(p_queue job_type)
RETURNS TABLE (at timestamptz, acknowledged_at timestamptz, attended boolean, paused_at timestamptz, paused_reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.at, q.acknowledged_at, q.attended, j.paused_at, j.paused_reason
    FROM mailroom_queue(p_queue) q, jobs j WHERE j.job_type = p_queue;
END $$;
