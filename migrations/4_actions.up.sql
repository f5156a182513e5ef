-- Actions as data: what a token may be for, and what that means for its line, its signature and its mail.
-- A further action is a value of token_action and a row here (docs/adding-an-action.md).
--
-- The functions that version 0.1 of the programs calls stay, and mean what they did: mailroom_claim hands
-- out the two actions that such a collector knows. mailroom_claim_any hands out all of them.

CREATE TABLE mailroom_actions (
    number     smallint PRIMARY KEY CHECK (number > 0),
    name       token_action NOT NULL UNIQUE CHECK (name::text ~ '^[A-Za-z0-9_-]+$'),
    prefix     text COLLATE "C" NOT NULL CHECK (prefix ~ '^/[A-Za-z0-9/._-]{1,62}$'),
    signs_code boolean NOT NULL DEFAULT false,
    states     account_status[] NOT NULL
               CHECK (array_ndims(states) = 1 AND cardinality(states) > 0 AND array_position(states, NULL) IS NULL),
    template   text NOT NULL CHECK (template ~ '^[A-Za-z0-9_-]{1,64}$'),
    lifetime   integer NOT NULL DEFAULT 900 CHECK (lifetime BETWEEN 1 AND 31536000)
);
COMMENT ON TABLE mailroom_actions IS 'what a token may be for; rows are added, never deleted';
COMMENT ON COLUMN mailroom_actions.number IS 'the first field of a row on the wire';
COMMENT ON COLUMN mailroom_actions.prefix IS 'signed before the secret; none may begin with another';
COMMENT ON COLUMN mailroom_actions.signs_code IS 'the code is signed too, and given to the template';
COMMENT ON COLUMN mailroom_actions.states IS 'an account in one of these gets the mail';
COMMENT ON COLUMN mailroom_actions.template IS 'the SES template';
COMMENT ON COLUMN mailroom_actions.lifetime IS 'seconds that a token lives, unless its insert says when it expires';

-- What is signed is prefix, secret and perhaps code, with nothing between them. So a signature for '/a' with
-- its code could be one for '/a.....' without, over another secret. Where no prefix begins with another, the
-- messages of two actions differ within the shorter prefix, whatever follows.
-- Lines under way, mailed links and running programs hold number, name, prefix and signs_code: they stay.
CREATE FUNCTION mailroom_action_guarded() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    other text;
BEGIN
    IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
        RAISE EXCEPTION 'an action stays: lines and mailed links may be of it'
            USING HINT = 'Insert no more tokens of it.', ERRCODE = 'restrict_violation';
    ELSIF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'number, name, prefix and signs_code of an action stay: lines and mailed links hold them'
            USING HINT = 'Insert another action.', ERRCODE = 'restrict_violation';
    END IF;
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'mailroom_actions is changed at isolation level READ COMMITTED only: '
            'this transaction may not see what others have added'
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED', ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(1835100524, 3);  -- one after the other, so that each sees the others' rows
    SELECT prefix INTO other FROM mailroom_actions
    WHERE starts_with(prefix, NEW.prefix) OR starts_with(NEW.prefix, prefix);
    IF FOUND THEN
        RAISE EXCEPTION 'the prefix % and that of another action, %, begin alike: '
            'a signature for one could be taken for the other', NEW.prefix, other
            USING HINT = 'Neither may be the beginning of the other.', ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER mailroom_action_added BEFORE INSERT ON mailroom_actions
    FOR EACH ROW EXECUTE FUNCTION mailroom_action_guarded();
CREATE TRIGGER mailroom_action_changed BEFORE UPDATE ON mailroom_actions
    FOR EACH ROW WHEN ((OLD.number, OLD.name, OLD.prefix, OLD.signs_code)
                       IS DISTINCT FROM (NEW.number, NEW.name, NEW.prefix, NEW.signs_code))
    EXECUTE FUNCTION mailroom_action_guarded();
CREATE TRIGGER mailroom_action_deleted BEFORE DELETE ON mailroom_actions
    FOR EACH ROW EXECUTE FUNCTION mailroom_action_guarded();
