"""From batches of sequences back to texts: a text that was read in chunks gets their average."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.tokens import Tokens
from sbert_cluster.types import Vectors


@dataclass(frozen=True)
class Finished:
    """Vectors of texts that are done."""

    rows: NDArray[np.int64]
    """int64[k]: which texts."""
    vectors: Vectors
    """float32[k, dimensions], unit rows."""
    truncated: NDArray[np.bool_]
    """bool[k]: the end of the text was cut off."""
    chunked: NDArray[np.bool_]
    """bool[k]: the text was read in chunks."""


@dataclass
class Window:
    """Texts that are tokenised together, and those of them that are half done."""

    rows: NDArray[np.int64]
    """int64[n]: which texts these are, among all."""
    tokens: Tokens
    """Their tokens."""
    _sums: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    _missing: dict[int, int] = field(default_factory=dict)

    def finish(self, which: NDArray[np.int64], vectors: Vectors) -> Finished:
        """Take the vectors of a batch.

        Args:
            which: int64[b], positions of the sequences in ``tokens``.
            vectors: float32[b, dimensions], unit rows.

        Returns:
            The texts that this batch completes; those in chunks have the average of the chunks'
            vectors, each weighted by its number of tokens, brought back to norm 1.
        """
        text = self.tokens.text[which]
        parts = self.tokens.chunked[text]
        if parts.any():
            averages = self._average(which[parts], vectors[parts])
            text = np.concatenate([text[~parts], np.fromiter(averages, np.int64, len(averages))])
            vectors = np.concatenate([vectors[~parts], *averages.values()])
        return Finished(
            self.rows[text], vectors, self.tokens.truncated[text], self.tokens.chunked[text]
        )

    def _average(self, which: NDArray[np.int64], vectors: Vectors) -> dict[int, Vectors]:
        """Add up chunks; returns the texts whose last chunk came, as float32[1, dimensions]."""
        tokens, done = self.tokens, {}
        for sequence, vector in zip(which, vectors.astype(np.float64), strict=True):
            text = int(tokens.text[sequence])
            if text not in self._sums:
                self._sums[text] = np.zeros(vectors.shape[1])
                self._missing[text] = _count(tokens.text, text)
            self._sums[text] += tokens.weights[sequence] * vector
            self._missing[text] -= 1
            if not self._missing[text]:
                total = self._sums.pop(text)
                # Opposite chunks can cancel out; such a text is similar to nothing.
                unit = total / max(float(np.linalg.norm(total)), 1e-12)
                done[text] = unit.astype(np.float32)[None]
        return done


def _count(rising: NDArray[np.int64], value: int) -> int:
    return int(np.searchsorted(rising, value, "right") - np.searchsorted(rising, value, "left"))


@dataclass(frozen=True)
class Batch:
    """Sequences of a window that go through the model together."""

    window: Window
    which: NDArray[np.int64]
    """int64[b]: positions in the window's tokens, longest first."""

    @property
    def ids(self) -> list[list[int]]:
        """Token numbers of each sequence."""
        return self.window.tokens.take(self.which)


def finished(results: Iterable[tuple[Batch, Vectors]]) -> Iterator[Finished]:
    """The texts that each batch completes, where there are any."""
    for batch, vectors in results:
        texts = batch.window.finish(batch.which, vectors)
        if len(texts.rows):
            yield texts
