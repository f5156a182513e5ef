-- Order.
--
--   SES's rate is limited. While more mails wait than it allows, the right mail goes first: an action that somebody
--   waits for at a screen before one that can wait, and a single sign-up before the rows of an import. The head start
--   of an action decides that. It is subtracted from due_at when the delivery is made, so the claim does no more work.
--   A delivery that comes back gets its place again, so a mail that was throttled once does not queue behind an import.
--   Of several tokens of one account and action only the newest is mailed.
--   An account gets only so many mails of an action within a time.
--   The life of a token may begin with its mail.
--   An urgent action ends the wait for a batch.
--   Several senders of one SES account divide its rate.
--
-- New functions:
--
--   due, held, action_settings, give_back, share_rate      for the programs
--   may_mail                                               for the application
--   outlook, show                                          for an operator; outlook also for the collector
--   due_from, put_in_place, replaced, limited,
--   lock_accounts, place, turns                            for other functions only
--
-- The functions that earlier versions of the programs call stay and keep their meaning.
--
-- Each function stands here as in its file, between a line "From" and a line "End". `make migrations` writes them.

-- In the order in which a sign-up takes them.
LOCK TABLE tokens, deliveries IN ACCESS EXCLUSIVE MODE;
LOCK TABLE mailroom_actions IN ACCESS EXCLUSIVE MODE;

-- The tokens of an account and action, newest last. It also serves what tokens_account served. If the table is large,
-- make the index before, with CREATE INDEX CONCURRENTLY, so that inserts do not wait for it.
CREATE INDEX IF NOT EXISTS tokens_account_action ON tokens (account, action, id);
DROP INDEX IF EXISTS tokens_account;

ALTER TABLE mailroom_actions
    ADD COLUMN head_start   integer NOT NULL DEFAULT 43200 CHECK (head_start BETWEEN 0 AND 31536000),
    ADD COLUMN newest_only  boolean NOT NULL DEFAULT false,
    ADD COLUMN most_mails   integer CHECK (most_mails BETWEEN 1 AND 50),
    ADD COLUMN most_within  integer NOT NULL DEFAULT 900 CHECK (most_within BETWEEN 1 AND 604800),
    ADD COLUMN life_from    text NOT NULL DEFAULT 'insert' CHECK (life_from IN ('insert', 'mail')),
    ADD COLUMN longest_wait integer NOT NULL DEFAULT 86400 CHECK (longest_wait BETWEEN 1 AND 31536000),
    ADD COLUMN urgent       boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN mailroom_actions.head_start IS
    'seconds: a token queues as if it had waited that long already, unless its statement inserts more than 10 tokens';
COMMENT ON COLUMN mailroom_actions.newest_only IS
    'of several tokens of an account, only the newest is mailed';
COMMENT ON COLUMN mailroom_actions.most_mails IS
    'the most mails that an account gets within most_within; null: no limit';
COMMENT ON COLUMN mailroom_actions.most_within IS 'seconds, for most_mails';
COMMENT ON COLUMN mailroom_actions.life_from IS
    'insert: the lifetime of a token begins when it is inserted; mail: when it is first sent';
COMMENT ON COLUMN mailroom_actions.longest_wait IS
    'seconds that a token may wait for its mail in addition to its lifetime, if its life begins with the mail';
COMMENT ON COLUMN mailroom_actions.urgent IS
    'a token is claimed at once: it does not wait until a batch is full or MAILROOM_BATCH_TIMEOUT is over';

-- Constants as defaults, so that no row is written anew.
ALTER TABLE deliveries ADD COLUMN head_start integer NOT NULL DEFAULT 0, ADD COLUMN lifetime integer;
COMMENT ON COLUMN deliveries.head_start IS 'seconds by which it queues earlier than it was inserted';
COMMENT ON COLUMN deliveries.lifetime IS
    'seconds from its first begin until its token expires, if its life begins with the mail; null: it does not';
COMMENT ON COLUMN deliveries.due_at IS
    'pending: when to claim it, and its place in the queue; claimed, sending: when the lease ends';

