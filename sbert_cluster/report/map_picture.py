"""A still picture of the map, for slides and papers."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.report.escape import shorten
from sbert_cluster.types import GroupsResult

PICTURES = (".png", ".svg", ".pdf")
_NAMES = 40
"""Names at most; those of the largest clusters."""
_NOISE = "#c3c6cc"
_INK = "#1b1d22"


def draw_map(result: GroupsResult, path: Path, kind: str) -> None:
    """Draw the rows as dots coloured by cluster, with the names of the clusters.

    Args:
        result: What to draw.
        path: Where to write it.
        kind: ``png``, ``svg`` or ``pdf``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places, labels = result.clustering.places, result.clustering.labels
    shown = np.isfinite(places).all(axis=1)
    figure = Figure(figsize=(12, 9), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    noise = shown & (labels < 0)
    size = float(np.clip(60_000 / max(shown.sum(), 1), 1.2, 26))
    axes.scatter(
        places[noise, 0], places[noise, 1], s=size * 0.6, c=_NOISE, linewidths=0, rasterized=True
    )
    position = {one.cluster: at for at, one in enumerate(result.summaries)}
    inside = shown & (labels >= 0)
    colours = np.array([colour(position[int(k)]) for k in labels[inside]]).reshape(-1, 3)
    axes.scatter(
        places[inside, 0],
        places[inside, 1],
        s=size,
        c=colours,
        alpha=0.8,
        linewidths=0,
        rasterized=True,
    )
    axes.margins(0.04)
    figure.canvas.draw()
    _write_names(result, figure, axes)
    figure.savefig(path, format=kind, metadata=None)


def colour(number: int) -> tuple[float, float, float]:
    """The colour of the cluster at a position; neighbours in order lie far apart in hue."""
    hue = (0.61 + number * 0.381966) % 1
    lightness = (0.46, 0.58, 0.38)[number % 3]
    return colorsys.hls_to_rgb(hue, lightness, (0.62, 0.55, 0.7)[number % 3])


def _write_names(result: GroupsResult, figure: Any, axes: Any) -> None:
    """Write the names of the largest clusters that find room."""
    from matplotlib import patheffects

    taken: list[Any] = []
    renderer = figure.canvas.get_renderer()
    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    for one in sorted(result.summaries, key=lambda one: -one.size)[:_NAMES]:
        places = result.clustering.places[result.clustering.labels == one.cluster]
        x, y = _anchor(places[np.isfinite(places).all(axis=1)])
        # A dollar sign would start mathematics.
        said = shorten(one.label, 40).replace("$", r"\$")
        text = axes.text(
            x, y, said, ha="center", va="center", fontsize=9, color=_INK, path_effects=halo
        )
        box = text.get_window_extent(renderer)
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


def _anchor(places: NDArray[np.float32]) -> tuple[float, float]:
    middle = np.median(places, axis=0)
    nearest = places[((places - middle) ** 2).sum(axis=1).argmin()]
    return float(nearest[0]), float(nearest[1])
