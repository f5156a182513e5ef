-- Puts claimed deliveries back that a sender has read and not begun. No call is made for them: calls are held, or the
-- sender ends. That is no attempt, and no life begins. p_delays_ms says when each is due again, in the order of the
-- secrets; null means at its place in the queue. A delay takes at most half of the token's remaining lifetime, but at
-- least 1 s.
-- Called by: the sender.
-- Returns: the places (from 1) of the secrets whose delivery another transaction has locked: ask again.
CREATE OR REPLACE FUNCTION mailroom_give_back(p_queue job_type, p_secrets bytea[], p_reason text,
                                              p_delays_ms integer[])
RETURNS SETOF integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ids  bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.state = 'claimed'
          AND d.token = ANY (ARRAY (SELECT t.id FROM tokens t WHERE t.secret = ANY (p_secrets))));
    ours bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ids) ORDER BY d.token FOR UPDATE SKIP LOCKED);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE deliveries d SET
        state = 'pending', holder = NULL, error = coalesce(p_reason, d.error),
        due_at = coalesce(
            CASE WHEN p_delays_ms IS NOT NULL THEN
                now() + least(p_delays_ms[array_position(p_secrets, t.secret)] * interval '1 ms',
                              greatest(interval '1 s', (to_timestamp(t.expires_at) - now()) / 2)) END,
            mailroom_due_from(d.queued_at, d.head_start))
    FROM tokens t
    WHERE d.queue = p_queue AND d.token = ANY (ours) AND d.state = 'claimed' AND t.id = d.token;
    IF FOUND THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN QUERY SELECT array_position(p_secrets, t.secret) FROM tokens t
    WHERE t.id = ANY (ids) AND t.id <> ALL (ours);
END $$;
