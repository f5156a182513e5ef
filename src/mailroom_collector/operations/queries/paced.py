"""Repeats a costly query only after many times its duration."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Paced(Generic[T]):
    """Keeps an answer for `share` times as long as the query took. So the query takes 1/share of a core, at most."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._answer: T | None = None
        self._until = 0.0

    def read(self, query: Callable[[], T]) -> T:
        """Return the answer of the query, or the last one if that is fresh. Raises like the query."""
        began = self._clock()
        if self._answer is None or began >= self._until:
            self._answer = query()
            ended = self._clock()
            self._until = ended + self._share * (ended - began)
        return self._answer
