"""Two themes, and how tones look in running text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content
from textual.theme import Theme

from sbert_cluster.report.escape import visible
from sbert_cluster.tui.cells import Tone
from sbert_cluster.tui.models.differences import Piece

DARK = Theme(
    name="sbert-dark",
    primary="#8fa8ff",
    secondary="#7fb8ad",
    accent="#e6b466",
    foreground="#dcdfe6",
    background="#121316",
    surface="#191b20",
    panel="#23262d",
    success="#86c99b",
    warning="#e6b466",
    error="#f0948a",
    dark=True,
    variables={
        "muted": "#969cab",
        "faint": "#4a4f5a",
        "line": "#2b303c",
        "marked": "#2a3458",
        "footer-key-foreground": "#8fa8ff",
        "footer-description-foreground": "#b6bbc7",
    },
)
LIGHT = Theme(
    name="sbert-light",
    primary="#2f4fc7",
    secondary="#0f756b",
    accent="#9a5200",
    foreground="#1b1d22",
    background="#f6f6f3",
    surface="#ffffff",
    panel="#e9e9e3",
    success="#17683a",
    warning="#9a5200",
    error="#a3281c",
    dark=False,
    variables={
        "muted": "#5d626d",
        "faint": "#b9bcc4",
        "line": "#d5d5cc",
        "marked": "#dbe2fb",
        "footer-key-foreground": "#2f4fc7",
        "footer-description-foreground": "#3d424c",
    },
)

STYLES = {
    Tone.PLAIN: "",
    Tone.DIM: "$muted",
    Tone.STRONG: "bold",
    Tone.ACCENT: "$primary",
    Tone.GOOD: "$success",
    Tone.BAD: "$error",
    Tone.MARK: "bold underline $accent",
}
"""How each tone looks in running text."""

Said = tuple[str, Tone]


def said(*parts: Said | str) -> Content:
    """Running text of several tones; nothing in it is read as markup."""
    spans = [(part, Tone.PLAIN) if isinstance(part, str) else part for part in parts]
    return Content.assemble(*((lines(text), STYLES[tone]) for text, tone in spans))


def compared(pieces: Sequence[Piece]) -> list[Said]:
    """A text with the pieces that differ marked."""
    return [(piece.text, Tone.MARK if piece.differs else Tone.PLAIN) for piece in pieces]


def lines(text: str) -> str:
    """A visible text that keeps its line breaks."""
    return "\n".join(visible(line) for line in text.split("\n"))


def joined(parts: Iterable[str], by: str = " · ") -> str:
    """Parts that are there, one after the other."""
    return by.join(part for part in parts if part)
