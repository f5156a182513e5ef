-- The deliveries that wait, in the order in which claims take them, and how many of them are mailed in time. They are
-- grouped into runs: deliveries of one action that are due in the same second, and whose tokens expire at the same
-- time. So an import is one run.
--
-- The order is that of mailroom_claim_any, behind what is claimed already. A delivery whose token expires before its
-- turn takes no turn: the next one is mailed instead. Consumed tokens and tokens of actions that are not in
-- mailroom_actions take no turn either. What is to be tried again later is not in the order. The status of accounts is
-- not read, so a token that will be skipped for it takes a turn.
--
-- Without p_rate the rate is that of the last 30 s, or of the time since which something waits if that is shorter. If
-- nothing was sent in a shorter time, the rate is not known: a batch may wait for more rows.
-- Called by: mailroom_outlook and mailroom_show, with their rights and settings.
-- Returns: one row for each run, in order.
--   part        0: claimed, and no sender has begun it; 1: waits for its turn; 2: to be tried again later
--   due_at      its place in the order (mailroom_due_from); otherwise due_at; both are cut to the second
--   action      null if the tokens are gone
--   expires_at  when the tokens expire; null if they take no turn
--   deliveries  how many wait
--   queued_at   when the first of them was queued whose token is valid; null without any
--   late        how many expire before their turn; 0 if the rate is not known
--   ahead       how many deliveries with valid tokens are before the run
--   sent_before how many of them are mailed in time
--   sent_upto   how many are mailed in time, with those of the run
--   rate        mails a second; null if it is not known
CREATE OR REPLACE FUNCTION mailroom_turns(p_queue job_type, p_rate float8)
RETURNS TABLE (part integer, due_at timestamptz, action token_action, expires_at bigint, deliveries bigint,
               queued_at timestamptz, late bigint, ahead bigint, sent_before bigint, sent_upto bigint, rate float8)
LANGUAGE plpgsql AS $$
DECLARE
    seen  timestamptz := now() - interval '30 s';
    run   record;
    lives float8;  -- seconds from now until the tokens of the run expire
    fit   bigint;  -- how many of them are mailed before
BEGIN
    rate := p_rate;
    ahead := 0;
    sent_upto := 0;
    FOR run IN
        SELECT w.part, w.due_at, w.action, w.expires_at, count(*) AS deliveries,
               min(w.queued_at) FILTER (WHERE w.expires_at > extract(epoch FROM now())) AS queued_at,
               min(min(w.since)) OVER () AS since, row_number() OVER (ORDER BY w.part, w.due_at) = 1 AS is_first
        FROM (
            SELECT o.part, date_trunc('second', o.due_at) AS due_at, t.action,
                   -- Null: it takes no turn.
                   CASE WHEN t.consumed_at IS NULL AND mailroom_action_number(t.action) IS NOT NULL
                        THEN t.expires_at END AS expires_at,
                   coalesce(d.queued_at, to_timestamp(t.created_at)) AS queued_at,
                   -- Since when it waits for its turn, where that is known.
                   CASE WHEN o.due_at <> d.due_at THEN d.due_at
                        WHEN o.part < 2 AND d.attempts = 0 THEN d.queued_at END AS since
            FROM deliveries d LEFT JOIN tokens t ON t.id = d.token CROSS JOIN LATERAL (
                SELECT CASE WHEN d.due_at <= now() THEN 1 WHEN d.state = 'claimed' THEN 0 ELSE 2 END AS part,
                       mailroom_place(d.due_at, d.queued_at, d.head_start, d.attempts) AS due_at) o
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND (d.state <> 'sending' OR d.due_at <= now())
        ) w
        GROUP BY 1, 2, 3, 4
        ORDER BY 1, 2, 3, 4
    LOOP
        IF run.is_first AND rate IS NULL AND run.since IS NOT NULL THEN
            seen := greatest(seen, run.since);
            SELECT count(*) / greatest(1, extract(epoch FROM now() - seen)::float8) INTO rate FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at > seen AND d.state <> 'skipped';
            IF rate = 0 AND run.since > now() - interval '30 s' THEN
                rate := NULL;
            END IF;
        END IF;
        part := run.part; due_at := run.due_at; action := run.action; expires_at := run.expires_at;
        deliveries := run.deliveries; queued_at := run.queued_at; sent_before := sent_upto;
        lives := run.expires_at - extract(epoch FROM now())::float8;
        fit := CASE
            WHEN lives IS NULL OR lives <= 0 THEN 0
            WHEN part = 2 THEN CASE WHEN due_at < to_timestamp(run.expires_at) THEN deliveries ELSE 0 END
            WHEN rate IS NULL THEN deliveries
            ELSE least(deliveries, greatest(0, ceil(least(rate * lives, 1e15)) - sent_upto)) END;
        late := CASE WHEN lives IS NULL OR rate IS NULL THEN 0 ELSE deliveries - fit END;
        sent_upto := sent_upto + CASE WHEN part = 2 THEN 0 ELSE fit END;
        RETURN NEXT;
        ahead := ahead + CASE WHEN part = 2 OR lives IS NULL OR lives <= 0 THEN 0 ELSE deliveries END;
    END LOOP;
END $$;
