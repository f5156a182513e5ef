-- What waits, by action: how much, how much of it expires before its turn, and how long a new token would wait. It
-- reads each delivery that is not settled, and its token. For 100,000 of them that takes 0.15 s.
-- Called by: status and metrics; a collector that works on a backlog, once a minute.
-- Parameters: p_rate is in mails a second; if it is null, the rate is what the ledger shows (mailroom_turns).
-- Returns: one row for each action, also for those that have no deliveries.
--   action     null for deliveries whose tokens are gone
--   waiting    how many deliveries no sender has begun, or are to be claimed again
--   claimed    how many of them a collector has claimed
--   queued_at  when the oldest of them was queued whose token is valid; null without any
--   late       how many of the waiting expire before their turn; 0 if the rate is not known
--   wait_s     how many seconds a single token would wait that is inserted now; null if the rate is 0 or not known
--   late_from  from when on such a token would expire before its turn, if no others are inserted; null: never, or not
--              known
--   rate       mails a second; null if it is not known
CREATE OR REPLACE FUNCTION mailroom_outlook(p_queue job_type, p_rate float8)
RETURNS TABLE (action text, waiting bigint, claimed bigint, queued_at timestamptz, late bigint, wait_s float8,
               late_from timestamptz, rate float8)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH run AS MATERIALIZED (
        SELECT * FROM mailroom_turns(p_queue, p_rate)
    ), counted AS MATERIALIZED (
        SELECT r.action, sum(r.deliveries)::bigint AS waiting,
               coalesce(sum(r.deliveries) FILTER (WHERE r.part = 0), 0)::bigint AS claimed,
               min(r.queued_at) AS queued_at, sum(r.late)::bigint AS late
        FROM run r GROUP BY r.action
    ), listed AS MATERIALIZED (
        SELECT m.number, m.name AS action, m.head_start * interval '1 s' + interval '1 hour' AS head_start,
               (m.lifetime + CASE m.life_from WHEN 'mail' THEN m.longest_wait ELSE 0 END) * interval '1 s' AS lives
        FROM mailroom_actions m
        UNION ALL
        SELECT NULL, c.action, NULL, NULL FROM counted c WHERE mailroom_action_number(c.action) IS NULL
    )
    SELECT l.action::text, coalesce(c.waiting, 0), coalesce(c.claimed, 0), c.queued_at, coalesce(c.late, 0),
           CASE WHEN l.number IS NOT NULL THEN CASE WHEN a.ahead > 0 THEN a.ahead / nullif(s.rate, 0)
                                                         WHEN s.rate = 0 AND s.is_backlog THEN NULL ELSE 0 END END,
           CASE WHEN l.number IS NOT NULL THEN f.late_from END,
           s.rate
    FROM listed l
        LEFT JOIN counted c ON c.action IS NOT DISTINCT FROM l.action
        CROSS JOIN (SELECT coalesce(p_rate, max(r.rate)) AS rate, bool_or(r.part < 2) AS is_backlog FROM run r) s
        CROSS JOIN LATERAL (
            SELECT coalesce(max(r.sent_upto), 0) AS ahead FROM run r
            WHERE r.part = 0 OR r.part = 1 AND r.due_at <= now() - l.head_start) a
        -- A token that is inserted at that moment is the first one behind the run.
        CROSS JOIN LATERAL (
            SELECT min(m.moment) AS late_from
            FROM run r CROSS JOIN LATERAL (
                SELECT CASE WHEN r.part = 0 OR s.rate = 0 THEN now()
                            ELSE greatest(now(), r.due_at + l.head_start) END AS moment) m
            WHERE r.part < 2 AND (s.rate = 0
                OR now() + least(r.sent_upto / s.rate, 1e9) * interval '1 s' > m.moment + l.lives AND s.rate > 0)) f
    ORDER BY l.number, l.action;
END $$;