-- Which senders have mails to send now. A row is small, and there are few. So its updates find room in its page.
CREATE TABLE mailroom_senders (
    sender  text PRIMARY KEY CHECK (length(sender) BETWEEN 1 AND 200),
    account text NOT NULL CHECK (length(account) <= 200),
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE mailroom_senders IS
    'the senders that have mails to send, so that those of one SES account divide its rate';

-- From functions/mailroom_due_from.sql: mailroom_due_from
-- The place in the queue of a delivery: its head start and an hour before it was queued. So among the due deliveries
-- those of the last hour have come back, and have no place yet (mailroom_put_in_place).
-- Called by: the functions that write, put back or show a delivery. Everybody may execute it, because it reads no
-- table.
-- Returns: the time for due_at.
CREATE FUNCTION mailroom_due_from(p_queued_at timestamptz, p_head_start integer) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT coalesce(p_queued_at, pg_catalog.now())
           OPERATOR(pg_catalog.-) ((p_head_start OPERATOR(pg_catalog.+) 3600) OPERATOR(pg_catalog.*) interval '1 s')
$$;
-- End of mailroom_due_from
GRANT EXECUTE ON FUNCTION mailroom_due_from TO PUBLIC;

-- From functions/mailroom_actions_compiled.sql: mailroom_actions_compiled
-- Writes mailroom_actions into functions: mailroom_action_number, mailroom_action_states and so on, one for each
-- column, and one that says whether any action is urgent. They become a part of every plan that uses them, and a
-- feature that no action uses is a constant. Reading the table instead would cost a sign-up 4 %, and a claim or a begin
-- 5 %. They are STABLE, because plans would keep the value of an IMMUTABLE one for ever. From PostgreSQL 14 on they are
-- kept parsed, so that a value of token_action or account_status may be renamed. Deliveries that wait for an action are
-- due at once when one is added.
-- Called by: the trigger mailroom_actions_compiled. Nobody may execute it directly.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_actions_compiled() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    body       constant text := CASE WHEN current_setting('server_version_num')::integer < 140000 THEN ' AS %L'
                                     ELSE ' BEGIN ATOMIC %s; END' END;
    array_type constant text := format('%I.account_status[]', TG_TABLE_SCHEMA);
    written    record;
BEGIN
    PERFORM mailroom_lock_actions();
    -- Each constant is cast by itself, once, when a plan is made. The result of a CASE would be cast for each row. The
    -- operator is qualified, because mailroom_announce runs as its owner with the search_path of its caller.
    FOR written IN
        SELECT c.name, c.type, CASE WHEN count(DISTINCT c.value) = 1 AND c.otherwise = min(c.value) THEN c.otherwise
                                    ELSE 'CASE' || string_agg(format(' WHEN $1 OPERATOR(pg_catalog.=) %L THEN %s',
                                                                     m.name, c.value), '' ORDER BY m.number)
                                         || ' ELSE ' || c.otherwise || ' END'
                               END AS body
        FROM mailroom_actions m CROSS JOIN LATERAL (VALUES
            ('number', 'smallint', m.number || '::smallint', 'NULL::smallint'),
            ('states', 'account_status[]', format('%L::%s', m.states, array_type), 'NULL::' || array_type),
            ('lifetime', 'integer', m.lifetime::text, '900'),
            -- How long a token may live that is inserted without expires_at.
            ('longest_life', 'integer',
             (m.lifetime + CASE m.life_from WHEN 'mail' THEN m.longest_wait ELSE 0 END)::text, '900'),
            ('life_from_mail', 'integer', CASE m.life_from WHEN 'mail' THEN m.lifetime::text ELSE 'NULL::integer' END,
             'NULL::integer'),
            ('head_start', 'integer', m.head_start::text, '0'),
            ('newest_only', 'boolean', m.newest_only::text, 'false'),
            ('most_mails', 'integer', coalesce(m.most_mails::text, 'NULL::integer'), 'NULL::integer'),
            ('most_within', 'integer', m.most_within::text, '900'),
            ('urgent', 'boolean', m.urgent::text, 'false')) AS c (name, type, value, otherwise)
        GROUP BY c.name, c.type, c.otherwise
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION %I(token_action) RETURNS %s LANGUAGE sql STABLE' || body,
                       'mailroom_action_' || written.name, written.type, 'SELECT ' || written.body);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_has_urgent() RETURNS boolean LANGUAGE sql STABLE' || body,
                   'SELECT ' || (SELECT coalesce(bool_or(m.urgent), false) FROM mailroom_actions m));
    IF TG_OP = 'INSERT' THEN
        WITH waiting AS MATERIALIZED (
            SELECT d.queue, d.token FROM deliveries d
            WHERE d.queue IN (SELECT q.job_type FROM jobs q) AND d.settled_at IS NULL AND d.due_at > now()
              AND d.state = 'pending' AND d.error_code = 'unlisted'
            ORDER BY d.token FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET due_at = mailroom_due_from(d.queued_at, d.head_start)
        FROM waiting w WHERE d.token = w.token AND d.queue = w.queue;
        IF FOUND THEN
            PERFORM pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$;
-- End of mailroom_actions_compiled

-- Also writes the new functions. A database may have taken from PUBLIC what it is given by default, and a role that
-- inserts tokens needs the one for their life.
UPDATE mailroom_actions SET newest_only = true,
    head_start = CASE name WHEN 'password_recovery' THEN 86400 ELSE 43200 END
WHERE name IN ('activation', 'password_recovery');
GRANT EXECUTE ON FUNCTION mailroom_action_longest_life TO PUBLIC;
-- Only in a new database, because an existing application may count on more.
UPDATE mailroom_actions SET most_mails = 5
WHERE name IN ('activation', 'password_recovery')
  AND NOT EXISTS (SELECT FROM accounts) AND NOT EXISTS (SELECT FROM tokens);

-- What waits gets its place. More than 10 tokens of one transaction count as an import.
DO $$
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true);  -- reads the index of what is not settled, not the whole table
    WITH waiting AS MATERIALIZED (
        SELECT d.queue, d.token, coalesce(d.queued_at, to_timestamp(t.created_at)) AS queued_at,
               CASE WHEN count(*) OVER (PARTITION BY d.queue, d.queued_at) > 10 THEN 0
                    ELSE mailroom_action_head_start(t.action) END AS head_start
        FROM deliveries d JOIN tokens t ON t.id = d.token
        WHERE d.queue IN (SELECT job_type FROM jobs) AND d.settled_at IS NULL
    )
    UPDATE deliveries d SET
        queued_at = w.queued_at, head_start = w.head_start,
        due_at = CASE WHEN d.state = 'pending' AND d.due_at <= now() THEN mailroom_due_from(w.queued_at, w.head_start)
                      ELSE d.due_at END
    FROM waiting w WHERE d.queue = w.queue AND d.token = w.token;
    PERFORM set_config('enable_seqscan', 'on', true);
END $$;

-- Names are qualified as in 0_init. Where another mailroom made the schema, a trigger of its own gives accounts their
-- tokens.
DO $migration$
BEGIN
    IF to_regproc('mailroom_account_inserted') IS NOT NULL THEN
        EXECUTE format($function$
-- From functions/mailroom_account_inserted.sql: mailroom_account_inserted
CREATE OR REPLACE FUNCTION mailroom_account_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO %1$I.tokens (action, account, expires_at)
    SELECT 'activation', id, pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                             + %1$I.mailroom_action_longest_life('activation')
    FROM inserted
    WHERE status = 'provisioned'
      AND created_at > EXTRACT(epoch FROM pg_catalog.now()) - %1$I.mailroom_action_lifetime('activation');
    RETURN NULL;
END $$
-- End of mailroom_account_inserted
        $function$, current_schema());
    END IF;
    EXECUTE format($function$
-- From functions/mailroom_token_lifetime.sql: mailroom_token_lifetime
CREATE OR REPLACE FUNCTION mailroom_token_lifetime() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.expires_at := pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                      + %1$I.mailroom_action_longest_life(NEW.action);
    RETURN NEW;
END $$
-- End of mailroom_token_lifetime
    $function$, current_schema());
    EXECUTE format($function$
-- From functions/mailroom_announce.sql: mailroom_announce
CREATE OR REPLACE FUNCTION mailroom_announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO %1$I.deliveries (queue, token, due_at, head_start, lifetime)
    SELECT j.job_type, t.id, %1$I.mailroom_due_from(pg_catalog.now(), t.head_start), t.head_start,
           %1$I.mailroom_action_life_from_mail(t.action)
    FROM (SELECT i.id, i.action, CASE WHEN EXISTS (SELECT FROM inserted OFFSET 10) THEN 0
                                      ELSE %1$I.mailroom_action_head_start(i.action) END AS head_start
          FROM inserted i OFFSET 0) t  -- OFFSET 0: the head start is found once, though it is written twice
        CROSS JOIN %1$I.jobs j;
    IF FOUND THEN
        -- One expression, so that a cancelled statement can't keep lock 2.
        IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1835100524, 1)
           OR pg_catalog.pg_try_advisory_lock_shared(1835100524, 2)
              AND pg_catalog.pg_advisory_unlock_shared(1835100524, 2) THEN
            PERFORM pg_catalog.pg_notify('token_insert', '');
        END IF;
    ELSIF pg_catalog.row_security_active(%2$L) AND EXISTS (SELECT FROM inserted) THEN
        RAISE EXCEPTION 'row-level security hides the queues from the owner of mailroom''s functions'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$
