-- Of a reason that mailroom_join_reasons made, or mailroom_reason kept, the part before the last try.
-- Called by: metrics, to count a flood of different reasons by their first part. Everybody may execute it: it reads no
-- table.
-- Returns: the first part, or the whole reason if it has no other part.
CREATE OR REPLACE FUNCTION mailroom_first_reason(p_reason text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT split_part(p_reason, '; last try: ', 1)
$$;
