-- What was settled within the last day, by state and reason.
-- Called by: status, and metrics at their start.
-- Returns: one row for each state and reason: how many in the last minute, hour and day; how often SES was asked and
-- its answer never came; and when the newest was settled.
CREATE OR REPLACE FUNCTION mailroom_recent(queue job_type)
RETURNS TABLE (state text, reason text, last_minute bigint, last_hour bigint, last_day bigint, doubts bigint,
               newest timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.state::text, CASE WHEN d.state IN ('failed', 'skipped') THEN mailroom_reason(d.error) END,
           count(*) FILTER (WHERE d.settled_at > now() - interval '1 minute'),
           count(*) FILTER (WHERE d.settled_at > now() - interval '1 hour'),
           count(*), sum(d.doubts)::bigint, max(d.settled_at)
    FROM deliveries d
    WHERE d.queue = $1 AND d.settled_at > now() - interval '1 day'
    GROUP BY 1, 2;
END $$;
