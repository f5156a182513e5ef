-- Locks the accounts of those tokens whose action has most_mails and that are not the only one of their account, until
-- the transaction ends. So two begins never count the mails of one account at the same time. It does not wait.
-- Called by: mailroom_begin_rows.
-- Returns: the tokens that may be judged now. Of several tokens of an account, only the newest and those that it
-- replaces.
CREATE OR REPLACE FUNCTION mailroom_lock_accounts(p_tokens bigint[]) RETURNS bigint[]
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
            SELECT max(one.id) AS id, one.account FROM one WHERE one.is_limited GROUP BY one.account, one.action
        )
        SELECT one.id FROM one
        WHERE NOT one.is_limited
           OR mailroom_action_newest_only(one.action) AND one.id <> ALL (ARRAY (SELECT n.id FROM newest n))
        UNION ALL
        SELECT n.id FROM newest n WHERE pg_try_advisory_xact_lock(1835100525, hashint8(n.account)));
END $$;
