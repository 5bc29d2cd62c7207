"""Units → pairs of units: all of them, or those that an earlier run has not compared."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sbert_cluster.corpus.columns import listed
from sbert_cluster.duplicates.against import Sides
from sbert_cluster.duplicates.ladder import Units
from sbert_cluster.encoder.cache import default_cache_dir
from sbert_cluster.encoder.device import choose_place
from sbert_cluster.engines import HERE, Engine
from sbert_cluster.errors import UsageError
from sbert_cluster.neighbors.forecast import (
    MANY_PAIRS,
    Forecast,
    forecast_pairs,
    forecast_pairs_between,
)
from sbert_cluster.neighbors.join import TILE_ROWS, Join, find_pairs, find_pairs_between
from sbert_cluster.options import EncodeOptions, Precision
from sbert_cluster.progress import Progress
from sbert_cluster.types import Corpus, Pairs, SearchCertificate, Vectors

_KEPT_S = 30 * 24 * 3600
"""How long tiles of an interrupted comparison are kept."""


@dataclass(frozen=True)
class Known:
    """What an earlier run found at the same threshold."""

    rows: int
    """Number of its rows; they are the first of the input."""
    pairs: Pairs
    """Its pairs of rows, as they stand in ``pairs.parquet``."""
    borderline: int
    """Its pairs within the band around the threshold."""
    scored: int
    """Its pairs that were scored in full."""
    rescored: int
    """Of these, pairs that were decided in float64."""
    text_columns: tuple[str, ...]
    """Columns that hold its texts."""
    model_key: str
    """Which model made its vectors; empty where they came with the rows."""
    name: str
    """Its folder, for errors."""

    def check(self, corpus: Corpus, model_key: str) -> None:
        """Check that rows are read and encoded as they were then.

        Raises:
            UsageError: If another column or another model is used.
        """
        if corpus.text_columns != self.text_columns:
            raise UsageError(
                f"with the new rows the text is in {listed(corpus.text_columns)}, but {self.name} "
                f"was made with {listed(self.text_columns)}",
                "Run dedup anew on all files with --text-column.",
            )
        if model_key != self.model_key:
            raise UsageError(
                f"the model is another one than when {self.name} was made",
                "Run dedup anew on all files.",
            )

    def within(self, units: Units) -> Pairs:
        """The pairs as pairs of units; copies of one unit are no pair of units."""
        left, right = units.index[self.pairs.left], units.index[self.pairs.right]
        found = replace(self.pairs, left=left, right=right)
        return found.take(left != right)

    def between(self, sides: Sides) -> Pairs:
        """The same, where the right ones are rows of the reference."""
        index = sides.units.index
        right = index[sides.rows + self.pairs.right]
        return replace(self.pairs, left=index[self.pairs.left], right=right)


@dataclass(frozen=True)
class Comparing:
    """How pairs are looked for."""

    threshold: float
    """Cosine in (0, 1]."""
    device: str
    """``cpu``, ``cuda`` or ``cuda:1``."""
    tiles: Path | None
    """Folder under which the tiles of unfinished comparisons are kept; None: nowhere."""
    progress: Progress
    """Told the pairs compared."""
    engine: Engine = HERE
    """Where they are compared."""

    @classmethod
    def planned(
        cls,
        threshold: float,
        options: EncodeOptions,
        device: str,
        progress: Progress,
        engine: Engine = HERE,
    ) -> Comparing:
        """Where the vectors were made, or where they would have been if they came with the rows."""
        if device == "none":
            device = choose_place(options.device, Precision.AUTO).device
        folder = options.cache_dir or default_cache_dir()
        tiles = folder / "tiles" if options.use_cache else None
        return cls(threshold, device, tiles, progress, engine)

    def within(self, vectors: Vectors) -> Join:
        """Every pair of rows; see :func:`~sbert_cluster.neighbors.join.find_pairs`."""
        return find_pairs(vectors, self.threshold, self.progress, **self._place(vectors))

    def between(self, left: Vectors, right: Vectors) -> Join:
        """Every pair of a row of either side."""
        place = self._place(left, right)
        return find_pairs_between(left, right, self.threshold, self.progress, **place)

    def _place(self, *sides: Vectors) -> dict[str, Any]:
        folder = self._folder(*sides)
        return {"device": self._where, "folder": folder, "compare": self.engine.compare}

    @property
    def _where(self) -> str:
        # What encodes on Apple's GPUs compares on the processor, whose int8 products are exact.
        return self.device if self.device.startswith("cuda") else "cpu"

    def _folder(self, *sides: Vectors) -> Path | None:
        """A folder for these vectors and this threshold alone, where there is more than a tile."""
        if self.tiles is None or max(len(side) for side in sides) <= TILE_ROWS:
            return None
        digest = hashlib.blake2b(repr((self.threshold, TILE_ROWS)).encode(), digest_size=16)
        for side in sides:
            digest.update(repr(side.shape).encode())
            for start in range(0, len(side), TILE_ROWS):
                digest.update(np.ascontiguousarray(side[start : start + TILE_ROWS]).data)
        _forget_abandoned(self.tiles)
        return self.tiles / digest.hexdigest()


def _forget_abandoned(tiles: Path) -> None:
    """Delete tiles of comparisons that were interrupted and never gone on with."""
    for folder in tiles.iterdir() if tiles.exists() else ():
        if time.time() - folder.stat().st_mtime > _KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)


def compare_within(
    units: Units, vectors: Vectors, comparing: Comparing, known: Known | None
) -> Join:
    """Find every pair of units.

    Args:
        units: What the vectors belong to.
        vectors: float32[m, d], one row a unit.
        comparing: How.
        known: Pairs among the first rows that need no comparison; None: there are none.
    """
    if known is None:
        return comparing.within(vectors)
    # Units are numbered by their first row, so those of the earlier run come first.
    old = int(np.count_nonzero(units.first < known.rows))
    across = comparing.between(vectors[old:], vectors[:old])
    among = comparing.within(vectors[old:])
    swapped = replace(across.pairs, left=across.pairs.right, right=across.pairs.left + old)
    later = replace(among.pairs, left=among.pairs.left + old, right=among.pairs.right + old)
    pairs = Pairs.joined([known.within(units), swapped, later])
    return Join(pairs, _certificate(len(units) * (len(units) - 1) // 2, known, across, among))


def compare_between(
    sides: Sides, vectors: Vectors, comparing: Comparing, known: Known | None
) -> Join:
    """Find every pair of a unit of the input and one of the reference.

    Args:
        sides: The units of both.
        vectors: float32[m, d], one row a unit.
        comparing: How.
        known: Pairs between the first rows and the reference; None: there are none.
    """
    left, right = sides.left, sides.right
    if known is not None:
        first = sides.units.index[: known.rows]
        left = np.setdiff1d(left, first)
    join = comparing.between(vectors[left], vectors[right])
    pairs = replace(join.pairs, left=left[join.pairs.left], right=right[join.pairs.right])
    if known is None:
        return replace(join, pairs=pairs)
    possible = len(sides.left) * len(right)
    pairs = Pairs.joined([known.between(sides), pairs])
    return Join(pairs, _certificate(possible, known, join))


def _certificate(possible: int, known: Known, *joins: Join) -> SearchCertificate:
    """Every pair was compared once, in this run or in the earlier one."""
    scored = known.scored + sum(join.certificate.pairs_scored for join in joins)
    return SearchCertificate(
        exhaustive=True,
        pairs_possible=possible,
        pairs_compared=possible,
        borderline=known.borderline + sum(join.certificate.borderline for join in joins),
        pairs_pruned=possible - scored,
        pairs_scored=scored,
        pairs_rescored=known.rescored + sum(join.certificate.pairs_rescored for join in joins),
    )


def refuse_flood(vectors: Vectors, threshold: float, seed: int) -> None:
    """Stop before a comparison that brings more pairs than anybody wants.

    Raises:
        UsageError: With the number expected, and a threshold that brings fewer.
    """
    if len(vectors) * (len(vectors) - 1) // 2 > MANY_PAIRS:
        _refuse(forecast_pairs(vectors, threshold, seed=seed))


def refuse_flood_between(sides: Sides, vectors: Vectors, threshold: float, seed: int) -> None:
    """The same for pairs between two files."""
    if len(sides.left) * len(sides.right) > MANY_PAIRS:
        left, right = vectors[sides.left], vectors[sides.right]
        _refuse(forecast_pairs_between(left, right, threshold, seed=seed))


def _refuse(forecast: Forecast) -> None:
    if not forecast.is_flood:
        return
    instead = ""
    if forecast.advice is not None:
        fewer = f"about {forecast.advice_pairs / 1e6:,.0f} million"
        instead = f"Use --threshold {forecast.advice:g} ({fewer} pairs), or add"
    raise UsageError(
        f"about {forecast.pairs / 1e6:,.0f} million pairs are expected at --threshold "
        f"{forecast.threshold:g} (95 % interval {forecast.low / 1e6:,.0f} to "
        f"{forecast.high / 1e6:,.0f} million)",
        f"{instead or 'Add'} --yes to go on.",
    )
