-- The schema that applications write to: accounts, the tokens mailed to them, and the
-- queues (jobs). PostgreSQL 13 or newer, no extension. Run it in one transaction
-- (psql: --single-transaction); a file of this folder never commits by itself.

CREATE TYPE account_status AS ENUM ('provisioned', 'active', 'suspended');
CREATE TYPE token_action AS ENUM ('activation', 'password_recovery');
CREATE TYPE job_type AS ENUM ('mailroom');

-- Seconds since 1970, as bigint: an integer would end in January 2038.
CREATE FUNCTION mailroom_epoch() RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT floor(extract(epoch FROM now()))::bigint $$;

-- gen_random_uuid() draws 122 bits from the server's strong random source
-- (pg_strong_random); three of them hold 366 bits, hashed down to 256.
CREATE FUNCTION mailroom_random_secret() RETURNS bytea
LANGUAGE sql VOLATILE AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                  || uuid_send(gen_random_uuid()))
$$;

-- The last 48 bits of a version 4 UUID are all random (RFC 9562, 5.4); taken modulo
-- 100,000 no code is likelier than another by more than one part in 2 billion.
CREATE FUNCTION mailroom_random_code() RETURNS varchar
LANGUAGE sql VOLATILE AS $$
    SELECT lpad((('x' || right(gen_random_uuid()::text, 12))::bit(48)::bigint % 100000)::text, 5, '0')
$$;

CREATE TABLE accounts (
    id                bigserial PRIMARY KEY,
    email             varchar(254) NOT NULL UNIQUE,
    login             varchar(254) NOT NULL UNIQUE,
    status            account_status NOT NULL DEFAULT 'provisioned',
    created_at        bigint NOT NULL DEFAULT mailroom_epoch(),
    status_changed_at bigint,
    activated_at      bigint,
    suspended_at      bigint,
    unsuspended_at    bigint
);

CREATE TABLE tokens (
    id          bigserial PRIMARY KEY,
    action      token_action NOT NULL,
    secret      bytea NOT NULL UNIQUE DEFAULT mailroom_random_secret(),
    code        varchar(5) DEFAULT mailroom_random_code(),
    account     bigint NOT NULL
                REFERENCES accounts ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    expires_at  bigint NOT NULL DEFAULT mailroom_epoch() + 900,
    consumed_at bigint,
    created_at  bigint NOT NULL DEFAULT mailroom_epoch()
);
-- For the cascade from accounts, and for "which tokens has this account".
CREATE INDEX tokens_account ON tokens (account);

CREATE TABLE jobs (
    job_type job_type PRIMARY KEY,
    last_seq bigint NOT NULL DEFAULT 0
);
INSERT INTO jobs (job_type, last_seq) VALUES ('mailroom', 0);

-- An account that is inserted as provisioned gets its activation token in the same statement.
-- Names are qualified here: to set a search_path would cost each sign-up 3 us.
DO $migration$
BEGIN
    EXECUTE format($function$
CREATE FUNCTION mailroom_account_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO %I.tokens (action, account)
    SELECT 'activation', id FROM inserted WHERE status = 'provisioned';
    RETURN NULL;
END $$
    $function$, current_schema());
END $migration$;
CREATE TRIGGER mailroom_account_inserted AFTER INSERT ON accounts
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION mailroom_account_inserted();

-- A change of status leaves its time; nobody becomes active by being suspended and let back.
CREATE FUNCTION mailroom_account_status_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
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
CREATE TRIGGER mailroom_account_status_changed BEFORE UPDATE ON accounts
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION mailroom_account_status_changed();

-- Consuming an activation token activates its account.
CREATE FUNCTION mailroom_token_consumed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET status = 'active' WHERE id = NEW.account AND status = 'provisioned';
    RETURN NULL;
END $$;
CREATE TRIGGER mailroom_token_consumed AFTER UPDATE ON tokens
    FOR EACH ROW
    WHEN (NEW.action = 'activation' AND OLD.consumed_at IS NULL AND NEW.consumed_at IS NOT NULL)
    EXECUTE FUNCTION mailroom_token_consumed();

-- A notification says "look", never how many: equal ones of a transaction are folded into one.
CREATE FUNCTION mailroom_token_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted) THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mailroom_token_inserted AFTER INSERT ON tokens
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION mailroom_token_inserted();

-- The others find their tables whatever the search_path of the application is.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['mailroom_account_status_changed', 'mailroom_token_consumed',
                                'mailroom_token_inserted'] LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END $$;
