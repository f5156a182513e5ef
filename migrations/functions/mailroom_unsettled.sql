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
        -- In its place in the queue, a delivery is due from before it was queued. After the third attempt, the place
        -- is that of one inserted later. What has come back has no place until it is claimed.
        SELECT CASE WHEN place.at <= now() AND (d.due_at < d.queued_at OR d.attempts >= 3) THEN place.at
                    ELSE d.due_at END AS since
        FROM (SELECT d.due_at + (d.head_start + 3600) * interval '1 s' AS at) place) w
    WHERE d.queue = $1 AND d.settled_at IS NULL
    GROUP BY 1, 2, 3;
END $$;
