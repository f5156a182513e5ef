"""Pure: the names of all settings in the environment, and the variables that only look like a setting."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_PREFIX: Final = "MAILROOM_"
SETTINGS: Final = frozenset(
    {
        "MAILROOM_BATCH_LIMIT",
        "MAILROOM_BATCH_TIMEOUT",
        "MAILROOM_CHANNEL_NAME",
        "MAILROOM_DATABASE_URL",
        "MAILROOM_DATABASE_URL_FILE",
        "MAILROOM_DEBUG",
        "MAILROOM_DEBUG_FORMAT",
        "MAILROOM_HEALTHCHECK_INTERVAL",
        "MAILROOM_LEASE",
        "MAILROOM_LINK_BASE_URL",
        "MAILROOM_LOG_FORMAT",
        "MAILROOM_QUEUE_NAME",
        "MAILROOM_SCHEMA_NAME",
        "MAILROOM_SECRET_KEY",
        "MAILROOM_SECRET_KEY_FILE",
        "MAILROOM_SES_CONCURRENCY",
        "MAILROOM_SES_CONFIG_SET",
        "MAILROOM_SES_ESCAPE_HTML",
        "MAILROOM_SES_MAX_RATE",
        "MAILROOM_SES_OUTPUT_PATH",
        "MAILROOM_SES_SOURCE",
    }
)
"""The settings of both programs. They share an environment, so a setting of the other program is correct too."""
# Kubernetes sets these in each container if a service has the name mailroom or mailroom-...
# (its documentation, "Service", "Environment variables").
_OF_A_SERVICE = re.compile(
    r"MAILROOM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)", re.ASCII
)


class UnknownSetting(NamedTuple):
    """A variable that looks like a setting but is none."""

    variable: str
    nearest: str
    """The setting with the most similar name; empty if no name is similar."""

    def __str__(self) -> str:
        """Return it as a line of the log."""
        hint = f"the nearest setting is {self.nearest}" if self.nearest else "--help lists the settings"
        return f"the variable {self.variable} is not a setting of mailroom and is ignored; {hint}"


def unknown_settings(variables: Iterable[str]) -> Iterator[UnknownSetting]:
    """Yield each variable that looks like a setting but is none.

    The caller passes only names, so that no value can get into the log.
    """
    for name in sorted(variables):
        if name.startswith(_PREFIX) and name not in SETTINGS and not _OF_A_SERVICE.fullmatch(name):
            yield UnknownSetting(name, _nearest(name))


def _nearest(name: str) -> str:
    """Return the setting with the most similar name; empty if no name is similar."""
    rest = {setting.removeprefix(_PREFIX): setting for setting in sorted(SETTINGS)}
    found = difflib.get_close_matches(name.removeprefix(_PREFIX).upper(), rest, n=1)
    return rest[found[0]] if found else ""
