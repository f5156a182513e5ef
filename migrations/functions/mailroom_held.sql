-- Which of these deliveries the holder has claimed and no sender has begun. It changes nothing.
-- Called by: the collector, to see how fast senders begin what it printed.
-- Returns: their tokens.
CREATE OR REPLACE FUNCTION mailroom_held(p_queue job_type, p_holder text, p_tokens bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT d.token FROM deliveries d
    WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder;
END $$;
