"""Variables that look like settings."""

from collections.abc import Iterator

import click
import pytest

from mailroom_collector.cli import cli as collector
from mailroom_runtime.settings.setting_names import SETTINGS, unknown_settings
from mailroom_sender.cli import cli as sender

SECRETS = {"MAILROOM_DATABASE_URL", "MAILROOM_SECRET_KEY"}  # these have no option


def variables(command: click.Command) -> Iterator[str]:
    """Yield the variables of a command and of its subcommands."""
    yield from (param.envvar for param in command.params if isinstance(param.envvar, str))
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from variables(inner)


def test_all_settings_of_both_programs_are_known() -> None:
    """A new setting must be added to the list, or each start would warn of it."""
    assert {*variables(collector), *variables(sender)} | SECRETS == SETTINGS
    assert list(unknown_settings([*SETTINGS, "PATH", "AWS_REGION", "_MAILROOM_SEND_COMPLETE", "MAILROOMS"])) == []


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("MAILROOM_BATCHLIMIT", "the nearest setting is MAILROOM_BATCH_LIMIT"),
        ("MAILROOM_DATABSE_URL", "the nearest setting is MAILROOM_DATABASE_URL"),
        ("MAILROOM_DB_URL", "the nearest setting is MAILROOM_DATABASE_URL"),
        ("MAILROOM_SECRET_KEYFILE", "the nearest setting is MAILROOM_SECRET_KEY_FILE"),
        ("MAILROOM_SES_RATE", "the nearest setting is MAILROOM_SES_MAX_RATE"),
        ("MAILROOM_debug", "the nearest setting is MAILROOM_DEBUG"),
        ("MAILROOM_XYZZY", "--help lists the settings"),
        ("MAILROOM_", "--help lists the settings"),
    ],
)
def test_misspelt_name_is_reported_with_the_nearest_one(variable: str, hint: str) -> None:
    """It is not ignored silently."""
    assert [str(unknown) for unknown in unknown_settings([variable])] == [
        f"the variable {variable} is not a setting of mailroom and is ignored; {hint}"
    ]


@pytest.mark.parametrize(
    "variable",
    [
        "MAILROOM_SERVICE_HOST",
        "MAILROOM_SERVICE_PORT",
        "MAILROOM_SERVICE_PORT_METRICS",
        "MAILROOM_PORT",
        "MAILROOM_PORT_9177_TCP",
        "MAILROOM_PORT_9177_TCP_ADDR",
        "MAILROOM_METRICS_PORT_9177_TCP_PROTO",
    ],
)
def test_variables_of_kubernetes_cause_no_warning(variable: str) -> None:
    """Kubernetes sets them in each container for a service that is called mailroom."""
    assert list(unknown_settings([variable])) == []
