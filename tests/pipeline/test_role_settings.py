"""Settings of the role or the database do not change what mailroom does."""

import json

from psycopg import sql

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.postgres import Connection, Database, Server
from tests.support.processes import run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

WORST = {
    # mailroom sets these itself.
    "array_nulls": "off",
    "backslash_quote": "off",
    "bytea_output": "escape",
    "client_min_messages": "debug5",
    "datestyle": "German, DMY",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "exit_on_error": "on",
    "extra_float_digits": "-15",
    "idle_in_transaction_session_timeout": "20ms",
    "idle_session_timeout": "200ms",
    "intervalstyle": "sql_standard",
    "jit": "on",
    "lock_timeout": "1ms",
    "plpgsql.extra_errors": "all",
    "quote_all_identifiers": "on",
    "restrict_nonsystem_relation_kind": "view, foreign-table",
    "standard_conforming_strings": "off",
    "statement_timeout": "40ms",
    "synchronous_commit": "off",
    "timezone": "Asia/Kathmandu",
    "transaction_timeout": "40ms",
    "transform_null_equals": "on",
    # These make no difference.
    "check_function_bodies": "off",
    "debug_parallel_query": "regress",
    "default_toast_compression": "pglz",
    "escape_string_warning": "on",
    "from_collapse_limit": "1",
    "geqo_threshold": "2",
    "jit_above_cost": "0",
    "jit_inline_above_cost": "0",
    "jit_optimize_above_cost": "0",
    "join_collapse_limit": "1",
    "lc_messages": "C",
    "lo_compat_privileges": "on",
    "password_encryption": "md5",
    "plan_cache_mode": "force_custom_plan",
    "plpgsql.variable_conflict": "use_column",
    "row_security": "off",
    "stats_fetch_consistency": "none",
    "track_activities": "off",
    "track_functions": "all",
    "work_mem": "64kB",
    "xmlbinary": "hex",
    "xmloption": "document",
}


def make_worst(server: Server, name: str) -> None:
    """Set the worst value of each setting that this PostgreSQL has, and switch off every kind of plan."""
    with server.connect(name) as admin:
        admin.execute("LOAD 'plpgsql'")
        known = [setting for (setting,) in admin.execute("SELECT lower(name) FROM pg_settings")]
        planner = {setting: "off" for setting in known if setting.startswith("enable_")}
        for setting, value in (WORST | planner).items():
            if setting in known:
                what = sql.SQL(".").join(map(sql.Identifier, setting.split(".")))
                admin.execute(sql.SQL("ALTER DATABASE {} SET {} TO {}").format(sql.Identifier(name), what, value))


def patient(server: Server, name: str) -> Connection:
    """Return the application's session, without the settings that would only slow it down or end it."""
    own = ["statement_timeout=0", "lock_timeout=0", "idle_session_timeout=0", "jit=off"]
    with server.connect("postgres") as admin:
        if admin.info.server_version >= 170000:
            own.append("transaction_timeout=0")
        if admin.info.server_version < 140000:
            own.remove("idle_session_timeout=0")
    return server.connect(name, " ".join(f"-c {setting}" for setting in own))


def test_worst_settings_change_nothing(server: Server, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """Migration, mails, failures, retries and status work, whatever is set for the database."""
    name = server.new_database(template="template1")
    make_worst(server, name)
    env = pipeline_env(MAILROOM_DATABASE_URL=server.url(name), MAILROOM_LOG_FORMAT="json")
    migrated = run("mailroom-collect migrate", env=env)
    assert (migrated.status, migrated.err) == (0, "")
    database = Database(server, name)
    database.connection.close()
    database.connection = patient(server, name)
    try:
        with running(PIPELINE, env) as pipeline:
            pipeline.says("acknowledging")
            database.sign_up("ann", "ben")
            until(lambda: database.states() == {"sent": 2}, "the first are sent")
            database.recovery("ann")
            database.run("INSERT INTO accounts (email, login) VALUES ('c@example.com', E'c\\tid')")
            until(lambda: database.states() == {"sent": 3, "failed": 1}, "the rest is settled")
            shown = json.loads(run("mailroom-collect status --json", env=env).out)
            failed = json.loads(run("mailroom-collect failed --json", env=env).out)
            retried = run("mailroom-collect retry --all", env=env)
            until(lambda: database.states() == {"sent": 3, "failed": 1}, "it has failed again")
            assert pipeline.stop() == 0
            lines = [json.loads(line) for line in pipeline.err.splitlines()]
        assert not [line for line in lines if line["level"] == "error"]
        assert not [line for line in lines if "connect" in line["message"] or "DEBUG" in line["message"]]
        ids = "SELECT message_id FROM deliveries WHERE message_id IS NOT NULL"
        assert len({message_id for (message_id,) in database.run(ids)} - {"NULL"}) == 3
        assert database.one("SELECT count(*) FROM deliveries WHERE error = 'NULL'") == 0
        assert sorted(endpoint.addresses) == ["ann@example.com", "ann@example.com", "ben@example.com"]
        assert (shown["sent"]["day"], shown["notifications"]["arrive"]) == (3, True)
        assert (failed["state"], failed["login"], retried.status) == ("failed", "c\tid", 0)
    finally:
        database.close()