-- End of mailroom_announce
    $function$, current_schema(), format('%I.jobs', current_schema()));
END $migration$;

-- From functions/mailroom_put_in_place.sql: mailroom_put_in_place
-- Gives deliveries that have come back their place in the queue again: a retry that is due, and a lease that ran out.
-- These have a due_at within the last hour, because that of a new delivery is earlier. The place is
-- that of its insert, so a mail that was throttled once does not queue behind an import. After the third attempt it
-- is that of a delivery inserted now, so mails that fail again and again do not keep others from their turn.
-- Called by: mailroom_claim_any.
-- Returns: nothing.
CREATE FUNCTION mailroom_put_in_place(p_queue job_type, p_max_rows integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH back AS MATERIALIZED (
        SELECT d.queue, d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL
          AND d.due_at > now() - interval '1 hour' AND d.due_at <= now()
          AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL
        ORDER BY d.due_at, d.token
        -- More than a claim takes, so that in the end all of them are ordered.
        LIMIT 2 * p_max_rows + 100 FOR UPDATE SKIP LOCKED
    )
    UPDATE deliveries d
    SET due_at = mailroom_place(d.due_at, d.queued_at, d.head_start, d.attempts)
    FROM back b WHERE d.queue = b.queue AND d.token = b.token;
END $$;
-- End of mailroom_put_in_place

-- From functions/mailroom_replaced.sql: mailroom_replaced
-- Whether a newer token of the account and action takes the place of this one: it may be mailed, and the action is
-- newest_only. Only the newest 100 tokens are read, so that a flood of requests for one account costs little. A claim
-- asks it, and a begin does not. Otherwise a stream of requests for one account would replace each of its tokens just
-- before its mail, and the account would get none.
-- Called by: other functions only.
-- Returns: the reason in words, or null if no token takes its place.
CREATE FUNCTION mailroom_replaced(p_queue job_type, p_token bigint, p_account bigint, p_action token_action)
RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF mailroom_action_newest_only(p_action) AND EXISTS (
        SELECT FROM (
            SELECT t.id, t.expires_at, t.consumed_at FROM tokens t
            WHERE t.account = p_account AND t.action = p_action AND t.id > p_token
            ORDER BY t.id DESC LIMIT 100) newer
            JOIN deliveries d ON d.queue = p_queue AND d.token = newer.id AND d.state NOT IN ('failed', 'skipped')
        WHERE newer.consumed_at IS NULL AND newer.expires_at > extract(epoch FROM clock_timestamp())
    ) THEN
        RETURN 'a newer token took its place';
    END IF;
    RETURN NULL;
END $$;
-- End of mailroom_replaced

-- From functions/mailroom_limited.sql: mailroom_limited
-- Whether the account has reached its limit of mails of this action: most_mails within most_within seconds. Mails that
-- are being sent count. Only the newest 100 other tokens are read, so that a flood of requests for one account costs
-- little.
-- Called by: other functions only.
-- Returns: the reason in words, or null if the token may be mailed.
CREATE FUNCTION mailroom_limited(p_queue job_type, p_token bigint, p_account bigint, p_action token_action)
RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    most   constant integer := mailroom_action_most_mails(p_action);
    period constant integer := mailroom_action_most_within(p_action);
    mails  integer;
BEGIN
    IF most IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO mails FROM (
        SELECT t.id FROM tokens t
        WHERE t.account = p_account AND t.action = p_action AND t.id <> p_token
        ORDER BY t.id DESC LIMIT 100) other
        JOIN deliveries d ON d.queue = p_queue AND d.token = other.id
    WHERE d.state = 'sending'
       OR d.state IN ('sent', 'emitted') AND d.settled_at > clock_timestamp() - period * interval '1 s';
    IF mails >= most THEN
        RETURN format('the account reached its limit of mails: %s in %s s', most, period);
    END IF;
    RETURN NULL;
END $$;
-- End of mailroom_limited

-- From functions/mailroom_lock_accounts.sql: mailroom_lock_accounts
-- Locks the accounts of tokens whose action has most_mails and that are not alone, until the transaction ends. So two
-- begins never count the mails of one account at the same time. It does not wait. It locks the delivery of the
-- account's oldest token of the action. Other roles can't take that lock, and the begin of that token has it already.
-- Called by: mailroom_begin_rows, which has locked the deliveries of p_tokens.
-- Returns: the tokens of p_tokens that may be judged now. Of several tokens of an account, that is the newest.
CREATE FUNCTION mailroom_lock_accounts(p_queue job_type, p_tokens bigint[], p_not_alone bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN ARRAY (
        WITH one AS MATERIALIZED (
            SELECT t.id, t.account, t.action FROM tokens t
            WHERE t.id = ANY (p_not_alone) AND t.id = ANY (p_tokens)
        ), newest AS MATERIALIZED (
            SELECT max(one.id) AS id, one.account, one.action FROM one GROUP BY one.account, one.action
        ), locked AS MATERIALIZED (
            SELECT n.* FROM newest n CROSS JOIN LATERAL (
                SELECT FROM deliveries d
                WHERE d.queue = p_queue AND d.token = (
                    SELECT t.id FROM tokens t JOIN deliveries o ON o.queue = p_queue AND o.token = t.id
                    WHERE t.account = n.account AND t.action = n.action ORDER BY t.id LIMIT 1)
                FOR UPDATE SKIP LOCKED) d
        )
        SELECT u.id FROM unnest(p_tokens) AS u (id)
        WHERE u.id <> ALL (p_not_alone) OR u.id IN (SELECT l.id FROM locked l));
END $$;
-- End of mailroom_lock_accounts

-- From functions/mailroom_may_mail.sql: mailroom_may_mail
-- When a new token of this account and action would be mailed, as far as most_mails and most_within of the action limit
-- it. A form asks it before it inserts a token, and can say how long to wait. An unknown account gets the same answer
-- as one that got no mail.
-- Called by: the application.
-- Returns: whole seconds to wait; 0 if a new token would be mailed now.
CREATE FUNCTION mailroom_may_mail(p_account bigint, p_action token_action) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    most   constant integer := mailroom_action_most_mails(p_action);
    period constant integer := mailroom_action_most_within(p_action);
BEGIN
    IF most IS NULL THEN
        RETURN 0;
    END IF;
    RETURN coalesce((
        SELECT max(greatest(0, ceil(extract(epoch FROM mails.at - clock_timestamp()) + period)))::integer
        FROM jobs q CROSS JOIN LATERAL (
            SELECT coalesce(d.settled_at, clock_timestamp()) AS at
            FROM (SELECT t.id FROM tokens t WHERE t.account = p_account AND t.action = p_action
                  ORDER BY t.id DESC LIMIT 100) other
                JOIN deliveries d ON d.queue = q.job_type AND d.token = other.id
            WHERE d.state IN ('sending', 'sent', 'emitted')
            ORDER BY 1 DESC OFFSET most - 1 LIMIT 1) mails), 0);
END $$;
-- End of mailroom_may_mail

-- From functions/mailroom_due.sql: mailroom_due
-- Counts what waits in a queue. In a paused queue nothing waits.
-- Called by: the collector, before it claims and before it sleeps.
-- Returns: one row.
--   waiting      how many deliveries are due now, counted up to p_max_rows
--   next_due_ms  in how many milliseconds the next one is due; null if nothing else is unsettled
--   attended     whether another session polls fast, so that inserts do not notify
--   urgent       whether one of those that were counted is of an urgent action
CREATE FUNCTION mailroom_due(p_queue job_type, p_max_rows integer)
RETURNS TABLE (waiting integer, next_due_ms bigint, attended boolean, urgent boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    is_urgent boolean := false;
BEGIN
    IF mailroom_has_urgent() THEN
        SELECT coalesce(bool_or(mailroom_action_urgent(t.action)), false) INTO is_urgent FROM (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL
            ORDER BY d.due_at LIMIT p_max_rows) due JOIN tokens t ON t.id = due.token;
    END IF;
    RETURN QUERY SELECT l.waiting, l.next_due_ms, l.attended, is_urgent FROM mailroom_look(p_queue, p_max_rows) l;
END $$;
-- End of mailroom_due

-- From functions/mailroom_held.sql: mailroom_held
-- Which of these deliveries the holder has claimed and no sender has begun. It changes nothing.
-- Called by: the collector, to see how fast senders begin what it printed.
-- Returns: their tokens.
CREATE FUNCTION mailroom_held(p_queue job_type, p_holder text, p_tokens bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT d.token FROM deliveries d
    WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder;
END $$;
-- End of mailroom_held

-- From functions/mailroom_action_settings.sql: mailroom_action_settings
-- What the programs need to know of each action.
-- Called by: collector and sender.
-- Returns: one row for each action, by number.
CREATE FUNCTION mailroom_action_settings()
RETURNS TABLE (number smallint, name text, prefix text, signs_code boolean, template text, head_start integer,
               urgent boolean)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT m.number, m.name::text, m.prefix, m.signs_code, m.template, m.head_start, m.urgent
    FROM mailroom_actions m ORDER BY m.number;
END $$;
-- End of mailroom_action_settings

-- From functions/mailroom_give_back.sql: mailroom_give_back
-- Puts claimed deliveries back that a sender has read and not begun. No call is made for them: calls are held, or the
-- sender ends. That is no attempt, and no life begins. p_delays_ms says when each is due again, in the order of the
-- secrets; null means at its place in the queue. A delay takes at most half of the token's remaining lifetime, but at
-- least 1 s.
-- Called by: the sender.
-- Returns: the places (from 1) of the secrets whose delivery another transaction has locked: ask again.
CREATE FUNCTION mailroom_give_back(p_queue job_type, p_secrets bytea[], p_reason text,
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
-- End of mailroom_give_back

-- From functions/mailroom_share_rate.sql: mailroom_share_rate
-- Notes that a sender has mails to send now. Senders of one SES account divide its rate by the answer. A sender that
-- did not call this for 5 s is not counted, and after an hour its row is deleted.
-- Called by: the sender, every few seconds while it has mails to send.
-- Returns: how many senders of the account have mails to send, this one included.
CREATE FUNCTION mailroom_share_rate(p_sender text, p_account text) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO mailroom_senders AS s (sender, account, seen_at) VALUES (p_sender, p_account, clock_timestamp())
    ON CONFLICT (sender) DO UPDATE SET account = excluded.account, seen_at = excluded.seen_at;
    DELETE FROM mailroom_senders s WHERE s.sender IN (
        SELECT o.sender FROM mailroom_senders o WHERE o.seen_at < clock_timestamp() - interval '1 hour'
        FOR UPDATE SKIP LOCKED);
    RETURN (SELECT count(*) FROM mailroom_senders s
            WHERE s.account = p_account AND s.seen_at > clock_timestamp() - interval '5 s');
END $$;
-- End of mailroom_share_rate

-- From functions/mailroom_claim_any.sql: mailroom_claim_any
-- Claims up to max_rows due deliveries for the holder, with a lease of lease_ms, in the order of due_at. For a new
-- delivery that is when it was queued, less its head start (mailroom_due_from). One that has come back, such as a retry
-- that is due, first gets its place again. A paused queue gives nothing.
--  - A stale delivery is skipped for good.
--  - A delivery whose action is not in mailroom_actions waits for as long as its token is old, but 5 s to 60 s. So many
--    of them cost little. The wait ends when the action is added. Until then the error_code is 'unlisted'.
--  - A delivery whose action has a number above "newest" is for another collector, and waits for 1 s to 15 s.
--
-- With after_due and after_token (the due_at and token of the last row of the claim before) it begins behind that row.
-- So it does not read the dead rows of earlier claims again, which another session's snapshot may keep. A claim without
-- the two finds deliveries that became due in front of that row, and those that have come back.
-- Called by: the collector.
-- Returns: one row for each delivery that was claimed, skipped or put off.
--   action        the number of the action; null for what waits
--   stale         why it was skipped; null otherwise
--   doubt         its last sender began it and never settled it, so it may have been mailed
--   acknowledged  senders of this queue settle what they send
--   due_at        when it was due, for after_due
CREATE OR REPLACE FUNCTION mailroom_claim_any(queue job_type, holder text, lease_ms integer, max_rows integer,
                                              after_due timestamptz DEFAULT NULL, after_token bigint DEFAULT NULL,
                                              newest smallint DEFAULT 32767)
RETURNS TABLE (token bigint, action smallint, email text, login text, secret bytea,
               code text, stale text, doubt boolean, acknowledged boolean, due_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue       ALIAS FOR queue;
    p_holder      ALIAS FOR holder;
    p_lease_ms    ALIAS FOR lease_ms;
    p_max_rows    ALIAS FOR max_rows;
    p_after_due   ALIAS FOR after_due;
    p_after_token ALIAS FOR after_token;
    p_newest      ALIAS FOR newest;
    -- A new delivery is due from before this. Due later means that it has come back.
    new_until     constant timestamptz := now() - interval '1 hour';
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    IF p_after_due IS NULL THEN
        PERFORM mailroom_put_in_place(p_queue, p_max_rows);
    END IF;
    RETURN QUERY
    WITH due AS MATERIALIZED (
        -- MATERIALIZED: joined directly, an UPDATE could change more rows than the limit.
        SELECT d.queue, d.token, d.state, d.due_at
        FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= new_until
          AND (d.due_at, d.token) > (coalesce(p_after_due, '-infinity'), coalesce(p_after_token, 0))
          AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL
        ORDER BY d.due_at, d.token
        LIMIT p_max_rows FOR UPDATE SKIP LOCKED
    ), judged AS MATERIALIZED (
        SELECT due.queue, due.token, due.due_at, due.state = 'sending' AS doubt,
               mailroom_action_number(t.action) AS number, a.email, a.login, t.secret, t.code,
               extract(epoch FROM now())::float8 - t.created_at AS age,
               CASE WHEN t.id IS NULL THEN 'the token is gone'
                    ELSE coalesce(
                        mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status),
                        -- Tested here, because most accounts have one token, and the call would cost more.
                        CASE WHEN (mailroom_action_newest_only(t.action)
                                   OR mailroom_action_most_mails(t.action) IS NOT NULL)
                             AND EXISTS (SELECT FROM tokens o
                                         WHERE o.account = t.account AND o.action = t.action AND o.id <> t.id)
                             THEN coalesce(mailroom_replaced(p_queue, t.id, t.account, t.action),
                                           mailroom_limited(p_queue, t.id, t.account, t.action)) END) END AS stale
        FROM due LEFT JOIN tokens t ON t.id = due.token LEFT JOIN accounts a ON a.id = t.account
    ), taken AS (
        UPDATE deliveries d SET
            state = CASE WHEN j.stale IS NOT NULL THEN 'skipped' WHEN j.number <= p_newest THEN 'claimed'
                         ELSE 'pending' END::delivery_state,
            holder = p_holder,
            due_at = CASE WHEN j.stale IS NOT NULL THEN d.due_at
                          WHEN j.number <= p_newest THEN now() + p_lease_ms * interval '1 ms'
                          WHEN j.number IS NULL THEN now() + least(60, greatest(5, j.age)) * interval '1 s'
                          ELSE now() + least(15, greatest(1, j.age)) * interval '1 s' END,
            doubts = d.doubts + j.doubt::integer,
            error = CASE WHEN j.stale IS NOT NULL THEN mailroom_join_reasons(j.stale, d.error)
                         WHEN j.number IS NULL THEN 'its action is not in mailroom_actions'
                         WHEN d.error_code = 'unlisted' THEN NULL
                         ELSE d.error END,
            error_code = CASE WHEN j.stale IS NOT NULL THEN NULL
                              WHEN j.number IS NULL THEN 'unlisted'
                              ELSE nullif(d.error_code, 'unlisted') END,
            settled_at = CASE WHEN j.stale IS NOT NULL THEN now() END
        FROM judged j
        -- Not p_queue: a plan that was made while the ledger was empty would then read the whole index of the queue.
        WHERE d.queue = j.queue AND d.token = j.token
        RETURNING j.*
    ), handed_out AS (
        UPDATE jobs SET last_seq = newest.token
        FROM (SELECT max(j.token) AS token FROM judged j WHERE j.stale IS NULL AND j.number <= p_newest) newest
        WHERE job_type = p_queue AND coalesce(last_seq, 0) < newest.token
    )
    SELECT t.token, CASE WHEN t.number <= p_newest THEN t.number END, t.email::text, t.login::text, t.secret,
           t.code::text, t.stale, t.doubt,
           (SELECT q.acknowledged_at IS NOT NULL FROM jobs q WHERE q.job_type = p_queue), t.due_at
    FROM taken t
    ORDER BY t.due_at, t.token;
END $$;
-- End of mailroom_claim_any

-- From functions/mailroom_release.sql: mailroom_release
-- Releases the deliveries that the holder has claimed. They are due at once. A delivery that a sender is beginning at
-- that moment is not released.
-- Called by: the collector, when it ends or when its reader is gone.
-- Returns: how many deliveries were released.
CREATE OR REPLACE FUNCTION mailroom_release(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_tokens   ALIAS FOR tokens;
    given_back integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH held AS MATERIALIZED (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        ORDER BY d.token FOR UPDATE SKIP LOCKED
    )
    -- Due from where it queued, so that it does not wait behind younger ones.
    UPDATE deliveries d SET state = 'pending', holder = NULL,
        due_at = mailroom_due_from(d.queued_at, d.head_start)
    FROM held
    WHERE d.queue = p_queue AND d.token = held.token AND d.token = ANY (p_tokens);
    GET DIAGNOSTICS given_back = ROW_COUNT;
    IF given_back > 0 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN given_back;
END $$;
-- End of mailroom_release

-- From functions/mailroom_begin_rows.sql: mailroom_begin_rows
-- The fence before a call to SES: which of these secrets the holder may send now, and is the only one to send for
-- p_lease_ms. p_emails are the addresses that the mails would go to, in UTF-8 and in the order of the secrets; a null
-- is not compared. A delivery that goes back loses no attempt. If the life of a token begins with its mail, the first
-- begin sets expires_at.
-- Called by: the sender, before each call.
-- Returns: one row for each different secret, with its first place in the array (from 1), its token, and a code.
-- "reason" says the same to people; it is null for begun.
--   begun    it may be sent. To begin again what the holder has begun already is allowed, and renews the lease
--   locked   another transaction has it: ask again
--   later    it is due later, to be tried again
--   settled  it is sent, failed or skipped already
--   taken    another call has begun it
--   stale    it may not be mailed any more, and is skipped
--   changed  its account has another address now: it goes back, to be printed anew
--   paused   the queue is paused: it goes back
--   unknown  no such token in this queue
CREATE OR REPLACE FUNCTION mailroom_begin_rows(p_queue job_type, p_holder text, p_lease_ms integer,
                                               p_secrets bytea[], p_emails bytea[])
RETURNS TABLE (place bigint, token bigint, attempt integer, code text, reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    readdressed constant text := 'its account has another address now';
    is_ascii constant boolean := getdatabaseencoding() = 'SQL_ASCII';
    ids       bigint[];
    not_alone bigint[];  -- those whose action has most_mails and whose account has other tokens of it
    ours      bigint[];
    lives_from_mail boolean;
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- lost in a crash, it would be mailed twice
    END IF;
    -- In order, because the index is then read faster by them.
    SELECT coalesce(array_agg(t.id ORDER BY t.id), '{}'),
           array_agg(t.id) FILTER (WHERE mailroom_action_most_mails(t.action) IS NOT NULL
                                     AND EXISTS (SELECT FROM tokens o WHERE o.account = t.account
                                                   AND o.action = t.action AND o.id <> t.id))
    INTO ids, not_alone
    FROM tokens t WHERE t.secret = ANY (p_secrets);
    -- The rows are locked first. Then they are judged by what is committed when they are locked, because each statement
    -- here has its own snapshot.
    SELECT coalesce(array_agg(l.token), '{}'), bool_or(l.lifetime IS NOT NULL AND l.attempts = 0)
    INTO ours, lives_from_mail
    FROM (SELECT d.token, d.lifetime, d.attempts FROM deliveries d
          WHERE d.queue = p_queue AND d.token = ANY (ids) ORDER BY d.token FOR UPDATE SKIP LOCKED) l;
    -- The delivery of a token that is alone is the lock of its account.
    IF not_alone IS NOT NULL THEN
        ours := mailroom_lock_accounts(p_queue, ours, not_alone);
    END IF;
    IF lives_from_mail THEN
        ours := ARRAY (SELECT t.id FROM tokens t WHERE t.id = ANY (ours) FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT s.secret, min(s.place) AS place
        FROM unnest(p_secrets) WITH ORDINALITY AS s (secret, place) GROUP BY s.secret
    ), found AS MATERIALIZED (
        SELECT p.place, t.id AS token, t.account, t.action, t.expires_at, t.consumed_at, a.status,
               -- As bytes, because an address may not be valid text, and one such row would stop the whole call.
               p_emails[p.place] <> CASE WHEN is_ascii THEN decode(replace(a.email, '\', '\\'), 'escape')
                                         ELSE convert_to(a.email, 'UTF8') END AS has_changed
        FROM tokens t CROSS JOIN LATERAL (SELECT array_position(p_secrets, t.secret) AS place) p
            -- OFFSET 0 keeps the planner from a join: each account is read by its key.
            LEFT JOIN LATERAL (SELECT a.status, a.email::text FROM accounts a WHERE a.id = t.account OFFSET 0) a ON true
        WHERE t.id = ANY (ids)
    ), seen AS MATERIALIZED (
        SELECT f.place, f.has_changed, d.token, d.state, d.holder, d.due_at,
               coalesce(
                   mailroom_stale(f.action, f.expires_at, f.consumed_at, f.status),
                   CASE WHEN f.token = ANY (not_alone)
                        THEN mailroom_limited(p_queue, f.token, f.account, f.action) END) AS stale,
               (SELECT q.paused_at IS NOT NULL FROM jobs q WHERE q.job_type = p_queue) AS is_paused
        FROM found f JOIN deliveries d ON d.queue = p_queue AND d.token = f.token
        WHERE d.token = ANY (ids)
    ), judged AS MATERIALIZED (
        SELECT s.*, s.state = 'sending' AS again, CASE
            WHEN s.token <> ALL (ours) THEN 'locked'
            WHEN s.state IN ('sent', 'failed', 'skipped') THEN 'settled'
            WHEN s.state = 'sending' AND s.holder IS DISTINCT FROM p_holder THEN 'taken'
            WHEN s.is_paused THEN 'paused'
            WHEN s.state = 'pending' AND s.due_at > now() THEN 'later'
            WHEN s.stale IS NOT NULL THEN 'stale'
            WHEN s.has_changed THEN 'changed'
            ELSE 'begun' END AS code
        FROM seen s
    ), begun AS (
        UPDATE deliveries d SET
            state = CASE j.code WHEN 'begun' THEN 'sending' WHEN 'stale' THEN 'skipped' ELSE 'pending'
                    END::delivery_state,
            holder = CASE WHEN j.code IN ('begun', 'stale') THEN p_holder END,
            begun_by = CASE WHEN j.code = 'begun' THEN hashtextextended(p_holder, 0) ELSE d.begun_by END,
            attempts = d.attempts + CASE WHEN j.code = 'begun' THEN (NOT j.again)::integer
                                         WHEN j.code = 'stale' THEN 0 ELSE -j.again::integer END,
            due_at = CASE
                WHEN j.code = 'begun' THEN clock_timestamp() + p_lease_ms * interval '1 ms'
                WHEN j.code = 'stale' THEN d.due_at
                -- The second time in a row. The reader may never agree, so it gets the row again only after a pause.
                WHEN j.code = 'changed' AND d.error_code = 'changed' THEN now() + interval '5 s'
                ELSE mailroom_due_from(d.queued_at, d.head_start) END,
            error = CASE j.code WHEN 'stale' THEN mailroom_join_reasons(j.stale, d.error)
                                WHEN 'changed' THEN readdressed ELSE d.error END,
            error_code = CASE j.code WHEN 'stale' THEN NULL WHEN 'changed' THEN 'changed' ELSE d.error_code END,
            settled_at = CASE WHEN j.code = 'stale' THEN now() END
        FROM judged j
        WHERE d.queue = p_queue AND d.token = j.token AND d.token = ANY (ids)
          AND (j.code IN ('begun', 'stale', 'changed') OR j.code = 'paused' AND j.state <> 'pending')
        RETURNING d.token, d.attempts, CASE WHEN j.code = 'changed' THEN pg_notify('token_insert', '') IS NULL END
    )
    SELECT asked.place, j.token, CASE WHEN j.code = 'begun' THEN begun.attempts END,
           coalesce(j.code, 'unknown'),
           CASE coalesce(j.code, 'unknown')
               WHEN 'locked' THEN 'locked by another transaction'
               WHEN 'settled' THEN 'already ' || j.state
               WHEN 'taken' THEN 'another call has begun it'
               WHEN 'paused' THEN 'the queue is paused'
               WHEN 'later' THEN 'it is to be tried again later'
               WHEN 'stale' THEN j.stale
               WHEN 'changed' THEN readdressed
               WHEN 'unknown' THEN 'no such token in this queue' END
    FROM asked LEFT JOIN judged j ON j.place = asked.place
        LEFT JOIN begun ON begun.token = j.token
    ORDER BY asked.place;
    IF lives_from_mail THEN
        UPDATE tokens t SET expires_at = least(t.expires_at, floor(extract(epoch FROM clock_timestamp())) + d.lifetime)
        FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ours) AND d.state = 'sending' AND d.holder = p_holder
          AND d.attempts = 1 AND d.lifetime IS NOT NULL AND t.id = d.token;
    END IF;
END $$;
-- End of mailroom_begin_rows

-- From functions/mailroom_settle_rows.sql: mailroom_settle_rows
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
-- End of mailroom_settle_rows

-- From functions/mailroom_retry_rows.sql: mailroom_retry_rows
-- Puts failed and skipped deliveries back, due from where they queued, if their tokens may still be mailed. A sent
-- delivery is never put back, because a recipient who never got it needs a new token. The error and the number of
-- attempts stay. A delivery that another transaction has locked is tried again for 1 s. With p_dry true it changes
-- nothing.
-- Called by: the commands retry and failed.
-- Returns: one row for each different token, with a code. "reason" says the same to people; it is null for retried.
--   retried    it is put back, or with p_dry would be
--   locked     another transaction has it
--   unsettled  it has not failed: it waits, or is claimed or being sent
--   sent       it is sent already
--   emitted    it was handed out to a reader that does not acknowledge
--   stale      it may not be mailed any more
--   gone       the token is gone
--   unknown    no such token in this queue
CREATE OR REPLACE FUNCTION mailroom_retry_rows(p_queue job_type, p_tokens bigint[], p_dry boolean)
RETURNS TABLE (token bigint, code text, reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    free bigint[];
BEGIN
    IF NOT p_dry THEN
        free := mailroom_lock_deliveries(p_queue, p_tokens, 1000);
    END IF;
    RETURN QUERY
    WITH seen AS MATERIALIZED (
        SELECT asked.token, d.state, CASE
            WHEN d.token IS NULL THEN 'unknown'
            WHEN d.token <> ALL (free) THEN 'locked'
            WHEN d.state = 'emitted' THEN 'emitted'
            WHEN d.state = 'sent' THEN 'sent'
            WHEN d.settled_at IS NULL THEN 'unsettled'
            WHEN t.id IS NULL THEN 'gone' END AS code,
            coalesce(mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status),
                     mailroom_replaced(p_queue, t.id, t.account, t.action),
                     mailroom_limited(p_queue, t.id, t.account, t.action)) AS stale
        FROM (SELECT DISTINCT u.token FROM unnest(p_tokens) AS u (token)) asked
            LEFT JOIN deliveries d ON d.queue = p_queue AND d.token = asked.token
            LEFT JOIN tokens t ON t.id = asked.token LEFT JOIN accounts a ON a.id = t.account
    ), judged AS MATERIALIZED (
        SELECT s.token, s.state, s.stale,
               coalesce(s.code, CASE WHEN s.stale IS NOT NULL THEN 'stale' ELSE 'retried' END) AS code
        FROM seen s
    ), put_back AS (
        UPDATE deliveries d SET state = 'pending', holder = NULL, settled_at = NULL,
            due_at = mailroom_due_from(d.queued_at, d.head_start)
        FROM judged j
        WHERE NOT p_dry AND d.queue = p_queue AND d.token = j.token AND j.code = 'retried'
    )
    SELECT j.token, j.code, CASE j.code
        WHEN 'unknown' THEN 'no such token in this queue'
        WHEN 'locked' THEN 'locked by another transaction'
        WHEN 'emitted' THEN 'it was handed out to a reader that does not acknowledge'
        WHEN 'sent' THEN 'already sent'
        WHEN 'unsettled' THEN 'it is not given up: ' || j.state
        WHEN 'gone' THEN 'the token is gone'
        WHEN 'stale' THEN j.stale END
    FROM judged j ORDER BY j.token;
    IF NOT p_dry THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
END $$;
-- End of mailroom_retry_rows

-- From functions/mailroom_acknowledge.sql: mailroom_acknowledge
-- Records that a sender settles what it sends. The first sender that says so takes over the emitted deliveries that may
-- still be mailed. A takeover that finds a delivery locked tries for a second, and then fails as a whole: the sender
-- tries again, and no delivery is forgotten.
-- Called by: the sender, at its start.
-- Returns: how many deliveries were taken over.
CREATE OR REPLACE FUNCTION mailroom_acknowledge(queue job_type)
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    ends       timestamptz := clock_timestamp() + interval '1 second';
    is_first   boolean;
    taken_over integer := 0;
    more       integer;
BEGIN
    SELECT q.acknowledged_at IS NULL INTO is_first FROM jobs q WHERE q.job_type = p_queue FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET acknowledged_at = now() WHERE job_type = p_queue;
    WHILE is_first LOOP
        WITH alive AS MATERIALIZED (
            SELECT d.token FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = p_queue AND d.state = 'emitted'
              AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL
            FOR UPDATE OF d SKIP LOCKED
        )
        UPDATE deliveries d SET state = 'pending', holder = NULL, settled_at = NULL,
            due_at = mailroom_due_from(d.queued_at, d.head_start)
        FROM alive WHERE d.queue = p_queue AND d.token = alive.token;
        GET DIAGNOSTICS more = ROW_COUNT;
        taken_over := taken_over + more;
        EXIT WHEN NOT EXISTS (
            SELECT FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = p_queue AND d.state = 'emitted'
              AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL);
        IF clock_timestamp() >= ends THEN
            RAISE EXCEPTION 'deliveries that were handed out are locked by another transaction'
                USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF taken_over > 0 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN taken_over;
END $$;
-- End of mailroom_acknowledge

-- From functions/mailroom_not_mailed.sql: mailroom_not_mailed
-- What was not mailed: failed and skipped deliveries, newest first. Each filter may be null. whose: an account's id,
-- login or address. why: a part of the reason, in whatever case, or the whole that mailroom_reason() makes of it.
-- Called by: the commands failed and retry.
-- Returns: one row for each delivery. "stale" says why to try again now would be pointless; null if it would not.
CREATE OR REPLACE FUNCTION mailroom_not_mailed(queue job_type, tokens bigint[], whose text, why text,
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
                ELSE coalesce(mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status),
                         mailroom_replaced($1, t.id, t.account, t.action),
                         mailroom_limited($1, t.id, t.account, t.action)) END
    FROM newest n LEFT JOIN tokens t ON t.id = n.token LEFT JOIN accounts a ON a.id = t.account
    ORDER BY n.settled_at DESC, n.token DESC;
END $$;
-- End of mailroom_not_mailed

-- From functions/mailroom_oldest.sql: mailroom_oldest
-- The oldest token that may still be mailed and is not, whether it waits, is claimed or is being sent.
-- Called by: status and metrics.
-- Returns: one row, or none.
CREATE OR REPLACE FUNCTION mailroom_oldest(queue job_type)
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
      AND mailroom_replaced($1, t.id, t.account, t.action) IS NULL
      AND mailroom_limited($1, t.id, t.account, t.action) IS NULL
    ORDER BY u.token LIMIT 1;
END $$;
-- End of mailroom_oldest

-- From functions/mailroom_unsettled.sql: mailroom_unsettled
-- The deliveries that are not settled, by state, by the process that holds them, and by whether they are due. For a
-- claimed or sending delivery "due" means that the lease has expired.
-- Called by: status and metrics.
-- Returns: one row for each combination, with the first and the last due_at.
CREATE OR REPLACE FUNCTION mailroom_unsettled(queue job_type)
RETURNS TABLE (state text, holder text, due boolean, deliveries bigint, first_due timestamptz, last_due timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.state::text,
           -- Of a sender each batch has a name of its own, which begins with that of the process.
           CASE WHEN d.state <> 'pending' THEN regexp_replace(d.holder, '^(send:.*):[0-9]+$', '\1') END,
           d.due_at <= now(), count(*), min(w.since), max(w.since)
    FROM deliveries d CROSS JOIN LATERAL (
        -- In its place in the queue, a delivery is due from before it was queued. After the third attempt, the place
        -- is that of one inserted later. What has come back has no place until it is claimed.
        SELECT CASE WHEN place.at <= now() AND (d.due_at < d.queued_at OR d.attempts >= 3) THEN place.at
                    ELSE d.due_at END AS since
        FROM (SELECT d.due_at + (d.head_start + 3600) * interval '1 s' AS at) place) w
    WHERE d.queue = $1 AND d.settled_at IS NULL
    GROUP BY 1, 2, 3;
END $$;
-- End of mailroom_unsettled

-- From functions/mailroom_place.sql: mailroom_place
-- The place of a delivery in the order of a claim. One that has come back, so that it is due within the last hour, has
-- the place of its insert. After its third attempt it has that of a delivery inserted when it came back.
-- Called by: mailroom_put_in_place, mailroom_turns and mailroom_show. The planner makes it a part of them.
-- Returns: the time by which claims order; of what is not due, due_at.
CREATE FUNCTION mailroom_place(p_due_at timestamptz, p_queued_at timestamptz, p_head_start integer,
                                          p_attempts integer)
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_due_at > now() OR p_due_at <= now() - interval '1 hour' THEN p_due_at
                ELSE mailroom_due_from(CASE WHEN p_attempts < 3 THEN p_queued_at ELSE p_due_at END, p_head_start) END
$$;
-- End of mailroom_place

-- From functions/mailroom_turns.sql: mailroom_turns
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
CREATE FUNCTION mailroom_turns(p_queue job_type, p_rate float8)
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
-- End of mailroom_turns

-- From functions/mailroom_outlook.sql: mailroom_outlook
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
CREATE FUNCTION mailroom_outlook(p_queue job_type, p_rate float8)
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
-- End of mailroom_outlook

-- From functions/mailroom_show.sql: mailroom_show
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
CREATE FUNCTION mailroom_show(p_queue job_type, p_kind text, p_whose text, p_max_rows integer)
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
-- End of mailroom_show

DO $$
DECLARE
    -- hot: the programs call it all the time (the end of 2_steps has the reasons for its settings). asked: an operator
    -- or a monitor calls it (3_operations).
    hot constant text[] := ARRAY[
        'mailroom_claim_any', 'mailroom_release', 'mailroom_begin_rows', 'mailroom_settle_rows', 'mailroom_due',
        'mailroom_held', 'mailroom_give_back'];
    asked constant text[] := ARRAY[
        'mailroom_retry_rows', 'mailroom_not_mailed', 'mailroom_oldest', 'mailroom_unsettled', 'mailroom_outlook',
        'mailroom_show'];
    others constant text[] := ARRAY[
        'mailroom_acknowledge', 'mailroom_actions_compiled', 'mailroom_action_settings', 'mailroom_share_rate',
        'mailroom_may_mail'];
    step record;
    setting text;
    given record;
BEGIN
    -- A function that is replaced loses its settings, and runs no longer as its owner.
    FOR step IN
        SELECT oid::regprocedure AS name, proname = ANY (hot) AS is_hot, proname = ANY (asked) AS is_asked
        FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (hot || asked || others)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       step.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', step.name);
        EXECUTE format('ALTER FUNCTION %s SET row_security = off', step.name);
        FOREACH setting IN ARRAY CASE
            WHEN step.is_hot THEN ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin',
                                        'enable_mergejoin', 'jit']
            WHEN step.is_asked THEN ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']
            ELSE '{}' END
        LOOP
            EXECUTE format('ALTER FUNCTION %s SET %I = off', step.name, setting);
        END LOOP;
        IF step.is_hot THEN
            EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', step.name);
        ELSIF step.is_asked THEN
            EXECUTE format('ALTER FUNCTION %s SET max_parallel_workers_per_gather = 0', step.name);
        END IF;
    END LOOP;
    ALTER FUNCTION mailroom_actions_compiled SET enable_seqscan = off;
    ALTER FUNCTION mailroom_may_mail SET enable_seqscan = off;
    -- A role that may call a function may also call what the next version of its program calls.
    FOR given IN
        SELECT DISTINCT acl.grantee::regrole AS grantee, next.step
        FROM pg_proc p, aclexplode(p.proacl) acl, (VALUES
            ('mailroom_claim_any', 'mailroom_due'), ('mailroom_claim_any', 'mailroom_held'),
            ('mailroom_list_actions', 'mailroom_action_settings'),
            ('mailroom_begin_rows', 'mailroom_share_rate'), ('mailroom_begin_rows', 'mailroom_give_back'),
            ('mailroom_queue_status', 'mailroom_outlook'), ('mailroom_claim_any', 'mailroom_outlook'),
            ('mailroom_not_mailed', 'mailroom_show')) AS next (was, step)
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = next.was
          AND acl.privilege_type = 'EXECUTE' AND acl.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO %s', given.step, given.grantee);
    END LOOP;
END $$;
