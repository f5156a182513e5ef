-- A new code of a token. The last 48 bits of a version 4 UUID are all random (RFC 9562, 5.4). Taken modulo 100,000, no
-- code is likelier than another by more than one part in 2 billion.
-- Called by: the default of tokens.code.
-- Returns: five digits.
CREATE OR REPLACE FUNCTION mailroom_random_code() RETURNS varchar
LANGUAGE sql VOLATILE AS $$
    SELECT lpad((('x' || right(gen_random_uuid()::text, 12))::bit(48)::bigint % 100000)::text, 5, '0')
$$;
