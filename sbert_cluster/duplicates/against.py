"""Rows of one file that repeat a row of another: leakage from a training set into a test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbert_cluster.duplicates.grouping import number_groups
from sbert_cluster.duplicates.ladder import Units, same_form_pairs
from sbert_cluster.types import DuplicateGroups, Pairs, Reason, Rows


@dataclass(frozen=True)
class Sides:
    """The units of two files that were folded together, the input's rows before the reference's."""

    units: Units
    """Units of the rows of both files."""
    rows: int
    """Number of rows of the input; rows from here on are the reference's."""

    @property
    def left(self) -> Rows:
        """int64: units that occur in the input, rising."""
        return _present(self.units.index[: self.rows])

    @property
    def right(self) -> Rows:
        """int64: units that occur in the reference, rising."""
        return _present(self.units.index[self.rows :])

    def first_left(self) -> Rows:
        """int64[m]: first input row of each unit; -1 if it does not occur there."""
        return _first(self.units.index[: self.rows], len(self.units))

    def first_right(self) -> Rows:
        """int64[m]: first reference row of each unit, counted from 0; -1 likewise."""
        return _first(self.units.index[self.rows :], len(self.units))


def _present(index: Rows) -> Rows:
    return np.unique(index[index >= 0])


def _first(index: Rows, units: int) -> Rows:
    first = np.full(units, -1, np.int64)
    backwards = np.flatnonzero(index >= 0)[::-1]
    first[index[backwards]] = backwards
    return first


def lift_between(sides: Sides, pairs: Pairs) -> Pairs:
    """Give units of the same form similarity 1, and every pair its reason.

    Args:
        sides: The two files.
        pairs: Pairs of units found by their vectors; ``left`` in the input, ``right`` in the
            reference.

    Returns:
        The pairs, those of the same form added where their vectors are below the threshold.
    """
    units = sides.units
    if units.lifted:
        pairs = pairs.take(~units.same_form(pairs.left, pairs.right))
        left, right = _same_form_between(sides)
        pairs = Pairs(
            np.concatenate([pairs.left, left]),
            np.concatenate([pairs.right, right]),
            np.concatenate([pairs.similarity, np.ones(len(left), np.float32)]),
            np.empty(len(pairs) + len(left), np.uint8),
        )
    reason = units.reasons(pairs.left, pairs.right)
    if not units.lifted:
        # One unit on both sides: without a text, it is the same vector.
        reason[(pairs.left == pairs.right) & (units.text[pairs.left] < 0)] = Reason.SEMANTIC
    return Pairs(pairs.left, pairs.right, pairs.similarity, reason)


def _same_form_between(sides: Sides) -> tuple[Rows, Rows]:
    """Pairs of a unit of the input and one of the reference that have one form."""
    i, j = same_form_pairs(sides.units)
    in_left, in_right = np.zeros((2, len(sides.units)), np.bool_)
    in_left[sides.left], in_right[sides.right] = True, True
    both = np.flatnonzero(in_left & in_right)
    left, right = np.concatenate([both, i, j]), np.concatenate([both, j, i])
    across = in_left[left] & in_right[right]
    return left[across], right[across]


def pairs_of_rows_between(sides: Sides, pairs: Pairs) -> Pairs:
    """Pairs of units as pairs of an input row and a reference row, each the first of its unit."""
    left, right = sides.first_left()[pairs.left], sides.first_right()[pairs.right]
    return Pairs(left, right, pairs.similarity, pairs.reason).ordered()


def match_rows(sides: Sides, pairs: Pairs) -> DuplicateGroups:
    """For every row of the input the most similar row of the reference, if there is one.

    Args:
        sides: The two files.
        pairs: Every pair of units at or above the threshold (ties go to the earlier reference row).

    Returns:
        Decisions for the input's rows; ``duplicate_of`` is a row of the reference.
    """
    first_right = sides.first_right()
    # One more than there are units: the last place is that of rows without a unit (-1).
    best = np.full(len(sides.units) + 1, -1, np.int64)
    # Sorted worst first: of several assignments to the same place, numpy keeps the last.
    order = np.lexsort((-first_right[pairs.right], pairs.similarity))
    best[pairs.left[order]] = order
    pair = best[sides.units.index[: sides.rows]]
    found = pair >= 0
    duplicate_of = np.full(sides.rows, -1, np.int64)
    similarity = np.full(sides.rows, np.nan, np.float32)
    reason = np.full(sides.rows, Reason.SEMANTIC, np.uint8)
    duplicate_of[found] = first_right[pairs.right[pair[found]]]
    similarity[found] = pairs.similarity[pair[found]]
    reason[found] = pairs.reason[pair[found]]
    group = number_groups(duplicate_of, heads_inside=False)[0]
    lowest = np.ones(int(group.max(initial=-1)) + 1, np.float32)
    np.minimum.at(lowest, group[found], similarity[found])
    return DuplicateGroups(~found, duplicate_of, similarity, reason, group, lowest)
