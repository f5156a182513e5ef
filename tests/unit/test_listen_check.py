"""Do notifications arrive?"""

from mailroom_collector.schedule.listen_check import ListenCheck


def payloads(check: ListenCheck) -> list[str]:
    return [payload for _, payload in check.calls]


def test_echo_that_comes_back_is_tested_again_later() -> None:
    """A test is made at the start and then at intervals."""
    check = ListenCheck(100, "me", ("tokens",))
    check.connected(0)
    assert check.deadline() == 0
    check.sent(1)
    assert not check.notified([*payloads(check)])
    check.check(50)
    assert not check.is_missing
    assert check.deadline() == 101


def test_missing_echo_says_that_notifications_are_missing_until_one_comes() -> None:
    """Five seconds without an answer are enough to poll; a late one ends it."""
    check = ListenCheck(100, "me", ("tokens",))
    check.connected(0)
    check.sent(0)
    check.check(4.9)
    assert not check.is_missing
    assert check.deadline() == 5
    check.check(5)
    assert check.is_missing
    assert not check.notified([*payloads(check)])
    assert not check.is_missing


def test_echoes_of_others_are_nothing() -> None:
    """Another collector's echo proves nothing and announces no rows; any other payload announces."""
    check, other = ListenCheck(100, "me", ("tokens",)), ListenCheck(100, "other", ("tokens",))
    check.sent(0)
    assert not check.notified([*payloads(other)])
    check.check(5)
    assert check.is_missing
    assert check.notified([*payloads(other), ""])


def test_without_a_connection_there_is_nothing_to_do() -> None:
    """A lost connection proves nothing; a test that could not be made is put off."""
    check = ListenCheck(100, "me", ("tokens",))
    check.connected(0)
    check.sent(0)
    check.disconnected()
    check.check(10)
    assert not check.is_missing
    assert check.deadline() == float("inf")
    check.connected(20)
    check.not_sent(20)
    assert check.deadline() == 120


def test_each_notification_that_is_no_echo_counts() -> None:
    """Their number tells how fast they come, whatever echoes are between them."""
    check = ListenCheck(100, "me", ("tokens",))
    assert check.notified(["", "mailroom-echo:other", "x", "mailroom-echo:me", ""]) == 3
    assert check.notified([]) == 0


def test_each_channel_must_echo() -> None:
    """One that does not is as if none did: nobody knows on which of them the next notification comes."""
    check = ListenCheck(100, "me", ("own", "tokens"))
    assert [channel for channel, _ in check.calls] == ["own", "tokens"]
    own, shared = payloads(check)
    assert own != shared
    check.sent(0)
    assert not check.notified([own, own])
    check.check(5)
    assert check.is_missing
    assert not check.notified([shared])
    assert not check.is_missing
