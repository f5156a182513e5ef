-- The ledger: one delivery for each token and queue, written by the trigger that announces
-- the token, in the same transaction. Also brings a schema that another mailroom made up to
-- this one's, in place: epochs become bigint, what still waits gets its delivery.

-- No token may slip in between the backfill below and the trigger that follows it.
LOCK TABLE accounts, tokens, jobs IN ACCESS EXCLUSIVE MODE;

-- Another mailroom's epochs may be integers, which end in 2038. PostgreSQL won't change
-- the type of a column that a trigger names, so its triggers are set aside meanwhile.
DO $$
DECLARE
    narrow  record;
    aside   record;
BEGIN
    CREATE TEMPORARY TABLE mailroom_narrow ON COMMIT DROP AS
        SELECT attrelid::regclass AS tbl, attname AS col
        FROM pg_attribute
        WHERE attrelid IN ('accounts'::regclass, 'tokens'::regclass)
          AND atttypid = 'integer'::regtype AND attnum > 0 AND NOT attisdropped
          AND attname IN ('created_at', 'status_changed_at', 'activated_at', 'suspended_at',
                          'unsuspended_at', 'expires_at', 'consumed_at');
    CREATE TEMPORARY TABLE mailroom_aside ON COMMIT DROP AS
        SELECT tgrelid::regclass AS tbl, tgname, tgenabled, pg_get_triggerdef(oid) AS definition
        FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid IN (SELECT tbl FROM mailroom_narrow);
    FOR aside IN SELECT * FROM mailroom_aside LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', aside.tgname, aside.tbl);
    END LOOP;
    FOR narrow IN SELECT * FROM mailroom_narrow LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint', narrow.tbl, narrow.col);
        IF narrow.col = 'created_at' THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT floor(extract(epoch FROM now()))::bigint',
                           narrow.tbl, narrow.col);
        ELSIF narrow.col = 'expires_at' THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT floor(extract(epoch FROM now()))::bigint + 900',
                           narrow.tbl, narrow.col);
        END IF;
    END LOOP;
    FOR aside IN SELECT * FROM mailroom_aside LOOP
        EXECUTE aside.definition;
        EXECUTE format('ALTER TABLE %s %s TRIGGER %I', aside.tbl,
                       CASE aside.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS'
                                            WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END,
                       aside.tgname);
    END LOOP;
    DROP TABLE mailroom_narrow, mailroom_aside;
END $$;

-- When a sender that settles what it sends last said so; null until the first one does.
ALTER TABLE jobs ADD COLUMN acknowledged_at timestamptz;

CREATE TYPE delivery_state AS ENUM
    ('pending', 'claimed', 'sending', 'sent', 'failed', 'skipped', 'emitted');

