-- Pauses the queue: it hands out and begins nothing until mailroom_resume. What is begun already is sent. A second call
-- replaces the reason.
-- Called by: the command pause.
-- Returns: since when the queue is paused, and how many deliveries are being sent.
CREATE OR REPLACE FUNCTION mailroom_pause(p_queue job_type, p_reason text)
RETURNS TABLE (paused_at timestamptz, sending bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE jobs j SET paused_at = coalesce(j.paused_at, now()), paused_reason = p_reason WHERE j.job_type = p_queue;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM pg_notify('token_insert', '');  -- collectors then see the pause
    RETURN QUERY SELECT j.paused_at, (
        SELECT count(*) FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.state = 'sending' AND d.due_at > now())
    FROM jobs j WHERE j.job_type = p_queue;
END $$;
