-- The schema as the migrations make it, by pg_dump: types, tables, constraints, indexes and triggers, functions with
-- their settings and rights. 'make docs' makes it, and a test compares it with the migrations. It is for reading; to
-- create the schema, run 'mailroom-collect migrate'. migrations/functions says what each function does.
--
-- mailroom stands for the schema that mailroom is in.

CREATE SCHEMA mailroom;

CREATE TYPE mailroom.account_status AS ENUM (
    'provisioned',
    'active',
    'suspended'
);

CREATE TYPE mailroom.delivery_outcome AS ENUM (
    'sent',
    'failed',
    'later',
    'unknown',
    'release'
);

CREATE TYPE mailroom.delivery_state AS ENUM (
    'pending',
    'claimed',
    'sending',
    'sent',
    'failed',
    'skipped',
    'emitted'
);

CREATE TYPE mailroom.job_type AS ENUM (
    'mailroom'
);

CREATE TYPE mailroom.token_action AS ENUM (
    'activation',
    'password_recovery'
);

CREATE TABLE mailroom.accounts (
    id bigint NOT NULL,
    email character varying(254) NOT NULL,
    login character varying(254) NOT NULL,
    status mailroom.account_status DEFAULT 'provisioned'::mailroom.account_status NOT NULL,
    created_at bigint DEFAULT mailroom.mailroom_epoch() NOT NULL,
    status_changed_at bigint,
    activated_at bigint,
    suspended_at bigint,
    unsuspended_at bigint
);

CREATE SEQUENCE mailroom.accounts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE mailroom.accounts_id_seq OWNED BY mailroom.accounts.id;

CREATE TABLE mailroom.deliveries (
    queue mailroom.job_type NOT NULL,
    token bigint NOT NULL,
    state mailroom.delivery_state DEFAULT 'pending'::mailroom.delivery_state NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    doubts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    holder text,
    message_id text,
    error text,
    settled_at timestamp with time zone,
    queued_at timestamp with time zone DEFAULT now(),
    begun_by bigint,
    error_code text,
    head_start integer DEFAULT 0 NOT NULL,
    lifetime integer,
    CONSTRAINT deliveries_check CHECK (((settled_at IS NULL) = (state <= 'sending'::mailroom.delivery_state)))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_cost_delay='0');

COMMENT ON COLUMN mailroom.deliveries.attempts IS 'how often a sender has begun it';

COMMENT ON COLUMN mailroom.deliveries.doubts IS
    'how often SES was asked and its answer never came: each may have been a mail';

COMMENT ON COLUMN mailroom.deliveries.due_at IS
    'pending: when to claim it, and its place in the queue; claimed, sending: when the lease ends';

COMMENT ON COLUMN mailroom.deliveries.holder IS 'the process, and of a sender the batch, that holds it or settled it';

COMMENT ON COLUMN mailroom.deliveries.queued_at IS
    'when the transaction that inserted the token began; null before 3_operations';

COMMENT ON COLUMN mailroom.deliveries.begun_by IS 'hashtextextended(holder, 0) of the call that began it last';

COMMENT ON COLUMN mailroom.deliveries.error_code IS
    'unlisted: its action is not in mailroom_actions; changed: its account got another address; null: all else';

COMMENT ON COLUMN mailroom.deliveries.head_start IS 'seconds by which it queues earlier than it was inserted';

COMMENT ON COLUMN mailroom.deliveries.lifetime IS
    'seconds from its first begin until its token expires, if its life begins with the mail; null: it does not';

CREATE TABLE mailroom.jobs (
    job_type mailroom.job_type NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    acknowledged_at timestamp with time zone,
    paused_at timestamp with time zone,
    paused_reason text
);

COMMENT ON COLUMN mailroom.jobs.paused_at IS
    'since when the queue is paused: it hands out and begins nothing; null: not paused';

COMMENT ON COLUMN mailroom.jobs.paused_reason IS 'why, in the words of the person who paused it';

CREATE TABLE mailroom.mailroom_actions (
    number smallint NOT NULL,
    name mailroom.token_action NOT NULL,
    prefix text NOT NULL COLLATE pg_catalog."C",
    signs_code boolean DEFAULT false NOT NULL,
    states mailroom.account_status[] NOT NULL,
    template text NOT NULL,
    lifetime integer DEFAULT 900 NOT NULL,
    head_start integer DEFAULT 43200 NOT NULL,
    newest_only boolean DEFAULT false NOT NULL,
    most_mails integer,
    most_within integer DEFAULT 900 NOT NULL,
    life_from text DEFAULT 'insert'::text NOT NULL,
    longest_wait integer DEFAULT 86400 NOT NULL,
    urgent boolean DEFAULT false NOT NULL,
    CONSTRAINT mailroom_actions_head_start_check CHECK (((head_start >= 0) AND (head_start <= 31536000))),
    CONSTRAINT mailroom_actions_life_from_check CHECK ((life_from = ANY (ARRAY['insert'::text, 'mail'::text]))),
    CONSTRAINT mailroom_actions_lifetime_check CHECK (((lifetime >= 1) AND (lifetime <= 31536000))),
    CONSTRAINT mailroom_actions_longest_wait_check CHECK (((longest_wait >= 1) AND (longest_wait <= 31536000))),
    CONSTRAINT mailroom_actions_most_mails_check CHECK (((most_mails >= 1) AND (most_mails <= 50))),
    CONSTRAINT mailroom_actions_most_within_check CHECK (((most_within >= 1) AND (most_within <= 604800))),
    CONSTRAINT mailroom_actions_name_check CHECK (((name)::text ~ '^[A-Za-z0-9_-]+$'::text)),
    CONSTRAINT mailroom_actions_number_check CHECK ((number > 0)),
    CONSTRAINT mailroom_actions_prefix_check CHECK ((prefix ~ '^/[A-Za-z0-9/._-]{1,62}$'::text)),
    CONSTRAINT mailroom_actions_states_check CHECK (((array_ndims(states) = 1) AND (cardinality(states) > 0) AND
    (array_position(states, NULL::mailroom.account_status) IS NULL))),
    CONSTRAINT mailroom_actions_template_check CHECK ((template ~ '^[A-Za-z0-9_-]{1,64}$'::text))
);

