"""Every pair at or above the threshold is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.neighbors import codes, join, similarity
from sbert_cluster.types import Reason

BAND = 5e-4
SETTINGS = settings(max_examples=25)
# (rows of a tile, rows of a strip, chunks of a code); blocks of 32 rows are the least there is.
sizes = st.sampled_from([(32, 32, 1), (64, 32, 2), (96, 64, 1), (96, 32, 3)])


def with_tiles(size, find, *arguments):
    """Call with small tiles and codes of a given length, so that few rows cross many borders."""
    rows, strip, chunks = size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "TILE_ROWS", rows)
        patch.setattr(join, "STRIP_ROWS", strip)
        patch.setattr(join, "choose_coder", partial(coder_of_length, chunks))
        return find(*arguments)


def coder_of_length(chunks, left, right, threshold, scanner):
    """A coder on principal axes, however few rows there are."""
    del threshold, scanner
    sides = (left, right)
    sample = np.concatenate(sides)
    if not len(sample):
        return codes.Coder.fitted(None, -(-left.shape[1] // codes.CHUNK), *sides)
    count = min(left.shape[1], chunks * codes.CHUNK - codes.REST_NUMBERS)
    axes = codes.principal_axes(sample, count).first(count)
    return codes.Coder.fitted(axes, chunks, *sides)


def as_dict(pairs):
    """(left, right) → similarity; no pair may occur twice."""
    keys = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    found = dict(zip(keys, pairs.similarity, strict=True))
    assert len(found) == len(pairs)
    return found


def all_similarities(vectors, reference_cosine):
    n = len(vectors)
    return {
        (i, j): reference_cosine(vectors[i], vectors[j]) for i in range(n) for j in range(i + 1, n)
    }


def at_least(similarities, threshold):
    return {pair: s for pair, s in similarities.items() if s >= np.float32(threshold)}


def borderline(similarities, threshold):
    border = float(np.float32(threshold))
    return sum(abs(float(s) - border) <= BAND for s in similarities.values())


@pytest.fixture(scope="module")
def clustered():
    """float32[5123, 16]: more rows than a real block has columns, near-copies and zero rows."""
    random = np.random.default_rng(5)
    centres = random.normal(size=(900, 16))
    vectors = centres[random.integers(0, 900, 5_123)] + 0.3 * random.normal(size=(5_123, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[0, 1_023, 1_024, 4_096, 5_122]] = vectors[7]
    vectors[[8, 4_095]] = 0
    return vectors.astype(np.float32)


def test_pairs_equal_a_plain_loop(cases, reference_cosine):
    """The pairs and their similarities are those of a loop over all pairs, for any tiles."""

    @SETTINGS
    @given(cases(), sizes)
    def check(case, size):
        vectors, threshold = case
        expected = all_similarities(vectors, reference_cosine)
        found = with_tiles(size, join.find_pairs, vectors, threshold)
        assert as_dict(found.pairs) == at_least(expected, threshold)
        assert found.certificate.borderline == borderline(expected, threshold)
        assert (found.pairs.reason == Reason.SEMANTIC).all()

    check()


def test_pairs_between_equal_a_plain_loop(two_sided, reference_cosine):
    """The pairs between two sets are those of a loop over both, for any tiles."""

    @SETTINGS
    @given(two_sided(), sizes)
    def check(case, size):
        left, right, threshold = case
        expected = {
            (i, j): reference_cosine(a, b) for i, a in enumerate(left) for j, b in enumerate(right)
        }
        found = with_tiles(size, join.find_pairs_between, left, right, threshold)
        assert as_dict(found.pairs) == at_least(expected, threshold)
        assert found.certificate.borderline == borderline(expected, threshold)
        assert found.certificate.pairs_possible == len(left) * len(right)
        assert found.certificate.pairs_compared == len(left) * len(right)
        assert found.certificate.exhaustive

    check()


def test_values_have_the_promised_shape(cases):
    """Each pair is told once with left < right, in int64 and float32, and none has a zero row."""

    @SETTINGS
    @given(cases())
    def check(case):
        vectors, threshold = case
        found = with_tiles((32, 32, 1), join.find_pairs, vectors, threshold)
        pairs = found.pairs
        assert pairs.left.dtype == pairs.right.dtype == np.int64
        assert pairs.similarity.dtype == np.float32
        assert (pairs.left < pairs.right).all()
        assert vectors[pairs.left].any(axis=1).all()
        assert vectors[pairs.right].any(axis=1).all()
        n = len(vectors)
        assert found.certificate.pairs_possible == n * (n - 1) // 2
        assert found.certificate.pairs_compared == n * (n - 1) // 2
        assert found.certificate.exhaustive
        assert found.certificate.recall is None

    check()


def test_similarities_are_bit_identical_for_any_tiles(cases):
    """Sizes of tiles and the number of pairs scored at a time change no bit of the answer."""

    @SETTINGS
    @given(cases(), sizes, sizes, st.integers(1, 20))
    def check(case, size, other_size, chunk):
        one = with_tiles(size, join.find_pairs, *case)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(similarity, "_CHUNK", chunk)
            other = with_tiles(other_size, join.find_pairs, *case)
        one_pairs, other_pairs = one.pairs.ordered(), other.pairs.ordered()
        # How many are scored in full depends on the codes; nothing else does.
        assert (
            replace(
                one.certificate,
                pairs_pruned=other.certificate.pairs_pruned,
                pairs_scored=other.certificate.pairs_scored,
                pairs_rescored=other.certificate.pairs_rescored,
            )
            == other.certificate
        )
        assert one_pairs.left.tobytes() == other_pairs.left.tobytes()
        assert one_pairs.right.tobytes() == other_pairs.right.tobytes()
        assert one_pairs.similarity.tobytes() == other_pairs.similarity.tobytes()

    check()


def test_order_of_rows_only_renumbers_the_pairs(cases):
    """Shuffled rows give the same pairs under their new numbers."""

    @SETTINGS
    @given(cases(), st.randoms(use_true_random=False))
    def check(case, random):
        vectors, threshold = case
        order = list(range(len(vectors)))
        random.shuffle(order)
        shuffled = with_tiles((32, 32, 1), join.find_pairs, vectors[order], threshold)
        renumbered = {
            (min(order[i], order[j]), max(order[i], order[j])): s
            for (i, j), s in as_dict(shuffled.pairs).items()
        }
        assert renumbered == as_dict(join.find_pairs(vectors, threshold).pairs)

    check()


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 63, 64, 65, 100])
@pytest.mark.parametrize("d", [1, 2, 512])
def test_one_cluster_of_any_size_is_found_whole(n, d):
    """Rows that are all the same are all paired, at and around the borders of tiles."""
    row = np.random.default_rng(n).normal(size=d)
    vectors = np.tile((row / np.linalg.norm(row)).astype(np.float32), (n, 1))
    found = with_tiles((32, 32, 1), join.find_pairs, vectors, 1.0)
    assert set(as_dict(found.pairs)) == {(i, j) for i in range(n) for j in range(i + 1, n)}
    assert (found.pairs.similarity == 1).all()


def test_orthogonal_and_opposite_rows_are_no_pairs():
    """Similarities of 0 and of -1 are below any threshold, yet all pairs were compared."""
    vectors = np.concatenate([np.eye(9), -np.eye(9)]).astype(np.float32)
    found = with_tiles((32, 32, 1), join.find_pairs, vectors, 0.05)
    assert not len(found.pairs)
    assert found.certificate.pairs_compared == 18 * 17 // 2


def test_real_tiles_find_what_one_large_product_finds(clustered):
    """With tiles as they are, 5,123 rows give the pairs of a float64 product of all with all."""
    found = as_dict(join.find_pairs(clustered, 0.9).pairs)
    wide = clustered.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    expected = {}
    for i in range(len(wide)):
        with np.errstate(invalid="ignore"):
            row = (wide[i + 1 :] @ wide[i] / (norms[i + 1 :] * norms[i])).astype(np.float32)
        expected |= {(i, i + 1 + int(j)): row[j] for j in np.flatnonzero(row >= np.float32(0.9))}
    assert len(expected) > 5_000
    assert found == expected


def test_real_tiles_between_agree_with_pairs_within(clustered):
    """Two parts compared with each other give the pairs of the whole that cross the cut."""
    cut = 4_097
    across = as_dict(join.find_pairs_between(clustered[:cut], clustered[cut:], 0.9).pairs)
    whole = as_dict(join.find_pairs(clustered, 0.9).pairs)
    expected = {(i, j - cut): s for (i, j), s in whole.items() if i < cut <= j}
    assert len(expected) > 1_000
    assert across == expected


def test_a_side_may_be_compared_with_itself():
    """Between a set and the very same set, each row also meets itself."""
    vectors = np.eye(40, dtype=np.float32)
    found = as_dict(join.find_pairs_between(vectors, vectors, 0.9).pairs)
    assert set(found) == {(i, i) for i in range(40)}


def test_progress_ends_with_all_pairs():
    """The listener hears a number that never falls and ends with the number of pairs."""
    heard = []
    vectors = np.eye(70, dtype=np.float32)
    with_tiles((32, 32, 1), join.find_pairs, vectors, 0.9, lambda *told: heard.append(told))
    expected = (496, 1_520, 2_016, 2_208, 2_400, 2_415)
    assert heard == [("comparing", done, 2_415, "pairs") for done in expected]


def test_other_length_is_refused():
    """Vectors of two models with different lengths are an error that names both lengths."""
    with pytest.raises(ValueError, match="3 and of 4"):
        join.find_pairs_between(np.eye(3, dtype=np.float32), np.eye(4, dtype=np.float32), 0.9)
