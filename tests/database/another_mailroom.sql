-- The schema as another mailroom's 0_init makes it: the same names, but with pgcrypto's
-- gen_random_bytes (stood in for here, as it needs an extension), integer epochs, a token
-- that a row trigger inserts before its account, a notification for each row, more indexes.

CREATE FUNCTION gen_random_bytes(count integer) RETURNS bytea LANGUAGE sql VOLATILE AS $$
    SELECT substring(sha256(uuid_send(gen_random_uuid())) FOR count)
$$;
CREATE TYPE account_status AS ENUM ('provisioned', 'active', 'suspended');
CREATE TYPE token_action AS ENUM ('activation', 'password_recovery');
CREATE TYPE job_type AS ENUM ('mailroom');

CREATE TABLE jobs (job_type job_type PRIMARY KEY, last_seq BIGINT);
INSERT INTO jobs VALUES ('mailroom', 0);

CREATE TABLE accounts (
    id BIGSERIAL PRIMARY KEY,
    email VARCHAR(254) UNIQUE NOT NULL,
    login VARCHAR(254) UNIQUE NOT NULL,
    status account_status DEFAULT 'provisioned' NOT NULL,
    created_at INTEGER DEFAULT EXTRACT(EPOCH FROM NOW()) NOT NULL,
    status_changed_at INTEGER,
    activated_at INTEGER,
    suspended_at INTEGER,
    unsuspended_at INTEGER
);
CREATE TABLE tokens (
    id BIGSERIAL PRIMARY KEY,
    action token_action NOT NULL,
    secret BYTEA DEFAULT gen_random_bytes(32) UNIQUE NOT NULL,
    code VARCHAR(5) DEFAULT LPAD(FLOOR(RANDOM() * 100000)::text, 5, '0'),
    account BIGINT NOT NULL,
    expires_at INTEGER DEFAULT EXTRACT(EPOCH FROM NOW() + INTERVAL '15 minutes') NOT NULL,
    consumed_at INTEGER,
    created_at INTEGER DEFAULT EXTRACT(EPOCH FROM NOW()) NOT NULL,
    FOREIGN KEY (account) REFERENCES accounts ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX accounts_status_idx ON accounts (status, created_at);
CREATE INDEX tokens_alive_idx ON tokens (expires_at) WHERE consumed_at IS NULL;

CREATE FUNCTION account_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'provisioned' THEN
        INSERT INTO tokens (account, action) VALUES (NEW.id, 'activation');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER account_insert BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION account_insert();

CREATE FUNCTION account_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.status_changed_at = EXTRACT(EPOCH FROM NOW());
    IF OLD.status = 'provisioned' AND NEW.status = 'active' THEN
        NEW.activated_at = EXTRACT(EPOCH FROM NOW());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER account_status BEFORE UPDATE OF status ON accounts FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION account_status();

CREATE FUNCTION token_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY token_insert;
    RETURN NULL;
END $$;
CREATE TRIGGER token_insert AFTER INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION token_insert();

CREATE FUNCTION token_consumed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET status = 'active' WHERE id = NEW.account AND status = 'provisioned';
    RETURN NULL;
END $$;
CREATE TRIGGER token_consumed AFTER UPDATE OF consumed_at ON tokens FOR EACH ROW
    WHEN (NEW.action = 'activation' AND OLD.consumed_at IS NULL AND NEW.consumed_at IS NOT NULL)
    EXECUTE FUNCTION token_consumed();
