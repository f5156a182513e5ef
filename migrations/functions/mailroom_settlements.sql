-- What was settled after one snapshot (pg_current_snapshot()) and before another. A caller that asks again with its
-- last snapshot counts each settlement exactly once, in whatever order transactions commit. "since" skips old rows:
-- settlements of transactions that began before it are not seen.
-- Called by: metrics.
-- Returns: one row for each state, reason and bucket. "bucket" is the first of the bounds (in seconds, counted from 1)
-- within which they were sent; one more than there are if none is wide enough; null if they were not sent or it is not
-- known.
CREATE OR REPLACE FUNCTION mailroom_settlements(queue job_type, since timestamptz, after pg_snapshot, upto pg_snapshot,
                                     bounds float8[])
RETURNS TABLE (state text, reason text, bucket integer, deliveries bigint, doubts bigint, seconds float8,
               newest timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    next_xid bigint := pg_snapshot_xmax($4)::text::bigint;
BEGIN
    RETURN QUERY
    WITH settled AS MATERIALIZED (
        SELECT d.state, d.error, d.doubts, d.settled_at,
               extract(epoch FROM CASE WHEN d.state = 'sent' THEN d.settled_at - d.queued_at END)::float8 AS took,
               -- xmin has only the lower 32 bits of the transaction's number.
               (next_xid - ((next_xid - d.xmin::text::bigint) & 4294967295))::text::xid8 AS settled_by
        FROM deliveries d
        WHERE d.queue = $1 AND d.settled_at > $2
    )
    SELECT s.state::text, CASE WHEN s.state IN ('failed', 'skipped') THEN mailroom_reason(s.error) END,
           -- Not width_bucket(): to it, what is as long as a bound is above it.
           CASE WHEN s.took IS NOT NULL THEN
               (SELECT count(*)::integer + 1 FROM unnest($5) AS b (bound) WHERE b.bound < s.took) END,
           count(*), sum(s.doubts)::bigint, sum(s.took), max(s.settled_at)
    FROM settled s
    WHERE pg_visible_in_snapshot(s.settled_by, $4) AND NOT pg_visible_in_snapshot(s.settled_by, $3)
    GROUP BY 1, 2, 3;
END $$;
