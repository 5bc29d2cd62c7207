"""The clusters of a run of ``groups``, as somebody looks at them and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sbert_cluster.clustering.edits import (
    Edit,
    GroupState,
    Merge,
    Move,
    Rename,
    Split,
    from_json,
    to_json,
)
from sbert_cluster.corpus.ondemand import RowFile
from sbert_cluster.errors import RunFolderError, UsageError
from sbert_cluster.tui.models.history import History, Language
from sbert_cluster.tui.models.log import EditLog, Record
from sbert_cluster.tui.models.rows import Part, RunRows
from sbert_cluster.tui.models.run import Run
from sbert_cluster.tui.models.scatter import Scatter
from sbert_cluster.types import Rows

NOISE = -1
_ADDED = "sbert_"
"""Columns that ``groups`` adds begin so."""
_FIRST_LAYER = -2
"""Number of the first layer group in the list; the others go down from it."""


class ClusterSort(StrEnum):
    """Order of the list of clusters."""

    SIZE = "size"
    COHESION = "cohesion"
    NAME = "name"


@dataclass(frozen=True)
class Entry:
    """A line of the list of clusters."""

    cluster: int
    """-1 for the rows without a cluster, below -1 for a layer above clusters."""
    name: str
    size: int
    share: float
    """Size as a share of the largest cluster."""
    cohesion: float
    """Mean similarity of its rows to their centre, as the run measured it; NaN after edits."""
    depth: int = 0
    """Layers above it in the tree."""
    open: bool | None = None
    """Whether a layer shows what is in it; None for a cluster."""


def _parse(record: Record) -> Edit:
    edit = from_json(record)
    if isinstance(edit, str):
        raise ValueError(f"{edit} is no edit")
    return edit


LANGUAGE: Language[Edit] = Language(to_json, _parse)
"""How edits of clusters are written down: as :mod:`sbert_cluster.clustering.edits` reads them."""


class ClustersModel:
    """A run of ``groups``, its clusters now, and what people changed.

    Args:
        run: The run.

    Raises:
        RunFolderError: If it cannot be read.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        file = run.rows_of(run.file("rows"))
        columns = tuple(name for name in file.columns if not name.startswith(_ADDED))
        self.rows = RunRows([Part(file, None)], columns, run.text_columns, run.id_column)
        base = _base(run, file)
        self._base = base["cluster"].cast(pl.Int64).to_numpy()
        self.strength = _floats(base["strength"])
        """float32[n] in [0, 1]: how firmly each row belongs to its cluster."""
        x, y = _floats(base["x"]), _floats(base["y"])
        self._layers = _layers(run)
        self._summary = _summary(run)
        self._log = EditLog(run.folder)
        self.history: History[Edit] = History(self._log, LANGUAGE)
        self._states = self._replayed()
        self.scatter = Scatter(x, y, self.labels)
        self.sort = ClusterSort.SIZE
        self.closed: set[int] = set()
        """Layers whose clusters are not shown."""
        self._found: NDArray[np.bool_] | None = None
        self._settle()

    # What is -------------------------------------------------------------------------------

    @property
    def state(self) -> GroupState:
        """Labels and names after all edits that stand."""
        return self._states[-1]

    @property
    def labels(self) -> Rows:
        """int64[n]: the cluster of each row."""
        return self.state.labels

    @property
    def noise(self) -> int:
        """Rows without a cluster."""
        return int((self.labels == NOISE).sum())

    @property
    def count(self) -> int:
        """Clusters that have rows."""
        return int((self._sizes > 0).sum())

    def __len__(self) -> int:
        """Lines of the list."""
        return len(self._entries)

    def entry(self, place: int) -> Entry:
        """A line of the list."""
        return self._entries[place]

    def place_of(self, cluster: int) -> int | None:
        """The line of a cluster."""
        found = (i for i, entry in enumerate(self._entries) if entry.cluster == cluster)
        return next(found, None)

    def name(self, cluster: int) -> str:
        """What to call a cluster."""
        if cluster == NOISE:
            return "no cluster"
        if cluster < NOISE:
            return self._layers[_FIRST_LAYER - cluster].label
        given = self.state.names.get(cluster)
        found = self._summary.get(cluster, {}).get("label") or ""
        return given or found.removeprefix("'") or f"cluster {cluster}"

    def keywords(self, cluster: int) -> str:
        """The words that tell a cluster from the others, as the run found them."""
        return (self._summary.get(cluster, {}).get("keywords") or "").removeprefix("'")

    def representative(self, cluster: int) -> int | None:
        """The row that stands for a cluster, if it is still in it."""
        row = self._summary.get(cluster, {}).get("representative_row")
        inside = row is not None and self.labels[int(row)] == cluster
        return int(row) if row is not None and inside else None

    def rows_of(self, cluster: int) -> Rows:
        """int64: the rows of a cluster (or of all those of a layer), the firmest first."""
        if cluster < NOISE:
            inside = np.isin(self.labels, self._layer_members(cluster))
        else:
            inside = self.labels == cluster
        if self._found is not None:
            inside &= self._found
        rows = np.flatnonzero(inside)
        return rows[np.argsort(-self.strength[rows], kind="stable")]

    # Looking -------------------------------------------------------------------------------

    def sort_by(self, sort: ClusterSort) -> None:
        """Order the list."""
        self.sort = sort
        self._settle()

    def show_only(self, rows: Rows | None) -> None:
        """Show only these rows, and clusters that have one of them; None: all."""
        self._found = None
        if rows is not None:
            self._found = np.zeros(len(self.labels), np.bool_)
            self._found[rows] = True
        self._settle()

    def toggle(self, layer: int) -> None:
        """Open or close a layer."""
        self.closed ^= {layer}
        self._settle()

    # Changing ------------------------------------------------------------------------------

    def merge(self, clusters: Sequence[int]) -> None:
        """Make one cluster of several, under the first one's name."""
        self._apply(Merge(tuple(clusters)))

    def split(self, cluster: int, parts: Sequence[Sequence[int]]) -> None:
        """Make clusters of their own of parts of a cluster."""
        self._apply(Split(cluster, tuple(tuple(int(row) for row in part) for part in parts)))

    def rename(self, cluster: int, name: str) -> None:
        """Give a cluster a name; an empty one gives it its own back."""
        self._apply(Rename(cluster, name.strip()))

    def move(self, rows: Sequence[int], cluster: int) -> None:
        """Put rows into another cluster."""
        self._apply(Move(tuple(int(row) for row in rows), cluster))

    def undo(self) -> Edit | None:
        """Take back the latest edit."""
        edit = self.history.undo()
        if edit is not None:
            self._states.pop()
            self._settle()
        return edit

    def redo(self) -> Edit | None:
        """Make the edit again that was taken back last."""
        if not self.history.undone:
            return None
        state = self.history.undone[-1].apply(self.state)
        edit = self.history.redo()
        self._states.append(state)
        self._settle()
        return edit

    def find_cluster(self, text: str) -> int | None:
        """The cluster that a person means by a number or the beginning of a name."""
        wanted = text.strip().casefold()
        if wanted.lstrip("-").isdecimal() and wanted.isascii():
            number = int(wanted)
            return number if number == NOISE or number in self.state.clusters else None
        clusters = self.state.clusters
        names = {cluster: self.name(cluster).casefold() for cluster in clusters}
        starts = [k for k, name in names.items() if name.startswith(wanted)]
        inside = [k for k, name in names.items() if wanted in name]
        return next(iter([*starts, *inside]), None) if wanted else None

    def read_again(self) -> None:
        """Take over names and figures after the result was written."""
        self._summary = _summary(self.run)
        self._layers = _layers(self.run)
        self._settle()

    def close(self) -> None:
        """Let other windows edit the run."""
        self._log.close()

    # Inside --------------------------------------------------------------------------------

    def _replayed(self) -> list[GroupState]:
        states = [GroupState.of(self._base)]
        for edit in self.history.done:
            try:
                states.append(edit.apply(states[-1]))
            except UsageError as error:
                raise RunFolderError(
                    f"{self._log.path} does not belong to these rows ({error.problem})",
                    "Move it away to start anew.",
                ) from error
        return states

    def _apply(self, edit: Edit) -> None:
        # What cannot be done must not reach the log.
        state = edit.apply(self.state)
        self.history.apply(edit)
        self._states.append(state)
        self._settle()

    def _settle(self) -> None:
        labels = self.labels
        self.scatter.relabel(labels)
        shown = labels if self._found is None else labels[self._found]
        self._sizes = np.bincount(labels[labels >= 0], minlength=1)
        visible = np.bincount(shown[shown >= 0], minlength=len(self._sizes))
        clusters = [int(k) for k in np.flatnonzero(visible)]
        most = max([1, *visible.tolist()])
        entries = [self._entry(k, int(visible[k]), most) for k in clusters]
        keys = {
            ClusterSort.SIZE: lambda e: (-e.size, e.cluster),
            ClusterSort.COHESION: lambda e: (-np.nan_to_num(e.cohesion, nan=-2), e.cluster),
            ClusterSort.NAME: lambda e: (e.name.casefold(), e.cluster),
        }
        entries.sort(key=keys[self.sort])
        self._entries = self._as_tree(entries) if self._layers else entries
        noise = int((shown == NOISE).sum())
        if noise:
            share = noise / most
            self._entries.append(Entry(NOISE, self.name(NOISE), noise, share, float("nan")))

    def _as_tree(self, clusters: list[Entry]) -> list[Entry]:
        """The clusters below the layer groups that they are in; new ones come last."""
        rest = {entry.cluster: entry for entry in clusters}
        top = max(layer.layer for layer in self._layers)
        lines: list[Entry] = []
        for number, layer in enumerate(self._layers):
            if layer.layer == top:
                lines += self._branch(number, layer, rest, 0)
        return [*lines, *rest.values()]

    def _branch(
        self, number: int, layer: LayerGroup, rest: dict[int, Entry], depth: int
    ) -> list[Entry]:
        own = [entry for k, entry in rest.items() if k in layer.clusters]
        if not own:
            return []
        key = _FIRST_LAYER - number
        is_open = key not in self.closed
        size = sum(entry.size for entry in own)
        head = Entry(key, layer.label, size, 0.0, float("nan"), depth, is_open)
        below: list[Entry] = []
        for inner, other in enumerate(self._layers):
            if other.layer == layer.layer - 1 and other.clusters <= layer.clusters:
                below += self._branch(inner, other, rest, depth + 1)
        for entry in own:
            if rest.pop(entry.cluster, None) is not None:
                below.append(replace(entry, depth=depth + 1))
        return [head, *below] if is_open else [head]

    def _entry(self, cluster: int, size: int, most: int) -> Entry:
        known = self._summary.get(cluster, {})
        untouched = int(known.get("size") or -1) == int(self._sizes[cluster])
        cohesion = float(known.get("cohesion") or "nan") if untouched else float("nan")
        return Entry(cluster, self.name(cluster), size, size / most, cohesion)

    def _layer_members(self, key: int) -> list[int]:
        return sorted(self._layers[_FIRST_LAYER - key].clusters)


