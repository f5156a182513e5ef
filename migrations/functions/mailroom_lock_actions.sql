-- Lets transactions change mailroom_actions one after another, so that each sees the rows of the others. It locks the
-- first action, because only a role that may change the table can do that. Every role could take an advisory lock.
-- Called by: mailroom_action_guarded and mailroom_actions_compiled, with their rights.
-- Returns: nothing. It fails where the isolation level would hide what others have changed.
CREATE OR REPLACE FUNCTION mailroom_lock_actions() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'mailroom_actions is changed at isolation level READ COMMITTED only: '
            'this transaction may not see what others have changed'
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED', ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM mailroom_actions m ORDER BY m.number LIMIT 1 FOR UPDATE;
END $$;
