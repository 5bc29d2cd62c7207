"""The map of a run: rows as dots, clusters by colour and number, a cursor between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from sbert_cluster.tui.models.scatter import BRAILLE, HUES, Drawing, Scatter

_NUMBERED = 12
"""Clusters whose number stands on the map."""


class ScatterMap(Widget, can_focus=True):
    """Draws the map; the marked cluster is bold and bright, the others are pale."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "go(0,-1)", "Up", show=False),
        Binding("down", "go(0,1)", "Down", show=False),
        Binding("left", "go(-1,0)", "Left", show=False),
        Binding("right", "go(1,0)", "Right", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"map--hue-{hue}" for hue in range(HUES)),
        "map--noise",
        "map--marked",
        "map--number",
    }

    marked: reactive[int | None] = reactive(None)
    """The cluster under the cursor."""

    @dataclass
    class Went(Message):
        """The cursor went to another cluster."""

        cluster: int

    def __init__(self, scatter: Scatter, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._scatter = scatter
        self._drawing: Drawing | None = None
        self._looks: dict[str, Style] = {}
        self._numbers: dict[tuple[int, int], str] = {}

    def redraw(self) -> None:
        """The clusters have changed."""
        self._drawing = None
        self.refresh()

    def watch_marked(self) -> None:
        """Another cluster is bright."""
        self.redraw()

    def on_resize(self) -> None:
        """The map fills its place."""
        self.redraw()

    def action_go(self, right: int, down: int) -> None:
        """Go to the nearest cluster in a direction."""
        target = self._scatter.towards(-1 if self.marked is None else self.marked, right, down)
        if target != self.marked:
            self.post_message(self.Went(target))

    def on_click(self, event: events.Click) -> None:
        """Go to the cluster whose middle is nearest to the mouse."""
        offset = event.get_content_offset(self)
        centres = self._scatter.centres()
        if offset is None or not centres:
            return
        x, y = offset.x / max(1, self.size.width), offset.y / max(1, self.size.height)
        nearest = min(centres, key=lambda k: (centres[k][0] - x) ** 2 + (centres[k][1] - y) ** 2)
        self.post_message(self.Went(nearest))

    def render_line(self, y: int) -> Strip:
        """One line of cells."""
        width, height = self.size
        if width < 4 or height < 2 or not len(self._scatter):
            return Strip.blank(width, self.rich_style)
        if self._drawing is None or self._drawing.dots.shape != (height, width):
            self._drawing = self._scatter.draw(width, height, self.marked)
            self._numbers = self._placed(width, height)
        drawing = self._drawing
        looks = self._looked_up()
        # Neighboring cells that look alike become one segment: each costs time when drawn.
        parts: list[tuple[str, list[str]]] = []
        x = 0
        while x < width:
            number = self._numbers.get((x, y))
            if number:
                own = number == str(self.marked)
                look, shown = "marked" if own else "number", number[: width - x]
                x += len(number)
            else:
                look, shown = _cell(drawing, x, y)
                x += 1
            if not parts or parts[-1][0] != look:
                parts.append((look, []))
            parts[-1][1].append(shown)
        segments = [Segment("".join(cells), looks[look]) for look, cells in parts]
        return Strip(segments).adjust_cell_length(width, looks["blank"])

    def notify_style_update(self) -> None:
        """Colours have changed."""
        super().notify_style_update()
        self._looks.clear()

    def _looked_up(self) -> dict[str, Style]:
        """The style of each part, looked up once until colours change."""
        if self._looks:
            return self._looks
        names = [name.removeprefix("map--") for name in self.COMPONENT_CLASSES]
        whole = self.rich_style
        self._looks = {
            name: whole + self.get_component_rich_style(f"map--{name}", partial=True)
            for name in names
        }
        self._looks["blank"] = whole
        return self._looks

    def _placed(self, width: int, height: int) -> dict[tuple[int, int], str]:
        """Numbers of the marked and the first clusters, where they do not cover each other."""
        centres = self._scatter.centres()
        wanted = sorted(centres, key=lambda k: (k != self.marked, k))[:_NUMBERED]
        placed: dict[tuple[int, int], str] = {}
        for cluster in wanted:
            text = str(cluster)
            x = min(int(centres[cluster][0] * width), width - len(text))
            y = min(int(centres[cluster][1] * height), height - 1)
            free = all(abs(x - a) > len(text) + 1 or y != b for a, b in placed)
            if free and x >= 0:
                placed[x, y] = text
        return placed


def _cell(drawing: Drawing, x: int, y: int) -> tuple[str, str]:
    """How a cell looks, and what stands in it."""
    if own := int(drawing.marked_dots[y, x]):
        return "marked", chr(BRAILLE + own)
    dots = int(drawing.dots[y, x])
    if not dots:
        return "blank", " "
    hue = int(drawing.hue[y, x])
    return "noise" if hue < 0 else f"hue-{hue}", chr(BRAILLE + dots)
