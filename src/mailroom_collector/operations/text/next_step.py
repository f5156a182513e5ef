"""Pure: what to do about a token, in words, by a table of situations. The first that applies is the one."""

from collections.abc import Callable
from typing import Final, NamedTuple

from mailroom_collector.operations.figures import QueuePause, TokenHistory
from mailroom_collector.operations.text.delivery_list import remedy
from mailroom_collector.operations.text.durations import format_duration, stamp
from mailroom_collector.report.outlook import rate_words
from mailroom_runtime.words import counted, visible

_INSERT: Final = "insert a new token, as the application does"
_REPLACED: Final = "a newer token took its place"
_LIMITED: Final = "the account reached its limit of mails"
_WAIT: Final = f"Wait until the first of its mails is older than most_within of the action, and {_INSERT}."
_WORKS: Final = "mailroom-collect status shows whether both programs run"


class NextStep(NamedTuple):
    """What a token's situation is called in JSON, and what to do, in one or more sentences."""

    code: str
    words: str


class _Situation(NamedTuple):
    """A situation: whether a token is in it, and what to do then."""

    code: str
    applies: Callable[[TokenHistory, QueuePause], bool]
    words: Callable[[TokenHistory, QueuePause], str]


def next_step(token: TokenHistory, queue: QueuePause) -> NextStep:
    """Return what to do about a token."""
    found = next(one for one in _SITUATIONS if one.applies(token, queue))
    return NextStep(found.code, found.words(token, queue))


def _is(state: str | None, *, due: bool | None = None) -> Callable[[TokenHistory, QueuePause], bool]:
    """Return a test for a state. `due`: of what is held, whether its lease has run out."""
    return lambda token, _: token.state == state and (due is None or token.is_due is due)


def _skipped(reason: str) -> Callable[[TokenHistory, QueuePause], bool]:
    """Return a test for a skipped token whose reason begins so. The text only selects the advice for a person."""
    return lambda token, _: token.state == "skipped" and (token.error or "").startswith(reason)


def _waits(token: TokenHistory) -> bool:
    """Return whether it is to be claimed, or claimed and not begun."""
    return token.state == "pending" or (token.state == "claimed" and token.is_due is False)


def _no_delivery(token: TokenHistory, _: QueuePause) -> str:
    if token.stale is not None:
        return (
            f"The ledger has no delivery of it, and {token.stale}. If it was mailed once, prune has removed its"
            " delivery."
        )
    return (
        "The ledger has no delivery of it. The trigger mailroom_announce is missing or disabled on tokens, or the"
        f" queue is younger than the token. Enable the trigger, and {_INSERT}."
    )


def _stale(token: TokenHistory, _: QueuePause) -> str:
    if token.consumed_at is not None:
        return "It was used already, and is skipped when it is its turn. There is nothing to do."
    reason = token.stale or ""
    skipped = f"It is skipped when it is its turn: {visible(reason)}."
    if reason.startswith(_REPLACED):
        return f"{skipped} Look at that one."
    return f"{skipped} {_WAIT}" if reason.startswith(_LIMITED) else f"{skipped} If somebody still waits, {_INSERT}."


def _paused(_: TokenHistory, queue: QueuePause) -> str:
    since = "" if queue.since is None else f" since {stamp(queue.since)} UTC"
    why = f": {visible(queue.reason)}" if queue.reason else ""
    return f"The queue is paused{since}{why}. mailroom-collect resume ends that."


def _later(token: TokenHistory, _: QueuePause) -> str:
    at = "" if token.due_at is None else f" at {stamp(token.due_at)} UTC"
    if not token.error:
        return f"It is to be claimed again{at}. Wait until then."
    return (
        f"It was not accepted so far: {visible(token.error)}. It is tried again{at}. docs/refusals.md says which"
        " refusals end by themselves, and which need a change by you."
    )


def _late(token: TokenHistory, _: QueuePause) -> str:
    return (
        f"{_ahead(token)}. At {rate_words(token.rate_per_s or 0)} it expires before its turn. When the backlog is over,"
        f" {_INSERT}. docs/before-an-import.md says how to prevent this."
    )


