"""The URL with which links begin."""

import pytest

from mailroom_sender.address.base_url import checked_base_url, is_local


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com:8443/a/b-c_d~e/%C3%A9/", "https://app.example.com:8443/a/b-c_d~e/%C3%A9"),
        ("https://app.example.com:65535/aX", "https://app.example.com:65535/aX"),
        ("https://app.example.com/" + "a" * 476, "https://app.example.com/" + "a" * 476),
        ("https://xn--strae-oqa.example", "https://xn--strae-oqa.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1/x", "http://127.0.0.1/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_good_base_url_is_accepted_without_trailing_slashes(given: str, taken: str) -> None:
    """It has host, port and path of an https URL. http is for this machine only."""
    assert checked_base_url(given) == taken


@pytest.mark.parametrize(
    "given",
    [
        "",
        "app.example.com",
        "//app.example.com",
        "http://app.example.com",
        "http://localhost.example.com",
        "http://localhost@example.com",
        "ftp://app.example.com",
        "https://",
        "https://user:pw@app.example.com",
        "https://app.example.com?x=1",
        "https://app.example.com/#x",
        "https://app.example.com/a b",
        "https://app.example.com/a\n",
        'https://app.example.com/"><b>',
        "https://app.example.com/&amp",
        "https://app.example.com/{{secret}}",
        "https://app.example.com//a",
        "https://app.example.com/%zz",
        "https://app.example.com:0",
        "https://app.example.com:65536",
        "https://-a.example.com",
        "https://straße.example",
        "https://app.example.com/" + "a" * 477,
        "javascript:alert(1)",
    ],
)
def test_bad_base_url_is_refused(given: str) -> None:
    """It could end its HTML attribute or mislead a reader."""
    with pytest.raises(ValueError, match="an https:// URL of host and path"):
        checked_base_url(given)


def test_own_machine_is_recognized() -> None:
    """A link to it is of no use to the reader of a mail."""
    assert is_local("http://localhost:3000")
    assert is_local("https://LOCALHOST")
    assert not is_local("https://app.example.com")
