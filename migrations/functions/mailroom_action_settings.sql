-- What the programs need to know of each action.
-- Called by: collector and sender.
-- Returns: one row for each action, by number.
CREATE OR REPLACE FUNCTION mailroom_action_settings()
RETURNS TABLE (number smallint, name text, prefix text, signs_code boolean, template text, head_start integer,
               urgent boolean)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT m.number, m.name::text, m.prefix, m.signs_code, m.template, m.head_start, m.urgent
    FROM mailroom_actions m ORDER BY m.number;
END $$;
