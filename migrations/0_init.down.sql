-- Removes everything: accounts, tokens and queues with all their rows.

DROP TABLE tokens, accounts, jobs;
DROP FUNCTION IF EXISTS mailroom_account_inserted, mailroom_account_status_changed,
    mailroom_token_consumed, mailroom_token_inserted,
    mailroom_random_secret, mailroom_random_code, mailroom_epoch;
DROP TYPE account_status, token_action, job_type;
