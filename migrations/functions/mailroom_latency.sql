-- Within how many milliseconds these shares (0.5 is the median) of the last hour's mails were sent, from the begin of
-- the transaction that inserted the token to the begin of the one that settled it. The error is up to 2 %, because
-- mails are counted in classes. Sorting an hour of them would take far longer.
-- Called by: status.
-- Returns: one number for each share; null without any mail.
CREATE OR REPLACE FUNCTION mailroom_latency(queue job_type, shares float8[])
RETURNS float8[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        WITH class AS MATERIALIZED (
            SELECT ceil(25 * ln(greatest(0.1, 1000 * extract(epoch FROM d.settled_at - d.queued_at)::float8))) AS ends,
                   count(*) AS mails
            FROM deliveries d
            WHERE d.queue = $1 AND d.state = 'sent' AND d.settled_at > now() - interval '1 hour'
              AND d.queued_at IS NOT NULL
            GROUP BY 1
        ), upto AS (
            SELECT c.ends, sum(c.mails) OVER (ORDER BY c.ends) AS mails, sum(c.mails) OVER () AS total FROM class c
        )
        SELECT array_agg((SELECT exp((min(u.ends) - 0.5) / 25) FROM upto u WHERE u.mails >= s.share * u.total)
                         ORDER BY s.place)
        FROM unnest($2) WITH ORDINALITY AS s (share, place)
    );
END $$;
