"""What the judged pairs say about the threshold."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from sbert_cluster.report.figures import count
from sbert_cluster.tui.cells import Tone
from sbert_cluster.tui.look import Said, said
from sbert_cluster.tui.models.duplicates import DuplicatesModel
from sbert_cluster.tui.models.evidence import Line, Share
from sbert_cluster.tui.models.log import Record
from sbert_cluster.tui.screens.base import RunScreen
from sbert_cluster.tui.screens.task import ask
from sbert_cluster.tui.widgets.key_line import KeyLine

_WANTED = 0.9
"""Precision for which a threshold is advised."""


class EvidenceScreen(RunScreen):
    """Precision and recall at some thresholds.

    Args:
        model: With the judged pairs.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "advice", "Take the threshold"),
        Binding("c", "calibrate", "Calibrate"),
        Binding("f", "train", "Fine-tune the model"),
        Binding("escape,t,q", "app.pop_screen", "Back", key_display="esc"),
    ]

    def __init__(self, model: DuplicatesModel) -> None:
        super().__init__()
        self.model = model
        self._calibrated: Record | None = None
        self._trained: Record | None = None

    def compose(self) -> ComposeResult:
        """A table and what it means."""
        with VerticalScroll(id="evidence"):
            yield Static("", id="table", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the table."""
        self.show()

    @property
    def advice(self) -> float | None:
        """The calibrated threshold, or the lowest that is precise enough as far as is known."""
        if self._calibrated is not None:
            return float(self._calibrated["threshold"])
        return self.model.judged.advice(_WANTED)

    def show(self) -> None:
        """Show what is known now."""
        model, judged = self.model, self.model.judged
        parts: list[Said | str] = [("What your answers say about the threshold\n\n", Tone.STRONG)]
        if not len(judged):
            parts += ["No pair is judged yet. ", ("r", Tone.STRONG), " begins a review."]
            self.query_one("#table", Static).update(said(*parts))
            return
        same = int(judged.same.sum())
        parts += [f"{count(len(judged), 'pair')} judged: {same:,} the same, "]
        parts += [f"{len(judged) - same:,} different.\n\n"]
        parts += [("  threshold     pairs   judged   precision             recall\n", Tone.DIM)]
        for line in model.evidence(self._thresholds()):
            parts += self._line(line)
        parts += ["\n", *self._advised(), "\n", *self._told(), "\n"]
        parts += [(_CAUTION, Tone.DIM)]
        self.query_one("#table", Static).update(said(*parts))
        self.refresh_bindings()

    def _thresholds(self) -> list[float]:
        floor, now = self.model.floor, self.model.threshold
        steps = [round(floor + (1 - floor) * i / 8, 3) for i in range(8)]
        return sorted({*steps, now})

    def _line(self, line: Line) -> list[Said | str]:
        now = abs(line.threshold - self.model.threshold) < 1e-9
        lead = f"{'▶' if now else ' '}     {line.threshold:.3f}  {line.pairs:>8,}"
        tone = Tone.STRONG if now else Tone.PLAIN
        judged = f"  {line.precision.whole:>7,}   "
        return [(lead, tone), (judged, tone), *_share(line.precision), *_share(line.recall), "\n"]

    def _advised(self) -> list[Said | str]:
        advice, curve = self.model.judged.advice(_WANTED), self.model.curve
        parts: list[Said | str]
        if advice is None:
            sentence = f"No threshold is known yet to be {_WANTED:.0%} precise: judge more pairs."
            parts = [(sentence, Tone.ACCENT)]
        else:
            parts = [f"From {advice:.3f} on, at least {_WANTED:.0%} of the pairs are the same ("]
            parts += ["95 % sure). ", ("a", Tone.STRONG), " takes it."]
        if curve is not None:
            parts += [f"\nEven chances lie at {curve.even:.3f}: press c in the review to go there."]
        return parts

    def _told(self) -> list[Said | str]:
        """What calibrating and training found."""
        parts: list[Said | str] = []
        if (found := self._calibrated) is not None:
            low, high = found["threshold_interval"]
            parts += [(f"Calibrated: {found['threshold']:.3f}", Tone.GOOD)]
            parts += [f" ({low:.3f} to {high:.3f}), precision {found['precision']:.0%}, "]
            parts += [f"recall {found['recall']:.0%} of judged pairs. ", ("a", Tone.STRONG)]
            parts += [" takes it.\n"]
        if (made := self._trained) is not None:
            parts += [(f"Fine-tuned: {made['folder']}\n", Tone.GOOD)]
            if not made["held_out"]:
                parts.append(
                    "  too few answers to hold some out, so before and after are not known\n"
                )
            for one in made["held_out"]:
                for name, before in one["before"].items():
                    parts += [f"  {name}: {before:.3f} → {one['after'][name]:.3f}\n"]
        return parts

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - given by Textual
        """Whether a key is possible now."""
        judged = self.model.judged
        both = 0 < int(judged.same.sum()) < len(judged)
        possible = {"advice": self.advice is not None, "calibrate": both, "train": both}
        return possible.get(action, True)

    def action_advice(self) -> None:
        """Move the threshold to where it is precise enough."""
        if (advice := self.advice) is not None:
            self.model.set_threshold(max(advice, self.model.floor))
            self.show()

    def action_calibrate(self) -> None:
        """Calibrate on the judged pairs, as ``sbert-cluster calibrate`` does."""

        def found(result: Record) -> None:
            self._calibrated = result
            self.show()

        request = {"do": "calibrate", "folder": str(self.model.run.folder)}
        ask(self, "Calibrating the threshold", request, found)

    def action_train(self) -> None:
        """Fine-tune the model on the judged pairs, as ``sbert-cluster train`` does."""
        run = self.model.run
        output = run.folder.with_name(f"{run.folder.name.removesuffix('.dedup')}-model")

        def trained(result: Record) -> None:
            self._trained = result
            self.show()

        request = {"do": "train", "folder": str(run.folder), "output": str(output)}
        ask(self, "Fine-tuning the model on your answers", request, trained)


_CAUTION = (
    "Intervals are those of Wilson, 95 %. Pairs nearest to the threshold are judged first, so they "
    "are harder than the rest: over all pairs the precision is higher than it looks here. Recall "
    "counts judged pairs only; what the run did not store, nobody could judge."
)


def _share(share: Share) -> list[Said | str]:
    if not share.whole:
        return [(f"{'–':<22}", Tone.DIM)]
    low, high = share.interval
    return [(f"{share.value:>4.0%}", Tone.STRONG), (f"  {low:>4.0%} to {high:<7.0%} ", Tone.DIM)]
