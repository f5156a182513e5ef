-- Records that a sender settles what it sends. The first sender that says so takes over the emitted deliveries that may
-- still be mailed. A takeover that finds a delivery locked tries for a second, and then fails as a whole: the sender
-- tries again, and no delivery is forgotten.
-- Called by: the sender, at its start.
-- Returns: how many deliveries were taken over.
CREATE OR REPLACE FUNCTION mailroom_acknowledge(queue job_type)
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    ends       timestamptz := clock_timestamp() + interval '1 second';
    is_first   boolean;
    taken_over integer := 0;
    more       integer;
BEGIN
    SELECT q.acknowledged_at IS NULL INTO is_first FROM jobs q WHERE q.job_type = p_queue FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET acknowledged_at = now() WHERE job_type = p_queue;
    WHILE is_first LOOP
        WITH alive AS MATERIALIZED (
            SELECT d.token FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = p_queue AND d.state = 'emitted'
              AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL
            FOR UPDATE OF d SKIP LOCKED
        )
        UPDATE deliveries d SET state = 'pending', holder = NULL, settled_at = NULL,
            due_at = mailroom_due_from(d.queued_at, d.head_start)
        FROM alive WHERE d.queue = p_queue AND d.token = alive.token;
        GET DIAGNOSTICS more = ROW_COUNT;
        taken_over := taken_over + more;
        EXIT WHEN NOT EXISTS (
            SELECT FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = p_queue AND d.state = 'emitted'
              AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL);
        IF clock_timestamp() >= ends THEN
            RAISE EXCEPTION 'deliveries that were handed out are locked by another transaction'
                USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF taken_over > 0 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN taken_over;
END $$;
