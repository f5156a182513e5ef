"""The places of a claimed token: the legal moves, and that no unrecorded outcome is forgotten."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mailroom_collector.output.token_places import MOVES, UNWRITTEN, IllegalMove, TokenPlace, TokenPlaces

TOKENS = st.sets(st.integers(1, 8), max_size=8)
PLACES = st.sampled_from(TokenPlace)


class Places(RuleBasedStateMachine):
    """Any order of claims, moves and records, beside a plain map with the expected place of each token."""

    def __init__(self) -> None:
        super().__init__()
        self.places = TokenPlaces()
        self.model: dict[int, TokenPlace] = {}

    @rule(tokens=TOKENS)
    def claim(self, tokens: set[int]) -> None:
        new = tokens - set(self.places.held(tokens))
        assert new == tokens - self.model.keys()
        self.places.claim(new, 0.0)
        self.model |= dict.fromkeys(new, TokenPlace.UNSIGNED)

    @rule(tokens=TOKENS, to=PLACES)
    def move(self, tokens: set[int], to: TokenPlace) -> None:
        if all(token in self.model and to in MOVES[self.model[token]] for token in tokens):
            self.places.move(tokens, to)
            self.model |= dict.fromkeys(tokens, to)
        else:
            with pytest.raises(IllegalMove, match="can't go from"):
                self.places.move(tokens, to)

    @rule(origin=PLACES, to=PLACES)
    def move_all_of_a_place(self, origin: TokenPlace, to: TokenPlace) -> None:
        self.move({token for token, place in self.model.items() if place is origin}, to)

    @rule(place=PLACES)
    def record(self, place: TokenPlace) -> None:
        reported = self.places.at(place)
        self.places.forget(reported)
        self.model = {token: at for token, at in self.model.items() if at is not place}

    @invariant()
    def each_token_is_at_one_place(self) -> None:
        assert self.places.all() == list(self.model)
        assert len(self.places) == len(self.model)
        for place in TokenPlace:
            assert self.places.at(place) == [token for token, at in self.model.items() if at is place]
        assert self.places.held(range(10)) == sorted(self.model)


TestPlaces = Places.TestCase


@pytest.mark.parametrize("origin", TokenPlace)
def test_each_place_has_a_way_to_the_ledger(origin: TokenPlace) -> None:
    """From each place a token can reach one from which the collector or its sender records it."""
    reached, known = [origin], {origin}
    while reached:
        following = MOVES[reached.pop()] - known
        known |= following
        reached += following
    assert known & {TokenPlace.TO_RELEASE, TokenPlace.TO_REJECT, TokenPlace.WITH_SENDER}


def test_written_token_is_never_withdrawn() -> None:
    """Once a byte of its line is written, a token can't be released or rejected.

    Before that, it can always be released.
    """
    for place in TokenPlace:
        can_be_released = TokenPlace.TO_RELEASE in MOVES[place]
        assert can_be_released == (place in UNWRITTEN), place
    for place in (TokenPlace.WRITTEN, TokenPlace.READ, TokenPlace.WITH_SENDER):
        assert MOVES[place] <= {TokenPlace.READ, TokenPlace.WITH_SENDER}


def test_token_is_printed_once() -> None:
    """No move leads back to a line."""
    origins = {place for place in TokenPlace if TokenPlace.WAITING in MOVES[place]}
    assert origins == {TokenPlace.UNSIGNED, TokenPlace.UNKNOWN_ACTION}
    assert not any(origins & MOVES[place] - {TokenPlace.UNKNOWN_ACTION} for place in TokenPlace)


def test_illegal_move_names_token_and_places_and_moves_nothing() -> None:
    """Either all tokens move or none. The error names the token that can't."""
    places = TokenPlaces()
    places.claim([1, 2], 0.0)
    places.move([2], TokenPlace.TO_REJECT)
    with pytest.raises(IllegalMove, match=r"^token 2 can't go from TO_REJECT to WAITING$"):
        places.move([1, 2], TokenPlace.WAITING)
    assert places.at(TokenPlace.UNSIGNED) == [1]
    with pytest.raises(IllegalMove, match=r"^token 3 can't go from nowhere to WAITING$"):
        places.move([3], TokenPlace.WAITING)
    with pytest.raises(KeyError):
        places.forget([3])


def test_token_is_claimed_once() -> None:
    """A second claim of a token that has a place is a bug."""
    places = TokenPlaces()
    places.claim([1, 2], 0.0)
    with pytest.raises(IllegalMove, match=r"^a claimed token has a place already$"):
        places.claim([2, 3], 0.0)


def test_tokens_know_when_they_were_claimed() -> None:
    """A token that was forgotten and claimed again is as old as its last claim."""
    places = TokenPlaces()
    places.claim([1, 2], 10.0)
    places.claim([3], 11.0)
    places.forget([1])
    places.claim([1], 12.0)
    assert places.claim_times([3, 1, 2]) == [11.0, 12.0, 10.0]
    assert places.claimed_before(12.0) == [2, 3]
    assert places.claimed_before(10.0) == []
