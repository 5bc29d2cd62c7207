"""Drawings for the pages, as inline SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sbert_cluster.report.figures import count
from sbert_cluster.types import Histogram

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 22, 34, 62
# A bin with a single row must not vanish beside one with thousands.
_LEAST_BAR = 1.5


@dataclass(frozen=True)
class _Scale:
    """Where similarities and row counts lie on the drawing."""

    low: float
    high: float
    top: int
    step: int

    def x(self, similarity: float) -> float:
        share = (similarity - self.low) / (self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, rows: float) -> float:
        return _HEIGHT - _BOTTOM - rows / self.top * (_HEIGHT - _TOP - _BOTTOM)


def histogram_svg(histogram: Histogram, threshold: float | None) -> str:
    """Draw how similar texts are to their nearest other text, and where the threshold cuts.

    Args:
        histogram: Counts per bin; at least one text.
        threshold: Drawn as a labelled line; None: not drawn.

    Returns:
        An ``<svg>`` element, without any text from the input.
    """
    scale = _scale(histogram, threshold)
    parts = [*_grid(scale), *_bars(histogram, scale, threshold), *_axes(scale)]
    if threshold is not None:
        parts += _threshold_line(scale, threshold)
    drawn = "".join(parts)
    label = "Histogram: similarity of texts to their nearest other text"
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    return f'<svg class="histogram" viewBox="{box}" role="img" aria-label="{label}">{drawn}</svg>'


def _scale(histogram: Histogram, threshold: float | None) -> _Scale:
    first = int(np.flatnonzero(histogram.counts)[0])
    low = min(float(histogram.edges[first]), 0.9 if threshold is None else threshold - 0.05)
    high = max(float(histogram.edges[-1]), 1.0)
    low = max(np.floor(low * 10 + 1e-9) / 10, float(histogram.edges[0]))
    highest = int(histogram.counts.max())
    step = _step(highest)
    return _Scale(float(low), high, step * -(-highest // step), step)


def _step(highest: int, lines: int = 4) -> int:
    """A round number that fits about ``lines`` times into the highest count."""
    power: int = 10 ** max(len(str(highest // lines)) - 1, 0)
    fitting = (m * power for m in (1, 2, 5, 10, 20) if m * power * lines >= highest)
    return next(fitting, 50 * power)


def _grid(scale: _Scale) -> Iterator[str]:
    for rows in range(0, scale.top + 1, scale.step):
        y = f"{scale.y(rows):.1f}"
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y}" dy=".35em" text-anchor="end">{rows:,}</text>'


def _bars(histogram: Histogram, scale: _Scale, threshold: float | None) -> Iterator[str]:
    cut = scale.high + 1 if threshold is None else threshold
    for low, high, rows in zip(
        histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True
    ):
        if rows and high > scale.low:
            left, right, number = float(low), float(high), int(rows)
            if left < cut - 1e-9:
                yield _bar(scale, left, min(right, cut), number, (left, right), "below")
            if right > cut + 1e-9:
                yield _bar(scale, max(left, cut), right, number, (left, right), "above")


def _bar(
    scale: _Scale, low: float, high: float, rows: int, bin_: tuple[float, float], kind: str
) -> str:
    x, width = scale.x(low), max(scale.x(high) - scale.x(low) - 0.8, 0.8)
    height = max(scale.y(0) - scale.y(rows), _LEAST_BAR)
    told = f"{bin_[0]:.3f} to {bin_[1]:.3f}: {count(rows, 'text')}"
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{scale.y(0) - height:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}"><title>{told}</title></rect>'
    )


def _axes(scale: _Scale) -> Iterator[str]:
    base = scale.y(0)
    yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    tenths = range(int(np.ceil(scale.low * 10 - 1e-9)), int(np.floor(scale.high * 10 + 1e-9)) + 1)
    every = -(-len(tenths) // 10)
    for tenth in reversed(tenths[::-1][::every]):
        x = f"{scale.x(tenth / 10):.1f}"
        yield f'<text x="{x}" y="{base}" dy="1.35em" text-anchor="middle">{tenth / 10:.1f}</text>'
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield (
        f'<text class="title" x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">'
        "similarity to the nearest other text</text>"
    )
    yield '<text class="title" x="0" y="14">texts</text>'


def _threshold_line(scale: _Scale, threshold: float) -> Iterator[str]:
    x = scale.x(threshold)
    # The label stands on the side that has more room.
    is_right = x > _WIDTH / 2
    anchor, offset = ("end", -7) if is_right else ("start", 7)
    yield (
        f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 26}" y2="{scale.y(0)}"/>'
    )
    yield (
        f'<text class="threshold-label" x="{x + offset:.1f}" y="{_TOP - 15}" '
        f'text-anchor="{anchor}">threshold {threshold:g}</text>'
    )


_SIDE, _EDGE = 360, 46


def precision_recall_svg(
    recall: np.ndarray[tuple[int], np.dtype[np.float64]],
    precision: np.ndarray[tuple[int], np.dtype[np.float64]],
    chosen_recall: float,
    chosen_precision: float,
) -> str:
    """Draw precision over recall, and the threshold that was chosen, as a file of its own.

    Args:
        recall: float64[m], rising.
        precision: float64[m].
        chosen_recall: Of the threshold.
        chosen_precision: Likewise.
    """
    room = _SIDE - 2 * _EDGE

    def place(x: float, y: float) -> str:
        return f"{_EDGE + x * room:.1f},{_SIDE - _EDGE - y * room:.1f}"

    # A point a pixel is as much as can be seen.
    positions = np.unique(np.linspace(0, len(recall) - 1, 4 * room).astype(int))
    line = " ".join(place(float(recall[i]), float(precision[i])) for i in positions)
    ticks = []
    for tenth in range(0, 11, 2):
        share = tenth / 10
        x, y = place(share, 0).split(",")[0], place(0, share).split(",")[1]
        ticks.append(f'<text x="{x}" y="{_SIDE - _EDGE + 16}" text-anchor="middle">{share}</text>')
        ticks.append(f'<text x="{_EDGE - 6}" y="{y}" dy=".35em" text-anchor="end">{share}</text>')
    x, y = place(chosen_recall, chosen_precision).split(",")
    middle = _SIDE / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE} {_SIDE}" '
        'font-family="sans-serif" font-size="11" role="img" aria-label="Precision over recall">'
        f'<rect width="{_SIDE}" height="{_SIDE}" fill="#fff"/>'
        f'<path d="M{place(0, 1)} L{place(0, 0)} L{place(1, 0)}" fill="none" stroke="#888"/>'
        f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>'
        f'<circle cx="{x}" cy="{y}" r="4" fill="#dc2626"/>{"".join(ticks)}'
        f'<text x="{middle}" y="{_SIDE - 8}" text-anchor="middle">recall</text>'
        f'<text x="{_EDGE}" y="{_EDGE - 14}" text-anchor="middle">precision</text></svg>\n'
    )
