"""Groups of duplicates: what is kept, what is removed, and from which similarity on."""

from __future__ import annotations

from math import isnan
from typing import ClassVar

import numpy as np
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static
from textual.worker import get_current_worker

from sbert_cluster.errors import SbertClusterError
from sbert_cluster.report.figures import count, similarity
from sbert_cluster.tui.cells import Tone
from sbert_cluster.tui.look import Said, compared, said
from sbert_cluster.tui.messages import RowsFound
from sbert_cluster.tui.models.decisions import DuplicateEdit
from sbert_cluster.tui.models.differences import differences
from sbert_cluster.tui.models.duplicates import DuplicatesModel, Member, Sort
from sbert_cluster.tui.screens.base import RunScreen
from sbert_cluster.tui.screens.sources import GroupLines, MemberLines
from sbert_cluster.tui.screens.task import search_below, write_result
from sbert_cluster.tui.widgets.key_line import KeyLine
from sbert_cluster.tui.widgets.prompt import Prompt
from sbert_cluster.tui.widgets.slider import Slider
from sbert_cluster.tui.widgets.text_panel import TextPanel
from sbert_cluster.tui.widgets.virtual_table import VirtualTable

_SORTS = {
    Sort.SIZE: "largest first",
    Sort.DOUBT: "most doubtful first",
    Sort.ROW: "in the order of the input",
}


