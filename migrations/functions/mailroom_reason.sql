-- Why deliveries were not mailed, without what differs between them: the code of SES's text, or another text without
-- its numbers. It keeps the two parts of 'the token expired; last try: Throttling'.
-- Called by: the functions that group by reason. Everybody may execute it, because it reads no table.
-- Returns: the reason, as status and metrics show it.
CREATE OR REPLACE FUNCTION mailroom_reason(error text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(CASE
        WHEN part ~ '^([A-Z][A-Za-z]+|HTTP [0-9]{3})(: |$)' THEN split_part(part, ': ', 1)
        ELSE left(regexp_replace(part, '[0-9]+', 'N', 'g'), 80) END, '; last try: ' ORDER BY place)
    FROM unnest(string_to_array($1, '; last try: ')) WITH ORDINALITY AS parts (part, place)
    WHERE place <= 2
$$;
