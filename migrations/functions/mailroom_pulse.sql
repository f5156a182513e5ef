-- How many mails were sent in each of the last whole seconds.
-- Called by: the live status.
-- Returns: one number for each second, oldest first.
CREATE OR REPLACE FUNCTION mailroom_pulse(queue job_type, seconds integer)
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends timestamptz := date_trunc('second', now());
BEGIN
    RETURN QUERY
    WITH sent AS MATERIALIZED (
        SELECT date_trunc('second', d.settled_at) AS second, count(*) AS mails
        FROM deliveries d
        WHERE d.queue = $1 AND d.state = 'sent'
          AND d.settled_at >= ends - $2 * interval '1 second' AND d.settled_at < ends
        GROUP BY 1
    )
    SELECT coalesce(s.mails, 0)
    FROM generate_series(ends - $2 * interval '1 second', ends - interval '1 second', interval '1 second') AS g (second)
        LEFT JOIN sent s ON s.second = g.second
    ORDER BY g.second;
END $$;
