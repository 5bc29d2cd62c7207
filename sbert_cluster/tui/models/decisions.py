"""What people decide about duplicates, and what these decisions add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sbert_cluster.tui.models.history import Language
from sbert_cluster.tui.models.log import Record


class Answer(StrEnum):
    """What somebody said about a pair."""

    SAME = "same"
    DIFFERENT = "different"
    SKIP = "skip"
    """Not decided; it comes again when all others are done."""


@dataclass(frozen=True)
class Judge:
    """Two rows are the same, or are not."""

    left: int
    right: int
    answer: Answer


@dataclass(frozen=True)
class SetThreshold:
    """Pairs count from another similarity on."""

    value: float


@dataclass(frozen=True)
class Keep:
    """A row stays, in place of those that it duplicates."""

    row: int


@dataclass(frozen=True)
class TakeOut:
    """A row belongs to no group: it stays, and stands for no other."""

    row: int


DuplicateEdit = Judge | SetThreshold | Keep | TakeOut


def _to_record(edit: DuplicateEdit) -> Record:
    match edit:
        case Judge(left, right, answer):
            return {"operation": "judge", "left": left, "right": right, "answer": str(answer)}
        case SetThreshold(value):
            return {"operation": "threshold", "value": value}
        case Keep(row):
            return {"operation": "keep", "row": row}
        case TakeOut(row):
            return {"operation": "take-out", "row": row}


def _parse(record: Record) -> DuplicateEdit:
    match record["operation"]:
        case "judge":
            left, right = int(record["left"]), int(record["right"])
            return Judge(left, right, Answer(record["answer"]))
        case "threshold":
            return SetThreshold(float(record["value"]))
        case "keep":
            return Keep(int(record["row"]))
        case "take-out":
            return TakeOut(int(record["row"]))
        case other:
            raise ValueError(f"unknown operation {other!r}")


def _replaces(edit: DuplicateEdit, earlier: DuplicateEdit) -> bool:
    """A slider that moves on is one edit."""
    return isinstance(edit, SetThreshold) and isinstance(earlier, SetThreshold)


LANGUAGE = Language(_to_record, _parse, _replaces)
"""How decisions about duplicates are written down."""


@dataclass(frozen=True)
class Decisions:
    """What the edits add up to."""

    threshold: float
    """Similarity from which pairs count."""
    answers: dict[tuple[int, int], Answer] = field(default_factory=dict)
    """The last word about each pair, in the order in which it was said."""
    kept: tuple[int, ...] = ()
    """Rows that are to stay, the latest first."""
    out: frozenset[int] = frozenset()
    """Rows that take no part."""

    @classmethod
    def of(cls, threshold: float, edits: Iterable[DuplicateEdit]) -> Decisions:
        """Add up edits, starting from the threshold of the run."""
        state: dict[str, Any] = {"threshold": threshold}
        answers: dict[tuple[int, int], Answer] = {}
        kept: list[int] = []
        out: set[int] = set()
        for edit in edits:
            match edit:
                case Judge(left, right, answer):
                    answers.pop((left, right), None)
                    answers[left, right] = answer
                case SetThreshold(value):
                    state["threshold"] = value
                case Keep(row):
                    kept = [row, *(other for other in kept if other != row)]
                    out.discard(row)
                case TakeOut(row):
                    kept = [other for other in kept if other != row]
                    out.add(row)
        return cls(**state, answers=answers, kept=tuple(kept), out=frozenset(out))

    def judged(self, answer: Answer) -> list[tuple[int, int]]:
        """Pairs about which that was the last word."""
        return [pair for pair, said in self.answers.items() if said is answer]
