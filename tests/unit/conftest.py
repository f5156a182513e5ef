import pytest

from mailroom_sender import host_names, identities


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """No test gets what was worked out for another one."""
    host_names.to_ascii.cache_clear()
    identities.address_of.cache_clear()
