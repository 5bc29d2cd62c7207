"""Full texts, wrapped, in a panel that scrolls."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static


class TextPanel(VerticalScroll, can_focus=False):
    """A panel with a title."""

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static("", markup=False)

    def show(self, content: Content, title: str = "") -> None:
        """Show a text from its beginning."""
        self.query_one(Static).update(content)
        self.border_title = Content(title)
        self.scroll_home(animate=False)
