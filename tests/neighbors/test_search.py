"""The nearest rows are those of a loop over all rows, however they are looked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors import native, search
from sbert_cluster.neighbors.nearest import products
from sbert_cluster.neighbors.nearest import rows as codes
from sbert_cluster.neighbors.search import Searcher, find_nearest

SETTINGS = settings(max_examples=60)
ways = st.sampled_from(
    ["plain", "one by one", "many at once", "one by one, torch", "many at once, torch"]
)


def searcher(vectors, way, *, length=5, k=10):
    """A searcher whose blocks are small and whose codes are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "BLOCK_ROWS", 64)
        patch.setattr(codes, "LENGTHS", (length,))
        if way.endswith("torch"):  # as where the processor has no byte instructions
            patch.setattr(codes, "can_pack", lambda: False)
        return Searcher(vectors, k=k, coded=way != "plain")


def nearest(vectors, queries, k, way, *, same=False, spare=3, length=5):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "BLOCK_ROWS", 64)
        patch.setattr(search, "BLOCK_ROWS", 64)
        patch.setattr(search, "_PLAIN_ROWS", 7)
        patch.setattr(search, "QUERY_ROWS", 5)
        patch.setattr(search, "_SPARE", spare)
        patch.setattr(search, "_SINGLY", 99 if way.startswith("one by one") else 0)
        return searcher(vectors, way, length=length).nearest(queries, k, same=same)


def expected(vectors, queries, k, reference_cosine, *, same=False):
    """Rows and similarities by a plain loop: the most similar first, ties by row."""
    rows, scores = [], []
    for i, query in enumerate(queries):
        all_ = [
            (-float(reference_cosine(query, vector)), j)
            for j, vector in enumerate(vectors)
            if not (same and i == j)
        ]
        best = sorted(all_)[:k]
        rows.append([j for _, j in best])
        scores.append([-score for score, _ in best])
    width = min(k, max(len(vectors) - same, 0))
    return (
        np.array(rows, np.int64).reshape(len(queries), width),
        np.array(scores, np.float32).reshape(len(queries), width),
    )


def test_nearest_rows_equal_a_plain_loop(two_sided, reference_cosine):
    """Rows, order and similarities are those of a loop, for any way, blocks, codes and margin."""

    @SETTINGS
    @given(two_sided(), st.integers(1, 40), ways, st.integers(0, 3), st.integers(1, 9))
    def check(case, k, way, spare, length):
        queries, vectors, _ = case
        found = nearest(vectors, queries, k, way, spare=spare, length=length)
        rows, scores = expected(vectors, queries, k, reference_cosine)
        assert found.rows.tolist() == rows.tolist()
        assert found.similarity.tobytes() == scores.tobytes()

    check()


def test_no_row_is_its_own_neighbor(cases, reference_cosine):
    """Among themselves, rows have other rows as neighbors only; copies count as others."""

    @SETTINGS
    @given(cases(), st.integers(1, 40), ways, st.integers(0, 3))
    def check(case, k, way, spare):
        vectors, _ = case
        found = nearest(vectors, vectors, k, way, same=True, spare=spare)
        rows, scores = expected(vectors, vectors, k, reference_cosine, same=True)
        assert found.rows.tolist() == rows.tolist()
        assert found.similarity.tobytes() == scores.tobytes()

    check()