-- due_at is when somebody should next look at an unsettled row: a pending one is to be
-- claimed then, the lease on a claimed or sending one ends then. So one index serves both,
-- and a claim never walks over rows that others hold: theirs are due in the future.
-- No foreign keys: one to jobs would lock the queue's one row at every insert, and one to tokens
-- a row that its own transaction has just written; a trigger of tokens does what it would.
CREATE TABLE deliveries (
    queue      job_type NOT NULL,
    token      bigint NOT NULL,
    state      delivery_state NOT NULL DEFAULT 'pending',
    attempts   integer NOT NULL DEFAULT 0,
    doubts     integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now(),
    holder     text,
    message_id text,
    error      text,
    settled_at timestamptz,
    PRIMARY KEY (token, queue),
    -- An expression is parsed anew by every insert: a list of states would cost a sign-up 5 %.
    CHECK ((settled_at IS NULL) = (state <= 'sending'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_due ON deliveries (queue, due_at, token) WHERE settled_at IS NULL;

COMMENT ON COLUMN deliveries.attempts IS 'how often a sender has begun it';
COMMENT ON COLUMN deliveries.doubts IS 'how often SES was asked and its answer never came: each may have been a mail';
COMMENT ON COLUMN deliveries.due_at IS 'pending: when to claim it; claimed, sending: when the lease ends';
COMMENT ON COLUMN deliveries.holder IS 'the process, and of a sender the batch, that holds it or settled it';

-- Why a token may not be mailed now; null if it may. The one place that says so. "Now" is by
-- the clock: a statement may have waited for a lock since its transaction began.
CREATE FUNCTION mailroom_stale(token_action, expires_at bigint, consumed_at bigint, account_status)
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN $3 IS NOT NULL THEN 'the token was consumed'
        WHEN $2 <= extract(epoch FROM clock_timestamp()) THEN 'the token expired'
        WHEN $4 IS DISTINCT FROM (CASE $1 WHEN 'activation' THEN 'provisioned' ELSE 'active' END)::account_status
            THEN 'the account is ' || coalesce($4::text, 'without a status')
    END
$$;

-- What another mailroom has not handed out yet and may still be mailed.
INSERT INTO deliveries (queue, token)
SELECT j.job_type, t.id
FROM tokens t JOIN accounts a ON a.id = t.account CROSS JOIN jobs j
WHERE t.id > coalesce(j.last_seq, 0)
  AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL;

-- The bell. A NOTIFY makes its transaction commit alone: it holds a lock of the whole server while
-- it waits for the disk. So a bell is not rung while a collector attends, that is looks by itself
-- every few ms. Two advisory locks, both of class 1835100524 ('mail'):
--
--   1   shared by each transaction that inserts tokens, until it has ended: it may not have rung
--   2   held alone by the collector that attends (mailroom_attend)
--
-- An insert takes 1 and then tests 2. The collector gives 2 up, then tests 1, and looks once more
-- when nobody has it (mailroom_leave). An insert that found 2 taken had 1 before, and keeps it until
-- what it wrote can be seen: the test of 1 fails, or the look that follows sees the rows.
-- 2 goes when the session of its collector ends, whatever ends it.

-- Runs as its owner: an application that may insert tokens needs no right to the ledger. Every name is
-- qualified here instead of a search_path that is set, which would cost each sign-up 3 us; a transition
-- table comes before any other of its name. There is no operator that a search_path could change.
DO $migration$
BEGIN
    EXECUTE format($function$
CREATE FUNCTION mailroom_announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO %1$I.deliveries (queue, token)
    SELECT j.job_type, i.id FROM inserted i CROSS JOIN %1$I.jobs j;
    IF FOUND THEN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(1835100524, 1);
        -- One expression, so that no cancelled statement leaves the lock behind.
        IF pg_catalog.pg_try_advisory_lock_shared(1835100524, 2)
           AND pg_catalog.pg_advisory_unlock_shared(1835100524, 2) THEN
            PERFORM pg_catalog.pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$
    $function$, current_schema());
END $migration$;
REVOKE ALL ON FUNCTION mailroom_announce() FROM PUBLIC;
CREATE TRIGGER mailroom_announce AFTER INSERT ON tokens
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION mailroom_announce();
DROP TRIGGER IF EXISTS mailroom_token_inserted ON tokens;

-- A token takes its deliveries with it.
CREATE FUNCTION mailroom_token_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM deliveries;  -- not TRUNCATE: the same statement may have named it already
    ELSE
        DELETE FROM deliveries d USING deleted WHERE d.token = deleted.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mailroom_token_deleted AFTER DELETE ON tokens
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION mailroom_token_deleted();
CREATE TRIGGER mailroom_tokens_truncated AFTER TRUNCATE ON tokens
    FOR EACH STATEMENT EXECUTE FUNCTION mailroom_token_deleted();

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION mailroom_token_deleted() SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION mailroom_token_deleted() FROM PUBLIC;
-- By its index, whatever size the first delete of a session had.
ALTER FUNCTION mailroom_token_deleted() SET enable_seqscan = off;
ALTER FUNCTION mailroom_token_deleted() SET enable_hashjoin = off;
ALTER FUNCTION mailroom_token_deleted() SET enable_mergejoin = off;
