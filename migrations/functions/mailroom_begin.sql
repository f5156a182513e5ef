-- The begin of a sender of version 0.2 and before, which does not give the addresses of its mails. A sender of version
-- 0.1 forgets a delivery that is locked, and its collector then keeps it. So a locked delivery is tried again for as
-- long as those versions waited.
-- Called by: senders of version 0.2 and before.
-- Returns: one row for each different secret, with its first place in the array; "refused" is null or why not to send
-- it.
CREATE OR REPLACE FUNCTION mailroom_begin(queue job_type, holder text, lease_ms integer, secrets bytea[])
RETURNS TABLE (place bigint, token bigint, attempt integer, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_lease_ms ALIAS FOR lease_ms;
    p_secrets  ALIAS FOR secrets;
    ids        bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ARRAY (SELECT t.id FROM tokens t WHERE t.secret = ANY (p_secrets))));
BEGIN
    PERFORM mailroom_lock_deliveries(p_queue, ids, least(3000, p_lease_ms / 8));
    RETURN QUERY SELECT b.place, b.token, b.attempt, b.reason
    FROM mailroom_begin_rows(p_queue, p_holder, p_lease_ms, p_secrets, NULL) b;
END $$;
