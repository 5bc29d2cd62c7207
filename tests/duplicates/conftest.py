"""Rows with many duplicates, and an independent answer to how similar they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st

# Letters in several cases and spacings; "" is an empty row.
WORDS = ("", "a", "A", " a ", "b", "B", "c", "C ", "d", "a b", "A  B", "b a")


@dataclass(frozen=True)
class Rows:
    """Rows with a text and a vector each."""

    texts: list[str]
    """Empty: no text."""
    vectors: np.ndarray
    """float32[n, d], unit or zero rows."""
    lifted: bool
    """Vectors follow from texts, and one form means similarity 1; else vectors alone decide."""

    def __len__(self):
        return len(self.texts)

    def active(self, i):
        """Whether the row takes part: an empty text does not, unless the vector was given."""
        return bool(self.texts[i]) or not self.lifted

    def same_unit(self, i, j):
        """Whether the two rows are copies of each other."""
        if not (self.active(i) and self.active(j)) or self.texts[i] != self.texts[j]:
            return False
        same = self.vectors[i].tobytes() == self.vectors[j].tobytes()
        return self.lifted or (same and bool(self.vectors[i].any()))

    def similarity(self, i, j):
        """float32: 1 for texts of one form (where that counts), else the cosine."""
        if self.lifted and _form(self.texts[i]) == _form(self.texts[j]):
            return np.float32(1)
        return _cosine(self.vectors[i], self.vectors[j])

    def reason(self, i, j):
        """The first rung that holds: 0 same text, 1 same form, 2 vectors."""
        if not self.texts[i] or not self.texts[j]:
            return 2
        if self.texts[i] == self.texts[j]:
            return 0
        return 1 if _form(self.texts[i]) == _form(self.texts[j]) else 2


def _form(text):
    return " ".join(text.casefold().split())


def _cosine(a, b):
    a, b = a.astype(np.float64).tolist(), b.astype(np.float64).tolist()
    norms = math.fsum(x * x for x in a) * math.fsum(y * y for y in b)
    if norms == 0:
        return np.float32(-1)
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return np.float32(max(-1.0, min(1.0, dot / math.sqrt(norms))))


@st.composite
def _rows(draw, lifted=None, max_rows=18):
    lifted = draw(st.booleans()) if lifted is None else lifted
    n = draw(st.integers(1, max_rows))
    texts = draw(st.lists(st.sampled_from(WORDS), min_size=n, max_size=n))
    pool = draw(_pools(zeros=not lifted))
    which = draw(st.lists(st.integers(0, len(pool) - 1), min_size=n, max_size=n))
    if lifted:
        by_text = dict(zip(texts, which, strict=True))
        which = [by_text[text] for text in texts]
    return Rows(texts, pool[which], lifted)


@st.composite
def _pools(draw, zeros):
    """A few vectors in few dimensions: on a grid, where ties are common, or random."""
    d, size = draw(st.integers(2, 4)), draw(st.integers(2, 14))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    vectors = random.normal(size=(size, d)) + draw(st.sampled_from([0, 1]))
    if draw(st.booleans()):
        vectors = np.round(vectors * draw(st.sampled_from([1, 2])))
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    if not zeros:
        vectors[norms[:, 0] == 0] = np.eye(d)[0]
    return vectors.astype(np.float32)


@pytest.fixture(scope="session")
def rows() -> Callable:
    """A strategy of :class:`Rows`."""
    return _rows


@pytest.fixture(scope="session")
def thresholds():
    """A strategy of thresholds, among them some that grid vectors meet exactly."""
    return st.one_of(st.sampled_from([0.05, 0.5, 0.6, 0.8, 0.9, 1.0]), st.floats(0.05, 1.0))
