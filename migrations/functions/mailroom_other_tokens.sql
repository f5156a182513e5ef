-- Why a token may not be mailed now because of other tokens of its account and action. A newer token that may be mailed
-- takes its place, if the action is newest_only. If the action has most_mails, an account gets no more mails within
-- most_within seconds. Mails that are being sent count. Only the newest 100 tokens are read, so that a flood of
-- requests for one account costs little: an account with 100 newer tokens gets none of the mails of the older ones.
-- Called by: other functions only.
-- Returns: the reason in words, or null if the token may be mailed.
CREATE OR REPLACE FUNCTION mailroom_other_tokens(p_queue job_type, p_token bigint, p_account bigint,
                                                 p_action token_action)
RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    most   constant integer := mailroom_action_most_mails(p_action);
    period constant integer := mailroom_action_most_within(p_action);
    mails  integer;
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
    IF most IS NOT NULL THEN
        SELECT count(*) INTO mails FROM (
            SELECT t.id FROM tokens t
            WHERE t.account = p_account AND t.action = p_action AND t.id <> p_token
            ORDER BY t.id DESC LIMIT 100) other
            JOIN deliveries d ON d.queue = p_queue AND d.token = other.id
        WHERE d.state = 'sending'
           OR d.state IN ('sent', 'emitted') AND d.settled_at > clock_timestamp() - period * interval '1 s';
        IF mails >= most THEN
            RETURN format('the account got its most mails: %s in %s s', most, period);
        END IF;
    END IF;
    RETURN NULL;
END $$;
