"""What a command says while it works and when it is done: on stderr, so that stdout stays data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sbert_cluster.report.escape import plain, shorten, visible
from sbert_cluster.report.figures import (
    GroupView,
    certificate,
    count,
    file_name,
    other_name,
    removed_by_reason,
    row_name,
    similarity,
    views,
    warnings,
)
from sbert_cluster.report.progress import ProgressDisplay
from sbert_cluster.types import DedupResult

__all__ = ["ProgressDisplay", "console", "print_error", "print_summary"]

GROUPS_SHOWN = 8
"""Rows of the table of groups; the report has them all."""

_SIDE_BY_SIDE_FROM = 100
_NUMBER_CELLS = 14


def console() -> Console:
    """A console on stderr that reads no markup and colours nothing by itself."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=False)


def print_error(problem: str, remedy: str = "", console: Console | None = None) -> None:
    """Say what is wrong and what to do, on one line that is never wrapped.

    Args:
        problem: What is wrong, with the value, without a full stop.
        remedy: What to do about it, with its full stop.
        console: Where to say it; None: stderr.
    """
    target = console or globals()["console"]()
    message = plain(f" {problem}. {remedy}".rstrip())
    line = Text.assemble(("sbert-cluster: error:", "bold red"), message)
    target.print(line, soft_wrap=True)


def print_summary(result: DedupResult, console: Console, destination: str | None) -> None:
    """Say what was found, how sure that is, which groups are the largest, and where it all lies.

    Args:
        result: What ``dedup`` found.
        console: Where to say it.
        destination: The run folder or file that was written; None: nothing was.
    """
    console.print()
    console.print(_headline(result))
    if reasons := _reasons(result):
        console.print(reasons)
    console.print(plain(certificate(result)))
    for warning in warnings(result):
        console.print(Text.assemble(("! ", "yellow"), plain(warning)))
    for note in result.manifest.notes:
        console.print(Text.assemble(("· ", "dim"), plain(note)))
    if result.groups.count:
        _print_groups(result, console)
    if destination is not None:
        _print_destination(Path(destination), console)


def _headline(result: DedupResult) -> Text:
    rows, removed = len(result.groups.kept), int((~result.groups.kept).sum())
    groups = count(result.groups.count, "group")
    if result.reference is not None:
        ours, theirs = file_name(result.corpus), other_name(result)
        repeats = "repeats" if removed == 1 else "repeat"
        said = f"{count(removed, 'row')} of {ours} {repeats} a row of {theirs}"
        return Text.assemble(plain(said), f"; {rows - removed:,} of {rows:,} do not", style="bold")
    if not removed:
        return Text(f"{count(rows, 'row')}, no duplicates", style="bold")
    where = f"{rows - removed:,} kept, {removed:,} removed in {groups}"
    return Text(f"{count(rows, 'row')} → {where}", style="bold")


def _reasons(result: DedupResult) -> Text | None:
    parts = [f"{reason.word} {number:,}" for reason, number in removed_by_reason(result).items()]
    said = Text(" · ".join(parts), style="cyan")
    return Text.assemble(("found as ", "dim"), said) if parts else None


def _print_groups(result: DedupResult, console: Console) -> None:
    is_wide = console.width >= _SIDE_BY_SIDE_FROM
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("lowest", justify="right", no_wrap=True)
    table.add_column("kept" if is_wide else "kept, and one removed", no_wrap=True)
    if is_wide:
        table.add_column("one removed", no_wrap=True)
    for view in islice(views(result), GROUPS_SHOWN):
        table.add_row(*_cells(result, view, console.width))
    console.print()
    console.print(table)
    if (more := result.groups.count - GROUPS_SHOWN) > 0:
        console.print(Padding(Text(f"and {count(more, 'more group')}", style="dim"), (0, 0, 0, 2)))


def _cells(result: DedupResult, view: GroupView, width: int) -> Iterator[Text]:
    size = len(view.removed) + (result.reference is None)
    yield Text(f"{size:,}")
    yield Text(similarity(view.lowest))
    kept, removed = _kept_text(result, view), _text(result, int(view.removed[0]))
    if width >= _SIDE_BY_SIDE_FROM:
        half = (width - _NUMBER_CELLS - 8) // 2
        yield Text(shorten(kept, half))
        yield Text(shorten(removed, half), style="dim")
    else:
        room = width - _NUMBER_CELLS - 4
        example = Text(f"\n≈ {shorten(removed, room - 2)}", style="dim")
        yield Text.assemble(shorten(kept, room), example)


def _kept_text(result: DedupResult, view: GroupView) -> str:
    if result.reference is None or result.reference_texts is None:
        return _text(result, view.kept)
    return result.reference_texts[view.kept] or row_name(result.reference, view.kept)


def _text(result: DedupResult, row: int) -> str:
    # Vectors may come without texts; then a row's name is all there is to show.
    return result.texts[row] or row_name(result.corpus, row)


def _print_destination(destination: Path, console: Console) -> None:
    report = destination / "report.html"
    label, path = ("report", report) if report.is_file() else ("written", destination)
    console.print()
    # Never wrapped: a path is there to be copied.
    console.print(
        Text.assemble((f"{label}  ", "dim"), (visible(str(path)), "bold")), soft_wrap=True
    )
