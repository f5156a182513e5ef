-- Starts fast polling: inserts do not notify from now on, and the caller polls every few milliseconds, until it calls
-- mailroom_leave or its session ends (docs/internals.md, "Fast polling"). Notifies once, so that other collectors poll
-- too. With true the caller polls fast already, and only the notification is sent.
-- Called by: the collector.
-- Returns: false if another session polls fast already.
CREATE OR REPLACE FUNCTION mailroom_attend(already boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT $1 AND NOT pg_try_advisory_lock(1835100524, 2) THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('token_insert', '');
    RETURN true;
END $$;