COMMENT ON TABLE mailroom.mailroom_actions IS 'what a token may be for; rows are added, never deleted';

COMMENT ON COLUMN mailroom.mailroom_actions.number IS 'the first field of a row on the wire';

COMMENT ON COLUMN mailroom.mailroom_actions.prefix IS 'signed before the secret; none may begin with another';

COMMENT ON COLUMN mailroom.mailroom_actions.signs_code IS 'the code is signed too, and given to the template';

COMMENT ON COLUMN mailroom.mailroom_actions.states IS 'an account in one of these gets the mail';

COMMENT ON COLUMN mailroom.mailroom_actions.template IS 'the SES template';

COMMENT ON COLUMN mailroom.mailroom_actions.lifetime IS
    'seconds that a token lives, unless its insert says when it expires';

COMMENT ON COLUMN mailroom.mailroom_actions.head_start IS
    'seconds: a token queues as if it had waited that long already, unless its statement inserts more than 10 tokens';

COMMENT ON COLUMN mailroom.mailroom_actions.newest_only IS 'of several tokens of an account, only the newest is mailed';

COMMENT ON COLUMN mailroom.mailroom_actions.most_mails IS
    'the most mails that an account gets within most_within; null: no limit';

COMMENT ON COLUMN mailroom.mailroom_actions.most_within IS 'seconds, for most_mails';

COMMENT ON COLUMN mailroom.mailroom_actions.life_from IS
    'insert: the lifetime of a token begins when it is inserted; mail: when it is first sent';

COMMENT ON COLUMN mailroom.mailroom_actions.longest_wait IS
    'seconds that a token may wait for its mail in addition to its lifetime, if its life begins with the mail';

COMMENT ON COLUMN mailroom.mailroom_actions.urgent IS
    'a token is claimed at once: it does not wait until a batch is full or MAILROOM_BATCH_TIMEOUT is over';

CREATE TABLE mailroom.mailroom_senders (
    sender text NOT NULL,
    account text NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    CONSTRAINT mailroom_senders_account_check CHECK ((length(account) <= 200)),
    CONSTRAINT mailroom_senders_sender_check CHECK (((length(sender) >= 1) AND (length(sender) <= 200)))
)
WITH (fillfactor='50');

COMMENT ON TABLE mailroom.mailroom_senders IS
    'the senders that have mails to send, so that those of one SES account divide its rate';

CREATE TABLE mailroom.schema_migrations (
    version bigint NOT NULL,
    dirty boolean NOT NULL
);

CREATE TABLE mailroom.tokens (
    id bigint NOT NULL,
    action mailroom.token_action NOT NULL,
    secret bytea DEFAULT mailroom.mailroom_random_secret() NOT NULL,
    code character varying(5) DEFAULT mailroom.mailroom_random_code(),
    account bigint NOT NULL,
    expires_at bigint DEFAULT 0 NOT NULL,
    consumed_at bigint,
    created_at bigint DEFAULT mailroom.mailroom_epoch() NOT NULL
);

COMMENT ON COLUMN mailroom.tokens.expires_at IS
    'epoch seconds; the default, 0, becomes now and the lifetime of the action';

CREATE SEQUENCE mailroom.tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE mailroom.tokens_id_seq OWNED BY mailroom.tokens.id;

ALTER TABLE ONLY mailroom.accounts ALTER COLUMN id SET DEFAULT nextval('mailroom.accounts_id_seq'::regclass);

ALTER TABLE ONLY mailroom.tokens ALTER COLUMN id SET DEFAULT nextval('mailroom.tokens_id_seq'::regclass);

ALTER TABLE ONLY mailroom.accounts
    ADD CONSTRAINT accounts_email_key UNIQUE (email);

ALTER TABLE ONLY mailroom.accounts
    ADD CONSTRAINT accounts_login_key UNIQUE (login);

ALTER TABLE ONLY mailroom.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mailroom.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (token, queue);

ALTER TABLE ONLY mailroom.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (job_type);

ALTER TABLE ONLY mailroom.mailroom_actions
    ADD CONSTRAINT mailroom_actions_name_key UNIQUE (name);

ALTER TABLE ONLY mailroom.mailroom_actions
    ADD CONSTRAINT mailroom_actions_pkey PRIMARY KEY (number);

ALTER TABLE ONLY mailroom.mailroom_senders
    ADD CONSTRAINT mailroom_senders_pkey PRIMARY KEY (sender);

