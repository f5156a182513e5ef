-- Gives deliveries that have come back their place in the queue again: a retry that is due, and a lease that ran out.
-- These have a due_at within the last hour, because that of a new delivery is earlier. The place is
-- that of its insert, so a mail that was throttled once does not queue behind an import. After the third attempt it
-- is that of a delivery inserted now, so mails that fail again and again do not keep others from their turn.
-- Called by: mailroom_claim_any.
-- Returns: nothing.
CREATE OR REPLACE FUNCTION mailroom_put_in_place(p_queue job_type, p_max_rows integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH back AS MATERIALIZED (
        SELECT d.queue, d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL
          AND d.due_at > now() - interval '1 hour' AND d.due_at <= now()
          AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL
        ORDER BY d.due_at, d.token
        -- More than a claim takes, so that in the end all of them are ordered.
        LIMIT 2 * p_max_rows + 100 FOR UPDATE SKIP LOCKED
    )
    UPDATE deliveries d
    SET due_at = mailroom_place(d.due_at, d.queued_at, d.head_start, d.attempts)
    FROM back b WHERE d.queue = b.queue AND d.token = b.token;
END $$;
