-- The rights of each program (docs/roles.md, "Grants"). This runs again after each migration.
GRANT EXECUTE ON FUNCTION mailroom_action_settings, mailroom_due, mailroom_claim_any, mailroom_held, mailroom_extend,
    mailroom_release, mailroom_emitted, mailroom_set_aside, mailroom_attend, mailroom_leave, mailroom_watch,
    mailroom_outlook, mailroom_list_actions, mailroom_look TO mailroom_collector;
GRANT EXECUTE ON FUNCTION mailroom_action_settings, mailroom_acknowledge, mailroom_begin_rows, mailroom_settle_rows,
    mailroom_give_back, mailroom_share_rate, mailroom_watch, mailroom_list_actions TO mailroom_sender;
