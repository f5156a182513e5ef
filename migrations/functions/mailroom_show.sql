-- What became of a token, of an account's tokens, or of a mail. It shows no secret and no code.
-- Called by: the command show.
-- Parameters:
--   p_kind      what p_whose is: 'token' (an id), 'account' (an id, a login or an address), 'message' (an id of SES)
--   p_max_rows  how many tokens of an account are shown, the newest first
-- No index has message ids. So the search begins with what was settled in the last hour. Then it goes back a day, a
-- week and a month, and at last reads the whole ledger. A million deliveries take about a second.
-- Returns: one row for each token; an account without tokens has one row whose token is null.
--   tokens     how many tokens the account has
--   listed     whether the action is in mailroom_actions
--   state      null if the queue has no delivery of the token
--   due_at     since when or from when it is to be claimed; of what a process holds: when the lease ends
--   is_due     whether that time has come
--   stale      why it may not be mailed; null if it may
-- These are null unless it waits for its turn:
--   ahead      how many deliveries with valid tokens are before it
--   wait_s     in how many seconds it is its turn; null if the rate is 0 or not known
--   is_late    whether it expires before its turn
--   rate       mails a second; null if it is not known
CREATE OR REPLACE FUNCTION mailroom_show(p_queue job_type, p_kind text, p_whose text, p_max_rows integer)
RETURNS TABLE (account bigint, login text, email text, status text, tokens bigint,
               token bigint, action text, listed boolean, created_at timestamptz, expires_at timestamptz,
               consumed_at timestamptz, stale text, state text, queued_at timestamptz, due_at timestamptz,
               is_due boolean, holder text, attempts integer, doubts integer, error text, message_id text,
               settled_at timestamptz, ahead bigint, wait_s float8, is_late boolean, rate float8)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    number constant bigint := CASE WHEN p_whose ~ '^[0-9]{1,18}$' THEN p_whose::bigint END;
    asked  bigint[] := '{}';
    owners bigint[] := '{}';
    back   interval;
BEGIN
    IF p_kind = 'account' THEN
        owners := ARRAY (
            SELECT a.id FROM accounts a WHERE a.login = p_whose
            UNION SELECT a.id FROM accounts a WHERE a.email = p_whose
            UNION SELECT a.id FROM accounts a WHERE a.id = number);
    ELSIF p_kind = 'token' THEN
        asked := ARRAY (SELECT number WHERE number IS NOT NULL);
    ELSE
        FOREACH back IN ARRAY '{1 hour,1 day,7 days,31 days,1000 years}'::interval[] LOOP
            asked := ARRAY (
                SELECT d.token FROM deliveries d
                WHERE d.queue = p_queue AND d.settled_at > now() - back AND d.message_id = p_whose);
            EXIT WHEN asked <> '{}';
        END LOOP;
    END IF;
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT c.account, c.tokens, t.id AS token
        FROM (SELECT o.account, (SELECT count(*) FROM tokens n WHERE n.account = o.account) AS tokens
              FROM unnest(owners) AS o (account)) c
            LEFT JOIN LATERAL (
                SELECT t.id FROM tokens t WHERE t.account = c.account ORDER BY t.id DESC LIMIT p_max_rows) t ON true
        UNION ALL
        SELECT t.account, NULL, u.token FROM unnest(asked) AS u (token) LEFT JOIN tokens t ON t.id = u.token
        WHERE t.id IS NOT NULL OR EXISTS (SELECT FROM deliveries d WHERE d.queue = p_queue AND d.token = u.token)
    ), found AS MATERIALIZED (
        SELECT c.*, d.state, d.due_at, d.queued_at, d.due_at <= now() AS is_due,
               d.state = 'pending' AND d.due_at <= now() AS waits,
               mailroom_place(d.due_at, d.queued_at, d.head_start, d.attempts) AS place
        FROM chosen c LEFT JOIN deliveries d ON d.queue = p_queue AND d.token = c.token
    ), run AS MATERIALIZED (
        SELECT r.*, min(r.ahead) OVER w AS first_ahead, min(r.sent_before) OVER w AS first_sent
        FROM mailroom_turns(p_queue, NULL) r WHERE EXISTS (SELECT FROM found f WHERE f.waits)
        WINDOW w AS (PARTITION BY r.part, r.due_at)
    )
    SELECT f.account, a.login::text, a.email::text, a.status::text, f.tokens,
           f.token, t.action::text, mailroom_action_number(t.action) IS NOT NULL, to_timestamp(t.created_at),
           to_timestamp(t.expires_at), to_timestamp(t.consumed_at),
           CASE WHEN f.token IS NULL THEN NULL WHEN t.id IS NULL THEN 'the token is gone'
                ELSE coalesce(
                    mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status),
                    -- What is claimed is not replaced any more.
                    CASE WHEN d.state IN ('pending', 'failed', 'skipped')
                         THEN mailroom_replaced(p_queue, t.id, t.account, t.action) END,
                    CASE WHEN d.state NOT IN ('sending', 'sent', 'emitted')
                         THEN mailroom_limited(p_queue, t.id, t.account, t.action) END) END,
           f.state::text, coalesce(f.queued_at, to_timestamp(t.created_at)),
           CASE WHEN f.waits THEN coalesce(f.queued_at, f.due_at) ELSE f.due_at END, f.is_due,
           regexp_replace(d.holder, '^(send:.*):[0-9]+$', '\1'), d.attempts, d.doubts, d.error,
           d.message_id, d.settled_at,
           turn.first_ahead + turn.place, least(turn.first_sent + turn.place, turn.sent_upto) / nullif(turn.rate, 0),
           turn.late > 0 AND turn.first_sent + turn.place >= turn.sent_upto, turn.rate
    FROM found f
        LEFT JOIN deliveries d ON d.queue = p_queue AND d.token = f.token
        LEFT JOIN tokens t ON t.id = f.token
        LEFT JOIN accounts a ON a.id = f.account
        LEFT JOIN LATERAL (
            SELECT r.*, (
                SELECT count(*) FROM deliveries b
                WHERE b.queue = p_queue AND b.settled_at IS NULL AND b.due_at >= r.due_at
                  AND (b.due_at, b.token) < (f.place, f.token)) AS place
            FROM run r
            WHERE f.waits AND r.part = 1 AND r.due_at = date_trunc('second', f.place) AND r.action = t.action
              AND r.expires_at = t.expires_at) turn ON true
    ORDER BY f.account, f.token DESC;
END $$;
