-- Notes that a sender has mails to send now. Senders of one SES account divide its rate by the answer. A sender that
-- did not call this for 5 s is not counted, and after an hour its row is deleted.
-- Called by: the sender, every few seconds while it has mails to send.
-- Returns: how many senders of the account have mails to send, this one included.
CREATE OR REPLACE FUNCTION mailroom_share_rate(p_sender text, p_account text) RETURNS integer
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
