-- The settle of a sender of version 0.2 and before, which has no code for a locked delivery. So such a call fails as a
-- whole after a second, and the sender repeats all of it.
-- Called by: senders of version 0.2 and before.
-- Returns: the tokens whose outcome is recorded. The holder had lost the missing ones.
CREATE OR REPLACE FUNCTION mailroom_settle(queue job_type, holder text, tokens bigint[],
                                           outcomes delivery_outcome[], message_ids text[], errors text[],
                                           delays_ms integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue       ALIAS FOR queue;
    p_holder      ALIAS FOR holder;
    p_tokens      ALIAS FOR tokens;
    p_outcomes    ALIAS FOR outcomes;
    p_message_ids ALIAS FOR message_ids;
    p_errors      ALIAS FOR errors;
    p_delays_ms   ALIAS FOR delays_ms;
    ends          timestamptz := clock_timestamp() + interval '1 second';
    settled       bigint[];
    locked        boolean;
BEGIN
    LOOP
        SELECT array_agg(s.token) FILTER (WHERE s.code = 'settled'), bool_or(s.code = 'locked') INTO settled, locked
        FROM mailroom_settle_rows(p_queue, p_holder, p_tokens, p_outcomes, p_message_ids, p_errors, p_delays_ms) s;
        EXIT WHEN locked IS NOT TRUE;
        IF clock_timestamp() >= ends THEN
            RAISE EXCEPTION 'deliveries are locked by another transaction' USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN QUERY SELECT unnest(settled);
END $$;