ALTER TABLE ONLY mailroom.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY mailroom.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY mailroom.tokens
    ADD CONSTRAINT tokens_secret_key UNIQUE (secret);

CREATE INDEX deliveries_due ON mailroom.deliveries USING btree (queue, due_at, token) WHERE (settled_at IS NULL);

CREATE INDEX deliveries_settled ON mailroom.deliveries USING brin (settled_at) WITH (pages_per_range='32',
    autosummarize='on') WHERE (settled_at IS NOT NULL);

CREATE INDEX tokens_account_action ON mailroom.tokens USING btree (account, action, id);

ALTER TABLE ONLY mailroom.tokens
    ADD CONSTRAINT tokens_account_fkey FOREIGN KEY (account) REFERENCES mailroom.accounts(id) ON DELETE CASCADE
    DEFERRABLE INITIALLY DEFERRED;

CREATE TRIGGER "00_mailroom_token_lifetime" BEFORE INSERT OR UPDATE OF expires_at ON mailroom.tokens FOR EACH ROW WHEN
    ((new.expires_at = 0)) EXECUTE FUNCTION mailroom.mailroom_token_lifetime();

CREATE TRIGGER mailroom_account_inserted AFTER INSERT ON mailroom.accounts REFERENCING NEW TABLE AS inserted FOR EACH
    STATEMENT EXECUTE FUNCTION mailroom.mailroom_account_inserted();

CREATE TRIGGER mailroom_account_status_changed BEFORE UPDATE ON mailroom.accounts FOR EACH ROW WHEN ((old.status IS
    DISTINCT FROM new.status)) EXECUTE FUNCTION mailroom.mailroom_account_status_changed();

CREATE TRIGGER mailroom_action_added BEFORE INSERT ON mailroom.mailroom_actions FOR EACH ROW EXECUTE FUNCTION
    mailroom.mailroom_action_guarded();

CREATE TRIGGER mailroom_action_changed BEFORE UPDATE ON mailroom.mailroom_actions FOR EACH ROW WHEN (((((old.number IS
    DISTINCT FROM new.number) OR (old.name IS DISTINCT FROM new.name)) OR (old.prefix IS DISTINCT FROM new.prefix)) OR
    (old.signs_code IS DISTINCT FROM new.signs_code))) EXECUTE FUNCTION mailroom.mailroom_action_guarded();

CREATE TRIGGER mailroom_action_deleted BEFORE DELETE ON mailroom.mailroom_actions FOR EACH ROW EXECUTE FUNCTION
    mailroom.mailroom_action_guarded();

CREATE TRIGGER mailroom_actions_compiled AFTER INSERT OR DELETE OR UPDATE ON mailroom.mailroom_actions FOR EACH
    STATEMENT EXECUTE FUNCTION mailroom.mailroom_actions_compiled();

CREATE TRIGGER mailroom_actions_truncated BEFORE TRUNCATE ON mailroom.mailroom_actions FOR EACH STATEMENT EXECUTE
    FUNCTION mailroom.mailroom_action_guarded();

CREATE TRIGGER mailroom_announce AFTER INSERT ON mailroom.tokens REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
    EXECUTE FUNCTION mailroom.mailroom_announce();

CREATE TRIGGER mailroom_token_consumed AFTER UPDATE ON mailroom.tokens FOR EACH ROW WHEN (((new.action =
    'activation'::mailroom.token_action) AND (old.consumed_at IS NULL) AND (new.consumed_at IS NOT NULL))) EXECUTE
    FUNCTION mailroom.mailroom_token_consumed();

CREATE TRIGGER mailroom_token_deleted AFTER DELETE ON mailroom.tokens REFERENCING OLD TABLE AS deleted FOR EACH
    STATEMENT EXECUTE FUNCTION mailroom.mailroom_token_deleted();

CREATE TRIGGER mailroom_tokens_truncated AFTER TRUNCATE ON mailroom.tokens FOR EACH STATEMENT EXECUTE FUNCTION
    mailroom.mailroom_token_deleted();

CREATE FUNCTION mailroom.mailroom_account_inserted() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO mailroom.tokens (action, account, expires_at)
    SELECT 'activation', id, pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                             + mailroom.mailroom_action_longest_life('activation')
    FROM inserted
    WHERE status = 'provisioned'
      AND created_at > EXTRACT(epoch FROM pg_catalog.now()) - mailroom.mailroom_action_lifetime('activation');
    RETURN NULL;
END $$;

CREATE FUNCTION mailroom.mailroom_account_status_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'mailroom', 'pg_temp'
    AS $$
