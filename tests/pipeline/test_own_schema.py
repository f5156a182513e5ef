"""mailroom in its own schema, beside an application that has tables with the same names."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import Environment
from tests.support.pooler import running_pgbouncer
from tests.support.postgres import Database, Server
from tests.support.processes import environment, run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

SCHEMA = "order"
QUOTED = f'"{SCHEMA}"'
OWNER, APPLICATION, COLLECTOR, SENDER, OPERATOR = ROLES = tuple(
    f"own_{name}" for name in ("owner", "application", "collector", "sender", "operator")
)
APPLICATIONS = """
CREATE TABLE accounts (id integer PRIMARY KEY, status text); INSERT INTO accounts VALUES (1, 'open');
CREATE TABLE tokens (id integer PRIMARY KEY, action text); INSERT INTO tokens VALUES (1, 'api');
CREATE TABLE jobs (id integer PRIMARY KEY, payload jsonb);
CREATE TABLE deliveries (id integer PRIMARY KEY, parcel text);
CREATE TABLE schema_migrations (version varchar PRIMARY KEY); INSERT INTO schema_migrations VALUES ('20260131235959');
"""


@dataclass
class Place:
    """A database, and how roles connect to it."""

    database: Database
    address: str

    def url(self, role: str) -> str:
        return f"{self.address} dbname={self.database.name} user={role} sslmode=disable"

    def env(self, role: str, **settings: str) -> dict[str, str]:
        return environment(MAILROOM_DATABASE_URL=self.url(role), MAILROOM_SCHEMA_NAME=SCHEMA, **settings)

    def untouched(self) -> list[str]:
        """Return everything in public: the catalogue and the rows."""
        names = self.database.run("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
        tables = ("accounts", "tokens", "jobs", "deliveries", "schema_migrations")
        rows = [
            (table, *row)
            for table in tables
            if (table,) in names
            for row in self.database.run(f"SELECT * FROM public.{table}")
        ]
        return [str(row) for row in names + rows]


@pytest.fixture
def roles(server: Server) -> Iterator[None]:
    with server.connect("postgres") as admin:
        for role in ROLES:
            admin.execute(f"CREATE ROLE {role} LOGIN".encode())
        yield
        for role in ROLES:
            admin.execute(f"DROP ROLE {role}".encode())


@pytest.fixture(params=["direct", "pgbouncer"])
def place(server: Server, roles: None, request: pytest.FixtureRequest) -> Iterator[Place]:  # noqa: ARG001
    """A database of an application with accounts, tokens, jobs, deliveries and Rails' schema_migrations."""
    database = Database(server, server.new_database(template="template1"))
    database.run(APPLICATIONS)
    database.run(f"GRANT CREATE ON DATABASE {database.name} TO {OWNER}")
    try:
        if request.param == "direct":
            yield Place(database, f"host={server.folder}")
        else:
            with running_pgbouncer(database, ROLES) as port:
                yield Place(database, f"host=127.0.0.1 port={port}")
    finally:
        database.close()


def install(place: Place) -> None:
    """Migrate as a role that may create in the database, and give each role only the rights it needs."""
    before = place.untouched()
    migrated = run(
        f"mailroom-collect migrate --schema '{SCHEMA}'", env=environment(MAILROOM_DATABASE_URL=place.url(OWNER))
    )
    assert migrated.status == 0, migrated.err
    assert migrated.out.splitlines()[0] == f"creating the schema {SCHEMA}"
    again = run("mailroom-collect migrate", env=place.env(OWNER))
    assert (again.status, again.out[:13]) == (0, "nothing to do")
    assert place.untouched() == before
    assert place.database.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    functions = (
        "SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc WHERE pronamespace::regnamespace::text = %s"
    )
    operators = "proname NOT IN ('mailroom_claim', 'mailroom_claim_any', 'mailroom_begin', 'mailroom_settle')"
    for statement in (
        f"GRANT USAGE ON SCHEMA {QUOTED} TO {', '.join(ROLES)}",
        f"GRANT INSERT, SELECT, UPDATE ON {QUOTED}.accounts, {QUOTED}.tokens TO {APPLICATION}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {QUOTED} TO {APPLICATION}",
        f"GRANT EXECUTE ON FUNCTION {place.database.one(functions, QUOTED)} TO {COLLECTOR}, {SENDER}",
        f"GRANT EXECUTE ON FUNCTION {place.database.one(f'{functions} AND {operators}', QUOTED)} TO {OPERATOR}",
    ):
        place.database.run(statement)


