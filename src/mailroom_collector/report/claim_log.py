"""Logs and counts what claims find in addition to tokens to print."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mailroom_collector.log import log, token_log
from mailroom_runtime.words import counted

_NAMED_AT_ONCE: Final = 80
"""Tokens in one line of the log, which is cut after 2,000 characters."""
_WARN_AGAIN: Final = 60.0
"""Seconds between two warnings that tokens wait for their action."""


class ClaimLog:
    """Tokens that are stale, that wait for their action, or that may have been mailed twice."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_mailed_log = token_log("token_not_mailed", "not mailed")
        self._warn_at = 0.0
        self.stale = 0
        self.in_doubt = 0

    @property
    def log_at(self) -> float:
        """Return when to call log_counts()."""
        return self._not_mailed_log.due_at

    def log_counts(self, *, is_end: bool = False) -> None:
        """Log how many tokens were not mailed, if it is time or this is the end."""
        self._not_mailed_log.log_counts(is_end=is_end)

    def log_stale(self, reasons: Mapping[int, str]) -> None:
        """Log tokens that are not mailed any more, each with its reason."""
        by_reason: dict[str, list[int]] = {}
        for token, reason in reasons.items():
            by_reason.setdefault(reason, []).append(token)
        for reason, tokens in by_reason.items():
            self._not_mailed_log(reason, tokens)
        self.stale += len(reasons)

    def log_doubts(self, tokens: Sequence[int]) -> None:
        """Name each token that may have been mailed twice, many in a line."""
        for start in range(0, len(tokens), _NAMED_AT_ONCE):
            some = list(tokens[start : start + _NAMED_AT_ONCE])
            log(
                f"{counted(len(some), 'row')} may have been mailed twice: the last sender stopped before it recorded"
                f" the outcome, and the mail goes again; tokens {some}",
                "warning",
                event="tokens_may_have_been_mailed_twice",
                tokens=some,
                count=len(some),
            )
        self.in_doubt += len(tokens)

    def log_waiting(self, tokens: Sequence[int]) -> None:
        """Warn of tokens that wait for their action, at most once a minute: every claim finds them again."""
        now = self._clock()
        if not tokens or now < self._warn_at:
            return
        self._warn_at = now + _WARN_AGAIN
        log(
            f"{counted(len(tokens), 'token')} not claimed (first: {tokens[0]}), because the action is not in"
            " mailroom_actions; insert it (docs/adding-an-action.md). This is logged at most once a minute",
            "warning",
            event="action_missing",
            tokens=tokens,
            count=len(tokens),
        )
