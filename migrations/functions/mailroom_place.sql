-- The place of a delivery in the order of a claim. One that has come back, so that it is due within the last hour, has
-- the place of its insert. After its third attempt it has that of a delivery inserted when it came back.
-- Called by: mailroom_put_in_place, mailroom_turns and mailroom_show. The planner makes it a part of them.
-- Returns: the time by which claims order; of what is not due, due_at.
CREATE OR REPLACE FUNCTION mailroom_place(p_due_at timestamptz, p_queued_at timestamptz, p_head_start integer,
                                          p_attempts integer)
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_due_at > now() OR p_due_at <= now() - interval '1 hour' THEN p_due_at
                ELSE mailroom_due_from(CASE WHEN p_attempts < 3 THEN p_queued_at ELSE p_due_at END, p_head_start) END
$$;
