"""A line at the foot of the screen in which something is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class Prompt(Horizontal):
    """Hidden until something is asked; Escape gives up, Enter answers."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Cancel")]

    @dataclass
    class Typed(Message):
        """The text changed while somebody types."""

        purpose: str
        text: str

    @dataclass
    class Answered(Message):
        """Enter was pressed."""

        purpose: str
        text: str

    @dataclass
    class GivenUp(Message):
        """Escape was pressed."""

        purpose: str

    def __init__(self) -> None:
        super().__init__()
        self.purpose = ""
        self.display = False

    def compose(self) -> ComposeResult:
        """A label and a field."""
        yield Label("", markup=False)
        yield Input(compact=True)

    def ask(self, purpose: str, label: str, text: str = "", hint: str = "") -> None:
        """Ask for something.

        Args:
            purpose: Comes back with the answer.
            label: What is asked.
            text: What stands in the field at first.
            hint: Shown while the field is empty.
        """
        self.purpose = purpose
        self.query_one(Label).update(label)
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = text
        field.placeholder = hint
        field.cursor_position = len(text)
        self.display = True
        field.focus()

    def close(self) -> None:
        """Go away."""
        self.display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        """Pass on what is typed."""
        event.stop()
        if self.display:
            self.post_message(self.Typed(self.purpose, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pass on the answer."""
        event.stop()
        self.close()
        self.post_message(self.Answered(self.purpose, event.value))

    def action_give_up(self) -> None:
        """Go away without an answer."""
        self.close()
        self.post_message(self.GivenUp(self.purpose))
