"""The test that notifications arrive."""

from mailroom_collector.schedule.listen_check import ListenCheck


def payloads(check: ListenCheck) -> list[str]:
    return [payload for _, payload in check.calls]


def test_answered_test_is_repeated_later() -> None:
    """A test is made at the start and then at intervals."""
    check = ListenCheck(100, "me", ("tokens",))
    check.connected(0)
    assert check.deadline() == 0
    check.sent(1)
    assert not check.notified([*payloads(check)])
    check.check(50)
    assert not check.is_missing
    assert check.deadline() == 101


def test_missing_echo_counts_as_missing_notifications() -> None:
    """After five seconds without an echo the collector polls. A late echo ends this."""
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


def test_echoes_of_others_are_ignored() -> None:
    """Another collector's echo proves nothing and announces no rows. Any other payload announces rows."""
    check, other = ListenCheck(100, "me", ("tokens",)), ListenCheck(100, "other", ("tokens",))
    check.sent(0)
    assert not check.notified([*payloads(other)])
    check.check(5)
    assert check.is_missing
    assert check.notified([*payloads(other), ""])


def test_without_a_connection_there_is_nothing_to_do() -> None:
    """A lost connection proves nothing. A test that could not be made is postponed."""
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


def test_each_notification_except_echoes_counts() -> None:
    """Their number gives their rate, whatever echoes are between them."""
    check = ListenCheck(100, "me", ("tokens",))
    assert check.notified(["", "mailroom-echo:other", "x", "mailroom-echo:me", ""]) == 3
    assert check.notified([]) == 0


def test_each_channel_must_echo() -> None:
    """One silent channel counts like all, because the next notification may use any of them."""
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
