"""A map of points as braille: each cell of the terminal shows two by four dots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.types import Rows

_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
"""Bit of each dot in a braille character, by line and column."""
BRAILLE = 0x2800

HUES = 6
"""Colours among which clusters take turns; noise has none."""


@dataclass(frozen=True)
class Drawing:
    """A map at one size."""

    dots: NDArray[np.uint8]
    """uint8[height, width]: bits of the braille character of each cell."""
    hue: NDArray[np.int8]
    """int8[height, width]: colour of each cell, -1 where there is only noise."""
    marked_dots: NDArray[np.uint8]
    """uint8[height, width]: bits of the marked cluster alone."""


class Scatter:
    """Points and their clusters.

    Args:
        x: float[n].
        y: float[n]; rising upwards.
        labels: int64[n]; -1 for noise.
    """

    def __init__(self, x: NDArray[np.float32], y: NDArray[np.float32], labels: Rows) -> None:
        here = np.isfinite(x) & np.isfinite(y)
        self._rows = np.flatnonzero(here)
        self._x, self._y = _unit(x[here]), _unit(y[here])
        self._ground: tuple[NDArray[np.uint8], NDArray[np.int8]] | None = None
        self._centres: dict[int, tuple[float, float]] | None = None
        self.relabel(labels)
        self._size = (0, 0)
        self._cell = np.empty(0, np.int32)
        self._bit = np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self._rows)

    def relabel(self, labels: Rows) -> None:
        """Take other clusters for the same points."""
        self._labels = labels[self._rows]
        self._ground = self._centres = None

    def draw(self, width: int, height: int, marked: int | None) -> Drawing:
        """The map in cells of the terminal."""
        if self._size != (width, height):
            self._place(width, height)
            self._ground = None
        if self._ground is None:
            self._ground = self._drawn(width * height)
        dots, hue = self._ground
        marked_dots = np.zeros(width * height, np.uint8)
        if marked is not None:
            own = np.flatnonzero(self._labels == marked)
            np.bitwise_or.at(marked_dots, self._cell[own], self._bit[own])
        shape = (height, width)
        return Drawing(dots.reshape(shape), hue.reshape(shape), marked_dots.reshape(shape))

    def _drawn(self, cells: int) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        """Dots and colours of all points."""
        dots, hue = np.zeros(cells, np.uint8), np.full(cells, -1, np.int8)
        np.bitwise_or.at(dots, self._cell, self._bit)
        clustered = self._labels >= 0
        hue[self._cell[clustered]] = self._labels[clustered] % HUES
        return dots, hue

    def centres(self) -> dict[int, tuple[float, float]]:
        """The middle of each cluster, in (0, 1) from the left and from the top."""
        if self._centres is None:
            self._centres = self._averaged()
        return self._centres

    def _averaged(self) -> dict[int, tuple[float, float]]:
        clustered = self._labels >= 0
        own = self._labels[clustered]
        if not len(own):
            return {}
        sizes = np.bincount(own)
        x = np.bincount(own, self._x[clustered])
        y = np.bincount(own, self._y[clustered])
        return {
            int(k): (float(x[k] / sizes[k]), float(1 - y[k] / sizes[k]))
            for k in np.flatnonzero(sizes)
        }

    def towards(self, cluster: int, right: int, down: int) -> int:
        """The nearest cluster in a direction; the same one if there is none."""
        centres = self.centres()
        if cluster not in centres:
            return min(centres, default=cluster)
        x, y = centres[cluster]

        def cost(other: int) -> float:
            along = (centres[other][0] - x) * right + (centres[other][1] - y) * down
            across = abs((centres[other][0] - x) * down) + abs((centres[other][1] - y) * right)
            return along + 2 * across if along > 1e-9 else float("inf")

        best = min((k for k in centres if k != cluster), key=cost, default=cluster)
        return best if best != cluster and cost(best) < float("inf") else cluster

    def _place(self, width: int, height: int) -> None:
        column = np.minimum((self._x * (2 * width)).astype(np.int32), 2 * width - 1)
        line = np.minimum(((1 - self._y) * (4 * height)).astype(np.int32), 4 * height - 1)
        self._cell = (line // 4) * width + column // 2
        self._bit = _BITS[line % 4, column % 2]
        self._size = (width, height)


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values brought to 0…1, the outermost thousandth at the rim."""
    if not len(values):
        return values
    low, high = np.quantile(values, [0.001, 0.999])
    spread = max(float(high - low), 1e-9)
    scaled: NDArray[np.float32] = np.clip((values - np.float32(low)) / np.float32(spread), 0, 1)
    return scaled