BEGIN
    NEW.status_changed_at := mailroom_epoch();
    IF NEW.status = 'suspended' THEN
        NEW.suspended_at := mailroom_epoch();
        NEW.unsuspended_at := NULL;
    ELSIF OLD.status = 'suspended' AND NEW.status = 'active' THEN
        NEW.unsuspended_at := mailroom_epoch();
        NEW.suspended_at := NULL;
        IF NEW.activated_at IS NULL THEN
            NEW.status := 'provisioned';
        END IF;
    ELSIF OLD.status = 'provisioned' AND NEW.status = 'active' THEN
        NEW.activated_at := mailroom_epoch();
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION mailroom.mailroom_acknowledge(queue mailroom.job_type) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_acknowledge(queue mailroom.job_type) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_action_guarded() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $$
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
    PERFORM mailroom_lock_actions();
    SELECT prefix INTO other FROM mailroom_actions
    WHERE starts_with(prefix, NEW.prefix) OR starts_with(NEW.prefix, prefix);
    IF FOUND THEN
        RAISE EXCEPTION 'the prefix % and that of another action, %, begin alike: '
            'a signature for one could be taken for the other', NEW.prefix, other
            USING HINT = 'Neither may be the beginning of the other.', ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_action_guarded() FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_action_head_start(mailroom.token_action) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ($1 = 'activation'::mailroom.token_action) THEN 43200
             WHEN ($1 = 'password_recovery'::mailroom.token_action) THEN 86400
             ELSE 0
         END AS "case";
END;

CREATE FUNCTION mailroom.mailroom_action_life_from_mail(mailroom.token_action) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT NULL::integer AS int4;
END;

CREATE FUNCTION mailroom.mailroom_action_lifetime(mailroom.token_action) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT 900;
END;

CREATE FUNCTION mailroom.mailroom_action_longest_life(mailroom.token_action) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT 900;
END;

CREATE FUNCTION mailroom.mailroom_action_most_mails(mailroom.token_action) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ($1 = 'activation'::mailroom.token_action) THEN 5
             WHEN ($1 = 'password_recovery'::mailroom.token_action) THEN 5
             ELSE NULL::integer
         END AS "case";
END;

CREATE FUNCTION mailroom.mailroom_action_most_within(mailroom.token_action) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT 900;
END;

CREATE FUNCTION mailroom.mailroom_action_newest_only(mailroom.token_action) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ($1 = 'activation'::mailroom.token_action) THEN true
             WHEN ($1 = 'password_recovery'::mailroom.token_action) THEN true
             ELSE false
         END AS "case";
END;

CREATE FUNCTION mailroom.mailroom_action_number(mailroom.token_action) RETURNS smallint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ($1 = 'activation'::mailroom.token_action) THEN (1)::smallint
             WHEN ($1 = 'password_recovery'::mailroom.token_action) THEN (2)::smallint
             ELSE NULL::smallint
         END AS "case";
END;

CREATE FUNCTION mailroom.mailroom_action_settings() RETURNS TABLE(number smallint, name text, prefix text, signs_code
    boolean, template text, head_start integer, urgent boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT m.number, m.name::text, m.prefix, m.signs_code, m.template, m.head_start, m.urgent
    FROM mailroom_actions m ORDER BY m.number;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_action_settings() FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_action_states(mailroom.token_action) RETURNS mailroom.account_status[]
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ($1 = 'activation'::mailroom.token_action) THEN '{provisioned}'::mailroom.account_status[]
             WHEN ($1 = 'password_recovery'::mailroom.token_action) THEN '{active}'::mailroom.account_status[]
             ELSE NULL::mailroom.account_status[]
         END AS "case";
END;

CREATE FUNCTION mailroom.mailroom_action_urgent(mailroom.token_action) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT false;
END;

CREATE FUNCTION mailroom.mailroom_actions_compiled() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_actions_compiled() FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_announce() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
BEGIN
    INSERT INTO mailroom.deliveries (queue, token, due_at, head_start, lifetime)
    SELECT j.job_type, t.id, mailroom.mailroom_due_from(pg_catalog.now(), t.head_start), t.head_start,
           mailroom.mailroom_action_life_from_mail(t.action)
    FROM (SELECT i.id, i.action, CASE WHEN EXISTS (SELECT FROM inserted OFFSET 10) THEN 0
                                      ELSE mailroom.mailroom_action_head_start(i.action) END AS head_start
          FROM inserted i OFFSET 0) t  -- OFFSET 0: the head start is found once, though it is written twice
        CROSS JOIN mailroom.jobs j;
    IF FOUND THEN
        -- One expression, so that a cancelled statement can't keep lock 2.
        IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1835100524, 1)
           OR pg_catalog.pg_try_advisory_lock_shared(1835100524, 2)
              AND pg_catalog.pg_advisory_unlock_shared(1835100524, 2) THEN
            PERFORM pg_catalog.pg_notify('token_insert', '');
        END IF;
    ELSIF pg_catalog.row_security_active('mailroom.jobs') AND EXISTS (SELECT FROM inserted) THEN
        RAISE EXCEPTION 'row-level security hides the queues from the owner of mailroom''s functions'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_announce() FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_attend(already boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
BEGIN
    IF NOT $1 AND NOT pg_try_advisory_lock(1835100524, 2) THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('token_insert', '');
    RETURN true;
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_attend(already boolean) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_begin(queue mailroom.job_type, holder text, lease_ms integer, secrets bytea[]) RETURNS
    TABLE(place bigint, token bigint, attempt integer, refused text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_lease_ms ALIAS FOR lease_ms;
    p_secrets  ALIAS FOR secrets;
    ids        bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ARRAY (SELECT t.id FROM tokens t WHERE t.secret = ANY (p_secrets))));
