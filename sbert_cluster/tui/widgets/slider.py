"""The threshold: how many pairs lie where, and a handle that moves between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

_STEPS = "▁▂▃▄▅▆▇█"


class Slider(Widget):
    """A histogram of pairs above a track; what counts is to the right of the handle.

    Args:
        low: Where the track begins: the threshold of the run.
        count: Gives the pairs in each of that many equal steps up to 1.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "slider--below",
        "slider--above",
        "slider--handle",
        "slider--track",
        "slider--label",
    }

    value = reactive(0.9)
    """The threshold."""

    @dataclass
    class Asked(Message):
        """Somebody put the handle elsewhere with the mouse."""

        value: float

    def __init__(
        self, low: float, count: Callable[[int], Sequence[int]], *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._low, self._count = low, count
        self._bars: list[int] = []

    def render_line(self, y: int) -> Strip:
        """The histogram, or the track."""
        width = self.size.width
        low, high, room = self._parts()
        if room < 8 or self._low >= 1:
            return Strip.blank(width, self.rich_style)
        if len(self._bars) != room:
            self._bars = list(self._count(room))
        if y == 0:
            return self._histogram(len(low), room, width)
        return self._track(low, high, room, width)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take the handle to the mouse; it follows until the button is up."""
        self.capture_mouse()
        self._ask(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The handle follows the mouse."""
        if self.app.mouse_captured is self:
            self._ask(event)

    def on_mouse_up(self) -> None:
        """Let the handle go."""
        self.release_mouse()

    def _ask(self, event: events.MouseEvent) -> None:
        low, _, room = self._parts()
        place = event.get_content_offset_capture(self).x - len(low)
        share = min(1.0, max(0.0, place / max(1, room - 1)))
        self.post_message(self.Asked(round(self._low + share * (1 - self._low), 3)))

    def _parts(self) -> tuple[str, str, int]:
        """What stands before and behind the track, and the cells between them."""
        low, high = f"{self._low:.2f} ", " 1.00"
        return low, high, self.size.width - len(low) - len(high)

    def _handle(self, room: int) -> int:
        share = (self.value - self._low) / (1 - self._low)
        return max(0, min(room - 1, round(share * (room - 1))))

    def _histogram(self, margin: int, room: int, width: int) -> Strip:
        # Copies in other spelling lie at 1 and are many: they would flatten all the rest.
        most = max([1, *self._bars[:-1]])
        handle, blank = self._handle(room), self.rich_style
        below, above = (blank + self._look(f"slider--{side}") for side in ("below", "above"))
        segments = [Segment(" " * margin, blank)]
        for place, number in enumerate(self._bars):
            # By the square root, so that the few pairs near the threshold are seen as well.
            level = round((number / most) ** 0.5 * (len(_STEPS) - 1))
            sign = _STEPS[min(level, len(_STEPS) - 1)] if number else " "
            segments.append(Segment(sign, above if place >= handle else below))
        return Strip(segments).adjust_cell_length(width, blank)

    def _track(self, low: str, high: str, room: int, width: int) -> Strip:
        handle = self._handle(room)
        label = self.rich_style + self._look("slider--label")
        segments = [
            Segment(low, label),
            Segment("╌" * handle, self.rich_style + self._look("slider--below")),
            Segment("●", self.rich_style + self._look("slider--handle")),
            Segment("━" * (room - handle - 1), self.rich_style + self._look("slider--above")),
            Segment(high, label),
        ]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _look(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)
