-- Whether the account has reached its limit of mails of this action: most_mails within most_within seconds. Mails that
-- are being sent count. Only the newest 100 other tokens are read, so that a flood of requests for one account costs
-- little.
-- Called by: other functions only.
-- Returns: the reason in words, or null if the token may be mailed.
CREATE OR REPLACE FUNCTION mailroom_limited(p_queue job_type, p_token bigint, p_account bigint, p_action token_action)
RETURNS text LANGUAGE plpgsql STABLE AS $$
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
