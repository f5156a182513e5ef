"""What the sender was told, checked. The database URL comes from the environment or a file, never from options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mailroom_sender.errors import SettingError

_PATIENCE: Final = 10.0  # seconds, at least: a busy server is not a dead one


@dataclass(frozen=True, slots=True)
class Settings:
    """The sender's settings; times in ms."""

    database_url: str | None = field(repr=False)
    queue_name: str
    debug: bool
    config_set: str
    source: str
    output_path: Path
    escape_html: bool
    link_base_url: str | None
    concurrency: int
    max_rate: int | None
    lease_ms: int

    @property
    def patience(self) -> float:
        """Return the seconds that the database may take to answer: later than a lease, it is of no use."""
        return max(_PATIENCE, self.lease_ms / 1000)


def optional_secret(name: str, file: str | None, environ: Mapping[str, str]) -> str | None:
    """Return a secret from the variable `name` or from the file that `name`_FILE names, if there is one.

    Raises SettingError when both are set, or the file can't be read or is empty.
    """
    value = environ.get(name) or None
    if value and file:
        raise SettingError(f"{name} and {name}_FILE are both set", "set only one of them")
    if not file:
        return value
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(f"{name}_FILE: {file} can't be read: {reason}") from None
    if not value:
        raise SettingError(f"{name}_FILE: {file} is empty", f"write what {name} would hold into it")
    return value
