-- The place in the queue of a delivery: its head start and an hour before it was queued. So among the due deliveries
-- those of the last hour have come back, and have no place yet (mailroom_put_in_place).
-- Called by: the functions that write, put back or show a delivery. Everybody may execute it, because it reads no
-- table.
-- Returns: the time for due_at.
CREATE OR REPLACE FUNCTION mailroom_due_from(p_queued_at timestamptz, p_head_start integer) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT coalesce(p_queued_at, pg_catalog.now())
           OPERATOR(pg_catalog.-) ((p_head_start OPERATOR(pg_catalog.+) 3600) OPERATOR(pg_catalog.*) interval '1 s')
$$;