def _turn(token: TokenHistory, _: QueuePause) -> str:
    if token.wait_s is None:
        return f"{_ahead(token)}. How fast mails go is not known yet. Ask again in half a minute."
    return f"{_ahead(token)}. At {rate_words(token.rate_per_s or 0)} its turn comes in {format_duration(token.wait_s)}."


def _ahead(token: TokenHistory) -> str:
    verb = "is" if token.ahead == 1 else "are"
    return f"{counted(token.ahead, 'mail')} {verb} ahead of it" if token.ahead else "No mail is ahead of it"


def _failed(token: TokenHistory, _: QueuePause) -> str:
    if token.stale is not None:
        return f"It can't be mailed any more: {visible(token.stale)}. Correct the fault, and {_INSERT}."
    return f"{_sentence(remedy(token.error or ''))} mailroom-collect retry --token {token.id} puts it back."


def _skipped_otherwise(token: TokenHistory, _: QueuePause) -> str:
    if token.stale is None:
        return f"It may be mailed now. mailroom-collect retry --token {token.id} puts it back."
    return f"It may not be mailed: {visible(token.stale)}. Once that has changed, {_INSERT}."


def _sent(token: TokenHistory, _: QueuePause) -> str:
    twice = " A call before had no answer, so it may have been mailed more than once." if token.doubts else ""
    return (
        f"SES accepted it.{twice} If it did not arrive, ask SES whether it suppresses the address: aws sesv2"
        " get-suppressed-destination --email-address ADDRESS. docs/no-mail.md, step 3, says what else to look at."
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _fixed(words: str) -> Callable[[TokenHistory, QueuePause], str]:
    return lambda *_: words


_SITUATIONS: Final = (
    _Situation("no_delivery", _is(None), _no_delivery),
    _Situation("sent", _is("sent"), _sent),
    _Situation("emitted", _is("emitted"), _fixed(
        "A program that does not keep the ledger has read its line: a sender without MAILROOM_DATABASE_URL, or a debug"
        " run. The ledger does not know whether it was mailed. The first sender that keeps the ledger mails it, if it"
        " is still valid."
    )),
    _Situation("failed", _is("failed"), _failed),
    _Situation("consumed", _skipped("the token was consumed"), _fixed(
        "It was used before it was mailed. There is nothing to do."
    )),
    _Situation("expired", _skipped("the token expired"), _fixed(
        f"It expired before it was mailed. {_INSERT[0].upper()}{_INSERT[1:]}. If it was late for no known reason, look"
        " into the logs of that time."
    )),
    _Situation("replaced", _skipped(_REPLACED), _fixed(
        "Of several tokens of this account and action only the newest is mailed. Look at that one."
    )),
    _Situation("limited", _skipped(_LIMITED), _fixed(
        f"The account got as many mails as its action allows in that time (docs/order.md). {_WAIT}"
    )),
    _Situation("skipped", _is("skipped"), _skipped_otherwise),
    _Situation("sending", _is("sending", due=False), _fixed(
        "A sender is calling SES. Ask again in a moment."
    )),
    _Situation("sender_lost", _is("sending", due=True), _fixed(
        f"Its sender stopped in the call. The next collector claims it, and it may be mailed twice. {_WORKS}."
    )),
    _Situation("collector_lost", _is("claimed", due=True), _fixed(
        f"The lease of its holder ran out. The next claim takes it, by any collector. {_WORKS}."
    )),
    _Situation("stale", lambda token, _: _waits(token) and token.stale is not None, _stale),
    _Situation("paused", lambda token, queue: _waits(token) and queue.since is not None, _paused),
    _Situation("unlisted", lambda token, _: _waits(token) and not token.listed, _fixed(
        "Its action is not in mailroom_actions. Insert it (docs/adding-an-action.md)."
    )),
    _Situation("claimed", _is("claimed"), _fixed(
        "Its line is printed, and a sender begins it within seconds. If it stays so, the sender does not read:"
        f" {_WORKS}."
    )),
    _Situation("later", _is("pending", due=False), _later),
    _Situation("nothing_sent", lambda token, _: token.rate_per_s == 0, _fixed(
        f"It waits, and nothing was sent in the last 30 s. {_WORKS}."
    )),
    _Situation("late", lambda token, _: token.is_late is True, _late),
    _Situation("turn", lambda *_: True, _turn),
)  # fmt: skip
