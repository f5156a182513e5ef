"""The command of a program: a group of commands, with the settings that both programs have."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from mailroom_runtime.settings.lazy_group import LazyCommand, LazyGroup
from mailroom_runtime.settings.options import database_url_file, schema_name

DISTRIBUTION: Final = "mailroom-ses"
"""The name of the installed package. Its version is the version of both programs."""


def program(name: str, commands: Mapping[str, LazyCommand], epilog: str) -> Callable[[Callable[..., Any]], click.Group]:
    """Return a decorator that makes a function a program. The function also runs before each of the commands."""

    def decorate(function: Callable[..., Any]) -> click.Group:
        version = click.version_option(package_name=DISTRIBUTION, prog_name=name)
        group = click.group(
            cls=LazyGroup,
            lazy=commands,
            invoke_without_command=True,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            epilog=epilog,
        )
        return group(version(database_url_file(schema_name(function))))

    return decorate
