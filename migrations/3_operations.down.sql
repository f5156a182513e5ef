DROP FUNCTION mailroom_queue, mailroom_unsettled, mailroom_oldest, mailroom_recent, mailroom_pulse, mailroom_latency,
    mailroom_settlements, mailroom_not_mailed, mailroom_retry, mailroom_prune, mailroom_reason;
DROP INDEX deliveries_settled;
ALTER TABLE deliveries DROP COLUMN queued_at;
