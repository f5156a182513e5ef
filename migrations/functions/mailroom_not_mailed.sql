-- What was not mailed: failed and skipped deliveries, newest first. Each filter may be null. whose: an account's id,
-- login or address. why: a part of the reason, in whatever case, or the whole that mailroom_reason() makes of it.
-- Called by: the commands failed and retry.
-- Returns: one row for each delivery. "stale" says why to try again now would be pointless; null if it would not.
CREATE OR REPLACE FUNCTION mailroom_not_mailed(queue job_type, tokens bigint[], whose text, why text,
                                    since timestamptz, until timestamptz, max_rows integer)
RETURNS TABLE (token bigint, action text, account bigint, login text, email text, state text, error text,
               attempts integer, doubts integer, queued_at timestamptz, settled_at timestamptz, stale text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    asked bigint[] := $2;
    back  interval;
    begins timestamptz := coalesce($5, '-infinity');
    found_rows integer;
BEGIN
    IF $3 IS NOT NULL THEN
        SELECT coalesce(array_agg(t.id), '{}') INTO asked
        FROM tokens t
        WHERE t.account IN (
                SELECT a.id FROM accounts a WHERE a.login = $3
                UNION ALL SELECT a.id FROM accounts a WHERE a.email = $3
                UNION ALL SELECT a.id FROM accounts a WHERE $3 ~ '^[0-9]{1,18}$' AND a.id = $3::bigint)
          AND ($2 IS NULL OR t.id = ANY ($2));
    ELSIF $2 IS NULL AND $7 IS NOT NULL THEN
        -- No index has the newest first: look further and further back, until there are enough.
        FOREACH back IN ARRAY '{1 hour,1 day,7 days,30 days}'::interval[] LOOP
            EXIT WHEN now() - back <= begins;
            SELECT count(*) INTO found_rows FROM (
                SELECT FROM deliveries d
                WHERE d.queue = $1 AND d.settled_at > now() - back AND d.settled_at < coalesce($6, 'infinity')
                  AND d.state IN ('failed', 'skipped')
                  AND ($4 IS NULL OR mailroom_reason(d.error) = $4 OR strpos(lower(d.error), lower($4)) > 0)
                LIMIT $7) enough;
            IF found_rows = $7 THEN
                begins := now() - back;
                EXIT;
            END IF;
        END LOOP;
    END IF;
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT d.token FROM deliveries d WHERE asked IS NOT NULL AND d.token = ANY (asked) AND d.queue = $1
        UNION ALL
        SELECT d.token FROM deliveries d WHERE asked IS NULL AND d.queue = $1 AND d.settled_at >= begins
          AND d.state IN ('failed', 'skipped')
    ), newest AS MATERIALIZED (
        SELECT d.* FROM chosen c JOIN deliveries d ON d.queue = $1 AND d.token = c.token
        WHERE d.state IN ('failed', 'skipped') AND d.settled_at >= begins AND d.settled_at < coalesce($6, 'infinity')
          AND ($4 IS NULL OR mailroom_reason(d.error) = $4 OR strpos(lower(d.error), lower($4)) > 0)
        ORDER BY d.settled_at DESC, d.token DESC LIMIT $7
    )
    SELECT n.token, t.action::text, a.id, a.login::text, a.email::text, n.state::text, n.error, n.attempts, n.doubts,
           coalesce(n.queued_at, to_timestamp(t.created_at)), n.settled_at,
           CASE WHEN t.id IS NULL THEN 'the token is gone'
                ELSE coalesce(mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status),
                         mailroom_replaced($1, t.id, t.account, t.action),
                         mailroom_limited($1, t.id, t.account, t.action)) END
    FROM newest n LEFT JOIN tokens t ON t.id = n.token LEFT JOIN accounts a ON a.id = t.account
    ORDER BY n.settled_at DESC, n.token DESC;
END $$;
