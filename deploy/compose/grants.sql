-- The rights of each program (docs/roles.md, "Grants"). This runs again after each migration.
GRANT EXECUTE ON FUNCTION mailroom_list_actions, mailroom_look, mailroom_claim_any, mailroom_extend, mailroom_release,
    mailroom_emitted, mailroom_set_aside, mailroom_attend, mailroom_leave, mailroom_watch TO mailroom_collector;
GRANT EXECUTE ON FUNCTION mailroom_list_actions, mailroom_acknowledge, mailroom_begin_rows, mailroom_settle_rows,
    mailroom_watch TO mailroom_sender;
