-- Writes mailroom_actions into three functions: mailroom_action_number, mailroom_action_states and
-- mailroom_action_lifetime. They become a part of every plan that uses them. Reading the table instead would cost a
-- sign-up 4 %, and a claim or a begin 5 %. They are STABLE, because plans would keep the value of an IMMUTABLE one for
-- ever. From PostgreSQL 14 on they are kept parsed, so that a value of token_action or account_status may be renamed.
-- Deliveries that wait for an action are due at once when one is added.
-- Called by: the trigger mailroom_actions_compiled. Nobody may execute it directly.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_actions_compiled() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    numbers   text;
    states    text;
    lifetimes text;
    body      text := CASE WHEN current_setting('server_version_num')::integer < 140000 THEN ' AS %L'
                           ELSE ' BEGIN ATOMIC %s; END' END;
BEGIN
    PERFORM mailroom_lock_actions();
    -- Each constant is cast by itself, once, when a plan is made. The result of a CASE would be cast for each row.
    SELECT string_agg(format(' WHEN %L THEN %s::smallint', m.name, m.number), '' ORDER BY m.number),
           string_agg(format(' WHEN %L THEN %L::%I.account_status[]', m.name, m.states, TG_TABLE_SCHEMA),
                      '' ORDER BY m.number),
           string_agg(format(' WHEN %L THEN %s', m.name, m.lifetime), '' ORDER BY m.number)
    INTO numbers, states, lifetimes FROM mailroom_actions m;
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_number(token_action) RETURNS smallint'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || numbers || ' END');
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_states(token_action) RETURNS account_status[]'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || states || ' END');
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_lifetime(token_action) RETURNS integer'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || lifetimes || ' ELSE 900 END');
    IF TG_OP = 'INSERT' THEN
        WITH waiting AS MATERIALIZED (
            SELECT d.queue, d.token FROM deliveries d
            WHERE d.queue IN (SELECT q.job_type FROM jobs q) AND d.settled_at IS NULL AND d.due_at > now()
              AND d.state = 'pending' AND d.error_code = 'unlisted'
            ORDER BY d.token FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET due_at = now() FROM waiting w WHERE d.token = w.token AND d.queue = w.queue;
        IF FOUND THEN
            PERFORM pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$;
