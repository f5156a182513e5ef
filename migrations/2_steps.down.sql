DROP FUNCTION mailroom_look, mailroom_claim, mailroom_extend, mailroom_release, mailroom_emitted,
    mailroom_set_aside, mailroom_attend, mailroom_leave, mailroom_acknowledge, mailroom_begin, mailroom_settle;
DROP TYPE delivery_outcome;
