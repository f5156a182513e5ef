-- Why a token may not be mailed now. This is the only place that decides it. "Now" is the clock, not the begin of the
-- transaction, which may have waited for a lock. The account of a token whose action is not in mailroom_actions is not
-- checked, because such a token waits for its action.
-- Called by: the other functions, once for each row.
-- Returns: the reason in words, or null if the token may be mailed.
CREATE OR REPLACE FUNCTION mailroom_stale(token_action, expires_at bigint, consumed_at bigint, account_status)
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN $3 IS NOT NULL THEN 'the token was consumed'
        WHEN $2 <= extract(epoch FROM clock_timestamp()) THEN 'the token expired'
        WHEN $4 IS NULL OR $4 <> ALL (mailroom_action_states($1))
            THEN 'the account is ' || coalesce($4::text, 'without a status')
    END
$$;
