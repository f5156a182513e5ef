"""Pure: the place of each claimed token, its age, and its allowed moves from place to place.

A token that the ledger must record has a place here first. It is forgotten only after the ledger has recorded it. So
nothing is lost if the connection is lost in between.
"""

from collections.abc import Collection, Iterable
from enum import Enum, auto
from itertools import repeat, takewhile
from types import MappingProxyType
from typing import Final


class TokenPlace(Enum):
    """The place of a token, from its claim until this process has finished with it."""

    UNSIGNED = auto()  # claimed; no line has it yet
    UNKNOWN_ACTION = auto()  # can be signed only when the actions are read again
    TO_REJECT = auto()  # can't be signed or printed; the ledger must record that
    WAITING = auto()  # in a line of which no byte is written
    WRITTEN = auto()  # in a line of which a byte is written, or is about to be
    READ = auto()  # the reader has read its line; the ledger must record that
    WITH_SENDER = auto()  # the reader is a sender that acknowledges, and will begin it
    TO_RELEASE = auto()  # withdrawn; the ledger must release it


MOVES: Final = MappingProxyType(
    {
        TokenPlace.UNSIGNED: frozenset(
            {TokenPlace.WAITING, TokenPlace.UNKNOWN_ACTION, TokenPlace.TO_REJECT, TokenPlace.TO_RELEASE}
        ),
        TokenPlace.UNKNOWN_ACTION: frozenset({TokenPlace.WAITING, TokenPlace.TO_REJECT, TokenPlace.TO_RELEASE}),
        TokenPlace.TO_REJECT: frozenset({TokenPlace.TO_RELEASE}),
        TokenPlace.WAITING: frozenset({TokenPlace.WRITTEN, TokenPlace.TO_RELEASE}),
        TokenPlace.WRITTEN: frozenset({TokenPlace.READ}),
        TokenPlace.READ: frozenset({TokenPlace.WITH_SENDER}),
        TokenPlace.WITH_SENDER: frozenset({TokenPlace.READ}),  # the senders have stopped acknowledging
        TokenPlace.TO_RELEASE: frozenset(),
    }
)
"""For each place, the places to which a token may move. It may be forgotten at any place."""

UNWRITTEN: Final = (TokenPlace.UNSIGNED, TokenPlace.UNKNOWN_ACTION, TokenPlace.TO_REJECT, TokenPlace.WAITING)
"""The places from which a token can be withdrawn: the reader has read no byte of it."""

_ORIGINS: Final = MappingProxyType(
    {place: tuple(origin for origin, targets in MOVES.items() if place in targets) for place in TokenPlace}
)


class IllegalMove(Exception):
    """A move that the table does not have: an error of this program."""


class TokenPlaces:
    """The map from token to place. It has every token that this process has not finished with.

    Times are monotonic seconds that the caller passes.
    """

    def __init__(self) -> None:
        self._places: dict[int, TokenPlace] = {}
        self._claimed_at: dict[int, float] = {}  # in the same order, which is that of the claims

    def __len__(self) -> int:
        return len(self._places)

    def claim(self, tokens: Collection[int], now: float) -> None:
        """Add tokens that were just claimed. Raises IllegalMove when one of them is there already."""
        before = len(self._places)
        self._places.update(zip(tokens, repeat(TokenPlace.UNSIGNED)))
        self._claimed_at.update(zip(tokens, repeat(now)))
        if len(self._places) != before + len(tokens):
            raise IllegalMove("a claimed token has a place already")

    def move(self, tokens: Collection[int], to: TokenPlace) -> None:
        """Move tokens, all of them or none. Raises IllegalMove when one of them may not go there."""
        places = list(map(self._places.get, tokens))
        # Counted: a test of each token would take a tenth of the time that signing and printing take.
        illegal = len(places)
        for origin in _ORIGINS[to]:
            illegal -= places.count(origin)
        if illegal:
            raise self._illegal(tokens, to)
        self._places.update(zip(tokens, repeat(to)))

    def _illegal(self, tokens: Iterable[int], to: TokenPlace) -> IllegalMove:
        token = next(token for token in tokens if self._places.get(token) not in _ORIGINS[to])
        origin = self._places.get(token)
        return IllegalMove(f"token {token} can't go from {origin.name if origin else 'nowhere'} to {to.name}")

    def at(self, *wanted: TokenPlace) -> list[int]:
        """Return the tokens at these places, in the order of their claims."""
        if len(wanted) == 1:  # half of the time of the general way, for the place that every row passes
            return [token for token, place in self._places.items() if place is wanted[0]]
        return [token for token, place in self._places.items() if place in wanted]

    def claimed_before(self, time: float) -> list[int]:
        """Return the tokens that were claimed before that time, in the order of their claims."""
        return list(takewhile(lambda token: self._claimed_at[token] < time, self._claimed_at))

    def claim_times(self, tokens: Collection[int]) -> list[float]:
        """Return when each of these tokens was claimed."""
        return [self._claimed_at[token] for token in tokens]

    def held(self, tokens: Collection[int]) -> list[int]:
        """Return which of these tokens have a place."""
        if self._places.keys().isdisjoint(tokens):
            return []
        return [token for token in tokens if token in self._places]

    def all(self) -> list[int]:
        """Return all tokens, in the order of their claims."""
        return list(self._places)

    def forget(self, tokens: Iterable[int]) -> None:
        """Remove tokens after the ledger has recorded them, or has answered that this process does not hold them."""
        for token in tokens:
            del self._places[token], self._claimed_at[token]
