-- Locks the accounts of those tokens whose action has most_mails and that are not the only one of their account, until
-- the transaction ends. So two begins never count the mails of one account at the same time. It does not wait. What it
-- locks is the delivery of the account's oldest token of the action: a lock that no stranger can take, and that the
-- begin of the oldest token itself has already.
-- Called by: mailroom_begin_rows, which has locked the deliveries of these tokens.
-- Returns: the tokens that may be judged now. Of several tokens of an account, only the newest and those that it
-- replaces.
CREATE OR REPLACE FUNCTION mailroom_lock_accounts(p_queue job_type, p_tokens bigint[]) RETURNS bigint[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN ARRAY (
        WITH one AS MATERIALIZED (
            SELECT t.id, t.account, t.action,
                   mailroom_action_most_mails(t.action) IS NOT NULL AND EXISTS (
                       SELECT FROM tokens o WHERE o.account = t.account AND o.action = t.action AND o.id <> t.id)
                   AS is_limited
            FROM tokens t WHERE t.id = ANY (p_tokens)
        ), newest AS MATERIALIZED (
            SELECT max(one.id) AS id, one.account, one.action FROM one
            WHERE one.is_limited GROUP BY one.account, one.action
        ), locked AS MATERIALIZED (
            SELECT n.* FROM newest n CROSS JOIN LATERAL (
                SELECT FROM deliveries d
                WHERE d.queue = p_queue AND d.token = (
                    SELECT t.id FROM tokens t JOIN deliveries o ON o.queue = p_queue AND o.token = t.id
                    WHERE t.account = n.account AND t.action = n.action ORDER BY t.id LIMIT 1)
                FOR UPDATE SKIP LOCKED) d
        )
        SELECT one.id FROM one WHERE NOT one.is_limited
        UNION ALL
        SELECT one.id FROM locked l JOIN one ON one.account = l.account AND one.action = l.action
        WHERE one.id = l.id OR mailroom_action_newest_only(one.action));
END $$;