class DuplicatesScreen(RunScreen):
    """The duplicates view.

    Args:
        model: What is shown.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "review", "Review"),
        Binding(
            "left", "step(-0.005)", "Threshold", key_display="←→", tooltip="Lower the threshold"
        ),
        Binding("right", "step(0.005)", "Raise the threshold", show=False),
        Binding("shift+left", "step(-0.05)", "Lower it much", show=False),
        Binding("shift+right", "step(0.05)", "Raise it much", show=False),
        Binding("k", "keep", "Keep", tooltip="Keep this row in place of the others"),
        Binding("x", "take_out", "Out", tooltip="Take this row out of its group"),
        Binding("u", "undo", "Undo"),
        Binding("U,ctrl+r", "redo", "Redo"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("s", "sort", "Sort", show=False),
        Binding("colon", "jump", "Go to row", key_display=":", show=False),
        Binding("d", "details", "Columns", show=False),
        Binding("t", "evidence", "Answers", tooltip="What the answers say about the threshold"),
        Binding("b", "below", "Search below", show=False),
        Binding("w", "write", "Write"),
        Binding("tab", "app.focus_next", "Other list", show=False),
        Binding("escape", "clear", "All groups"),
    ]

    def __init__(self, model: DuplicatesModel) -> None:
        super().__init__()
        self.model = model
        self._wanted: float | None = None
        self._query = ""
        self._all_columns = False
        self._shown: list[DuplicateEdit] = list(model.history.done)
        """The edits that the screen shows the result of."""

    def compose(self) -> ComposeResult:
        """Figures, slider, groups beside rows, and two texts compared."""
        yield Static("", id="figures", markup=False)
        yield Slider(self.model.floor, self.model.histogram, id="slider")
        with Horizontal(id="lists"):
            yield VirtualTable(empty="no groups at this threshold", id="groups")
            with Vertical(id="group"):
                yield VirtualTable(id="members")
                yield TextPanel(id="compare")
        yield Prompt()
        yield KeyLine()

    def on_mount(self) -> None:
        """Show everything."""
        self.refresh_all(first=True)
        self.query_one("#groups").focus()

    def on_screen_resume(self) -> None:
        """Something may have been decided on the screen that was above."""
        if self._shown != self.model.history.done:
            self.refresh_all()

    # Showing -------------------------------------------------------------------------------

    def refresh_all(self, *, first: bool = False, follow: int | None = None) -> None:
        """Show the model again, at the group that was marked before.

        Args:
            first: Whether nothing was shown before.
            follow: A row whose group is to be marked.
        """
        self._shown = list(self.model.history.done)
        table = self.query_one("#groups", VirtualTable)
        before = follow
        if before is None and not first:
            members = self._members
            before = None if members is None else int(members.members.rows[0])
        place = None if before is None else self.model.place_of(before)
        self.query_one(Slider).value = self._wanted or self.model.threshold
        table.border_title = f"{len(self.model):,} groups, {_SORTS[self.model.sort]}"
        table.show(GroupLines(self.model), cursor=place)
        self._show_figures()
        self._show_members()
        self.refresh_keys()

    def _show_figures(self) -> None:
        model = self.model
        parts: list[Said | str] = [
            (f" {model.run.title} ", Tone.STRONG),
            (" ≥ ", Tone.DIM),
            (f"{model.threshold:.3f} ", Tone.STRONG),
            (f" {count(len(model.rows), 'row')} → ", Tone.DIM),
            (f"{model.kept:,} kept", Tone.GOOD),
            (" · ", Tone.DIM),
            (f"{model.groups.removed:,} removed", Tone.ACCENT),
            (f" · {count(model.groups.groups, 'group')}", Tone.DIM),
            (f" · {count(model.pairs, 'pair')}", Tone.DIM),
        ]
        if edits := len(model.history.done):
            parts.append((f" · {count(edits, 'edit')}", Tone.DIM))
        if self._query:
            parts.append((f" · holding “{self._query}”", Tone.ACCENT))
        self.query_one("#figures", Static).update(said(*parts), layout=False)

    @property
    def _members(self) -> MemberLines | None:
        source = self.query_one("#members", VirtualTable).source
        return source if isinstance(source, MemberLines) else None

    def _show_members(self) -> None:
        groups = self.query_one("#groups", VirtualTable)
        table = self.query_one("#members", VirtualTable)
        if not len(self.model):
            table.source = GroupLines(self.model)
            table.show(table.source, cursor=0)
            table.border_title = ""
            self.query_one("#compare", TextPanel).show(said(""))
            return
        group = self.model.group(groups.cursor)
        members = self.model.members(group.head)
        same = self._members is not None and int(self._members.members.rows[0]) == group.row
        place = min(table.cursor if same else 1, len(members) - 1)
        table.border_title = f"{count(len(members), 'row')} that say the same"
        table.show(MemberLines(members, self.model.rows.texts), cursor=place)
        self._show_comparison()

    def _show_comparison(self) -> None:
        source, member = self._members, self._member
        panel = self.query_one("#compare", TextPanel)
        if source is None or member is None:
            return
        kept = int(source.members.rows[0])
        one, other = self.model.rows.texts([kept, member.row])
        name = self.model.rows.name
        if member.kept:
            parts: list[Said | str] = [(f"● {name(kept)}\n", Tone.GOOD), one, "\n"]
        else:
            ours, theirs = differences(one, other)
            alike = one == other
            parts = [(f"● {name(kept)}\n", Tone.GOOD), *compared(ours), "\n\n"]
            parts += [(f"○ {name(member.row)}", Tone.ACCENT), (_why(member), Tone.DIM), "\n"]
            parts += [("the same text", Tone.DIM)] if alike else compared(theirs)
        if self._all_columns:
            parts += self._columns(member.row)
        panel.show(said(*parts), "")

    def _columns(self, row: int) -> list[Said | str]:
        parts: list[Said | str] = ["\n"]
        for name, value in self.model.rows.cells(row).items():
            if name not in self.model.rows.text_columns:
                parts += [(f"\n{name}  ", Tone.DIM), value or ""]
        return parts

    @property
    def _member(self) -> Member | None:
        source = self._members
        if source is None or not len(source):
            return None
        place = min(self.query_one("#members", VirtualTable).cursor, len(source) - 1)
        return source.members[place]

    @on(VirtualTable.Moved, "#groups")
    def _group_moved(self, event: VirtualTable.Moved) -> None:
        members = self._members
        if members is None or not len(self.model):
            return
        if self.model.group(event.place).row != int(members.members.rows[0]):
            self._show_members()

    @on(VirtualTable.Moved, "#members")
    def _member_moved(self) -> None:
        self._show_comparison()
        self.refresh_keys()

    @on(VirtualTable.Chosen, "#groups")
    def _group_chosen(self) -> None:
        self.query_one("#members").focus()

    @on(VirtualTable.Chosen, "#members")
    def _member_chosen(self) -> None:
        self.action_details()

    # Deciding ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - given by Textual
        """Whether a key is possible now."""
        member = self._member if self.has("#members") else None
        match action:
            case "keep":
                return member is not None and not member.kept
            case "take_out":
                return member is not None and len(self.model) > 0
            case "undo":
                return bool(self.model.history.done)
            case "redo":
                return bool(self.model.history.undone)
            case "clear":
                return bool(self._query)
        return True

    def action_step(self, by: float) -> None:
        """Move the threshold."""
        now = self._wanted if self._wanted is not None else self.model.threshold
        wanted = round(min(1.0, now + by), 6)
        if wanted < self.model.floor - 1e-9:
            if now <= self.model.floor:
                self.tell(
                    f"The run stored no pairs below {self.model.floor:g}. "
                    "Press b to search again with a lower threshold."
                )
            wanted = self.model.floor
        self._ask_for(wanted)

    @on(Slider.Asked)
    def _slid(self, event: Slider.Asked) -> None:
        self._ask_for(max(event.value, self.model.floor))

    def _ask_for(self, threshold: float) -> None:
        """Move the handle at once; the groups follow when no further key waits."""
        waits = self._wanted is not None
        self._wanted = threshold
        self.query_one(Slider).value = threshold
        if not waits:
            self.call_later(self._regroup)

    def _regroup(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self._try(lambda: self.model.set_threshold(wanted))

    def action_keep(self) -> None:
        """Keep the marked row in place of the others."""
        if (member := self._member) is not None:
            self._try(lambda: self.model.keep(member.row), follow=member.row)

    def action_take_out(self) -> None:
        """Take the marked row out of its group."""
        source, member = self._members, self._member
        if source is None or member is None:
            return
        others = [row for row in source.members.rows[:2].tolist() if row != member.row]
        self._try(lambda: self.model.take_out(member.row), follow=others[0] if others else None)

    def action_undo(self) -> None:
        """Take back the latest edit."""
        self._try(self.model.undo)

    def action_redo(self) -> None:
        """Make it again."""
        self._try(self.model.redo)

    def _try(self, change: object, follow: int | None = None) -> None:
        assert callable(change)
        try:
            change()
        except SbertClusterError as error:
            self.tell_error(error)
        self.refresh_all(follow=follow)

    # Finding -------------------------------------------------------------------------------

    def action_sort(self) -> None:
        """Order the groups in the next way."""
        orders = list(Sort)
        self.model.sort_by(orders[(orders.index(self.model.sort) + 1) % len(orders)])
        self.refresh_all()

    def action_search(self) -> None:
        """Ask for words that a group must hold."""
        self.query_one(Prompt).ask("search", "Search ", self._query, "words that a row must hold")

    def action_jump(self) -> None:
        """Ask for a row number."""
        self.query_one(Prompt).ask("jump", "Go to row ", hint="number, counted from 0")

    def action_clear(self) -> None:
        """Show all groups again."""
        self._found("", None)

    @on(Prompt.Typed)
    def _typed(self, event: Prompt.Typed) -> None:
        if event.purpose == "search":
            self._find(event.text.strip())

    @on(Prompt.Answered)
    def _answered(self, event: Prompt.Answered) -> None:
        self.query_one("#groups").focus()
        if event.purpose == "jump":
            self._go_to(event.text)
        elif event.purpose == "below":
            search_below(self, self.model, event.text)

    @on(Prompt.GivenUp)
    def _given_up(self, event: Prompt.GivenUp) -> None:
        self.query_one("#groups").focus()
        if event.purpose == "search":
            self.action_clear()

    def _go_to(self, text: str) -> None:
        digits = text.strip().replace(",", "")
        row = int(digits) if digits.isdecimal() else -1
        if not 0 <= row < len(self.model.rows):
            self.tell(f"There is no row {text!r}; rows go from 0 to {len(self.model.rows) - 1:,}.")
            return
        self._found("", None)
        place = self.model.place_of(row)
        if place is None:
            self.tell(f"Row {row:,} is in no group: {self.model.rows.text(row)[:200]}")
            return
        self.query_one("#groups", VirtualTable).go_to(place)
        self._show_members()
        source = self._members
        if source is not None:
            self.query_one("#members", VirtualTable).go_to(source.members.rows.tolist().index(row))

    @work(thread=True, exclusive=True, group="search")
    def _find(self, query: str) -> None:
        worker = get_current_worker()
        if not query:
            self.post_message(RowsFound("", None))
            return
        found = []
        for rows in self.model.rows.matching(query):
            if worker.is_cancelled:
                return
            found.append(rows)
        self.post_message(RowsFound(query, np.concatenate(found) if found else np.empty(0, int)))

    @on(RowsFound)
    def _rows_found(self, event: RowsFound) -> None:
        self._found(event.query, event.rows)

    def _found(self, query: str, rows: np.ndarray | None) -> None:
        self._query = query
        self.model.show_only(rows)
        self.refresh_all()

    # Going elsewhere -----------------------------------------------------------------------

    def action_details(self) -> None:
        """Show or hide the other columns of the marked row."""
        self._all_columns = not self._all_columns
        self._show_comparison()

    def action_review(self) -> None:
        """Judge pairs, one after the other."""
        from sbert_cluster.tui.screens.review import ReviewScreen

        self.app.push_screen(ReviewScreen(self.model))

    def action_evidence(self) -> None:
        """See what the judged pairs say about the threshold."""
        from sbert_cluster.tui.screens.evidence import EvidenceScreen

        self.app.push_screen(EvidenceScreen(self.model))

    def action_write(self) -> None:
        """Write the result."""
        write_result(self, self.model.run)

    def action_below(self) -> None:
        """Ask for a lower threshold to search with."""
        below = max(0.05, round(self.model.floor - 0.05, 2))
        self.query_one(Prompt).ask("below", "Search again, pairs from similarity ", f"{below:g}")


def _why(member: Member) -> str:
    known = not isnan(member.similarity)
    shown = f" · similarity {similarity(member.similarity)}" if known else ""
    return f"{shown} · {member.reason}"
