"""Every key of the screen below, and what it does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from sbert_cluster.tui.cells import Tone
from sbert_cluster.tui.look import Said, said

_MORE = {
    "↑ ↓": "Move by a line",
    "pgup pgdn": "Move by a screen",
    "home end": "First or last line",
    "tab": "To the other list",
    "enter": "Open",
    "mouse": "Click a line to mark it, again to open it; click the track to move the threshold",
}
_KEYS = {"left": "←", "right": "→", "shift+left": "⇧←", "shift+right": "⇧→", "escape": "esc"}
_KEYS |= {"slash": "/", "colon": ":", "question_mark": "?", "ctrl+r": "^r", "ctrl+p": "^p"}


class HelpScreen(ModalScreen[None]):
    """The keys.

    Args:
        title: Name of the screen below.
        bindings: Its keys.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close", key_display="esc")
    ]

    def __init__(self, title: str, bindings: Iterable[Binding]) -> None:
        super().__init__()
        self._heading, self._keys = title, list(bindings)

    def compose(self) -> ComposeResult:
        """A list of keys."""
        with VerticalScroll(id="box"):
            yield Static(said(*self._lines()), markup=False)

    def _lines(self) -> list[Said | str]:
        parts: list[Said | str] = [(f"{self._heading}\n\n", Tone.STRONG)]
        for binding in self._keys:
            keys = " ".join(_KEYS.get(key, key) for key in binding.key.split(","))
            what = binding.tooltip or binding.description
            parts += [(f"{keys:>10}  ", Tone.ACCENT), f"{what}\n"]
        parts.append("\n")
        for key, what in _MORE.items():
            parts += [(f"{key:>10}  ", Tone.ACCENT), f"{what}\n"]
        parts += [(f"{'^p':>10}  ", Tone.ACCENT), "All commands"]
        return parts
