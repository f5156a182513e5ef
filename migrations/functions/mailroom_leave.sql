-- Stops fast polling: inserts notify again. With false the caller has stopped it before, and only asks again.
-- Called by: the collector.
-- Returns: true if every insert that did not notify has ended, so that the caller polls once more and may then sleep.
--   False: the caller must go on polling, and ask again with false.
CREATE OR REPLACE FUNCTION mailroom_leave(attending boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF $1 THEN
        PERFORM pg_advisory_unlock(1835100524, 2);
    END IF;
    RETURN pg_try_advisory_lock(1835100524, 1) AND pg_advisory_unlock(1835100524, 1);
END $$;
