"""The line at the foot: the keys that are possible now, as one widget that is cheap to draw."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class KeyLine(Widget):
    """Shows keys and what they do; a click on one presses it.

    Keys that find no room are not shown: the help has them all.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--name"}

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[str, Binding]] = []
        self._ends: list[tuple[int, str]] = []
        """Where each key ends, in cells from the left."""

    def on_mount(self) -> None:
        """Keys change with what is marked."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_unmount(self) -> None:
        """Listen no longer."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _changed(self, screen: Screen[object]) -> None:
        shown = {
            active.binding.action: active.binding
            for active in screen.active_bindings.values()
            if active.binding.show and active.enabled
        }
        keys = [(self.app.get_key_display(binding), binding) for binding in shown.values()]
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Keys and their names, as many as there is room for."""
        width = self.size.width
        whole = self.rich_style
        key_look = whole + self.get_component_rich_style("keys--key", partial=True)
        name_look = whole + self.get_component_rich_style("keys--name", partial=True)
        segments: list[Segment] = []
        self._ends, used = [], 0
        for display, binding in self._keys if y == 0 else []:
            taken = cell_len(display) + cell_len(binding.description) + 2
            if used + taken - 1 > width:
                break
            segments.append(Segment(f"{display} ", key_look))
            segments.append(Segment(f"{binding.description} ", name_look))
            used += taken
            self._ends.append((used - 1, binding.key))
        return Strip(segments).adjust_cell_length(width, whole)

    def on_click(self, event: events.Click) -> None:
        """Press the key under the mouse."""
        key = next((key for end, key in self._ends if event.x < end), None)
        if key is not None:
            self.app.simulate_key(key)
