-- Writes mailroom_actions into functions: mailroom_action_number, mailroom_action_states and so on, one for each
-- column, and one that says whether any action is urgent. They become a part of every plan that uses them, and a
-- feature that no action uses is a constant. Reading the table instead would cost a sign-up 4 %, and a claim or a begin
-- 5 %. They are STABLE, because plans would keep the value of an IMMUTABLE one for ever. From PostgreSQL 14 on they are
-- kept parsed, so that a value of token_action or account_status may be renamed. Deliveries that wait for an action are
-- due at once when one is added.
-- Called by: the trigger mailroom_actions_compiled. Nobody may execute it directly.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_actions_compiled() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    body       constant text := CASE WHEN current_setting('server_version_num')::integer < 140000 THEN ' AS %L'
                                     ELSE ' BEGIN ATOMIC %s; END' END;
    array_type constant text := format('%I.account_status[]', TG_TABLE_SCHEMA);
    written    record;
BEGIN
    PERFORM mailroom_lock_actions();
    -- Each constant is cast by itself, once, when a plan is made. The result of a CASE would be cast for each row. The
    -- operator is qualified, because mailroom_announce runs as its owner with the search_path of its caller.
    FOR written IN
        SELECT c.name, c.type, CASE WHEN count(DISTINCT c.value) = 1 AND c.otherwise = min(c.value) THEN c.otherwise
                                    ELSE 'CASE' || string_agg(format(' WHEN $1 OPERATOR(pg_catalog.=) %L THEN %s',
                                                                     m.name, c.value), '' ORDER BY m.number)
                                         || ' ELSE ' || c.otherwise || ' END'
                               END AS body
        FROM mailroom_actions m CROSS JOIN LATERAL (VALUES
            ('number', 'smallint', m.number || '::smallint', 'NULL::smallint'),
            ('states', 'account_status[]', format('%L::%s', m.states, array_type), 'NULL::' || array_type),
            ('lifetime', 'integer', m.lifetime::text, '900'),
            -- How long a token may live that is inserted without expires_at.
            ('longest_life', 'integer',
             (m.lifetime + CASE m.life_from WHEN 'mail' THEN m.longest_wait ELSE 0 END)::text, '900'),
            ('life_from_mail', 'integer', CASE m.life_from WHEN 'mail' THEN m.lifetime::text ELSE 'NULL::integer' END,
             'NULL::integer'),
            ('head_start', 'integer', m.head_start::text, '0'),
            ('newest_only', 'boolean', m.newest_only::text, 'false'),
            ('most_mails', 'integer', coalesce(m.most_mails::text, 'NULL::integer'), 'NULL::integer'),
            ('most_within', 'integer', m.most_within::text, '900'),
            ('urgent', 'boolean', m.urgent::text, 'false')) AS c (name, type, value, otherwise)
        GROUP BY c.name, c.type, c.otherwise
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION %I(token_action) RETURNS %s LANGUAGE sql STABLE' || body,
                       'mailroom_action_' || written.name, written.type, 'SELECT ' || written.body);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_has_urgent() RETURNS boolean LANGUAGE sql STABLE' || body,
                   'SELECT ' || (SELECT coalesce(bool_or(m.urgent), false) FROM mailroom_actions m));
    IF TG_OP = 'INSERT' THEN
        WITH waiting AS MATERIALIZED (
            SELECT d.queue, d.token FROM deliveries d
            WHERE d.queue IN (SELECT q.job_type FROM jobs q) AND d.settled_at IS NULL AND d.due_at > now()
              AND d.state = 'pending' AND d.error_code = 'unlisted'
            ORDER BY d.token FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET due_at = mailroom_due_from(d.queued_at, d.head_start)
        FROM waiting w WHERE d.token = w.token AND d.queue = w.queue;
        IF FOUND THEN
            PERFORM pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$;
