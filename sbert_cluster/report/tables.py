"""Tables of rows on stdout: one for each query."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from sbert_cluster.report.escape import shorten, visible

_WIDE = 200
"""Cells of a line where stdout is no terminal: enough for most texts, and still readable."""
_LEAST_TEXT = 20


def print_tables(
    titles: Sequence[str],
    header: Sequence[str],
    rows: Sequence[tuple[int, Sequence[str]]],
) -> None:
    """Print a table under each title; the last column gets the space that is left, and is cut.

    Args:
        titles: What stands above each table.
        header: Names of the columns.
        rows: The title (its position, rising) that a row belongs to, and its cells; any text.
    """
    width = Console().width if sys.stdout.isatty() else _WIDE
    for number, title in enumerate(titles):
        own = [cells for table, cells in rows if table == number]
        if len(titles) > 1:
            blank = "\n" if number else ""
            sys.stdout.write(f"{blank}{shorten(title, width)}\n")
        if own:
            _print_table(header, own, width)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    shown = [[visible(cell) for cell in cells[:-1]] for cells in [header, *rows]]
    sizes = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    room = max(_LEAST_TEXT, width - sum(sizes) - 2 * len(sizes))
    for first, cells in zip(shown, [header, *rows], strict=True):
        parts = [set_cell_size(cell, size) for cell, size in zip(first, sizes, strict=True)]
        sys.stdout.write("  ".join([*parts, shorten(cells[-1], room)]) + "\n")
