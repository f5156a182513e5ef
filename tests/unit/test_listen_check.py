"""Do notifications arrive?"""

from mailroom_collector.schedule.listen_check import ListenCheck


def payloads(echo: ListenCheck) -> list[str]:
    return [payload for _, payload in echo.calls]


def test_echo_that_comes_back_is_asked_for_again_later() -> None:
    """A call is made at the start and then at intervals."""
    echo = ListenCheck(100, "me", ("bell",))
    echo.connected(0)
    assert echo.deadline() == 0
    echo.asked(1)
    assert not echo.heard([*payloads(echo)])
    echo.listen_in_vain(50)
    assert not echo.deaf
    assert echo.deadline() == 101


def test_missing_echo_makes_deaf_until_one_comes() -> None:
    """Five seconds without an answer are enough to poll; a late one ends it."""
    echo = ListenCheck(100, "me", ("bell",))
    echo.connected(0)
    echo.asked(0)
    echo.listen_in_vain(4.9)
    assert not echo.deaf
    assert echo.deadline() == 5
    echo.listen_in_vain(5)
    assert echo.deaf
    assert not echo.heard([*payloads(echo)])
    assert not echo.deaf


def test_echoes_of_others_are_nothing() -> None:
    """Another collector's echo neither ends deafness nor announces rows; any other payload announces."""
    echo, other = ListenCheck(100, "me", ("bell",)), ListenCheck(100, "other", ("bell",))
    echo.asked(0)
    assert not echo.heard([*payloads(other)])
    echo.listen_in_vain(5)
    assert echo.deaf
    assert echo.heard([*payloads(other), ""])


def test_without_a_connection_there_is_nothing_to_do() -> None:
    """A lost connection makes nobody deaf; a call that could not be made is put off."""
    echo = ListenCheck(100, "me", ("bell",))
    echo.connected(0)
    echo.asked(0)
    echo.disconnected()
    echo.listen_in_vain(10)
    assert not echo.deaf
    assert echo.deadline() == float("inf")
    echo.connected(20)
    echo.not_asked(20)
    assert echo.deadline() == 120


def test_each_notification_that_is_no_echo_counts() -> None:
    """Their number tells how fast they come, whatever echoes are between them."""
    echo = ListenCheck(100, "me", ("bell",))
    assert echo.heard(["", "mailroom-echo:other", "x", "mailroom-echo:me", ""]) == 3
    assert echo.heard([]) == 0


def test_each_channel_must_echo() -> None:
    """One that does not is as if none did: nobody knows on which of them the next notification comes."""
    echo = ListenCheck(100, "me", ("own", "bell"))
    assert [channel for channel, _ in echo.calls] == ["own", "bell"]
    own, bell = payloads(echo)
    assert own != bell
    echo.asked(0)
    assert not echo.heard([own, own])
    echo.listen_in_vain(5)
    assert echo.deaf
    assert not echo.heard([bell])
    assert not echo.deaf
