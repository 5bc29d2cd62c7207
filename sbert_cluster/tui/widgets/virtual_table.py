"""A table of any length: only the lines on the screen are ever made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from sbert_cluster.tui.cells import Cell, Column, Tone, fit, plain


class Source(Protocol):
    """Where the cells come from."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns."""

    def __len__(self) -> int: ...

    def line(self, place: int) -> Sequence[Cell]:
        """The cells of one line."""


class Nothing:
    """A source without lines."""

    columns: Sequence[Column] = ()

    def __len__(self) -> int:
        return 0

    def line(self, place: int) -> Sequence[Cell]:
        """There is none."""
        raise IndexError(place)


# Left and right belong to the threshold, not to a table that is as wide as its place.
class VirtualTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a source; the line under the cursor is marked by ``▌`` and a colour."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "end(-1)", "First", show=False),
        Binding("end", "end(1)", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"table--{tone}" for tone in Tone),
        "table--head",
        "table--cursor",
        "table--cursor-blurred",
    }

    cursor = reactive(0)
    """The line that is marked."""

    @dataclass
    class Moved(Message):
        """The cursor stands on another line, or the line under it has changed."""

        table: VirtualTable
        place: int

        @property
        def control(self) -> VirtualTable:
            """The table."""
            return self.table

    @dataclass
    class Chosen(Message):
        """Somebody pressed Enter on a line, or clicked on the one that was marked."""

        table: VirtualTable
        place: int

        @property
        def control(self) -> VirtualTable:
            """The table."""
            return self.table

    def __init__(self, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.source: Source = Nothing()
        self._empty = empty
        self._strips: dict[int, Strip] = {}
        self._looks: dict[str, Style] = {}

    # What is shown -------------------------------------------------------------------------

    def show(self, source: Source, *, cursor: int | None = None) -> None:
        """Show a source.

        Args:
            source: What to show; the same one again after it changed.
            cursor: The line to mark; None: the one marked now, if there is one.
        """
        self.source = source
        self.virtual_size = Size(self.size.width, len(source) + 1)
        wanted = self.cursor if cursor is None else cursor
        before = self.cursor
        self.set_reactive(VirtualTable.cursor, max(0, min(wanted, len(source) - 1)))
        self.refresh_all()
        if cursor is not None and self.cursor != before:
            self.scroll_to(y=0, animate=False, immediate=True, force=True)
            self._follow(centre=self.cursor >= self._lines)
        self._follow()
        self._tell()

    def refresh_all(self) -> None:
        """Draw every line anew."""
        self._strips.clear()
        self.refresh()

    def set_empty(self, sentence: str) -> None:
        """What stands there when there is no line."""
        self._empty = sentence
        self.refresh()

    def go_to(self, place: int) -> None:
        """Mark a line and scroll to it."""
        self.cursor = place
        self._follow(centre=True)

    # Moving --------------------------------------------------------------------------------

    def validate_cursor(self, place: int) -> int:
        """Keep the cursor inside."""
        return max(0, min(place, len(self.source) - 1))

    def watch_cursor(self, before: int, now: int) -> None:
        """Follow the cursor."""
        for place in (before, now):
            self._strips.pop(place, None)
        self._follow()
        self.refresh()
        self._tell()

    def action_move(self, by: int) -> None:
        """Move the cursor by lines."""
        self.cursor += by

    def action_page(self, by: int) -> None:
        """Move the cursor by screens."""
        self.cursor += by * max(1, self._lines - 1)

    def action_end(self, which: int) -> None:
        """Move the cursor to the first or the last line."""
        self.cursor = 0 if which < 0 else len(self.source) - 1

    def action_choose(self) -> None:
        """Open the line under the cursor."""
        if len(self.source):
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Mark the line under the mouse; open it if it was marked already."""
        inside = event.get_content_offset(self)
        if inside is None or inside.y < 1:
            return
        place = inside.y - 1 + round(self.scroll_offset.y)
        if place >= len(self.source):
            return
        if place == self.cursor:
            self.action_choose()
        self.cursor = place

    def on_resize(self) -> None:
        """Lines depend on the width."""
        self.virtual_size = Size(self.size.width, len(self.source) + 1)
        self.refresh_all()
        if self.cursor < self._lines:
            self.scroll_to(y=0, animate=False, immediate=True, force=True)
        self._follow()

    def on_focus(self) -> None:
        """The cursor of the part with the focus is brighter."""
        self.refresh_all()

    def on_blur(self) -> None:
        """As when it gets the focus."""
        self.refresh_all()

    def notify_style_update(self) -> None:
        """Colours have changed."""
        super().notify_style_update()
        self._strips.clear()
        self._looks.clear()

    # Drawing -------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the head of the table, or a line of the source."""
        width = self.scrollable_content_region.width
        if not len(self.source):
            return self._note(width) if y == 1 else self._blank(width)
        if y == 0:
            return self._head(width)
        place = round(self.scroll_offset.y) + y - 1
        if not 0 <= place < len(self.source):
            return self._blank(width)
        if place not in self._strips:
            if len(self._strips) > 512:
                self._strips.clear()
            self._strips[place] = self._line(place, width)
        return self._strips[place]

    def _line(self, place: int, width: int) -> Strip:
        is_marked = place == self.cursor
        base = Style()
        if is_marked:
            base = self._look("cursor" if self.has_focus else "cursor-blurred")
        segments = [Segment("▌" if is_marked else " ", self._look() + base)]
        cells = self.source.line(place)
        for number, column, room in self._layout(width):
            for span in fit(cells[number], room, right=column.right):
                segments.append(Segment(span.text, self._look(span.tone) + base))
            segments.append(Segment(" ", self._look() + base))
        return Strip(segments).adjust_cell_length(width, self._look() + base)

    def _look(self, name: str = "") -> Style:
        """The style of a part, looked up once until colours change."""
        if name not in self._looks:
            part = name and self.get_component_rich_style(f"table--{name}", partial=True)
            whole = Style() if name.startswith("cursor") else self.rich_style
            self._looks[name] = whole + part if part else whole
        return self._looks[name]

    def _head(self, width: int) -> Strip:
        style = self._look("head")
        segments = [Segment(" ", style)]
        for _, column, room in self._layout(width):
            title = fit(plain(column.title), room, right=column.right)
            segments.extend(Segment(span.text, style) for span in title)
            segments.append(Segment(" ", style))
        return Strip(segments).adjust_cell_length(width, style)

    def _note(self, width: int) -> Strip:
        style = self._look("dim")
        spans = fit(plain(f" {self._empty}"), width)
        return Strip([Segment(span.text, style) for span in spans])

    def _blank(self, width: int) -> Strip:
        return Strip.blank(width, self._look())

    def _layout(self, width: int) -> list[tuple[int, Column, int]]:
        """The columns that are shown: their positions, and the cells that each takes."""
        shown = [(n, c) for n, c in enumerate(self.source.columns) if width >= c.at_least]
        fixed = sum(column.width for _, column in shown) + len(shown) + 1
        flexible = sum(not column.width for _, column in shown)
        room = max(4, (width - fixed) // max(1, flexible))
        return [(number, column, column.width or room) for number, column in shown]

    @property
    def _lines(self) -> int:
        """Lines of the source that fit."""
        return max(1, self.scrollable_content_region.height - 1)

    def _follow(self, *, centre: bool = False) -> None:
        """Scroll so that the cursor is seen."""
        top = round(self.scroll_offset.y)
        if top <= self.cursor < top + self._lines and not centre:
            return
        if centre:
            wanted = self.cursor - self._lines // 2
        else:
            wanted = self.cursor if self.cursor < top else self.cursor - self._lines + 1
        limit = max(0, len(self.source) - self._lines)
        self.scroll_to(y=max(0, min(wanted, limit)), animate=False, immediate=True, force=True)

    def _tell(self) -> None:
        if self.is_mounted:
            self.post_message(self.Moved(self, self.cursor))
