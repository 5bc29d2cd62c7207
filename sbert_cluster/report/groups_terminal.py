"""What ``groups`` prints when it is done."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sbert_cluster.report.escape import plain, shorten, visible
from sbert_cluster.report.figures import count, percent
from sbert_cluster.types import GroupsResult

GROUPS_SHOWN = 15
"""Rows of the table of groups; the report has them all."""

_EXAMPLE_FROM = 100
_NUMBER_CELLS = 24


def print_groups(result: GroupsResult, console: Console, destination: str | None) -> None:
    """Say how many groups there are, which are the largest, and where it all lies.

    Args:
        result: What ``groups`` found.
        console: Where to say it.
        destination: The run folder or file that was written; None: nothing was.
    """
    console.print()
    console.print(_headline(result))
    counts = result.manifest.counts
    if counts["empty"]:
        verb = "is" if counts["empty"] == 1 else "are"
        said = f"{count(counts['empty'], 'row')} {verb} empty and in no group."
        console.print(Text.assemble(("! ", "yellow"), said))
    for note in result.manifest.notes:
        console.print(Text.assemble(("· ", "dim"), plain(note)))
    if result.summaries:
        _print_table(result, console)
    if destination is not None:
        _print_destination(Path(destination), console)


def _headline(result: GroupsResult) -> Text:
    counts = result.manifest.counts
    present = counts["rows"] - counts["empty"]
    if not result.summaries:
        return Text(f"{count(counts['rows'], 'row')}, no groups", style="bold")
    held = f"{counts['clustered']:,} rows in {count(len(result.summaries), 'group')}"
    noise = f"{counts['noise']:,} in none ({percent(counts['noise'], max(present, 1))})"
    return Text(f"{count(counts['rows'], 'row')} → {held}, {noise}", style="bold")


def _print_table(result: GroupsResult, console: Console) -> None:
    is_wide = console.width >= _EXAMPLE_FROM
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("group", justify="right", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("cohesion", justify="right", no_wrap=True)
    table.add_column("about", no_wrap=True)
    if is_wide:
        table.add_column("typical row", no_wrap=True)
    room = console.width - _NUMBER_CELLS
    for one in result.summaries[:GROUPS_SHOWN]:
        cells = [Text(str(one.cluster)), Text(f"{one.size:,}"), Text(f"{one.cohesion:.2f}")]
        cells.append(Text(shorten(one.label, 40 if is_wide else room)))
        if is_wide:
            example = result.texts[one.representative_row]
            cells.append(Text(shorten(example, room - 44), style="dim"))
        table.add_row(*cells)
    console.print()
    console.print(table)
    if (more := len(result.summaries) - GROUPS_SHOWN) > 0:
        console.print(Padding(Text(f"and {count(more, 'more group')}", style="dim"), (0, 0, 0, 2)))


def _print_destination(destination: Path, console: Console) -> None:
    report = destination / "report.html"
    label, path = ("report", report) if report.is_file() else ("written", destination)
    console.print()
    # Never wrapped: a path is there to be copied.
    console.print(
        Text.assemble((f"{label}  ", "dim"), (visible(str(path)), "bold")), soft_wrap=True
    )
