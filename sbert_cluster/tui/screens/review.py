"""One pair after the other: do these two say the same?"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Static

from sbert_cluster.errors import SbertClusterError
from sbert_cluster.report.escape import visible
from sbert_cluster.report.figures import count
from sbert_cluster.tui.cells import Tone, bar
from sbert_cluster.tui.look import Said, compared, said
from sbert_cluster.tui.models.decisions import Answer, Judge
from sbert_cluster.tui.models.differences import differences
from sbert_cluster.tui.models.duplicates import DuplicatesModel, Pair
from sbert_cluster.tui.widgets.key_line import KeyLine
from sbert_cluster.tui.widgets.text_panel import TextPanel

_ANSWERED = {
    Answer.SAME: ("= same", Tone.GOOD),
    Answer.DIFFERENT: ("≠ different", Tone.BAD),
    Answer.SKIP: ("· skipped", Tone.DIM),
}


class ReviewScreen(Screen[None]):
    """The queue of pairs.

    Args:
        model: Where pairs come from and answers go.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "Help", key_display="?"),
        Binding("y", "answer('same')", "Same"),
        Binding("n", "answer('different')", "Different"),
        Binding("space", "answer('skip')", "Skip"),
        Binding("u", "undo", "Undo"),
        Binding("U,ctrl+r", "redo", "Redo"),
        Binding(
            "c", "centre", "Least certain", tooltip="Pairs around the threshold, or least certain"
        ),
        Binding("d", "details", "Columns"),
        Binding("t", "evidence", "Answers", tooltip="What the answers say about the threshold"),
        Binding("escape,q", "app.pop_screen", "Back", key_display="esc"),
        Binding("L", "app.other_theme", "Light or dark", show=False),
    ]

    def __init__(self, model: DuplicatesModel) -> None:
        super().__init__()
        self.model = model
        self.pair: Pair | None = None
        self._by_curve = False
        self._all_columns = False
        self._at_start = len(model.history.done)

    def compose(self) -> ComposeResult:
        """Progress, two texts, and the question."""
        with Vertical(id="review"):
            yield Static("", id="progress", markup=False)
            yield TextPanel(id="left", classes="side")
            yield TextPanel(id="right", classes="side")
            yield Static("", id="question", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the first pair."""
        self.show_next()

    def on_screen_resume(self) -> None:
        """The threshold may have moved on the screen that was above."""
        self.show(self.pair)

    def show_next(self) -> None:
        """Show the pair to judge next."""
        self.show(self.model.next_pair(self._centre))

    def show(self, pair: Pair | None) -> None:
        """Show a pair; None: all are judged."""
        self.pair = pair
        left, right = self.query_one("#left", TextPanel), self.query_one("#right", TextPanel)
        left.display = right.display = pair is not None
        if pair is not None:
            one, other = self.model.rows.texts([pair.left, pair.right])
            ours, theirs = differences(one, other)
            for panel, row, pieces in ((left, pair.left, ours), (right, pair.right, theirs)):
                parts: list[Said | str] = [*compared(pieces), *self._columns(row)]
                panel.show(said(*parts), visible(self.model.rows.name(row)))
        self._show_question()
        self._show_progress()
        self.refresh_bindings()

    def _columns(self, row: int) -> list[Said | str]:
        if not self._all_columns:
            return []
        parts: list[Said | str] = ["\n"]
        for name, value in self.model.rows.cells(row).items():
            if name not in self.model.rows.text_columns:
                parts += [(f"\n{name}  ", Tone.DIM), value or ""]
        return parts

    def _show_question(self) -> None:
        pair, place = self.pair, self.query_one("#question", Static)
        if pair is None:
            word = "are judged" if self.model.reviewable else "to judge"
            lead = "All pairs" if self.model.reviewable else "There are no pairs"
            place.update(said((f"{lead} {word}.", Tone.GOOD), (" u takes one back.", Tone.DIM)))
            return
        above = pair.similarity >= self.model.threshold
        sign = "≥" if above else "<"
        parts: list[Said | str] = [
            ("Do they say the same?", Tone.STRONG),
            (f"   similarity {pair.similarity:.4f} {sign} ", Tone.DIM),
            (f"{self.model.threshold:.3f}", Tone.DIM),
        ]
        if pair.answer is not None:
            parts += ["   ", _ANSWERED[pair.answer]]
        place.update(said(*parts))

    def _show_progress(self) -> None:
        judged = self.model.judged
        done, total = len(judged), self.model.reviewable
        same = int(judged.same.sum())
        parts: list[Said | str] = [
            (bar(done / max(1, total), 12), Tone.ACCENT),
            (f" {done:,} of {count(total, 'pair')}  ", Tone.STRONG),
            (f"= {same:,}", Tone.GOOD),
            ("  ", Tone.DIM),
            (f"≠ {done - same:,}", Tone.BAD),
        ]
        if done:
            agreement = judged.agreement(self.model.threshold)
            low, high = agreement.interval
            shown = f"   agreement {agreement.value:.0%} ({low:.0%} to {high:.0%})"
            parts.append((shown, Tone.DIM))
        if self._by_curve:
            parts.append((f"   around {self._centre:.3f}", Tone.DIM))
        self.query_one("#progress", Static).update(said(*parts))

    @property
    def _centre(self) -> float | None:
        curve = self.model.curve if self._by_curve else None
        return None if curve is None else min(1.0, max(self.model.floor, curve.even))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - given by Textual
        """Whether a key is possible now."""
        match action:
            case "answer":
                return self.pair is not None
            case "undo":
                return bool(self.model.history.done)
            case "redo":
                return bool(self.model.history.undone)
            case "centre":
                return self.model.curve is not None
        return True

    def action_answer(self, answer: str) -> None:
        """Record an answer and go on; it is on disk before the next pair is shown."""
        if self.pair is None:
            return
        try:
            self.model.judge(self.pair, Answer(answer))
        except SbertClusterError as error:
            self.notify(visible(str(error)), severity="error", markup=False)
            return
        self.show_next()

    def action_undo(self) -> None:
        """Take back the latest edit, and show the pair if it was about one."""
        edit = self.model.undo()
        if isinstance(edit, Judge):
            self.show(self.model.pair_of(edit.left, edit.right))
        else:
            self.show_next()

    def action_redo(self) -> None:
        """Make the edit again that was taken back."""
        self.model.redo()
        self.show_next()

    def action_centre(self) -> None:
        """Take pairs around the threshold, or those that the answers leave least certain."""
        self._by_curve = not self._by_curve
        self.show_next()

    def action_details(self) -> None:
        """Show or hide the other columns."""
        self._all_columns = not self._all_columns
        self.show(self.pair)

    def action_evidence(self) -> None:
        """See what the judged pairs say about the threshold."""
        from sbert_cluster.tui.screens.evidence import EvidenceScreen

        self.app.push_screen(EvidenceScreen(self.model))
