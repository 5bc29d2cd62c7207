"""Clusters: what is in them, where they lie, and how people change them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static
from textual.worker import get_current_worker

from sbert_cluster.errors import SbertClusterError
from sbert_cluster.report.figures import count, percent
from sbert_cluster.tui.cells import Tone
from sbert_cluster.tui.look import Said, said
from sbert_cluster.tui.messages import RowsFound
from sbert_cluster.tui.models.clusters import NOISE, ClustersModel, ClusterSort
from sbert_cluster.tui.screens.base import RunScreen
from sbert_cluster.tui.screens.keys import CLUSTER_KEYS
from sbert_cluster.tui.screens.sources import ClusterLines, RowLines
from sbert_cluster.tui.screens.task import ask, write_result
from sbert_cluster.tui.tasks import Task
from sbert_cluster.tui.widgets.key_line import KeyLine
from sbert_cluster.tui.widgets.prompt import Prompt
from sbert_cluster.tui.widgets.scatter_map import ScatterMap
from sbert_cluster.tui.widgets.text_panel import TextPanel
from sbert_cluster.tui.widgets.virtual_table import VirtualTable
from sbert_cluster.types import Rows

_WIDE = 110
"""Cells from which the map stands beside the rows."""
_NEAREST = 200
"""Rows that a search by meaning shows."""


class ClustersScreen(RunScreen):
    """The clusters view.

    Args:
        model: What is shown.
    """

    BINDINGS: ClassVar[list[BindingType]] = CLUSTER_KEYS

    def __init__(self, model: ClustersModel) -> None:
        super().__init__()
        self.model = model
        self._helper = Task()
        self._marked: set[int] = set()
        """Clusters that are marked."""
        self._marked_rows: set[int] = set()
        self._query = ""
        self._shown: int | None = None
        """The cluster whose rows are shown."""
        self._near: tuple[Rows, NDArray[np.float32]] | None = None
        self._extra: str | None = None
        self._order: tuple[str, NDArray[np.int64]] | None = None

    def compose(self) -> ComposeResult:
        """Figures, then clusters beside rows and their text, beside the map."""
        yield Static("", id="figures", markup=False)
        with Horizontal(id="lists"):
            yield VirtualTable(empty="no cluster holds that", id="clusters")
            with Vertical(id="rows-and-text"):
                yield VirtualTable(empty="no rows", id="rows")
                yield TextPanel(id="text")
            yield ScatterMap(self.model.scatter, id="map")
        yield Prompt()
        yield KeyLine()

    def on_mount(self) -> None:
        """Show everything."""
        self.query_one("#map", ScatterMap).border_title = "map"
        self.refresh_all()
        self.query_one("#clusters").focus()

    async def on_unmount(self) -> None:
        """The model is not needed any longer."""
        await self._helper.stop()

    def on_resize(self, event: events.Resize) -> None:
        """The map needs room."""
        self.set_class(event.size.width >= _WIDE, "wide")

    # Showing -------------------------------------------------------------------------------

    def refresh_all(self, follow: int | None = None) -> None:
        """Show the model again, at the cluster that was marked before.

        Args:
            follow: The cluster to mark.
        """
        table = self.query_one("#clusters", VirtualTable)
        wanted = self._cluster if follow is None else follow
        place = None if wanted is None else self.model.place_of(wanted)
        self._marked &= set(self.model.state.clusters)
        table.border_title = f"{count(self.model.count, 'cluster')}, by {self.model.sort}"
        table.show(ClusterLines(self.model, self._marked), cursor=place)
        self.query_one("#map", ScatterMap).redraw()
        self._show_figures()
        self._show_rows()

    def _show_figures(self) -> None:
        model, rows = self.model, len(self.model.rows)
        parts: list[Said | str] = [
            (f" {model.run.title} ", Tone.STRONG),
            (f" {count(rows, 'row')} in ", Tone.DIM),
            (count(model.count, "cluster"), Tone.GOOD),
            (f" · {model.noise:,} in none ({percent(model.noise, max(1, rows))})", Tone.DIM),
        ]
        if edits := len(model.history.done):
            parts.append((f" · {count(edits, 'edit')}", Tone.DIM))
        if self._marked:
            parts.append((f" · ✓ {count(len(self._marked), 'cluster')} marked", Tone.ACCENT))
        if self._marked_rows:
            parts.append((f" · ✓ {count(len(self._marked_rows), 'row')} marked", Tone.ACCENT))
        if self._query:
            parts.append((f" · {self._query}", Tone.ACCENT))
        self.query_one("#figures", Static).update(said(*parts), layout=False)
        self.refresh_keys()

    @property
    def _cluster(self) -> int | None:
        place = self.query_one("#clusters", VirtualTable).cursor
        return self.model.entry(place).cluster if place < len(self.model) else None

    @property
    def _row(self) -> int | None:
        table = self.query_one("#rows", VirtualTable)
        source = table.source
        if not isinstance(source, RowLines) or not len(source):
            return None
        return int(source.rows[min(table.cursor, len(source) - 1)])

    def _show_rows(self, *, cursor: int | None = None) -> None:
        table = self.query_one("#rows", VirtualTable)
        cluster = self._shown = self._cluster
        if self._near is not None:
            rows, values = self._near
            table.border_title = f"the {len(rows)} rows nearest in meaning"
        elif cluster is None:
            rows, values = np.empty(0, np.int64), np.empty(0, np.float32)
            table.border_title = ""
        else:
            rows = self._ordered(self.model.rows_of(cluster))
            values = self.model.strength[rows]
            table.border_title = f"{count(len(rows), 'row')} in {self.model.name(cluster)[:60]}"
        table.show(
            RowLines(self.model, rows, values, self._marked_rows, self._extra), cursor=cursor
        )
        self.query_one("#map", ScatterMap).marked = cluster
        self._show_text()

    def _ordered(self, rows: Rows) -> Rows:
        if self._order is None:
            return rows
        place = self._order[1][rows]
        return rows[np.argsort(place, kind="stable")]

    def _show_text(self) -> None:
        panel, row = self.query_one("#text", TextPanel), self._row
        if row is None:
            panel.show(said(""))
            return
        cluster = int(self.model.labels[row])
        parts: list[Said | str] = [
            (self.model.rows.name(row), Tone.ACCENT),
            (f" · {self.model.name(cluster)}\n", Tone.DIM),
            self.model.rows.text(row),
            "\n",
        ]
        for name, value in self.model.rows.cells(row).items():
            if name not in self.model.rows.text_columns:
                parts += [(f"\n{name}  ", Tone.DIM), value or ""]
        words = self.model.keywords(cluster)
        if words and cluster != NOISE:
            parts += [("\n\nwords of the cluster  ", Tone.DIM), words]
        panel.show(said(*parts))

    @on(VirtualTable.Moved, "#clusters")
    def _cluster_moved(self) -> None:
        if self._near is not None:
            self.query_one("#map", ScatterMap).marked = self._cluster
        elif self._cluster != self._shown:
            self._show_rows(cursor=0)
        self.refresh_keys()

    @on(VirtualTable.Moved, "#rows")
    def _row_moved(self) -> None:
        self._show_text()

    @on(VirtualTable.Chosen, "#clusters")
    def _cluster_chosen(self) -> None:
        cluster = self._cluster
        if cluster is not None and cluster < NOISE:
            self.model.toggle(cluster)
            self.refresh_all()
        else:
            self.query_one("#rows").focus()

    @on(ScatterMap.Went)
    def _went(self, event: ScatterMap.Went) -> None:
        place = self.model.place_of(event.cluster)
        if place is not None:
            self.query_one("#clusters", VirtualTable).go_to(place)

    # Changing ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - given by Textual
        """Whether a key is possible now."""
        if not self.has("#clusters"):
            return True
        possible = {
            "merge": len(self._marked) > 1,
            "rename": (self._cluster or 0) >= 0 and len(self.model) > 0,
            "split": (self._cluster or 0) >= 0 and len(self.model) > 0,
            "move": self._row is not None,
            "neighbours": self._row is not None,
            "undo": bool(self.model.history.done),
            "redo": bool(self.model.history.undone),
            "clear": bool(self._query or self._marked or self._marked_rows),
        }
        return possible.get(action, True)

    def action_mark(self) -> None:
        """Mark the cluster, or the row, under the cursor, for merging, splitting or moving."""
        on_rows = self.query_one("#rows").has_focus
        wanted = self._row if on_rows else self._cluster
        if wanted is None or wanted < 0:
            return
        marks = self._marked_rows if on_rows else self._marked
        marks ^= {wanted}
        table = self.query_one("#rows" if on_rows else "#clusters", VirtualTable)
        table.refresh_all()
        table.action_move(1)
        self._show_figures()

    def action_merge(self) -> None:
        """Make one cluster of those that are marked; the one under the cursor gives the name."""
        first = self._cluster if self._cluster in self._marked else min(self._marked)
        assert first is not None
        others = sorted(self._marked - {first})
        self._marked.clear()
        self._try(lambda: self.model.merge([first, *others]), first)

    def action_split(self) -> None:
        """Split off the marked rows, or take the cluster apart by meaning."""
        cluster = self._cluster
        if cluster is None:
            return
        rows = sorted(row for row in self._marked_rows if self.model.labels[row] == cluster)
        if rows:
            self._marked_rows -= set(rows)
            self._try(lambda: self.model.split(cluster, [rows]), cluster)
            return
        request = {"do": "split", "folder": str(self.model.run.folder), "cluster": cluster}

        def found(result: dict[str, list[list[int]]]) -> None:
            self._try(lambda: self.model.split(cluster, result["parts"]), cluster)

        ask(self, f"Taking {self.model.name(cluster)} apart", request, found)

    def action_rename(self) -> None:
        """Ask for a name."""
        cluster = self._cluster
        if cluster is not None:
            self.query_one(Prompt).ask("rename", "Name ", self.model.name(cluster))

    def action_move(self) -> None:
        """Ask where the marked rows, or the one under the cursor, belong."""
        rows = len(self._marked_rows) or 1
        hint = "number or beginning of a cluster's name; -1 for none"
        self.query_one(Prompt).ask("move", f"Move {count(rows, 'row')} to ", hint=hint)

    def action_undo(self) -> None:
        """Take back the latest edit."""
        self._try(self.model.undo)

    def action_redo(self) -> None:
        """Make it again."""
        self._try(self.model.redo)

    def _try(self, change: Callable[[], object], follow: int | None = None) -> None:
        try:
            change()
        except SbertClusterError as error:
            self.tell_error(error)
        self.refresh_all(follow)

    def _move_to(self, text: str) -> None:
        target, row = self.model.find_cluster(text), self._row
        rows = sorted(self._marked_rows) or ([] if row is None else [row])
        if target is None or not rows:
            self.tell(f"There is no cluster {text!r}.")
            return
        self._marked_rows.clear()
        self._try(lambda: self.model.move(rows, target))

    # Finding -------------------------------------------------------------------------------

    def action_sort(self) -> None:
        """Order the clusters in the next way."""
        orders = list(ClusterSort)
        self.model.sort_by(orders[(orders.index(self.model.sort) + 1) % len(orders)])
        self.refresh_all()

    def action_sort_rows(self) -> None:
        """Ask for a column to sort rows by."""
        self._ask_column("sort-rows", "Sort rows by ", "empty: by fit")

    def action_column(self) -> None:
        """Ask for a column to show beside the text."""
        self._ask_column("column", "Show column ", "empty: none")

    def action_filter(self) -> None:
        """Ask for a column and words that it must hold."""
        self._ask_column("filter", "Only rows with ", "column=words")

    def _ask_column(self, purpose: str, label: str, hint: str) -> None:
        names = ", ".join(self.model.rows.columns)
        self.query_one(Prompt).ask(purpose, label, hint=f"{hint} — {names}")

    def action_search(self) -> None:
        """Ask for words that a row must hold."""
        self.query_one(Prompt).ask("search", "Search ", hint="words that a row must hold")

    def action_meaning(self) -> None:
        """Ask for a text whose neighbours in meaning are shown."""
        self.query_one(Prompt).ask("meaning", "Rows that mean ", hint="any text, then Enter")

    def action_neighbours(self) -> None:
        """Show the rows nearest in meaning to the one under the cursor."""
        if (row := self._row) is not None:
            self._search_meaning(self.model.rows.text(row))

    def action_jump(self) -> None:
        """Ask for a row number."""
        self.query_one(Prompt).ask("jump", "Go to row ", hint="number, counted from 0")

    def action_clear(self) -> None:
        """Show all rows again, and mark none."""
        self._marked.clear()
        self._marked_rows.clear()
        self._found("", None)

    def action_map(self) -> None:
        """Show the map in place of the rows, or the rows again."""
        self.toggle_class("map-only")

    def action_write(self) -> None:
        """Write the result."""
        # The folder is written anew, the log with it.
        self.model.close()
        write_result(self, self.model.run, self._read_again)

    def _read_again(self) -> None:
        """Names and figures of clusters that were changed are known now."""
        self.model.read_again()
        self.refresh_all()

    @on(Prompt.Typed)
    def _typed(self, event: Prompt.Typed) -> None:
        if event.purpose == "search":
            self._find(event.text.strip(), None)

    @on(Prompt.Answered)
    def _answered(self, event: Prompt.Answered) -> None:
        self.query_one("#clusters").focus()
        text = event.text.strip()
        match event.purpose:
            case "rename":
                cluster = self._cluster
                if cluster is not None:
                    self._try(lambda: self.model.rename(cluster, text), cluster)
            case "move":
                self._move_to(text)
            case "jump":
                self._go_to(text)
            case "meaning":
                self._search_meaning(text)
            case "filter":
                self._filter(text)
            case "column":
                self._extra = self._column(text)
                self._show_rows()
            case "sort-rows":
                self._sort_rows(self._column(text))

    @on(Prompt.GivenUp)
    def _given_up(self, event: Prompt.GivenUp) -> None:
        self.query_one("#clusters").focus()
        if event.purpose == "search":
            self.action_clear()

    def _column(self, text: str) -> str | None:
        if not text:
            return None
        names = self.model.rows.columns
        found = next((name for name in names if name.casefold() == text.casefold()), None)
        if found is None:
            self.tell(f"There is no column {text!r}; the columns are {', '.join(names)}.")
        return found

    def _filter(self, text: str) -> None:
        name, sign, words = text.partition("=")
        column = self._column(name.strip()) if sign else None
        if column is not None:
            self._find(words.strip(), column)
        elif not sign and text:
            self.tell("Write COLUMN=WORDS, as in channel=email.")

    def _sort_rows(self, column: str | None) -> None:
        if column is None:
            self._order = None
            self._show_rows()
            return
        self._rank(column)

    def _go_to(self, text: str) -> None:
        digits = text.replace(",", "")
        row = int(digits) if digits.isdecimal() else -1
        if not 0 <= row < len(self.model.rows):
            self.tell(f"There is no row {text!r}; rows go from 0 to {len(self.model.rows) - 1:,}.")
            return
        self._found("", None)
        cluster = int(self.model.labels[row])
        place = self.model.place_of(cluster)
        if place is None:
            self.model.closed.clear()
            self.model.sort_by(self.model.sort)
            self.refresh_all(cluster)
            place = self.model.place_of(cluster)
        self.query_one("#clusters", VirtualTable).cursor = place or 0
        rows = self._ordered(self.model.rows_of(cluster))
        self._show_rows(cursor=int(np.flatnonzero(rows == row)[0]))
        self.query_one("#rows").focus()

    @work(thread=True, exclusive=True, group="search")
    def _find(self, query: str, column: str | None) -> None:
        worker = get_current_worker()
        if not query:
            self.post_message(RowsFound("", None))
            return
        found = [np.empty(0, np.int64)]
        for rows in self.model.rows.matching(query, column):
            if worker.is_cancelled:
                return
            found.append(rows)
        said_so = f"holding “{query}”" if column is None else f"{column} holds “{query}”"
        self.post_message(RowsFound(said_so, np.concatenate(found)))

    @work(thread=True, exclusive=True, group="sort")
    def _rank(self, column: str) -> None:
        values = self.model.rows.column(column)
        order = values.arg_sort(nulls_last=True).to_numpy().astype(np.int64)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        self.app.call_from_thread(self._ranked, column, rank)

    def _ranked(self, column: str, rank: NDArray[np.int64]) -> None:
        self._order, self._extra = (column, rank), column
        self._show_rows(cursor=0)

    @on(RowsFound)
    def _rows_found(self, event: RowsFound) -> None:
        self._found(event.query, event.rows)

    def _found(self, query: str, rows: Rows | None) -> None:
        self._query, self._near = query, None
        self.model.show_only(rows)
        self.refresh_all()

    def _search_meaning(self, text: str) -> None:
        if not text:
            return
        request = {
            "do": "nearest",
            "folder": str(self.model.run.folder),
            "text": text,
            "count": _NEAREST,
        }

        def found(result: dict[str, list[float]]) -> None:
            rows = np.array(result["rows"], np.int64)
            self._near = rows, np.array(result["similarity"], np.float32)
            self._query = f"near “{text[:40]}”"
            self._show_figures()
            self._show_rows(cursor=0)
            self.query_one("#rows").focus()

        ask(self, "Reading what it means", request, found, self._helper)
