"""Keys of the clusters view; the help and the palette read them from here."""

from __future__ import annotations

from textual.binding import Binding, BindingType

CLUSTER_KEYS: list[BindingType] = [
    Binding("space", "mark", "Mark"),
    Binding("m", "merge", "Merge"),
    Binding("p", "split", "Split"),
    Binding("e", "rename", "Rename"),
    Binding("v", "move", "Move rows"),
    Binding("u", "undo", "Undo"),
    Binding("U,ctrl+r", "redo", "Redo"),
    Binding("slash", "search", "Search", key_display="/"),
    Binding("f", "meaning", "By meaning"),
    Binding("n", "neighbours", "Neighbours", show=False),
    Binding("c", "filter", "Filter by column", show=False),
    Binding("d", "column", "Show a column", show=False),
    Binding("s", "sort", "Sort", show=False),
    Binding("S", "sort_rows", "Sort rows by a column", show=False),
    Binding("colon", "jump", "Go to row", key_display=":", show=False),
    Binding("a", "map", "Map", show=False),
    Binding("w", "write", "Write"),
    Binding("tab", "app.focus_next", "Other part", show=False),
    Binding("escape", "clear", "All rows"),
]
