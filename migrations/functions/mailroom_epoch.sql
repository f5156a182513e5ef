-- The time now, in whole seconds since 1970. It is a bigint, because an integer ends in January 2038.
-- Called by: the defaults of accounts and tokens, and the triggers that set times.
-- Returns: seconds.
CREATE OR REPLACE FUNCTION mailroom_epoch() RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT floor(extract(epoch FROM now()))::bigint $$;