CREATE TRIGGER mailroom_actions_truncated BEFORE TRUNCATE ON mailroom_actions
    FOR EACH STATEMENT EXECUTE FUNCTION mailroom_action_guarded();

-- To look an action up would cost a sign-up 4 %, and a claim or begin 5 %. So each change of the table is
-- written into three functions, which become a part of every plan that uses them; who has such a plan makes
-- it anew once they are replaced. STABLE, not IMMUTABLE: else their value would become a part of it, for good.
-- From PostgreSQL 14 on they are kept parsed, so that a value of token_action or account_status may be renamed:
-- in a text its old name would fail at each claim, until the table is changed again.
-- What waits for its action is due at once when one is added. The rows in the order in which begin takes them.
CREATE FUNCTION mailroom_actions_compiled() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    numbers   text;
    states    text;
    lifetimes text;
    body      text := CASE WHEN current_setting('server_version_num')::integer < 140000 THEN ' AS %L'
                           ELSE ' BEGIN ATOMIC %s; END' END;
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'mailroom_actions is changed at isolation level READ COMMITTED only: '
            'this transaction may not see what others have changed'
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED', ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(1835100524, 3);
    -- Each constant is cast by itself, when a plan is made; the outcome of a CASE would be for each row.
    SELECT string_agg(format(' WHEN %L THEN %s::smallint', m.name, m.number), '' ORDER BY m.number),
           string_agg(format(' WHEN %L THEN %L::%I.account_status[]', m.name, m.states, TG_TABLE_SCHEMA),
                      '' ORDER BY m.number),
           string_agg(format(' WHEN %L THEN %s', m.name, m.lifetime), '' ORDER BY m.number)
    INTO numbers, states, lifetimes FROM mailroom_actions m;
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_number(token_action) RETURNS smallint'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || numbers || ' END');
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_states(token_action) RETURNS account_status[]'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || states || ' END');
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_lifetime(token_action) RETURNS integer'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || lifetimes || ' ELSE 900 END');
    IF TG_OP = 'INSERT' THEN
        WITH waiting AS MATERIALIZED (
            SELECT d.queue, d.token FROM deliveries d
            WHERE d.queue IN (SELECT q.job_type FROM jobs q) AND d.settled_at IS NULL AND d.due_at > now()
              AND d.state = 'pending' AND d.error = 'its action is not in mailroom_actions'
            ORDER BY d.token FOR UPDATE
        )
        UPDATE deliveries d SET due_at = now() FROM waiting w WHERE d.token = w.token AND d.queue = w.queue;
        IF FOUND THEN
            PERFORM pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mailroom_actions_compiled AFTER INSERT OR UPDATE OR DELETE ON mailroom_actions
    FOR EACH STATEMENT EXECUTE FUNCTION mailroom_actions_compiled();

INSERT INTO mailroom_actions (number, name, prefix, signs_code, states, template, lifetime) VALUES
    (1, 'activation', '/activate', false, '{provisioned}', 'activationv1', 900),
    (2, 'password_recovery', '/recover', true, '{active}', 'passwordrecoveryv1', 900);

-- The only one that is called with the rights of who inserts a token. A database may have taken from PUBLIC what
-- it is given by default; to replace the function keeps this.
GRANT EXECUTE ON FUNCTION mailroom_action_lifetime TO PUBLIC;

-- A token that is inserted without expires_at, or updated to its DEFAULT, gets the lifetime of its action. The
-- default is a mark that means nothing else: so an insert that does say when its token expires pays for no more
-- than this WHEN. Triggers fire in the order of their names: by this one, those of the application see no mark.
-- A sign-up says so. In a schema that another mailroom made it does not, and its tokens get theirs here.
-- Names are qualified as in 0_init: to set a search_path would cost 3 us.
DO $migration$
BEGIN
    EXECUTE format($function$
CREATE FUNCTION mailroom_token_lifetime() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.expires_at := pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                      + %I.mailroom_action_lifetime(NEW.action);
    RETURN NEW;
END $$
    $function$, current_schema());
    IF to_regproc('mailroom_account_inserted') IS NOT NULL THEN
        EXECUTE format($function$
CREATE OR REPLACE FUNCTION mailroom_account_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO %1$I.tokens (action, account, expires_at)
    SELECT 'activation', id, pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                             + %1$I.mailroom_action_lifetime('activation')
    FROM inserted WHERE status = 'provisioned';
    RETURN NULL;
END $$
        $function$, current_schema());
    END IF;
