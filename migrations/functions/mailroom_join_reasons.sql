-- Why a delivery is skipped, with the error of its last try behind it: 'the token expired; last try: Throttling'.
-- deliveries.error has had such texts since version 0.1, so they stay. Splitting them into columns would rewrite the
-- ledger. Only mailroom_join_reasons, mailroom_first_reason and mailroom_reason know how they are joined.
-- Called by: mailroom_claim_any and mailroom_begin_rows, which the planner makes it a part of.
-- Returns: the reason in words.
CREATE OR REPLACE FUNCTION mailroom_join_reasons(p_stale text, p_error text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_stale || coalesce('; last try: ' || p_error, '')
$$;