@dataclass(frozen=True)
class LayerGroup:
    """Clusters that belong together in a coarser layer."""

    layer: int
    """1 for the layer above the clusters, 2 for the one above that."""
    label: str
    clusters: frozenset[int]


def _layers(run: Run) -> list[LayerGroup]:
    path = run.folder / "layers.csv"
    if not path.exists():
        return []
    return [
        LayerGroup(
            int(row["layer"]),
            (row["label"] or "").removeprefix("'"),
            frozenset(map(int, (row["clusters"] or "").split())),
        )
        for row in _table(path).iter_rows(named=True)
    ]


def _base(run: Run, file: RowFile) -> pl.DataFrame:
    """Cluster, strength and place of each row as the run found them."""
    path = run.folder / "base.parquet"
    if path.exists():
        return pl.read_parquet(path, columns=["cluster", "strength", "x", "y"])
    names = ["sbert_cluster", "sbert_strength", "sbert_x", "sbert_y"]
    if not set(names) <= set(file.columns):
        raise RunFolderError(f"{run.folder} has rows without clusters", "Run groups again.")
    frame = pl.concat(list(file.blocks(names)))
    return frame.rename(dict(zip(names, ["cluster", "strength", "x", "y"], strict=True)))


def _floats(column: pl.Series) -> NDArray[np.float32]:
    return column.cast(pl.Float32, strict=False).fill_null(float("nan")).to_numpy()


def _summary(run: Run) -> dict[int, dict[str, str | None]]:
    """``clusters.csv`` by cluster."""
    rows = _table(run.folder / "clusters.csv").iter_rows(named=True)
    return {int(row["cluster"]): row for row in rows}


def _table(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or ["unknown reason"])[0]
        raise RunFolderError(f"{path} cannot be read ({reason})", "Run groups again.") from None
