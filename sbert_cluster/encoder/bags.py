"""Token numbers of many texts, end to end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_BLOCK_TOKENS = 1 << 20
"""Tokens of a stretch."""


@dataclass(frozen=True)
class Bags:
    """Token numbers of n texts."""

    numbers: NDArray[np.int32]
    """All texts end to end."""
    starts: NDArray[np.int64]
    """int64[n + 1]: where each text begins in ``numbers``; the last one is the end."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, listed: Iterable[Sequence[int]]) -> Bags:
        """Bags from the numbers of each text."""
        parts = list(listed)
        starts = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=starts[1:])
        return cls(np.fromiter(chain.from_iterable(parts), np.int32, int(starts[-1])), starts)

    @classmethod
    def joined(cls, parts: Iterable[Bags]) -> Bags:
        """The texts of all parts, one part after the other."""
        listed = list(parts)
        lengths = [np.diff(part.starts) for part in listed]
        starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        numbers = np.concatenate([np.empty(0, np.int32), *(part.numbers for part in listed)])
        return cls(numbers, starts)

    def take(self, rows: NDArray[np.int64]) -> Bags:
        """The bags of the given texts, in that order."""
        return self._pieces(self.starts[rows], self.starts[rows + 1] - self.starts[rows])

    def cut(self, first: int, most: int | None = None) -> Bags:
        """Without the first tokens of each text, and of the others so many at most."""
        lengths = np.maximum(np.diff(self.starts) - first, 0)
        if most is not None:
            lengths = np.minimum(lengths, most)
        return self._pieces(self.starts[:-1] + first, lengths)

    def framed(self, before: Sequence[int], behind: Sequence[int]) -> Bags:
        """With the same tokens before and behind each text."""
        starts = self.starts + (len(before) + len(behind)) * np.arange(len(self) + 1)
        numbers = np.empty(starts[-1], np.int32)
        own = np.ones(len(numbers), np.bool_)
        for place, token in enumerate(before):
            numbers[starts[:-1] + place], own[starts[:-1] + place] = token, False
        for place, token in enumerate(reversed(behind), start=1):
            numbers[starts[1:] - place], own[starts[1:] - place] = token, False
        numbers[own] = self.numbers
        return Bags(numbers, starts)

    def counts(self, vocabulary: int) -> NDArray[np.int64]:
        """How often each token occurs. Shape: (vocabulary,)."""
        return np.bincount(self.numbers, minlength=vocabulary)

    def parts(self) -> Iterator[slice]:
        """Stretches of texts with a bounded number of tokens."""
        start = 0
        while start < len(self):
            end = int(np.searchsorted(self.starts, self.starts[start] + _BLOCK_TOKENS, "right")) - 1
            yield slice(start, end := max(end, start + 1))
            start = end

    def _pieces(self, begin: NDArray[np.int64], lengths: NDArray[np.int64]) -> Bags:
        starts = np.zeros(len(begin) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        places = np.repeat(begin - starts[:-1], lengths) + np.arange(starts[-1])
        return Bags(self.numbers[places], starts)
