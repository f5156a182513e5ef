-- Settles deliveries as emitted: the reader took them, and no sender of this queue acknowledges, so no outcome will be
-- recorded. A delivery that another transaction has locked is tried again for a second. If it were left out, it would
-- be printed once more when its lease ends.
-- Called by: the collector, when a reader took its lines and no sender acknowledges.
-- Returns: how many deliveries are settled so; 0 once a sender acknowledges.
CREATE OR REPLACE FUNCTION mailroom_emitted(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue  ALIAS FOR queue;
    p_holder ALIAS FOR holder;
    p_tokens ALIAS FOR tokens;
    ends     timestamptz := clock_timestamp() + interval '1 second';
    rest     bigint[] := p_tokens;
    taken    bigint[];
    emitted  integer := 0;
BEGIN
    -- Waits for a sender that is acknowledging, so that its takeover misses none. Does not wait for a claim, which
    -- moves last_seq.
    PERFORM FROM jobs q WHERE q.job_type = p_queue AND q.acknowledged_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    LOOP
        taken := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (rest) AND d.state = 'claimed' AND d.holder = p_holder
            FOR UPDATE SKIP LOCKED);
        UPDATE deliveries d SET state = 'emitted', settled_at = now() WHERE d.queue = p_queue AND d.token = ANY (taken);
        emitted := emitted + cardinality(taken);
        EXIT WHEN cardinality(taken) = cardinality(rest);
        rest := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (rest) AND d.state = 'claimed' AND d.holder = p_holder);
        EXIT WHEN rest = '{}' OR clock_timestamp() >= ends;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN emitted;
END $$;
