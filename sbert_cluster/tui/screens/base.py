"""What all screens of a run have in common."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.screen import Screen

from sbert_cluster.errors import SbertClusterError
from sbert_cluster.report.escape import visible


class RunScreen(Screen[None]):
    """A screen that tells errors in a corner instead of ending."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "Help", key_display="?"),
        Binding("q", "app.quit", "Quit", show=False),
        Binding("L", "app.other_theme", "Light or dark", show=False),
    ]

    _possible: tuple[str, ...] = ()

    def refresh_keys(self) -> None:
        """Show the keys that are possible now; the footer is made anew only if they changed."""
        keys = [b for b in self.BINDINGS if isinstance(b, Binding)]
        now = tuple(b.action for b in keys if self.check_action(b.action.partition("(")[0], ()))
        if now != self._possible:
            self._possible = now
            self.refresh_bindings()

    def has(self, selector: str) -> bool:
        """Whether a part of the screen is there: not before it is made, nor when it is closed."""
        try:
            self.query_one(selector)
        except NoMatches:
            return False
        return self.is_mounted

    def tell(self, sentence: str, *, severe: bool = False) -> None:
        """Say something in a corner."""
        level: Literal["error", "information"] = "error" if severe else "information"
        self.notify(visible(sentence), severity=level, markup=False, timeout=6)

    def tell_error(self, error: SbertClusterError) -> None:
        """Say what is wrong and what to do."""
        self.tell(f"{error.problem}. {error.remedy}".strip(), severe=True)
