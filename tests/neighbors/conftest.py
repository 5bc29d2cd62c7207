"""Vectors that are hard to compare, and an independent answer to what the pairs are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st

DIMENSIONS = (1, 2, 3, 8, 64, 384, 512)
THRESHOLDS = (0.05, 0.3, 0.5, 0.7, 0.9, 0.95, 0.999, 1.0)
KINDS = ("new", "copy", "near", "zero", "negated", "axis", "at threshold")
OFFSETS = (0, 3e-8, -3e-8, 1e-7, -1e-7, 1e-6, -1e-6, 4.9e-4, -4.9e-4, 5.1e-4, -5.1e-4)


@st.composite
def _cases(draw, max_rows=70):
    """(vectors, threshold): unit and zero rows, many of them close to the threshold."""
    listed = st.sampled_from(THRESHOLDS)
    threshold = draw(st.one_of(listed, st.floats(0.05, 1.0)))
    return _rows(draw, draw(st.sampled_from(DIMENSIONS)), threshold, max_rows), threshold


@st.composite
def _two_sided(draw):
    """(left, right, threshold), the rows of both sides taken from one set of related rows."""
    vectors, threshold = draw(_cases())
    split = draw(st.integers(0, len(vectors)))
    return vectors[:split], vectors[split:], threshold


def _rows(draw, dimensions, threshold, max_rows):
    step = st.tuples(st.sampled_from(KINDS), st.integers(0, 99), st.sampled_from(OFFSETS))
    n = draw(st.integers(0, max_rows))
    steps = draw(st.lists(step, min_size=n, max_size=n))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows: list[np.ndarray] = []
    for kind, which, offset in steps:
        earlier = rows[which % len(rows)] if rows else np.zeros(dimensions)
        rows.append(_row(kind, which, offset, earlier, threshold, random))
    return np.array(rows, np.float32).reshape(len(rows), dimensions)


def _row(kind, which, offset, earlier, threshold, random):
    d = len(earlier)
    simple = {
        "copy": earlier,
        "negated": -earlier,
        "zero": np.zeros(d),
        "axis": np.eye(d)[which % d],
    }
    if kind in simple:
        return simple[kind]
    if kind == "new" or not earlier.any() or d == 1:
        return _unit(random.normal(size=d))
    if kind == "near":
        return _unit(earlier + 1e-3 * random.normal(size=d))
    wanted = min(threshold + offset, 1.0)
    other = random.normal(size=d)
    other = _unit(other - (other @ earlier) * earlier)
    return wanted * earlier + math.sqrt(1 - wanted**2) * other


def _unit(vector):
    return vector / np.linalg.norm(vector)


def _reference_cosine(a, b):
    """Cosine of two float32 rows, summed exactly and rounded to float32; -1 for a zero row."""
    a, b = a.astype(np.float64).tolist(), b.astype(np.float64).tolist()
    # Products of two float32 numbers are exact in float64, and fsum adds without rounding.
    norms = math.fsum(x * x for x in a) * math.fsum(y * y for y in b)
    if norms == 0:
        return np.float32(-1)
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return np.float32(max(-1.0, min(1.0, dot / math.sqrt(norms))))


@pytest.fixture(scope="session")
def reference_cosine() -> Callable:
    """The cosine of two rows, written in another way than the package does."""
    return _reference_cosine


@pytest.fixture(scope="session")
def cases() -> Callable:
    """A strategy of (vectors, threshold)."""
    return _cases


@pytest.fixture(scope="session")
def two_sided() -> Callable:
    """A strategy of (left, right, threshold)."""
    return _two_sided
