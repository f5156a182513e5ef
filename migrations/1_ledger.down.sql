-- Drops the ledger, and with it what it knows: the tokens stay, and jobs.last_seq says again
-- which of them were handed out.

DROP TRIGGER mailroom_announce ON tokens;
DROP TRIGGER mailroom_token_deleted ON tokens;
DROP TRIGGER mailroom_tokens_truncated ON tokens;
DROP FUNCTION mailroom_announce, mailroom_token_deleted, mailroom_stale;
DROP TABLE deliveries;
DROP TYPE delivery_state;
ALTER TABLE jobs DROP COLUMN acknowledged_at;

-- A schema that another mailroom made has its own trigger for this.
DO $$
BEGIN
    IF to_regproc('mailroom_token_inserted') IS NOT NULL THEN
        CREATE TRIGGER mailroom_token_inserted AFTER INSERT ON tokens
            REFERENCING NEW TABLE AS inserted
            FOR EACH STATEMENT EXECUTE FUNCTION mailroom_token_inserted();
    END IF;
END $$;