@pytest.mark.first
def test_everything_works_in_a_schema_of_its_own(place: Place, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """Sign-up, pipeline and each command work with these rights. The application's tables stay unchanged."""
    install(place)
    before = place.untouched()
    command = (
        "trap : TERM; set -o pipefail;"
        ' MAILROOM_DATABASE_URL="$COLLECTOR" mailroom-collect | MAILROOM_DATABASE_URL="$SENDER" mailroom-send'
    )
    urls = {"COLLECTOR": place.url(COLLECTOR), "SENDER": place.url(SENDER)}
    states = f"SELECT state::text FROM {QUOTED}.deliveries ORDER BY token"
    with running(command, pipeline_env(MAILROOM_SCHEMA_NAME=SCHEMA, **urls)) as pipeline:
        pipeline.says("acknowledging")
        place.database.run(f"SET ROLE {APPLICATION}")
        for name in ("ann", "a comma, a quote"):
            place.database.run(
                f"INSERT INTO {QUOTED}.accounts (email, login) VALUES (md5(%s) || '@b.c', %s)", name, name
            )
        place.database.run("RESET ROLE")
        until(lambda: place.database.run(states) == [("sent",), ("sent",)], f"both are mailed; {pipeline.err}")
        assert pipeline.stop() == 0
    assert len(endpoint.mailed) == 2
    status = run("mailroom-collect status --json", env=place.env(OPERATOR))
    assert json.loads(status.out)["sent"]["hour"] == 2, status.err
    assert run("mailroom-collect failed", env=place.env(OPERATOR)).status == 0
    nobody = run("mailroom-collect failed --account nobody", env=place.env(OWNER))
    assert "there is no account" in nobody.err, nobody.err
    assert run("mailroom-collect retry --all --dry-run", env=place.env(OPERATOR)).status == 0
    verified = run("mailroom-collect verify --action nothing", env=place.env(OPERATOR))
    assert "there is no 'nothing' in mailroom_actions; give one of: activation, password_recovery" in verified.err
    for command in ("pause", "resume"):
        result = run(f"mailroom-collect {command}", env=place.env(OPERATOR))
        assert result.status == 0, result.err
    pruned = run("mailroom-collect prune --older-than 30d --dry-run", env=place.env(OPERATOR))
    assert pruned.out.startswith("would remove 0 deliveries"), pruned.err
    check = run(
        "mailroom-send check --json",
        env=pipeline_env(MAILROOM_SCHEMA_NAME=SCHEMA, MAILROOM_DATABASE_URL=urls["SENDER"]),
    )
    (found,) = [one for one in json.loads(check.out)["checks"] if one["check"] == "database"]
    assert (found["status"], found["found"]) == ("ok", f"role {SENDER} may do the sender's steps in queue mailroom")
    assert place.untouched() == before


def test_wrong_schema_is_reported(place: Place, pipeline_env: Environment) -> None:
    """Both programs and all commands say where mailroom is and which setting finds it."""
    install(place)
    way_out = f"it is in schema {SCHEMA}; set MAILROOM_SCHEMA_NAME={SCHEMA}"
    for role, command in (
        (COLLECTOR, "mailroom-collect"),
        (SENDER, "mailroom-send"),
        (OPERATOR, "mailroom-collect status"),
        (OPERATOR, "mailroom-collect --schema-name elsewhere failed"),
    ):
        result = run(command, env=pipeline_env(MAILROOM_DATABASE_URL=place.url(role)))
        assert result.status == 2
        assert way_out in result.err
    checked = run(
        "mailroom-send check", env=environment(MAILROOM_DATABASE_URL=place.url(SENDER), AWS_EC2_METADATA_DISABLED="1")
    )
    assert way_out in checked.out


def test_missing_right_to_the_schema_is_named(place: Place, pipeline_env: Environment) -> None:
    """The message names the missing grant."""
    install(place)
    place.database.run(f"REVOKE USAGE ON SCHEMA {QUOTED} FROM {SENDER}")
    result = run("mailroom-send", env=pipeline_env() | place.env(SENDER))
    assert result.status == 2
    assert f"permission denied for schema {SCHEMA}; grant it" in result.err


@pytest.mark.parametrize("place", ["direct"], indirect=True)
def test_migration_changes_no_table_of_the_application(place: Place) -> None:
    """Without an own schema, the message names the conflicting table and the solution."""
    before = place.untouched()
    env = environment(MAILROOM_DATABASE_URL=place.url("postgres"))
    refused = run("mailroom-collect migrate", env=env)
    assert refused.status == 1
    assert "schema_migrations in schema public is another program's: its columns are version" in refused.err
    assert "mailroom-collect migrate --schema mailroom" in refused.err
    place.database.run("DROP TABLE schema_migrations")
    assert (
        "schema public already has accounts, tokens, jobs, deliveries of"
        in run("mailroom-collect migrate", env=env).err
    )
    place.database.run("CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)")
    place.database.run("INSERT INTO schema_migrations VALUES (4, false)")
    golang = run("mailroom-collect migrate", env=env)
    assert "it records version 4, and the schema has no mailroom" in golang.err
    assert [row for row in place.untouched() if "schema_migrations" not in row] == [
        row for row in before if "schema_migrations" not in row
    ]


@pytest.mark.parametrize("place", ["direct"], indirect=True)
@pytest.mark.parametrize("path", [f"{QUOTED},public", f"public,{QUOTED}"])
def test_tables_elsewhere_in_the_search_path_are_ignored(place: Place, path: str) -> None:
    """A table with the same name in another schema does not count as mailroom's and does not conflict."""
    dry = run(
        "mailroom-collect migrate --dry-run --schema elsewhere",
        env=environment(MAILROOM_DATABASE_URL=place.url("postgres")),
    )
    assert dry.out.splitlines()[:2] == ["would create the schema elsewhere", "would run 0_init.up"]
    place.database.run(f"CREATE SCHEMA {QUOTED}")
    place.database.run(f"ALTER ROLE {OWNER} SET search_path = {path}")
    place.database.run(f"GRANT ALL ON SCHEMA {QUOTED}, public TO {OWNER}")
    place.database.run("DROP TABLE public.schema_migrations")
    migrated = run("mailroom-collect migrate", env=environment(MAILROOM_DATABASE_URL=place.url(OWNER)))
    if path.startswith("public"):
        assert "schema public already has accounts, tokens, jobs, deliveries of" in migrated.err
        migrated = run("mailroom-collect migrate", env=place.env(OWNER))
        assert migrated.status == 0, migrated.err
        again = run("mailroom-collect migrate", env=environment(MAILROOM_DATABASE_URL=place.url(OWNER)))
        assert f"mailroom is in another schema of this database: {SCHEMA}; the search path leads to public" in again.err
        assert "mailroom-collect migrate --schema NAME" in again.err
        down = run("mailroom-collect migrate --to -1 --yes", env=place.env(OWNER))
        assert down.out.splitlines()[-1] == f"note: the schema {SCHEMA} stays, with the table schema_migrations"
        assert place.database.one("SELECT count(*) FROM public.accounts") == 1
    else:
        assert migrated.status == 0, migrated.err
        assert place.database.one(f"SELECT count(*) FROM {QUOTED}.accounts") == 0