BEGIN
    PERFORM mailroom_lock_deliveries(p_queue, ids, least(3000, p_lease_ms / 8));
    RETURN QUERY SELECT b.place, b.token, b.attempt, b.reason
    FROM mailroom_begin_rows(p_queue, p_holder, p_lease_ms, p_secrets, NULL) b;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_begin(queue mailroom.job_type, holder text, lease_ms integer, secrets bytea[])
    FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_begin_rows(p_queue mailroom.job_type, p_holder text, p_lease_ms integer, p_secrets
    bytea[], p_emails bytea[]) RETURNS TABLE(place bigint, token bigint, attempt integer, code text, reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_begin_rows(p_queue mailroom.job_type, p_holder text, p_lease_ms integer,
    p_secrets bytea[], p_emails bytea[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_claim(queue mailroom.job_type, holder text, lease_ms integer, max_rows integer,
    after_due timestamp with time zone DEFAULT NULL::timestamp with time zone, after_token bigint DEFAULT NULL::bigint)
    RETURNS TABLE(token bigint, action mailroom.token_action, email text, login text, secret bytea, code text, stale
    text, doubt boolean, acknowledged boolean, due_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET row_security TO 'off'
    AS $_$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.token, CASE c.action WHEN 1 THEN 'activation' WHEN 2 THEN 'password_recovery' END::token_action,
           c.email, c.login, c.secret, c.code, c.stale, c.doubt, c.acknowledged, c.due_at
    FROM mailroom_claim_any($1, $2, $3, $4, $5, $6, 2::smallint) c
    WHERE c.action IS NOT NULL OR c.stale IS NOT NULL;
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_claim(queue mailroom.job_type, holder text, lease_ms integer, max_rows integer,
    after_due timestamp with time zone, after_token bigint) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_claim_any(queue mailroom.job_type, holder text, lease_ms integer, max_rows integer,
    after_due timestamp with time zone DEFAULT NULL::timestamp with time zone, after_token bigint DEFAULT NULL::bigint,
    newest smallint DEFAULT 32767) RETURNS TABLE(token bigint, action smallint, email text, login text, secret bytea,
    code text, stale text, doubt boolean, acknowledged boolean, due_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_claim_any(queue mailroom.job_type, holder text, lease_ms integer, max_rows
    integer, after_due timestamp with time zone, after_token bigint, newest smallint) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_due(p_queue mailroom.job_type, p_max_rows integer) RETURNS TABLE(waiting integer,
    next_due_ms bigint, attended boolean, urgent boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_due(p_queue mailroom.job_type, p_max_rows integer) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_due_from(p_queued_at timestamp with time zone, p_head_start integer) RETURNS timestamp
    with time zone
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(p_queued_at, pg_catalog.now())
           OPERATOR(pg_catalog.-) ((p_head_start OPERATOR(pg_catalog.+) 3600) OPERATOR(pg_catalog.*) interval '1 s')
$$;

CREATE FUNCTION mailroom.mailroom_emitted(queue mailroom.job_type, holder text, tokens bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET row_security TO 'off'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_emitted(queue mailroom.job_type, holder text, tokens bigint[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_epoch() RETURNS bigint
    LANGUAGE sql STABLE
    AS $$ SELECT floor(extract(epoch FROM now()))::bigint $$;

CREATE FUNCTION mailroom.mailroom_extend(queue mailroom.job_type, holder text, lease_ms integer, tokens bigint[])
    RETURNS SETOF bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_lease_ms ALIAS FOR lease_ms;
    p_tokens   ALIAS FOR tokens;
    held       bigint[];
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    -- Does not wait: a delivery that the application has locked, to delete its account, must not keep the others from
    -- being renewed.
    held := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    UPDATE deliveries d SET due_at = now() + p_lease_ms * interval '1 ms'
    WHERE d.queue = p_queue AND d.token = ANY (held)
    RETURNING d.token;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_extend(queue mailroom.job_type, holder text, lease_ms integer, tokens bigint[])
    FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_first_reason(p_reason text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT split_part(p_reason, '; last try: ', 1)
$$;

CREATE FUNCTION mailroom.mailroom_give_back(p_queue mailroom.job_type, p_secrets bytea[], p_reason text, p_delays_ms
    integer[]) RETURNS SETOF integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_give_back(p_queue mailroom.job_type, p_secrets bytea[], p_reason text,
    p_delays_ms integer[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_has_urgent() RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT false;
END;

CREATE FUNCTION mailroom.mailroom_held(p_queue mailroom.job_type, p_holder text, p_tokens bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT d.token FROM deliveries d
    WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_held(p_queue mailroom.job_type, p_holder text, p_tokens bigint[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_join_reasons(p_stale text, p_error text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT p_stale || coalesce('; last try: ' || p_error, '')
$$;

CREATE FUNCTION mailroom.mailroom_latency(queue mailroom.job_type, shares double precision[]) RETURNS double precision[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_latency(queue mailroom.job_type, shares double precision[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_leave(attending boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
BEGIN
    IF $1 THEN
        PERFORM pg_advisory_unlock(1835100524, 2);
    END IF;
    RETURN pg_try_advisory_lock(1835100524, 1) AND pg_advisory_unlock(1835100524, 1);
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_leave(attending boolean) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_limited(p_queue mailroom.job_type, p_token bigint, p_account bigint, p_action
    mailroom.token_action) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION mailroom.mailroom_list_actions() RETURNS TABLE(number smallint, name text, prefix text, signs_code
    boolean, template text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT m.number, m.name::text, m.prefix, m.signs_code, m.template
    FROM mailroom_actions m ORDER BY m.number;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_list_actions() FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_lock_accounts(p_queue mailroom.job_type, p_tokens bigint[], p_not_alone bigint[])
    RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION mailroom.mailroom_lock_actions() RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'mailroom_actions is changed at isolation level READ COMMITTED only: '
            'this transaction may not see what others have changed'
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED', ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM mailroom_actions m ORDER BY m.number LIMIT 1 FOR UPDATE;
END $$;

CREATE FUNCTION mailroom.mailroom_lock_deliveries(p_queue mailroom.job_type, p_tokens bigint[], p_patience_ms integer)
    RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    ends timestamptz := clock_timestamp() + p_patience_ms * interval '1 ms';
    free bigint[];
BEGIN
    LOOP
        free := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (p_tokens) ORDER BY d.token FOR UPDATE SKIP LOCKED);
        EXIT WHEN clock_timestamp() >= ends OR NOT EXISTS (
            SELECT FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.token <> ALL (free));
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN free;
END $$;

CREATE FUNCTION mailroom.mailroom_look(queue mailroom.job_type, max_rows integer) RETURNS TABLE(waiting integer,
    next_due_ms bigint, attended boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_max_rows ALIAS FOR max_rows;
BEGIN
    RETURN QUERY SELECT
        (SELECT count(*)::integer FROM (
            SELECT FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL LIMIT p_max_rows) due),
        (SELECT ceil(1000 * extract(epoch FROM min(d.due_at) - now()))::bigint
            FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at > now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL),
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2));
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_look(queue mailroom.job_type, max_rows integer) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_may_mail(p_account bigint, p_action mailroom.token_action) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_may_mail(p_account bigint, p_action mailroom.token_action) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_not_mailed(queue mailroom.job_type, tokens bigint[], whose text, why text, since
    timestamp with time zone, until timestamp with time zone, max_rows integer) RETURNS TABLE(token bigint, action text,
    account bigint, login text, email text, state text, error text, attempts integer, doubts integer, queued_at
    timestamp with time zone, settled_at timestamp with time zone, stale text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_not_mailed(queue mailroom.job_type, tokens bigint[], whose text, why text,
    since timestamp with time zone, until timestamp with time zone, max_rows integer) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_oldest(queue mailroom.job_type) RETURNS TABLE(token bigint, queued_at timestamp with
    time zone, expires_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_oldest(queue mailroom.job_type) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_outlook(p_queue mailroom.job_type, p_rate double precision) RETURNS TABLE(action text,
    waiting bigint, claimed bigint, queued_at timestamp with time zone, late bigint, wait_s double precision, late_from
    timestamp with time zone, rate double precision)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_outlook(p_queue mailroom.job_type, p_rate double precision) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_pause(p_queue mailroom.job_type, p_reason text) RETURNS TABLE(paused_at timestamp with
    time zone, sending bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    UPDATE jobs j SET paused_at = coalesce(j.paused_at, now()), paused_reason = p_reason WHERE j.job_type = p_queue;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM pg_notify('token_insert', '');  -- collectors then see the pause
    RETURN QUERY SELECT j.paused_at, (
        SELECT count(*) FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.state = 'sending' AND d.due_at > now())
    FROM jobs j WHERE j.job_type = p_queue;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_pause(p_queue mailroom.job_type, p_reason text) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_place(p_due_at timestamp with time zone, p_queued_at timestamp with time zone,
    p_head_start integer, p_attempts integer) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE WHEN p_due_at > now() OR p_due_at <= now() - interval '1 hour' THEN p_due_at
                ELSE mailroom_due_from(CASE WHEN p_attempts < 3 THEN p_queued_at ELSE p_due_at END, p_head_start) END
$$;

CREATE FUNCTION mailroom.mailroom_prune(queue mailroom.job_type, older_than interval, after_token bigint, max_rows
    integer, dry boolean) RETURNS TABLE(last_token bigint, reached timestamp with time zone, is_end boolean, sent
    bigint, failed bigint, skipped bigint, emitted bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    p_queue       ALIAS FOR queue;
    p_older_than  ALIAS FOR older_than;
    p_after_token ALIAS FOR after_token;
    p_max_rows    ALIAS FOR max_rows;
    p_dry         ALIAS FOR dry;
    before        timestamptz := now() - p_older_than;
BEGIN
    -- No lease is longer than a day. So nothing is removed that a program may still hold.
    IF p_older_than IS NULL OR before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'what is younger than 1 day is not removed' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);  -- lost in a crash, it is removed another time
    RETURN QUERY
    WITH read_rows AS MATERIALIZED (
        SELECT d.token, d.state, coalesce(d.queued_at, to_timestamp(t.created_at), d.settled_at) AS queued_at,
               d.settled_at < before
               AND (t.id IS NULL OR t.consumed_at IS NOT NULL OR t.expires_at <= extract(epoch FROM now())) AS is_over
        FROM (SELECT * FROM deliveries
              WHERE token > p_after_token AND queue = p_queue ORDER BY token LIMIT p_max_rows) d
            LEFT JOIN tokens t ON t.id = d.token
    ), free AS MATERIALIZED (
        SELECT d.token FROM read_rows l JOIN deliveries d ON d.queue = p_queue AND d.token = l.token
        WHERE NOT p_dry AND l.is_over AND d.settled_at < before
        FOR UPDATE OF d SKIP LOCKED
    ), removed AS (
        DELETE FROM deliveries d USING free f
        WHERE d.queue = p_queue AND d.token = f.token
        RETURNING d.state
    ), counted AS (
        SELECT r.state FROM removed r
        UNION ALL SELECT l.state FROM read_rows l WHERE p_dry AND l.is_over
    )
    SELECT (SELECT max(l.token) FROM read_rows l), (SELECT max(l.queued_at) FROM read_rows l),
           (SELECT count(*) < p_max_rows OR coalesce(bool_or(l.queued_at >= before), true) FROM read_rows l),
           count(*) FILTER (WHERE c.state = 'sent'), count(*) FILTER (WHERE c.state = 'failed'),
           count(*) FILTER (WHERE c.state = 'skipped'), count(*) FILTER (WHERE c.state = 'emitted')
    FROM counted c;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_prune(queue mailroom.job_type, older_than interval, after_token bigint,
    max_rows integer, dry boolean) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_pulse(queue mailroom.job_type, seconds integer) RETURNS SETOF bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_pulse(queue mailroom.job_type, seconds integer) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_put_in_place(p_queue mailroom.job_type, p_max_rows integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION mailroom.mailroom_queue(queue mailroom.job_type) RETURNS TABLE(at timestamp with time zone,
    acknowledged_at timestamp with time zone, attended boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $_$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT now(), j.acknowledged_at, EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 1835100524 AND l.objid = 2 AND l.objsubid = 2
          AND l.mode = 'ExclusiveLock' AND l.granted
          AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))
    FROM jobs j WHERE j.job_type = $1;
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_queue(queue mailroom.job_type) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_queue_status(p_queue mailroom.job_type) RETURNS TABLE(at timestamp with time zone,
    acknowledged_at timestamp with time zone, attended boolean, paused_at timestamp with time zone, paused_reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.at, q.acknowledged_at, q.attended, j.paused_at, j.paused_reason
    FROM mailroom_queue(p_queue) q, jobs j WHERE j.job_type = p_queue;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_queue_status(p_queue mailroom.job_type) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_random_code() RETURNS character varying
    LANGUAGE sql
    AS $$
    SELECT lpad((('x' || right(gen_random_uuid()::text, 12))::bit(48)::bigint % 100000)::text, 5, '0')
$$;

CREATE FUNCTION mailroom.mailroom_random_secret() RETURNS bytea
    LANGUAGE sql
    AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                  || uuid_send(gen_random_uuid()))
$$;

CREATE FUNCTION mailroom.mailroom_reason(error text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT string_agg(CASE
        WHEN part ~ '^([A-Z][A-Za-z]+|HTTP [0-9]{3})(: |$)' THEN split_part(part, ': ', 1)
        ELSE left(regexp_replace(part, '[0-9]+', 'N', 'g'), 80) END, '; last try: ' ORDER BY place)
    FROM unnest(string_to_array($1, '; last try: ')) WITH ORDINALITY AS parts (part, place)
    WHERE place <= 2
$_$;

CREATE FUNCTION mailroom.mailroom_recent(queue mailroom.job_type) RETURNS TABLE(state text, reason text, last_minute
    bigint, last_hour bigint, last_day bigint, doubts bigint, newest timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_recent(queue mailroom.job_type) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_release(queue mailroom.job_type, holder text, tokens bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_release(queue mailroom.job_type, holder text, tokens bigint[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_replaced(p_queue mailroom.job_type, p_token bigint, p_account bigint, p_action
    mailroom.token_action) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION mailroom.mailroom_resume(p_queue mailroom.job_type) RETURNS timestamp with time zone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    since timestamptz;
BEGIN
    SELECT j.paused_at INTO since FROM jobs j WHERE j.job_type = p_queue FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET paused_at = NULL, paused_reason = NULL WHERE job_type = p_queue;
    PERFORM pg_notify('token_insert', '');
    RETURN since;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_resume(p_queue mailroom.job_type) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_retry(queue mailroom.job_type, tokens bigint[], dry boolean) RETURNS TABLE(token
    bigint, refused text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    p_queue  ALIAS FOR queue;
    p_tokens ALIAS FOR tokens;
    p_dry    ALIAS FOR dry;
BEGIN
    RETURN QUERY SELECT r.token, r.reason FROM mailroom_retry_rows(p_queue, p_tokens, p_dry) r ORDER BY r.token;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_retry(queue mailroom.job_type, tokens bigint[], dry boolean) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_retry_rows(p_queue mailroom.job_type, p_tokens bigint[], p_dry boolean) RETURNS
    TABLE(token bigint, code text, reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_retry_rows(p_queue mailroom.job_type, p_tokens bigint[], p_dry boolean) FROM
    PUBLIC;

CREATE FUNCTION mailroom.mailroom_set_aside(queue mailroom.job_type, holder text, tokens bigint[], reasons text[])
    RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    p_queue   ALIAS FOR queue;
    p_holder  ALIAS FOR holder;
    p_tokens  ALIAS FOR tokens;
    p_reasons ALIAS FOR reasons;
    held      bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        FOR UPDATE SKIP LOCKED);
    aside     integer;
BEGIN
    UPDATE deliveries d SET state = 'failed', error = r.reason, error_code = NULL, settled_at = now()
    FROM unnest(p_tokens, p_reasons) AS r (token, reason)
    WHERE d.queue = p_queue AND d.token = r.token AND d.token = ANY (held);
    GET DIAGNOSTICS aside = ROW_COUNT;
    RETURN aside;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_set_aside(queue mailroom.job_type, holder text, tokens bigint[], reasons
    text[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_settle(queue mailroom.job_type, holder text, tokens bigint[], outcomes
    mailroom.delivery_outcome[], message_ids text[], errors text[], delays_ms integer[]) RETURNS SETOF bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET row_security TO 'off'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_settle(queue mailroom.job_type, holder text, tokens bigint[], outcomes
    mailroom.delivery_outcome[], message_ids text[], errors text[], delays_ms integer[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_settle_rows(p_queue mailroom.job_type, p_holder text, p_tokens bigint[], p_outcomes
    mailroom.delivery_outcome[], p_message_ids text[], p_errors text[], p_delays_ms integer[]) RETURNS TABLE(token
    bigint, code text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_settle_rows(p_queue mailroom.job_type, p_holder text, p_tokens bigint[],
    p_outcomes mailroom.delivery_outcome[], p_message_ids text[], p_errors text[], p_delays_ms integer[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_settlements(queue mailroom.job_type, since timestamp with time zone, after
    pg_snapshot, upto pg_snapshot, bounds double precision[]) RETURNS TABLE(state text, reason text, bucket integer,
    deliveries bigint, doubts bigint, seconds double precision, newest timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET row_security TO 'off'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_settlements(queue mailroom.job_type, since timestamp with time zone, after
    pg_snapshot, upto pg_snapshot, bounds double precision[]) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_share_rate(p_sender text, p_account text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    AS $$
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

REVOKE ALL ON FUNCTION mailroom.mailroom_share_rate(p_sender text, p_account text) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_show(p_queue mailroom.job_type, p_kind text, p_whose text, p_max_rows integer) RETURNS
    TABLE(account bigint, login text, email text, status text, tokens bigint, token bigint, action text, listed boolean,
    created_at timestamp with time zone, expires_at timestamp with time zone, consumed_at timestamp with time zone,
    stale text, state text, queued_at timestamp with time zone, due_at timestamp with time zone, is_due boolean, holder
    text, attempts integer, doubts integer, error text, message_id text, settled_at timestamp with time zone, ahead
    bigint, wait_s double precision, is_late boolean, rate double precision)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_show(p_queue mailroom.job_type, p_kind text, p_whose text, p_max_rows integer)
    FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_stale(mailroom.token_action, expires_at bigint, consumed_at bigint,
    mailroom.account_status) RETURNS text
    LANGUAGE sql
    AS $_$
    SELECT CASE
        WHEN $3 IS NOT NULL THEN 'the token was consumed'
        WHEN $2 <= extract(epoch FROM clock_timestamp()) THEN 'the token expired'
        WHEN $4 IS NULL OR $4 <> ALL (mailroom_action_states($1))
            THEN 'the account is ' || coalesce($4::text, 'without a status')
    END
$_$;

CREATE FUNCTION mailroom.mailroom_token_consumed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'mailroom', 'pg_temp'
    AS $$
BEGIN
    UPDATE accounts SET status = 'active' WHERE id = NEW.account AND status = 'provisioned';
    RETURN NULL;
END $$;

CREATE FUNCTION mailroom.mailroom_token_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET row_security TO 'off'
    AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM deliveries;  -- not TRUNCATE: the same statement may have named it already
    ELSE
        DELETE FROM deliveries d USING deleted WHERE d.token = deleted.id;
    END IF;
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_token_deleted() FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_token_inserted() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'mailroom', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted) THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION mailroom.mailroom_token_lifetime() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.expires_at := pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                      + mailroom.mailroom_action_longest_life(NEW.action);
    RETURN NEW;
END $$;

CREATE FUNCTION mailroom.mailroom_turns(p_queue mailroom.job_type, p_rate double precision) RETURNS TABLE(part integer,
    due_at timestamp with time zone, action mailroom.token_action, expires_at bigint, deliveries bigint, queued_at
    timestamp with time zone, late bigint, ahead bigint, sent_before bigint, sent_upto bigint, rate double precision)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION mailroom.mailroom_unsettled(queue mailroom.job_type) RETURNS TABLE(state text, holder text, due boolean,
    deliveries bigint, first_due timestamp with time zone, last_due timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET row_security TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $_$
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
END $_$;

REVOKE ALL ON FUNCTION mailroom.mailroom_unsettled(queue mailroom.job_type) FROM PUBLIC;

CREATE FUNCTION mailroom.mailroom_watch(p_queue mailroom.job_type) RETURNS TABLE(paused_at timestamp with time zone,
    paused_reason text, attended boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'mailroom', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET row_security TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.paused_at, q.paused_reason,
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2))
    FROM jobs q WHERE q.job_type = p_queue;
END $$;

REVOKE ALL ON FUNCTION mailroom.mailroom_watch(p_queue mailroom.job_type) FROM PUBLIC;