END $migration$;
CREATE TRIGGER "00_mailroom_token_lifetime" BEFORE INSERT OR UPDATE OF expires_at ON tokens
    FOR EACH ROW WHEN (NEW.expires_at = 0) EXECUTE FUNCTION mailroom_token_lifetime();
ALTER TABLE tokens ALTER COLUMN expires_at SET DEFAULT 0;
COMMENT ON COLUMN tokens.expires_at IS 'epoch seconds; the default, 0, becomes now and the lifetime of the action';

-- Why a token may not be mailed now; null if it may. The one place that says so. "Now" is by the clock: a
-- statement may have waited for a lock since its transaction began. The account of a token whose action is
-- not in the table is not judged: such a token waits.
CREATE OR REPLACE FUNCTION mailroom_stale(token_action, expires_at bigint, consumed_at bigint, account_status)
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN $3 IS NOT NULL THEN 'the token was consumed'
        WHEN $2 <= extract(epoch FROM clock_timestamp()) THEN 'the token expired'
        WHEN $4 IS NULL OR $4 <> ALL (mailroom_action_states($1))
            THEN 'the account is ' || coalesce($4::text, 'without a status')
    END
$$;

-- What the programs need to know of each action.
CREATE FUNCTION mailroom_list_actions()
RETURNS TABLE (number smallint, name text, prefix text, signs_code boolean, template text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT m.number, m.name::text, m.prefix, m.signs_code, m.template
    FROM mailroom_actions m ORDER BY m.number;
END $$;

-- Takes up to max_rows due deliveries for the holder, oldest first, leased for lease_ms. "action" is the number.
-- A stale one is skipped for good and returned with the reason in "stale". One whose action is not in
-- mailroom_actions is returned without "action", and waits: for as long again as it is old, 5 s to 60 s, so that
-- many of them cost little; an action that is added ends the wait. One whose action has a number above "newest"
-- is returned likewise, but is for others to take, so it waits for 1 s to 15 s only, and nothing is wrong with it.
-- "doubt": its last sender began it and was never heard of again, so it may arrive twice. "acknowledged":
-- senders of this queue settle what they send. With after_due and after_token, the due_at and token of the
-- last row of the claim before, it begins behind that row: what was taken before it is not walked over again,
-- also when a snapshot elsewhere keeps the dead rows. What becomes due in front of it is found by a claim without.
CREATE FUNCTION mailroom_claim_any(queue job_type, holder text, lease_ms integer, max_rows integer,
                                   after_due timestamptz DEFAULT NULL, after_token bigint DEFAULT NULL,
                                   newest smallint DEFAULT 32767)
RETURNS TABLE (token bigint, action smallint, email text, login text, secret bytea,
               code text, stale text, doubt boolean, acknowledged boolean, due_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    waits constant text := 'its action is not in mailroom_actions';  -- mailroom_actions_compiled finds it by this
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH due AS MATERIALIZED (
        -- A fence: joined directly, an UPDATE could touch more rows than the limit.
        SELECT d.token, d.state, d.due_at
        FROM deliveries d
        WHERE d.queue = $1 AND d.settled_at IS NULL AND d.due_at <= now()
          AND (d.due_at, d.token) > (coalesce($5, '-infinity'), coalesce($6, 0))
        ORDER BY d.due_at, d.token
        LIMIT $4 FOR UPDATE SKIP LOCKED
    ), judged AS MATERIALIZED (
        SELECT due.token, due.due_at, due.state = 'sending' AS doubt, mailroom_action_number(t.action) AS number,
               a.email, a.login, t.secret, t.code, extract(epoch FROM now())::float8 - t.created_at AS age,
               CASE WHEN t.id IS NULL THEN 'the token is gone'
                    ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END AS stale
        FROM due LEFT JOIN tokens t ON t.id = due.token LEFT JOIN accounts a ON a.id = t.account
    ), taken AS (
        UPDATE deliveries d SET
            state = CASE WHEN j.stale IS NOT NULL THEN 'skipped' WHEN j.number <= $7 THEN 'claimed'
                         ELSE 'pending' END::delivery_state,
            holder = $2,
            due_at = CASE WHEN j.stale IS NOT NULL THEN d.due_at WHEN j.number <= $7 THEN now() + $3 * interval '1 ms'
                          WHEN j.number IS NULL THEN now() + least(60, greatest(5, j.age)) * interval '1 s'
                          ELSE now() + least(15, greatest(1, j.age)) * interval '1 s' END,
            doubts = d.doubts + j.doubt::integer,
            error = CASE WHEN j.stale IS NOT NULL THEN j.stale || coalesce('; last try: ' || d.error, '')
                         WHEN j.number IS NULL THEN waits
                         ELSE nullif(d.error, waits) END,
            settled_at = CASE WHEN j.stale IS NOT NULL THEN now() END
        FROM judged j
        WHERE d.queue = $1 AND d.token = j.token
        RETURNING j.*
    ), handed_out AS (
        UPDATE jobs SET last_seq = newest.token
        FROM (SELECT max(j.token) AS token FROM judged j WHERE j.stale IS NULL AND j.number <= $7) newest
        WHERE job_type = $1 AND coalesce(last_seq, 0) < newest.token
    )
    SELECT t.token, CASE WHEN t.number <= $7 THEN t.number END, t.email::text, t.login::text, t.secret, t.code::text,
           t.stale, t.doubt, (SELECT q.acknowledged_at IS NOT NULL FROM jobs q WHERE q.job_type = $1), t.due_at
    FROM taken t
    ORDER BY t.due_at, t.token;
END $$;

-- The claim of a collector of version 0.1, which knows two actions.
CREATE OR REPLACE FUNCTION mailroom_claim(queue job_type, holder text, lease_ms integer, max_rows integer,
                                          after_due timestamptz DEFAULT NULL, after_token bigint DEFAULT NULL)
RETURNS TABLE (token bigint, action token_action, email text, login text, secret bytea,
               code text, stale text, doubt boolean, acknowledged boolean, due_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.token, CASE c.action WHEN 1 THEN 'activation' WHEN 2 THEN 'password_recovery' END::token_action,
           c.email, c.login, c.secret, c.code, c.stale, c.doubt, c.acknowledged, c.due_at
    FROM mailroom_claim_any($1, $2, $3, $4, $5, $6, 2::smallint) c
    WHERE c.action IS NOT NULL OR c.stale IS NOT NULL;
END $$;

DO $$
DECLARE
    step    regprocedure;
    setting text;
    given   record;
BEGIN
    FOR step IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('mailroom_action_guarded', 'mailroom_actions_compiled', 'mailroom_list_actions',
                          'mailroom_claim_any', 'mailroom_claim')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       step, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', step);
    END LOOP;
    -- What waits, by the index of what is unsettled, however many are settled.
    ALTER FUNCTION mailroom_actions_compiled SET enable_seqscan = off;
    -- As at the end of 2_steps.
    FOR step IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('mailroom_claim_any', 'mailroom_claim')
    LOOP
        FOREACH setting IN ARRAY ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin',
                                       'enable_mergejoin', 'jit'] LOOP
            EXECUTE format('ALTER FUNCTION %s SET %I = off', step, setting);
        END LOOP;
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', step);
    END LOOP;
    -- Who may claim or begin may do so as the next version does.
    FOR given IN
        SELECT DISTINCT acl.grantee::regrole AS grantee, p.proname = 'mailroom_claim' AS claims
        FROM pg_proc p, aclexplode(p.proacl) acl
        WHERE p.pronamespace = current_schema()::regnamespace
          AND p.proname IN ('mailroom_claim', 'mailroom_begin')
          AND acl.privilege_type = 'EXECUTE' AND acl.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION mailroom_list_actions TO %s', given.grantee);
        IF given.claims THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION mailroom_claim_any TO %s', given.grantee);
        END IF;
    END LOOP;
END $$;
