"""Merge, split, rename and move by hand: a log of operations that is replayed over the run.

The labels that the run found never change. Every operation is one line of ``edits.jsonl``, which
only ever grows: undo and redo are lines as well. Whoever shows the run replays the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sbert_cluster.errors import RunFolderError, UsageError
from sbert_cluster.types import Rows

EDITS = "edits.jsonl"
"""Name of the log in a run folder."""


@dataclass(frozen=True)
class GroupState:
    """Which row is in which cluster, and the names that people gave."""

    labels: Rows
    """int64[n]; -1 for noise. Numbers stay when others go, so they may have gaps."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Cluster → name given by hand."""
    next_cluster: int = 0
    """Number of the next new cluster; never one that was used before."""

    @classmethod
    def of(cls, labels: Rows) -> GroupState:
        """The state of a run without edits."""
        return cls(labels, {}, int(labels.max(initial=-1)) + 1)

    @property
    def clusters(self) -> list[int]:
        """The clusters that have rows, rising."""
        return [int(k) for k in np.unique(self.labels) if k >= 0]


@dataclass(frozen=True)
class Merge:
    """Several clusters become one, under the first one's number."""

    clusters: tuple[int, ...]

    def apply(self, state: GroupState) -> GroupState:
        """The state afterwards."""
        if len(set(self.clusters)) < 2:
            raise UsageError(f"merging {_listed(self.clusters)} joins nothing", "Name two or more.")
        _require(state, self.clusters)
        labels = state.labels.copy()
        labels[np.isin(labels, self.clusters)] = self.clusters[0]
        gone = set(self.clusters[1:])
        names = {k: name for k, name in state.names.items() if k not in gone}
        return replace(state, labels=labels, names=names)


@dataclass(frozen=True)
class Split:
    """Parts of a cluster become clusters of their own; the rest keeps the number."""

    cluster: int
    parts: tuple[tuple[int, ...], ...]
    """Rows of each new cluster."""

    def apply(self, state: GroupState) -> GroupState:
        """The state afterwards."""
        _require(state, [self.cluster])
        labels = state.labels.copy()
        for number, rows in enumerate(self.parts):
            at = np.array(rows, np.int64)
            if not len(at) or at.min() < 0 or at.max() >= len(labels):
                raise UsageError(f"part {number} of the split names no rows", "Check the rows.")
            if not (labels[at] == self.cluster).all():
                raise UsageError(
                    f"part {number} of the split has rows outside cluster {self.cluster}",
                    "A row can be in one part only.",
                )
            labels[at] = state.next_cluster + number
        if not (labels == self.cluster).any():
            raise UsageError(
                f"the split leaves nothing in cluster {self.cluster}", "Leave a part out."
            )
        return replace(state, labels=labels, next_cluster=state.next_cluster + len(self.parts))


@dataclass(frozen=True)
class Rename:
    """A cluster gets a name; an empty one gives it its own back."""

    cluster: int
    name: str

    def apply(self, state: GroupState) -> GroupState:
        """The state afterwards."""
        _require(state, [self.cluster])
        names = {k: name for k, name in state.names.items() if k != self.cluster}
        return replace(state, names=names | ({self.cluster: self.name} if self.name else {}))


@dataclass(frozen=True)
class Move:
    """Rows go to another cluster, or to the noise (-1)."""

    rows: tuple[int, ...]
    to: int

    def apply(self, state: GroupState) -> GroupState:
        """The state afterwards."""
        if self.to != -1:
            _require(state, [self.to])
        at = np.array(self.rows, np.int64)
        if not len(at) or at.min() < 0 or at.max() >= len(state.labels):
            raise UsageError(
                f"rows {_listed(self.rows)} are not all in the run",
                f"Rows are numbered from 0 to {len(state.labels) - 1}.",
            )
        labels = state.labels.copy()
        labels[at] = self.to
        return replace(state, labels=labels)


Edit = Merge | Split | Rename | Move
Entry = Edit | Literal["undo", "redo"]


