-- What an operator asks the ledger, and the two things that one does to it:
--
--   queue, unsettled, oldest, recent, pulse, latency, settlements    status and metrics; they change nothing
--   not_mailed, retry, prune                                         failed, retry, prune
--
-- As in 2_steps: run as their owner, with a pinned search_path, not by PUBLIC, never changed in place. An
-- operator needs no right to a table, and none of them returns a secret or a code. The programs of the version
-- before work on with this schema.

-- When the transaction that inserted the token began: now() knows no later moment, and tokens.created_at is
-- in whole seconds. Null for what was there before: a default that came with the column would be given to
-- every old row as well. First of all, as an index made before it would mean a stronger lock halfway.
ALTER TABLE deliveries ADD COLUMN queued_at timestamptz;
ALTER TABLE deliveries ALTER COLUMN queued_at SET DEFAULT now();
COMMENT ON COLUMN deliveries.queued_at IS 'when the transaction that inserted the token began; null before 3_operations';

-- What was settled lately, without reading the rest: rows that are settled together lie together, so an index of
-- a few kilobytes finds them. Partial, so that a sign-up has nothing to do for it. To keep a large ledger from
-- standing still while it is made, make it before, with CREATE INDEX CONCURRENTLY.
CREATE INDEX IF NOT EXISTS deliveries_settled ON deliveries USING brin (settled_at)
    WITH (pages_per_range = 32, autosummarize = on) WHERE settled_at IS NOT NULL;

-- Why deliveries were not mailed, without what is different for each of them: of SES's words the code, of
-- others the text without its numbers. 'the token expired; last try: Throttling' has two parts.
CREATE FUNCTION mailroom_reason(error text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(CASE
        WHEN part ~ '^([A-Z][A-Za-z]+|HTTP [0-9]{3})(: |$)' THEN split_part(part, ': ', 1)
        ELSE left(regexp_replace(part, '[0-9]+', 'N', 'g'), 80) END, '; last try: ' ORDER BY place)
    FROM unnest(string_to_array($1, '; last try: ')) WITH ORDINALITY AS parts (part, place)
    WHERE place <= 2
$$;

-- The queue itself. "attended": a collector attends (1_ledger, "The bell"); read off the list of locks, as
-- to try the lock could keep a collector from getting it.
CREATE FUNCTION mailroom_queue(queue job_type)
RETURNS TABLE (at timestamptz, acknowledged_at timestamptz, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT now(), j.acknowledged_at, EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 1835100524 AND l.objid = 2 AND l.objsubid = 2
          AND l.mode = 'ExclusiveLock' AND l.granted
          AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))
    FROM jobs j WHERE j.job_type = $1;
END $$;

