"""Groups from stored pairs: as a new run would decide them, and as people want them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster import dedup
from sbert_cluster.duplicates.keep import visiting_rank
from sbert_cluster.duplicates.regrouping import PairGraph, Regrouper, Wishes
from sbert_cluster.duplicates.visiting import staying
from sbert_cluster.options import Grouping, KeepRule
from sbert_cluster.types import Pairs, Reason


def visited_one_by_one(left, right, rank):
    """Which units stay, by the definition."""
    stays = np.ones(len(rank), bool)
    kept = set()
    for unit in np.argsort(rank):
        others = {b if a == unit else a for a, b in zip(left, right, strict=True) if unit in (a, b)}
        stays[unit] = not others & kept
        if stays[unit]:
            kept.add(int(unit))
    return stays


@st.composite
def graphs(draw):
    """Edges between up to 12 units, and an order."""
    count = draw(st.integers(1, 12))
    unit = st.integers(0, count - 1)
    edges = draw(st.lists(st.tuples(unit, unit).filter(lambda e: e[0] != e[1]), max_size=30))
    rank = np.array(draw(st.permutations(range(count))), np.int64)
    left, right = np.array(edges, np.int64).reshape(-1, 2).T
    return left, right, rank


@given(graphs())
def test_rounds_decide_as_visiting_does(graph):
    """Deciding in rounds gives what visiting one after the other gives."""
    assert staying(*graph).tolist() == visited_one_by_one(*graph).tolist()


def test_long_chains_are_decided_as_well():
    """A chain longer than the rounds: every second unit stays."""
    left = np.arange(999)
    stays = staying(left, left + 1, np.arange(1000))
    assert stays.tolist() == [i % 2 == 0 for i in range(1000)]


@given(st.data(), st.sampled_from(list(Grouping)), st.sampled_from(["first", "last", "max:score"]))
@settings(max_examples=60)
def test_regrouping_equals_a_run_at_that_threshold(data, grouping, keep):
    """From the pairs at 0.5, the groups at a higher threshold are those of a run at it."""
    n = data.draw(st.integers(1, 24))
    random = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    pool = [f"text {i}" for i in range(random.integers(1, 12))]
    texts = [
        pool[i] + ("!" if random.random() < 0.2 else "") for i in random.integers(0, len(pool), n)
    ]
    base = random.normal(size=(len(pool), 3)) + 1
    vectors = [
        (base[pool.index(t.rstrip("!"))] + (0.1 if t.endswith("!") else 0)).tolist() for t in texts
    ]
    frame = pl.DataFrame({"text": texts, "v": vectors, "score": random.integers(0, 4, n)})
    given_ = {"keep": keep, "grouping": grouping, "vector_column": "v", "text_column": "text"}
    stored = dedup(frame, threshold=0.5, **given_)
    threshold = float(data.draw(st.sampled_from([0.5, 0.8, 0.95, 0.999, 1.0])))
    wanted = dedup(frame, threshold=threshold, **given_)
    assert decided(stored, threshold, frame, keep, grouping) == wanted.groups.duplicate_of.tolist()


def decided(stored, threshold, frame, keep, grouping):
    """``duplicate_of`` by regrouping."""
    graph = PairGraph(stored.pairs, bare_copies=True)
    rank = visiting_rank(KeepRule.parse(keep), frame, stored.texts)[graph.rows]
    regrouper = Regrouper(graph, rank, grouping)
    groups = regrouper.at(threshold)
    duplicate_of = np.full(len(frame), -1, np.int64)
    for head in groups.heads.tolist():
        members = regrouper.members(groups, head, frozenset())
        duplicate_of[members[1:]] = members[0]
    assert groups.removed == (duplicate_of >= 0).sum()
    return duplicate_of.tolist()


def pairs(*edges):
    """Stored pairs."""
    left, right, similarity = zip(*edges, strict=True)
    return Pairs(
        np.array(left, np.int64),
        np.array(right, np.int64),
        np.array(similarity, np.float32),
        np.full(len(edges), Reason.SEMANTIC, np.uint8),
    )


@pytest.fixture
def chain():
    """0 – 1 – 2 – 3, the last two the most similar."""
    graph = PairGraph(pairs((2, 3, 0.97), (0, 1, 0.95), (1, 2, 0.9)))
    return graph, Regrouper(graph, graph.rows, Grouping.DIRECT)


def test_wishes_are_followed(chain):
    """Rows that are wanted stay, rows taken out stand alone, and people overrule the threshold."""
    graph, regrouper = chain
    leaders = lambda wishes, t=0.9: regrouper.at(t, wishes).leader.tolist()  # noqa: E731
    assert leaders(Wishes()) == [0, 0, 2, 2]
    assert leaders(Wishes(kept=(1,))) == [1, 1, 3, 3]
    assert leaders(Wishes(out=frozenset([2]))) == [0, 0, 2, 3]
    assert leaders(Wishes(different=(1,))) == [0, 1, 3, 3]
    assert leaders(Wishes(same=(2,)), 0.96) == [0, 1, 3, 3]
    assert graph.edges_between(np.array([3, 0]), np.array([2, 3])).tolist() == [0, -1]


def test_no_pairs_make_no_groups():
    """A run without duplicates can be looked at."""
    graph = PairGraph(Pairs.empty())
    groups = Regrouper(graph, graph.rows, Grouping.DIRECT).at(0.9)
    assert (groups.groups, groups.removed, len(groups.heads)) == (0, 0, 0)
    assert graph.nodes_of(np.array([0, 5])).tolist() == [-1, -1]
