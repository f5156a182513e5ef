-- The state of the queue itself. "attended" is read from the list of locks, because trying the lock could keep a
-- collector from getting it.
-- Called by: mailroom_queue_status, and status and metrics of version 0.2 and before.
-- Returns: one row.
--   acknowledged_at  when a sender that settles what it sends last said so; null until the first one does
--   attended         whether a collector polls fast
CREATE OR REPLACE FUNCTION mailroom_queue(queue job_type)
RETURNS TABLE (at timestamptz, acknowledged_at timestamptz, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT now(), j.acknowledged_at, EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 1835100524 AND l.objid = 2 AND l.objsubid = 2
          AND l.mode = 'ExclusiveLock' AND l.granted
          AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))
    FROM jobs j WHERE j.job_type = $1;
END $$;
