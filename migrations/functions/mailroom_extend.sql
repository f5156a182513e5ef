-- Renews the lease of those tokens that the holder still has claimed. A delivery that another transaction has locked is
-- left out: if it is still there when its lease ends, it is claimed again.
-- Called by: the collector, for the lines that its reader has not taken yet.
-- Returns: the tokens whose lease is renewed.
CREATE OR REPLACE FUNCTION mailroom_extend(queue job_type, holder text, lease_ms integer, tokens bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_lease_ms ALIAS FOR lease_ms;
    p_tokens   ALIAS FOR tokens;
    held       bigint[];
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    -- Does not wait: a delivery that the application has locked, to delete its account, must not keep the others from
    -- being renewed.
    held := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    UPDATE deliveries d SET due_at = now() + p_lease_ms * interval '1 ms'
    WHERE d.queue = p_queue AND d.token = ANY (held)
    RETURNING d.token;
END $$;