@pytest.mark.parametrize("d", [2, 3, 16, 65, 384, 1_024, 1_100])
def test_real_blocks_equal_one_large_product(d):
    """With sizes as they are, thousands of rows give the rows of one float64 product."""
    random = np.random.default_rng(d)
    n = 4_211 if d < 1_000 else 2_311
    centres = random.normal(size=(300, d)) * 0.98 ** np.arange(d)
    vectors = centres[random.integers(0, 300, n)] + 0.3 * random.normal(size=(n, d)) * (
        0.98 ** np.arange(d)
    )
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[random.integers(0, n, 50)] = vectors[17]
    vectors[[0, 2_047, 2_048, n - 1]] = 0
    asked = np.concatenate([np.arange(20), [2_047, 2_048, n - 1]])
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1)
    with np.errstate(invalid="ignore"):
        similar = wide[asked] @ wide.T / (norms[asked, None] * norms)
    similar = np.where(np.isnan(similar), -1, np.clip(similar, -1, 1)).astype(np.float32)
    for coded in (True, False):
        made = Searcher(vectors, coded=coded)
        for part in (asked, asked[:3]):
            found = made.nearest(vectors[part], 12)
            best = np.sort(similar[: len(part)], axis=1)[:, ::-1][:, :12]
            # Two ways to add up may round a similarity differently, by one unit at most.
            np.testing.assert_allclose(found.similarity, best, rtol=0, atol=1.3e-7)
            own = np.take_along_axis(similar[: len(part)], found.rows, 1)
            np.testing.assert_allclose(found.similarity, own, rtol=0, atol=1.3e-7)


def test_coded_answers_are_bit_identical_to_plain_ones():
    """Codes change no row and no bit, alone or many at once, from one thread or several."""
    random = np.random.default_rng(3)
    vectors = random.normal(size=(6_000, 48)) * 0.9 ** np.arange(48)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[3_000:3_200] = vectors[:200]
    plain, coded = Searcher(vectors, coded=False), Searcher(vectors, coded=True)
    one = plain.nearest(vectors[:64], 15)
    many = coded.nearest(vectors[:64], 15)
    assert many.rows.tobytes() == one.rows.tobytes()
    assert many.similarity.tobytes() == one.similarity.tobytes()
    with ThreadPoolExecutor(4) as pool:
        single = list(pool.map(lambda i: coded.nearest(vectors[i : i + 1], 15), range(64)))
    assert np.concatenate([answer.rows for answer in single]).tobytes() == one.rows.tobytes()


