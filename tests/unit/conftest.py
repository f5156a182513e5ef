import pytest

from mailroom_sender.address import host_name, identity


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Clear the caches, so that no test uses the results of another one."""
    host_name.to_ascii.cache_clear()
    identity.address_of.cache_clear()
