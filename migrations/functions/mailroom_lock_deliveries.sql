-- Locks deliveries until the transaction ends. What another transaction has locked is tried again for p_patience_ms.
-- It never waits for one of them, so two calls can't deadlock, in whatever order others lock rows.
-- Called by: mailroom_begin and mailroom_retry_rows, with their rights and settings.
-- Returns: the tokens whose deliveries are locked now.
CREATE OR REPLACE FUNCTION mailroom_lock_deliveries(p_queue job_type, p_tokens bigint[], p_patience_ms integer)
RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    ends timestamptz := clock_timestamp() + p_patience_ms * interval '1 ms';
    free bigint[];
BEGIN
    LOOP
        free := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (p_tokens) ORDER BY d.token FOR UPDATE SKIP LOCKED);
        EXIT WHEN clock_timestamp() >= ends OR NOT EXISTS (
            SELECT FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.token <> ALL (free));
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN free;
END $$;