def test_large_calls_use_codes_and_agree(monkeypatch):
    """``find_nearest`` codes the rows where there is much to compare, and answers the same."""
    vectors = np.random.default_rng(0).normal(size=(3_000, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    plain = find_nearest(vectors, vectors, 5, same=True)
    calls = []
    original = search.choose_codes
    monkeypatch.setattr(
        search, "choose_codes", lambda *a, **b: calls.append(1) or original(*a, **b)
    )
    monkeypatch.setattr(search, "WORTH_PRODUCTS", 1)
    coded = find_nearest(vectors, vectors, 5, same=True)
    assert calls
    assert coded.rows.tobytes() == plain.rows.tobytes()
    assert coded.similarity.tobytes() == plain.similarity.tobytes()


def test_rows_above_a_threshold_equal_a_plain_loop(cases, reference_cosine, monkeypatch):
    """Every row at or above a threshold is found, few or many."""
    monkeypatch.setattr(search, "_FEW", 4)

    @SETTINGS
    @given(cases(), ways)
    def check(case, way):
        vectors, threshold = case
        made = searcher(vectors, way)
        for query in vectors[:3]:
            rows, scores = made.above(query, threshold)
            similar = [float(reference_cosine(query, vector)) for vector in vectors]
            best = sorted((-s, j) for j, s in enumerate(similar) if s >= np.float32(threshold))
            assert rows.tolist() == [j for _, j in best]
            assert scores.tolist() == [-s for s, _ in best]

    check()


@SETTINGS
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 80),
    st.sampled_from([2, 3, 17, 64, 150]),
    st.sampled_from([1, 2, 8, 40, 1_024]),
    st.sampled_from([0.5, 0.9, 1.0]),
)
def test_bounds_of_codes_are_never_below_the_cosine(seed, rows, dimensions, length, spread):
    """Codes against codes, and codes against a float query, bound the cosine from above."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, dimensions)) * spread ** np.arange(dimensions)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[-1] = -vectors[0]
    axes = np.linalg.qr(random.normal(size=(dimensions, dimensions)))[0]
    prefix = codes._prefix(axes, min(length, dimensions))
    coded = codes.code_rows(vectors, prefix, packed=False)
    own = coded.codes.transpose(0, 2, 1).reshape(-1, coded.length)[:rows].astype(np.float64)
    scale, slack, rest = (
        part.reshape(-1)[:rows].astype(np.float64)
        for part in (coded.scale, coded.slack, coded.rest)
    )
    wide = vectors.astype(np.float64)
    exact = wide @ wide.T
    p = own * scale[:, None]
    both = p @ p.T + slack[:, None] + slack + np.outer(rest, rest) + coded.allowance
    assert (both >= exact).all()
    asked = codes.code_queries(vectors, prefix)
    assert np.array_equal(asked.numbers[:, : coded.length], own)
    assert np.array_equal(asked.bounds, np.stack([scale, slack, rest]))
    numbers = prefix.of(vectors).astype(np.float64)
    single = numbers[:, :-1] @ p.T + slack + np.outer(numbers[:, -1], rest) + coded.allowance
    assert (single >= exact).all()


@pytest.mark.skipif(not products.can_pack(), reason="this processor has no byte instructions")
@SETTINGS
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(0, 5), st.integers(1, 1_024))
def test_products_of_packed_codes_are_exact(seed, queries, sixteens, length):
    """For any number of queries and rows, and up to the largest values and length."""
    random = np.random.default_rng(seed)
    asked = random.integers(-127, 128, (queries, length)).astype(np.int8)
    rows = random.integers(-127, 128, (16 * sixteens, length)).astype(np.int8)
    rows[:1], asked[:1] = 127, 127
    wide = -(-length // products.FOURS) * products.FOURS
    packed = native.aligned(rows.shape[0] * wide, np.int8).view(np.uint8)
    packed = packed.reshape(sixteens, wide // 4, 16, 4)
    products.pack(rows, packed)
    padded = np.pad(asked, ((0, 0), (0, wide - length)))
    out = np.full((queries, len(rows) + 3), 7, np.int32)
    native.dots(padded, packed, out)
    assert np.array_equal(out[:, : len(rows)], asked.astype(np.int32) @ rows.T.astype(np.int32))
    assert (out[:, len(rows) :] == 7).all()


def test_products_of_codes_are_exact():
    """Bytes and floats give the same whole numbers, at the largest values and length too."""
    left, right = np.full((3, 1_024), -127, np.int8), np.full((1_024, 5), 127, np.int8)
    right[:, 0] = np.random.default_rng(0).integers(-127, 128, 1_024)
    wanted = left.astype(np.int64) @ right.astype(np.int64)
    assert np.array_equal(products.integer_product(left, right), wanted)
    assert np.array_equal(products._by_floats(left, right), wanted)


@pytest.mark.parametrize("coded", [True, False])
def test_nothing_and_little_are_answered(coded):
    """No rows, no queries, one row, and a query of zeros have their answers."""
    none, one = np.empty((0, 4), np.float32), np.eye(1, 4, dtype=np.float32)
    assert Searcher(none, coded=coded).nearest(one, 3).rows.shape == (1, 0)
    assert Searcher(one, coded=coded).nearest(none, 3).rows.shape == (0, 1)
    assert Searcher(one, coded=coded).nearest(one, 3, same=True).rows.shape == (1, 0)
    answer = Searcher(np.eye(4, dtype=np.float32), coded=coded).nearest(np.zeros_like(one), 2)
    assert answer.rows.tolist() == [[0, 1]]
    assert answer.similarity.tolist() == [[-1, -1]]


def test_other_length_is_refused():
    """Queries of another length are an error that names both."""
    with pytest.raises(ValueError, match="3 and of 4"):
        find_nearest(np.eye(3, dtype=np.float32), np.eye(4, dtype=np.float32), 1)


def test_progress_ends_with_all_queries():
    """The listener hears the queries that were answered."""
    heard = []
    vectors = np.eye(600, dtype=np.float32)
    find_nearest(vectors, vectors, 2, progress=lambda *told: heard.append(told))
    assert heard == [("searching", 512, 600, "rows"), ("searching", 600, 600, "rows")]
