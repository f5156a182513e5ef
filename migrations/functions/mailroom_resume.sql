-- Ends a pause.
-- Called by: the command resume.
-- Returns: since when the queue was paused; null if it was not.
CREATE OR REPLACE FUNCTION mailroom_resume(p_queue job_type)
RETURNS timestamptz
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    since timestamptz;
BEGIN
    SELECT j.paused_at INTO since FROM jobs j WHERE j.job_type = p_queue FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET paused_at = NULL, paused_reason = NULL WHERE job_type = p_queue;
    PERFORM pg_notify('token_insert', '');
    RETURN since;
END $$;
