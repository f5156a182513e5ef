"""The database URL, before libpq sees it."""

import pytest

from mailroom_runtime.errors import SettingError
from mailroom_runtime.postgres.url import check_url


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("hunt@er2", "its user or password contains @ or /"),
        ("hunt/er2", "its user or password contains @ or /"),
        ("hu/nt@er2", "its user or password contains @ or /"),
        ("@", "its user or password contains @ or /"),
        ("hunter%2", "it has a % that two hexadecimal digits do not follow"),
        ("h?unt@er2", "its user or password contains @ or /"),
    ],
)
@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_password_with_a_special_character_is_refused_and_not_shown(scheme: str, password: str, fault: str) -> None:
    """libpq would read a part of it as the host, and its error would show that part."""
    with pytest.raises(SettingError, match="MAILROOM_DATABASE_URL is wrong") as error:
        check_url(f"{scheme}://ann:{password}@db.example.com:5432/app")
    assert fault in str(error.value)
    assert not [part for part in ("hunt", "er2", "nt@") if part in str(error.value)]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:p%40ss%2Fword%25@db.example.com/app",
        "postgresql://db.example.com/app",
        "postgresql://ann:hunt?er2@db.example.com/app?connect_timeout=3",
        "postgresql:///app?host=/run/postgresql",
        "postgres://ann@[::1]:5432,db.example.com/app?target_session_attrs=read-write",
        "postgresql://ann:secret@%2Frun%2Fpostgresql/app",
        "postgresql:///app?user=ann@example.com",
        "host=/run/postgresql dbname=app password=p@ss/word",
        "postgresql://",
    ],
)
def test_url_that_libpq_reads_as_meant_is_taken(url: str) -> None:
    """Escaped characters, sockets, several hosts, and the key=value form."""
    check_url(url)
