-- The deliveries that are not settled, by state, by the process that holds them, and by whether they are due. For a
-- claimed or sending delivery "due" means that the lease has expired.
-- Called by: status and metrics.
-- Returns: one row for each combination, with the first and the last due_at.
CREATE OR REPLACE FUNCTION mailroom_unsettled(queue job_type)
RETURNS TABLE (state text, holder text, due boolean, deliveries bigint, first_due timestamptz, last_due timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.state::text,
           -- Of a sender each batch has a name of its own, which begins with that of the process.
           CASE WHEN d.state <> 'pending' THEN regexp_replace(d.holder, '^(send:.*):[0-9]+$', '\1') END,
           d.due_at <= now(), count(*), min(w.since), max(w.since)
    FROM deliveries d CROSS JOIN LATERAL (
        -- In its place in the queue, a delivery is due from before it was queued.
        SELECT CASE WHEN d.state = 'pending' AND d.due_at <= now() - interval '1 hour'
                    THEN least(now(), d.due_at + (d.head_start + 3600) * interval '1 s')
                    ELSE d.due_at END AS since) w
    WHERE d.queue = $1 AND d.settled_at IS NULL
    GROUP BY 1, 2, 3;
END $$;
