-- A new secret of a token. gen_random_uuid() draws 122 bits from the server's strong random source (pg_strong_random).
-- Three of them hold 366 bits, and their hash keeps 256.
-- Called by: the default of tokens.secret.
-- Returns: 32 bytes.
CREATE OR REPLACE FUNCTION mailroom_random_secret() RETURNS bytea
LANGUAGE sql VOLATILE AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                  || uuid_send(gen_random_uuid()))
$$;
