"""Holds rows out so that no text of theirs is trained on: whole connected components go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.training.examples import Examples, Labelled, forms_of
from sbert_cluster.training.recipe import Kind
from sbert_cluster.types import Rows

MOST_HELD = 2_000
"""Rows that are held out at most: enough to judge by, and quick to encode."""
FEWEST_HELD = 20
"""With fewer rows held out nothing could be said, so none are."""
FEWEST_FOR_STOPPING = 400
"""Held-out rows from which on half of them choose when to stop, and half judge the result."""


@dataclass(frozen=True)
class Split:
    """The same files in three parts that share no text."""

    train: Labelled
    """What is learned from."""
    stop: Labelled | None
    """What chooses the best weights; None: too few rows, so training takes its full course."""
    test: Labelled | None
    """What judges before and after; None: too few rows."""
    left_out: int = 0
    """Rows that share a text with files that were given to judge by."""

    def said(self) -> str:
        """For people."""
        train, stop, test = (_rows(part) for part in (self.train, self.stop, self.test))
        if not test:
            return f"{train:,} rows are too few to hold any out: nothing is measured"
        said = f"{train:,} rows to train on, {stop:,} to choose the weights, {test:,} to measure"
        if self.left_out:
            return f"{said}; {self.left_out:,} left out, since a text of theirs is measured by"
        return f"{said}; no text stands in two of them"


def components(texts: Sequence[str], sets: Sequence[Examples]) -> Rows:
    """Number texts so that texts of one row, and texts that are the same once normalised, agree.

    Returns:
        int64[texts]: number of the connected component.
    """
    forms = forms_of(texts)
    edges = [np.empty((0, 2), np.int64)]
    for examples in sets:
        rows = examples.rows
        for column in range(1, rows.shape[1]):
            present = rows[:, column] >= 0
            edges.append(forms[rows[present][:, [0, column]]])
    joined: Rows = _connected(np.concatenate(edges), int(forms.max(initial=-1)) + 1)[forms]
    return joined


def meanings(texts: Sequence[str], sets: Sequence[Examples]) -> Rows:
    """The labels' closure: texts that are the same once normalised, or by labels, one or many.

    Returns:
        int64[texts]: number of the meaning, as far as the labels tell.
    """
    forms = forms_of(texts)
    edges = [np.empty((0, 2), np.int64)]
    for examples in sets:
        if examples.kind is Kind.LABELS:
            edges.append(forms[examples.rows[examples.labels > 0.5]])
        elif examples.kind in (Kind.POSITIVES, Kind.TRIPLETS):
            edges.append(forms[examples.rows[:, :2]])
    joined: Rows = _connected(np.concatenate(edges), int(forms.max(initial=-1)) + 1)[forms]
    return joined


def _connected(edges: Rows, count: int) -> Rows:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(edges), np.int8)
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _rows(part: Labelled | None) -> int:
    return sum(map(len, part.sets)) if part else 0


def split(labelled: Labelled, share: float, seed: int, *, given: int = 0) -> Split:
    """Hold rows out by connected component.

    Where 0/1 labels are lopsided, the components that hold the rarer label are drawn from first,
    since a judgement needs both.

    Args:
        labelled: All rows.
        share: Of the rows that is held out; at most :data:`MOST_HELD` rows a file.
        seed: Of the choice.
        given: So many of the last files are held out as a whole, and nothing else is.
    """
    if given:
        return _split_by(labelled, given, seed)
    component = components(labelled.texts, labelled.sets)
    held = np.zeros(int(component.max(initial=-1)) + 1, np.bool_)
    random = np.random.default_rng(seed)
    for examples in labelled.sets:
        own = component[examples.rows[:, 0]]
        for rows in _strata(examples, own):
            _hold(held, own, rows, min(share * rows.sum(), MOST_HELD / 2), random)
    return _in_three(labelled, component, held, random)


def _split_by(labelled: Labelled, given: int, seed: int) -> Split:
    """Hold out the last files; rows of the others that share a text with them are left out."""
    own, last = labelled.sets[:-given], labelled.sets[-given:]
    forms = forms_of(labelled.texts)
    judged = np.unique(np.concatenate([forms[e.rows[e.rows >= 0]] for e in last]))
    fresh = [np.logical_not(np.isin(forms[e.rows], judged).any(axis=1)) for e in own]
    train = replace(labelled, sets=tuple(e.take(f) for e, f in zip(own, fresh, strict=True)))
    component = components(labelled.texts, last)
    held = np.ones(int(component.max(initial=-1)) + 1, np.bool_)
    made = _in_three(replace(labelled, sets=last), component, held, np.random.default_rng(seed))
    return replace(made, train=train, left_out=sum(int((~f).sum()) for f in fresh))


def _in_three(
    labelled: Labelled, component: Rows, held: NDArray[np.bool_], random: np.random.Generator
) -> Split:
    """Divide what is held among choosing and judging."""
    out = [held[component[e.rows[:, 0]]] for e in labelled.sets]
    if sum(int(o.sum()) for o in out) < FEWEST_HELD:
        return Split(labelled, None, None)
    # Every second held component chooses; the others judge.
    judges = held & (random.permutation(len(held)) % 2 == 0)
    test = [judges[component[e.rows[:, 0]]] for e in labelled.sets]
    train = _part(labelled, [~o for o in out])
    if sum(int(o.sum()) for o in out) < FEWEST_FOR_STOPPING:
        return Split(train, None, _part(labelled, out))
    stop = [o & ~t for o, t in zip(out, test, strict=True)]
    return Split(train, _part(labelled, stop), _part(labelled, test))


def _strata(examples: Examples, own: Rows) -> list[NDArray[np.bool_]]:
    """Rows of components with the rarer label, and all others; one stratum for other kinds."""
    if examples.kind is not Kind.LABELS:
        return [np.ones(len(examples), np.bool_)]
    rare = examples.labels == (examples.labels.mean() < 0.5)
    with_rare = np.isin(own, own[rare])
    return [part for part in (with_rare, ~with_rare) if part.any()]


def _hold(
    held: NDArray[np.bool_],
    own: Rows,
    rows: NDArray[np.bool_],
    wanted: float,
    random: np.random.Generator,
) -> None:
    """Mark components, in random order, until enough rows are held; a giant one is passed over."""
    numbers, sizes = np.unique(own[rows], return_counts=True)
    count = 0
    for i in random.permutation(len(numbers)):
        if count + sizes[i] <= wanted:
            held[numbers[i]] = True
            count += int(sizes[i])


def _part(labelled: Labelled, which: Sequence[NDArray[np.bool_]]) -> Labelled:
    sets = tuple(e.take(w) for e, w in zip(labelled.sets, which, strict=True))
    return Labelled(labelled.texts, sets)
