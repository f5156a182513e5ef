-- What the programs need to know of each action.
-- Called by: collector and sender.
-- Returns: one row for each action, by number.
CREATE OR REPLACE FUNCTION mailroom_list_actions()
RETURNS TABLE (number smallint, name text, prefix text, signs_code boolean, template text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT m.number, m.name::text, m.prefix, m.signs_code, m.template
    FROM mailroom_actions m ORDER BY m.number;
END $$;
