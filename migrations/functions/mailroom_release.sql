-- Releases the deliveries that the holder has claimed. They are due at once. A delivery that a sender is beginning at
-- that moment is not released.
-- Called by: the collector, when it ends or when its reader is gone.
-- Returns: how many deliveries were released.
CREATE OR REPLACE FUNCTION mailroom_release(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_tokens   ALIAS FOR tokens;
    given_back integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH held AS MATERIALIZED (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        ORDER BY d.token FOR UPDATE SKIP LOCKED
    )
    -- Due from where it queued, so that it does not wait behind younger ones.
    UPDATE deliveries d SET state = 'pending', holder = NULL,
        due_at = mailroom_due_from(d.queued_at, d.head_start)
    FROM held
    WHERE d.queue = p_queue AND d.token = held.token AND d.token = ANY (p_tokens);
    GET DIAGNOSTICS given_back = ROW_COUNT;
    IF given_back > 0 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN given_back;
END $$;
