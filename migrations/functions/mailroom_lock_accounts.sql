-- Locks the accounts of tokens whose action has most_mails and that are not alone, until the transaction ends. So two
-- begins never count the mails of one account at the same time. It does not wait. It locks the delivery of the
-- account's oldest token of the action. Other roles can't take that lock, and the begin of that token has it already.
-- Called by: mailroom_begin_rows, which has locked the deliveries of p_tokens.
-- Returns: the tokens of p_tokens that may be judged now. Of several tokens of an account, that is the newest.
CREATE OR REPLACE FUNCTION mailroom_lock_accounts(p_queue job_type, p_tokens bigint[], p_not_alone bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN ARRAY (
        WITH one AS MATERIALIZED (
            SELECT t.id, t.account, t.action FROM tokens t
            WHERE t.id = ANY (p_not_alone) AND t.id = ANY (p_tokens)
        ), newest AS MATERIALIZED (
            SELECT max(one.id) AS id, one.account, one.action FROM one GROUP BY one.account, one.action
        ), locked AS MATERIALIZED (
            SELECT n.* FROM newest n CROSS JOIN LATERAL (
                SELECT FROM deliveries d
                WHERE d.queue = p_queue AND d.token = (
                    SELECT t.id FROM tokens t JOIN deliveries o ON o.queue = p_queue AND o.token = t.id
                    WHERE t.account = n.account AND t.action = n.action ORDER BY t.id LIMIT 1)
                FOR UPDATE SKIP LOCKED) d
        )
        SELECT u.id FROM unnest(p_tokens) AS u (id)
        WHERE u.id <> ALL (p_not_alone) OR u.id IN (SELECT l.id FROM locked l));
END $$;
