-- Records the outcomes of the deliveries that the holder began. The outcome "sent" is recorded even after the lease, as
-- long as this holder was the last to begin the delivery, so it is not sent twice. A delay takes at most half of the
-- token's remaining lifetime, but at least 1 s.
-- Called by: the sender, after each call.
-- Returns: one row for each different token, with a code.
--   settled  it is recorded, now or before: the same outcome twice gets the same answer
--   missed   the holder had lost it
--   locked   another transaction has it: call again
CREATE OR REPLACE FUNCTION mailroom_settle_rows(p_queue job_type, p_holder text, p_tokens bigint[],
                                                p_outcomes delivery_outcome[], p_message_ids text[], p_errors text[],
                                                p_delays_ms integer[])
RETURNS TABLE (token bigint, code text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    free bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) ORDER BY d.token FOR UPDATE SKIP LOCKED);
    done bigint[];
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- lost in a crash, it would be mailed twice
    END IF;
    WITH reported AS MATERIALIZED (
        SELECT * FROM unnest(p_tokens, p_outcomes, p_message_ids, p_errors, p_delays_ms)
            AS o (token, outcome, message_id, error, delay_ms)
    ), held AS MATERIALIZED (
        SELECT o.* FROM deliveries d JOIN reported o ON o.token = d.token
        WHERE d.queue = p_queue AND d.token = ANY (free)
          AND (d.state = 'sending' AND d.holder = p_holder
               OR d.state NOT IN ('sending', 'sent', 'failed') AND o.outcome = 'sent'
                  AND d.begun_by = hashtextextended(p_holder, 0))
    ), settled AS (
        UPDATE deliveries d SET
            state = CASE WHEN o.outcome IN ('sent', 'failed') THEN o.outcome::text ELSE 'pending' END::delivery_state,
            attempts = d.attempts - (o.outcome = 'release')::integer,
            doubts = d.doubts + (o.outcome = 'unknown')::integer,
            holder = p_holder,
            due_at = CASE WHEN o.outcome IN ('sent', 'failed') THEN d.due_at
                          WHEN o.outcome = 'release' THEN mailroom_due_from(d.queued_at, d.head_start)
                          ELSE now() + least(coalesce(o.delay_ms, 0) * interval '1 ms', greatest(interval '1 s',
                               (SELECT (to_timestamp(t.expires_at) - now()) / 2 FROM tokens t WHERE t.id = d.token)))
                          END,
            message_id = o.message_id,
            error = o.error,
            error_code = NULL,
            settled_at = CASE WHEN o.outcome IN ('sent', 'failed') THEN now() END
        FROM held o
        WHERE d.queue = p_queue AND d.token = o.token AND d.token = ANY (free)
        RETURNING d.token
    )
    SELECT coalesce(array_agg(settled.token), '{}') INTO done FROM settled;
    IF cardinality(done) < cardinality(p_tokens) THEN
        done := done || ARRAY (  -- what was recorded before
            SELECT d.token FROM deliveries d
                JOIN unnest(p_tokens, p_outcomes) AS o (token, outcome) ON o.token = d.token
            WHERE d.queue = p_queue AND d.token = ANY (free) AND d.token <> ALL (done) AND d.holder = p_holder
              AND d.state = CASE WHEN o.outcome IN ('sent', 'failed') THEN o.outcome::text ELSE 'pending'
                            END::delivery_state);
    END IF;
    IF p_outcomes && '{later,unknown,release}' THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN QUERY
    SELECT o.token, CASE WHEN o.token = ANY (done) THEN 'settled'
                         WHEN o.token = ANY (free) THEN 'missed'
                         WHEN EXISTS (SELECT FROM deliveries d WHERE d.queue = p_queue AND d.token = o.token)
                             THEN 'locked'
                         ELSE 'missed' END
    FROM (SELECT DISTINCT u.token FROM unnest(p_tokens) AS u (token)) o;
END $$;
