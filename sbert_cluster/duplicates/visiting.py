"""Which units stay when they are visited in order: decided in rounds over whole arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 64
"""Rounds over whole arrays; what long chains leave after them is visited one by one."""

Ids = NDArray[np.int64] | NDArray[np.int32]


def staying(left: Ids, right: Ids, rank: Ids, *, in_order: bool = False) -> NDArray[np.bool_]:
    """Which units stay, if one stays exactly when it is in no pair with one that stays already.

    In each round the units that wait for nobody stay, and those in a pair with them go. Pairs of
    near-duplicates form many small clusters, so a few rounds decide nearly all.

    Args:
        left: int[k]: one unit of each pair.
        right: int[k]: the other one.
        rank: int[m]: the order in which units are visited; all different.
        in_order: Whether the left unit of each pair is known to be visited first.

    Returns:
        bool[m]; units in no pair stay.
    """
    earlier, later = left, right
    if not in_order:
        swapped = rank[left] > rank[right]
        earlier, later = np.where(swapped, right, left), np.where(swapped, left, right)
    gone, waits = np.zeros((2, len(rank)), np.bool_)
    for _ in range(_ROUNDS):
        if not len(earlier):
            break
        waits[later] = True
        gone[later[~waits[earlier]]] = True
        waits[later] = False
        undecided = np.flatnonzero(~(gone[earlier] | gone[later]))
        earlier, later = earlier[undecided], later[undecided]
    _visit(earlier, later, rank, gone)
    return ~gone


def _visit(earlier: Ids, later: Ids, rank: Ids, gone: NDArray[np.bool_]) -> None:
    """Decide what is left, one after the other."""
    # By the rank of the later unit: whoever it waits for has been decided before.
    order = np.argsort(rank[later], kind="stable")
    for first, second in zip(earlier[order].tolist(), later[order].tolist(), strict=True):
        if not gone[first]:
            gone[second] = True
