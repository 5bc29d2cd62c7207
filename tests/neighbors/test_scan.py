"""All scanners find the same pairs: those that a plain integer product has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors import native
from sbert_cluster.neighbors.scan import NativeScanner, TorchScanner, scanners


def scanner_of(name):
    """A scanner, or a skip where the processor lacks it."""
    if name == "torch":
        return TorchScanner()
    if name not in native.available():
        pytest.skip(f"this processor has no {name}")
    return NativeScanner(name, 1.0, 1.0)


def pairs_of(scanner, left, right, lowest):
    found = scanner.scan(scanner.left(left), scanner.right(right), lowest)
    pairs = [tuple(pair) for part in found for pair in part.tolist()]
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


@pytest.mark.parametrize("name", ["amx", "vnni", "torch"])
def test_pairs_are_those_of_an_integer_product(name):
    """For any codes, shapes and bars, the extreme numbers included."""
    scanner = scanner_of(name)

    @settings(max_examples=40)
    @given(
        st.integers(0, 2**32 - 1),
        st.integers(1, 5),
        st.integers(1, 5),
        st.sampled_from([1, 2, 3, 6, 17]),
        st.sampled_from([0.0, 0.5, 0.99, 1.0]),
        st.booleans(),
    )
    def check(seed, left_blocks, right_blocks, chunks, quantile, extreme):
        random = np.random.default_rng(seed)
        shapes = [(32 * blocks, 64 * chunks) for blocks in (left_blocks, right_blocks)]
        left, right = (
            random.choice([-127, 127], shape) if extreme else random.integers(-127, 128, shape)
            for shape in shapes
        )
        products = left @ right.T
        lowest = int(np.quantile(products, quantile))
        expected = set(zip(*(x.tolist() for x in np.nonzero(products >= lowest)), strict=True))
        found = pairs_of(scanner, left.astype(np.int8), right.astype(np.int8), lowest)
        assert found == expected

    check()


@pytest.mark.parametrize("name", ["amx", "vnni", "torch"])
def test_more_pairs_than_a_call_has_room_for(name, monkeypatch):
    """Where every pair is found, calls go on where they stopped."""
    monkeypatch.setattr(native, "_CAPACITY", 1_500)
    ones = np.ones((96, 64), np.int8)
    found = pairs_of(scanner_of(name), ones, ones, 64)
    assert len(found) == 96 * 96


def test_a_scanner_is_there_for_any_processor(monkeypatch):
    """Without known instructions torch compares."""
    assert scanners()[0].workers >= 1
    monkeypatch.setattr(native, "available", tuple)
    scanners.cache_clear()
    assert scanners()[0].name == "torch"
    monkeypatch.undo()
    scanners.cache_clear()


def test_codes_longer_than_float32_is_exact_for():
    """Sums beyond 2^24 are still right."""
    left = np.full((32, 64 * 20), 127, np.int8)
    right = left.copy()
    right[0, 0] = 126
    lowest = 127 * 127 * 64 * 20
    found = pairs_of(TorchScanner(), left, right, lowest)
    assert found == {(i, j) for i in range(32) for j in range(1, 32)}
