-- Whether a newer token of the account and action takes the place of this one: it may be mailed, and the action is
-- newest_only. Only the newest 100 tokens are read, so that a flood of requests for one account costs little. A claim
-- asks it, and a begin does not. Otherwise a stream of requests for one account would replace each of its tokens just
-- before its mail, and the account would get none.
-- Called by: other functions only.
-- Returns: the reason in words, or null if no token takes its place.
CREATE OR REPLACE FUNCTION mailroom_replaced(p_queue job_type, p_token bigint, p_account bigint, p_action token_action)
RETURNS text LANGUAGE plpgsql STABLE AS $$
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