-- What is not settled: by state, by the process that holds it, and whether it is due, which for what is held
-- means that the lease ran out; with the first and the last time at which they are due.
CREATE FUNCTION mailroom_unsettled(queue job_type)
RETURNS TABLE (state text, holder text, due boolean, deliveries bigint, first_due timestamptz, last_due timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.state::text,
           -- Of a sender each batch has a name of its own, which begins with that of the process.
           CASE WHEN d.state <> 'pending' THEN regexp_replace(d.holder, '^(send:.*):[0-9]+$', '\1') END,
           d.due_at <= now(), count(*), min(d.due_at), max(d.due_at)
    FROM deliveries d
    WHERE d.queue = $1 AND d.settled_at IS NULL
    GROUP BY 1, 2, 3;
END $$;

-- The first token that may still be mailed and is not: whether it waits, is in the pipe or is being sent.
CREATE FUNCTION mailroom_oldest(queue job_type)
RETURNS TABLE (token bigint, queued_at timestamptz, expires_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH unsettled AS MATERIALIZED (
        SELECT d.token, d.queued_at FROM deliveries d WHERE d.queue = $1 AND d.settled_at IS NULL
    )
    SELECT u.token, coalesce(u.queued_at, to_timestamp(t.created_at)), to_timestamp(t.expires_at)
    -- Sorted before the join as well: so it looks up tokens one by one, and ends at the first.
    FROM (SELECT * FROM unsettled ORDER BY token) u
        JOIN tokens t ON t.id = u.token JOIN accounts a ON a.id = t.account
    WHERE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL
    ORDER BY u.token LIMIT 1;
END $$;

-- What was settled within the last day: how many in the last minute, hour and day, by state and reason.
CREATE FUNCTION mailroom_recent(queue job_type)
RETURNS TABLE (state text, reason text, last_minute bigint, last_hour bigint, last_day bigint, doubts bigint,
               newest timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.state::text, CASE WHEN d.state IN ('failed', 'skipped') THEN mailroom_reason(d.error) END,
           count(*) FILTER (WHERE d.settled_at > now() - interval '1 minute'),
           count(*) FILTER (WHERE d.settled_at > now() - interval '1 hour'),
           count(*), sum(d.doubts)::bigint, max(d.settled_at)
    FROM deliveries d
    WHERE d.queue = $1 AND d.settled_at > now() - interval '1 day'
    GROUP BY 1, 2;
END $$;

-- How many were sent in each of the last whole seconds, the oldest first.
CREATE FUNCTION mailroom_pulse(queue job_type, seconds integer)
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends timestamptz := date_trunc('second', now());
BEGIN
    RETURN QUERY
    WITH sent AS MATERIALIZED (
        SELECT date_trunc('second', d.settled_at) AS second, count(*) AS mails
        FROM deliveries d
        WHERE d.queue = $1 AND d.state = 'sent'
          AND d.settled_at >= ends - $2 * interval '1 second' AND d.settled_at < ends
        GROUP BY 1
    )
    SELECT coalesce(s.mails, 0)
    FROM generate_series(ends - $2 * interval '1 second', ends - interval '1 second', interval '1 second') AS g (second)
        LEFT JOIN sent s ON s.second = g.second
    ORDER BY g.second;
END $$;

-- Within how many ms these shares (0.5: the median) of the last hour's mails were sent, from the begin of the
-- transaction that queued them to the begin of the one that settled them; null without any. Right to 2 %: counted in
-- classes, as sorting an hour of mails would take the server far longer.
CREATE FUNCTION mailroom_latency(queue job_type, shares float8[])
RETURNS float8[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        WITH class AS MATERIALIZED (
            SELECT ceil(25 * ln(greatest(0.1, 1000 * extract(epoch FROM d.settled_at - d.queued_at)::float8))) AS ends,
                   count(*) AS mails
            FROM deliveries d
            WHERE d.queue = $1 AND d.state = 'sent' AND d.settled_at > now() - interval '1 hour'
              AND d.queued_at IS NOT NULL
            GROUP BY 1
        ), upto AS (
            SELECT c.ends, sum(c.mails) OVER (ORDER BY c.ends) AS mails, sum(c.mails) OVER () AS total FROM class c
        )
        SELECT array_agg((SELECT exp((min(u.ends) - 0.5) / 25) FROM upto u WHERE u.mails >= s.share * u.total)
                         ORDER BY s.place)
        FROM unnest($2) WITH ORDINALITY AS s (share, place)
    );
END $$;

-- What was settled after one snapshot (pg_current_snapshot()) and before another, so that who asks again and again
-- with the last one counts each exactly once, in whatever order they commit. "since" spares old rows:
-- settlements of transactions that began before it are not seen. "bucket" is the first of the bounds, in seconds and
-- counted from 1, within which they were sent since they were queued; one more than there are when none is
-- wide enough, null when they were not sent or it is not known.
CREATE FUNCTION mailroom_settlements(queue job_type, since timestamptz, after pg_snapshot, upto pg_snapshot,
                                     bounds float8[])
RETURNS TABLE (state text, reason text, bucket integer, deliveries bigint, doubts bigint, seconds float8,
               newest timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    next_xid bigint := pg_snapshot_xmax($4)::text::bigint;
BEGIN
    RETURN QUERY
    WITH settled AS MATERIALIZED (
        SELECT d.state, d.error, d.doubts, d.settled_at,
               extract(epoch FROM CASE WHEN d.state = 'sent' THEN d.settled_at - d.queued_at END)::float8 AS took,
               -- xmin has only the lower 32 bits of the transaction's number.
               (next_xid - ((next_xid - d.xmin::text::bigint) & 4294967295))::text::xid8 AS settled_by
        FROM deliveries d
        WHERE d.queue = $1 AND d.settled_at > $2
    )
    SELECT s.state::text, CASE WHEN s.state IN ('failed', 'skipped') THEN mailroom_reason(s.error) END,
           -- Not width_bucket(): to it, what is as long as a bound is above it.
           CASE WHEN s.took IS NOT NULL THEN
               (SELECT count(*)::integer + 1 FROM unnest($5) AS b (bound) WHERE b.bound < s.took) END,
           count(*), sum(s.doubts)::bigint, sum(s.took), max(s.settled_at)
    FROM settled s
    WHERE pg_visible_in_snapshot(s.settled_by, $4) AND NOT pg_visible_in_snapshot(s.settled_by, $3)
    GROUP BY 1, 2, 3;
END $$;

-- What was not mailed, newest first: failed and skipped deliveries. Each filter may be null. whose: an account's id, login
-- or address; why: a part of the reason, in whatever case, or the whole that mailroom_reason() makes of it. "stale": why it would be pointless to try again now; null if it would not.
CREATE FUNCTION mailroom_not_mailed(queue job_type, tokens bigint[], whose text, why text,
                                    since timestamptz, until timestamptz, max_rows integer)
RETURNS TABLE (token bigint, action text, account bigint, login text, email text, state text, error text,
               attempts integer, doubts integer, queued_at timestamptz, settled_at timestamptz, stale text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    asked bigint[] := $2;
    back  interval;
    begins timestamptz := coalesce($5, '-infinity');
    found_rows integer;
BEGIN
    IF $3 IS NOT NULL THEN
        SELECT coalesce(array_agg(t.id), '{}') INTO asked
        FROM tokens t
        WHERE t.account IN (
                SELECT a.id FROM accounts a WHERE a.login = $3
                UNION ALL SELECT a.id FROM accounts a WHERE a.email = $3
                UNION ALL SELECT a.id FROM accounts a WHERE $3 ~ '^[0-9]{1,18}$' AND a.id = $3::bigint)
          AND ($2 IS NULL OR t.id = ANY ($2));
    ELSIF $2 IS NULL AND $7 IS NOT NULL THEN
        -- No index has the newest first: look further and further back, until there are enough.
        FOREACH back IN ARRAY '{1 hour,1 day,7 days,30 days}'::interval[] LOOP
            EXIT WHEN now() - back <= begins;
            SELECT count(*) INTO found_rows FROM (
                SELECT FROM deliveries d
                WHERE d.queue = $1 AND d.settled_at > now() - back AND d.settled_at < coalesce($6, 'infinity')
                  AND d.state IN ('failed', 'skipped')
                  AND ($4 IS NULL OR mailroom_reason(d.error) = $4 OR strpos(lower(d.error), lower($4)) > 0)
                LIMIT $7) enough;
            IF found_rows = $7 THEN
                begins := now() - back;
                EXIT;
            END IF;
        END LOOP;
    END IF;
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT d.token FROM deliveries d WHERE asked IS NOT NULL AND d.token = ANY (asked) AND d.queue = $1
        UNION ALL
        SELECT d.token FROM deliveries d WHERE asked IS NULL AND d.queue = $1 AND d.settled_at >= begins
          AND d.state IN ('failed', 'skipped')
    ), newest AS MATERIALIZED (
        SELECT d.* FROM chosen c JOIN deliveries d ON d.queue = $1 AND d.token = c.token
        WHERE d.state IN ('failed', 'skipped') AND d.settled_at >= begins AND d.settled_at < coalesce($6, 'infinity')
          AND ($4 IS NULL OR mailroom_reason(d.error) = $4 OR strpos(lower(d.error), lower($4)) > 0)
        ORDER BY d.settled_at DESC, d.token DESC LIMIT $7
    )
    SELECT n.token, t.action::text, a.id, a.login::text, a.email::text, n.state::text, n.error, n.attempts, n.doubts,
           coalesce(n.queued_at, to_timestamp(t.created_at)), n.settled_at,
           CASE WHEN t.id IS NULL THEN 'the token is gone'
                ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END
    FROM newest n LEFT JOIN tokens t ON t.id = n.token LEFT JOIN accounts a ON a.id = t.account
    ORDER BY n.settled_at DESC, n.token DESC;
END $$;

-- Puts failed and skipped deliveries back, due at once, as far as their tokens may still be mailed; one row for each
-- different token, with null or why it was not. What was sent is never put back: who never got it needs a new
-- token. What it was tried with, and how often, stays. Not dry: also waits for whoever has the rows.
CREATE FUNCTION mailroom_retry(queue job_type, tokens bigint[], dry boolean)
RETURNS TABLE (token bigint, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF NOT $3 THEN
        PERFORM FROM deliveries d WHERE d.queue = $1 AND d.token = ANY ($2) ORDER BY d.token FOR UPDATE;
    END IF;
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT asked.token, CASE
            WHEN d.token IS NULL THEN 'no such token in this queue'
            WHEN d.state = 'emitted' THEN 'it was handed out to a reader that does not acknowledge'
            WHEN d.state = 'sent' THEN 'already sent'
            WHEN d.settled_at IS NULL THEN 'it is not given up: ' || d.state
            WHEN t.id IS NULL THEN 'the token is gone'
            ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END AS refused
        FROM (SELECT DISTINCT u.token FROM unnest($2) AS u (token)) asked
            LEFT JOIN deliveries d ON d.queue = $1 AND d.token = asked.token
            LEFT JOIN tokens t ON t.id = asked.token LEFT JOIN accounts a ON a.id = t.account
    ), put_back AS (
        UPDATE deliveries d SET state = 'pending', holder = NULL, due_at = now(), settled_at = NULL
        FROM judged j
        WHERE NOT $3 AND d.queue = $1 AND d.token = j.token AND j.refused IS NULL
    )
    SELECT j.token, j.refused FROM judged j ORDER BY j.token;
    IF NOT $3 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
END $$;

-- Removes settled deliveries that are older than a limit and whose tokens are over: looks at up to max_rows
-- deliveries behind a token, in the order of tokens, which is about that in which they were settled, so
-- that it comes to an end at the first that is too young, and needs no index for it. A removed one is never mailed
-- again: claim and begin know only what is in the ledger. Returns the last token it looked at (to go on
-- behind), when that was queued, and whether that was the end. Dry: only counts.
CREATE FUNCTION mailroom_prune(queue job_type, older_than interval, after_token bigint, max_rows integer, dry boolean)
RETURNS TABLE (last_token bigint, reached timestamptz, is_end boolean,
               sent bigint, failed bigint, skipped bigint, emitted bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before timestamptz := now() - $2;
BEGIN
    -- The longest lease that there can be: nobody may still hold what is removed.
    IF $2 IS NULL OR before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'what is younger than 1 day is not removed' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);  -- lost in a crash, it is removed another time
    RETURN QUERY
    WITH looked AS MATERIALIZED (
        SELECT d.token, d.state, coalesce(d.queued_at, to_timestamp(t.created_at), d.settled_at) AS queued_at,
               d.settled_at < before
               AND (t.id IS NULL OR t.consumed_at IS NOT NULL OR t.expires_at <= extract(epoch FROM now())) AS is_over
        FROM (SELECT * FROM deliveries WHERE token > $3 AND queue = $1 ORDER BY token LIMIT $4) d
            LEFT JOIN tokens t ON t.id = d.token
    ), removed AS (
        DELETE FROM deliveries d USING looked l
        WHERE NOT $5 AND l.is_over AND d.queue = $1 AND d.token = l.token AND d.settled_at < before
        RETURNING d.state
    ), counted AS (
        SELECT r.state FROM removed r
        UNION ALL SELECT l.state FROM looked l WHERE $5 AND l.is_over
    )
    SELECT (SELECT max(l.token) FROM looked l), (SELECT max(l.queued_at) FROM looked l),
           (SELECT count(*) < $4 OR coalesce(bool_or(l.queued_at >= before), true) FROM looked l),
           count(*) FILTER (WHERE c.state = 'sent'), count(*) FILTER (WHERE c.state = 'failed'),
           count(*) FILTER (WHERE c.state = 'skipped'), count(*) FILTER (WHERE c.state = 'emitted')
    FROM counted c;
END $$;

DO $$
DECLARE
    asked   regprocedure;
    setting text;
BEGIN
    FOR asked IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('mailroom_queue', 'mailroom_unsettled', 'mailroom_oldest', 'mailroom_recent',
                          'mailroom_pulse', 'mailroom_latency', 'mailroom_settlements',
                          'mailroom_not_mailed', 'mailroom_retry', 'mailroom_prune')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       asked, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', asked);
        -- By index, whatever the planner knows of the tables; and never with more than one core of the server.
        FOREACH setting IN ARRAY ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'] LOOP
            EXECUTE format('ALTER FUNCTION %s SET %I = off', asked, setting);
        END LOOP;
        EXECUTE format('ALTER FUNCTION %s SET max_parallel_workers_per_gather = 0', asked);
    END LOOP;
END $$;