class EditLog:
    """The operations on one run, in order.

    Args:
        base: Labels as the run found them.
        entries: What the log holds already.
        path: ``edits.jsonl``; None: the log lives in memory only.

    Raises:
        RunFolderError: If the entries cannot be replayed over the labels.
    """

    def __init__(self, base: Rows, entries: Iterable[Entry] = (), path: Path | None = None) -> None:
        self._states = [GroupState.of(base)]
        self._done: list[Edit] = []
        self._undone: list[tuple[Edit, GroupState]] = []
        self._entries: list[Entry] = []
        self._path = path
        for entry in entries:
            try:
                self._take(entry)
            except UsageError as error:
                raise RunFolderError(
                    f"{path or EDITS} does not belong to these rows ({error.problem})",
                    "Remove the file, or make the run again.",
                ) from error

    @classmethod
    def open(cls, folder: Path, base: Rows) -> EditLog:
        """Open the log of a run folder, in which every further operation is written down.

        Raises:
            RunFolderError: If a line cannot be read or replayed.
        """
        path = folder / EDITS
        return cls(base, read_entries(path), path)

    @classmethod
    def read(cls, folder: Path, base: Rows) -> EditLog:
        """Read the log of a run folder; further operations stay in memory.

        Raises:
            RunFolderError: If a line cannot be read or replayed.
        """
        return cls(base, read_entries(folder / EDITS))

    @property
    def entries(self) -> Sequence[Entry]:
        """All lines, undone operations and undos included."""
        return tuple(self._entries)

    @property
    def state(self) -> GroupState:
        """After all operations that are not undone."""
        return self._states[-1]

    @property
    def done(self) -> Sequence[Edit]:
        """Operations in effect, in order."""
        return tuple(self._done)

    @property
    def can_undo(self) -> bool:
        """Whether there is an operation in effect."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether the last thing done was an undo."""
        return bool(self._undone)

    def do(self, *edits: Edit) -> GroupState:
        """Carry out operations and write them down; all of them, or none where one is wrong.

        Raises:
            UsageError: If an operation names clusters or rows that are not there.
            RunFolderError: If the log cannot be written.
        """
        state = self.state
        for edit in edits:
            state = edit.apply(state)
        self._write(edits)
        for edit in edits:
            self._take(edit)
        return self.state

    def undo(self) -> GroupState:
        """Take the last operation back.

        Raises:
            UsageError: If there is none.
            RunFolderError: If the log cannot be written.
        """
        if not self.can_undo:
            raise UsageError("there is nothing to undo", "The run is as it was made.")
        self._write(["undo"])
        self._take("undo")
        return self.state

    def redo(self) -> GroupState:
        """Do again what was undone last.

        Raises:
            UsageError: If there is nothing.
            RunFolderError: If the log cannot be written.
        """
        if not self.can_redo:
            raise UsageError("there is nothing to redo", "Only what was just undone can be redone.")
        self._write(["redo"])
        self._take("redo")
        return self.state

    def _take(self, entry: Entry) -> None:
        if entry == "undo":
            if not self._done:
                raise UsageError("an undo without an operation before it", "")
            self._undone.append((self._done.pop(), self._states.pop()))
        elif entry == "redo":
            if not self._undone:
                raise UsageError("a redo without an undo before it", "")
            edit, state = self._undone.pop()
            self._done.append(edit)
            self._states.append(state)
        elif not isinstance(entry, str):
            self._states.append(entry.apply(self.state))
            self._done.append(entry)
            self._undone.clear()
        self._entries.append(entry)

    def _write(self, entries: Sequence[Entry]) -> None:
        if self._path is None:
            return
        lines = "".join(json.dumps(to_json(one), ensure_ascii=False) + "\n" for one in entries)
        try:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(lines)
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self._path} ({error.strerror or error})",
                "Free some space, or check the permissions.",
            ) from error


def read_entries(path: Path) -> list[Entry]:
    """The operations in a log; none where there is no file.

    Raises:
        RunFolderError: If a line is not an operation.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [from_json(json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{path} cannot be read as a log of edits ({error})",
            "Remove its last line, or the file to start from the run as it was made.",
        ) from error


def to_json(entry: Entry) -> dict[str, Any]:
    """One line of the log as a dict."""
    if isinstance(entry, str):
        return {"operation": entry}
    values = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    return {"operation": type(entry).__name__.lower(), **values}


def from_json(line: Mapping[str, Any]) -> Entry:
    """An operation from its line.

    Raises:
        ValueError: If the operation is not known.
        KeyError: If a value is missing.
    """
    match line["operation"]:
        case "undo":
            return "undo"
        case "redo":
            return "redo"
        case "merge":
            return Merge(_integers(line["clusters"]))
        case "split":
            return Split(int(line["cluster"]), tuple(map(_integers, line["parts"])))
        case "rename":
            return Rename(int(line["cluster"]), str(line["name"]))
        case "move":
            return Move(_integers(line["rows"]), int(line["to"]))
    raise ValueError(f"unknown operation {line['operation']!r}")


def _integers(values: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _require(state: GroupState, clusters: Iterable[int]) -> None:
    for cluster in clusters:
        if cluster < 0 or not (state.labels == cluster).any():
            known = state.clusters
            numbers = f"{_listed(known[:12])}{' …' if len(known) > 12 else ''}"
            raise UsageError(f"there is no cluster {cluster}", f"The clusters are {numbers}.")


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
