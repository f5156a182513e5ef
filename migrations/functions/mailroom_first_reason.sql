-- The part before the last try of a reason that mailroom_join_reasons made or mailroom_reason kept.
-- Called by: metrics, to count many different reasons by their first part. Everybody may execute it, because it reads
-- no table.
-- Returns: the first part, or the whole reason if it has no other part.
CREATE OR REPLACE FUNCTION mailroom_first_reason(p_reason text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT split_part(p_reason, '; last try: ', 1)
$$;
