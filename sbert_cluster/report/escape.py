"""Texts come from strangers: what they may do to a terminal, a page or a spreadsheet.

Nothing here judges a text; characters that act rather than show are made to show.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from rich.cells import cell_len, split_graphemes
from rich.text import Text

ELLIPSIS = "…"
"""Stands for what was cut; one cell wide."""

_SHOWN_PLAINLY = {"\n": "⏎", "\t": " "}
_INVISIBLE = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}

# Joiners that shape what is seen: inside an emoji, after a virama, between letters of Persian
# and other Arabic-script languages. Anywhere else they only hide, and are shown.
_PICTOGRAPH = "\u2190-\u2bff\U0001f000-\U0001faff"
_ARABIC = "\u0620-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08c9"
_VIRAMA = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca"
_MEANT_JOINER = re.compile(
    f"((?:(?<=[{_PICTOGRAPH}])|(?<=[{_PICTOGRAPH}]\ufe0f))\u200d(?=[{_PICTOGRAPH}])"
    f"|(?<=[{_VIRAMA}])[\u200c\u200d](?=[\u0904-\u0df0])"
    f"|(?<=[{_ARABIC}])\u200c(?=[{_ARABIC}]))"
)


class _Visible(dict[int, str]):
    """Translation table that decides on a character when it first meets it."""

    def __missing__(self, codepoint: int) -> str:
        shown = self[codepoint] = _show(chr(codepoint))
        return shown


def _show(character: str) -> str:
    codepoint = ord(character)
    if character in _SHOWN_PLAINLY:
        return _SHOWN_PLAINLY[character]
    if unicodedata.category(character) not in _INVISIBLE or _is_newer_than_python(codepoint):
        return character
    if codepoint < 0x20:
        return chr(0x2400 + codepoint)
    if codepoint == 0x7F:
        return "␡"
    if codepoint <= 0xFF:
        return f"\\x{codepoint:02x}"
    return f"\\u{codepoint:04x}" if codepoint <= 0xFFFF else f"\\U{codepoint:08x}"


def _is_newer_than_python(codepoint: int) -> bool:
    """Emoji and ideographs that Unicode added after this Python: unassigned only to us."""
    in_block = 0x1F300 <= codepoint <= 0x1FAFF or 0x20000 <= codepoint <= 0x323AF
    return in_block and codepoint & 0xFFFE != 0xFFFE


_TABLE = _Visible()


def visible(text: str) -> str:
    r"""Make a text safe for a terminal: one line, and nothing in it that acts.

    Control characters become control pictures (``␛``) or escapes (``\x9b``); so do bidirectional
    controls, other invisible format characters, lone surrogates and line separators. A line break
    becomes ``⏎`` and a tab a space. Joiners stay where they shape an emoji or a letter.

    Returns:
        A text that is the same when it is made visible again.
    """
    if text.isprintable():
        return text
    parts = _MEANT_JOINER.split(text.replace("\r\n", "\n"))
    # Odd parts are the joiners themselves.
    return "".join(p if i % 2 else p.translate(_TABLE) for i, p in enumerate(parts))


def shorten(text: str, cells: int) -> str:
    """Make a text visible and cut it to a width in terminal cells, with ``…`` where it was cut.

    Args:
        text: Any text.
        cells: Width; a wide character such as ``語`` takes two.

    Returns:
        A text of at most ``cells`` cells, cut between graphemes.
    """
    # A screen is small and a text may be a book: look at no more of it than could fit.
    head = text[: 8 * max(cells, 0) + 64]
    shown = visible(head)
    if len(head) == len(text) and cell_len(shown) <= cells:
        return shown
    if cells < 1:
        return ""
    end, width = 0, 0
    for _, stop, size in split_graphemes(shown)[0]:
        if width + size > cells - 1:
            break
        end, width = stop, width + size
    return shown[:end].rstrip() + ELLIPSIS


def plain(text: str) -> Text:
    """A visible text for rich, never read as markup."""
    return Text(visible(text))


_UNSAFE_IN_SCRIPT = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def json_for_script(value: Any) -> str:
    """JSON that cannot end the ``<script type="application/json">`` it stands in.

    Args:
        value: JSON-ready; NaN and infinities are refused.

    Returns:
        JSON in which ``<``, ``>``, ``&``, line separators and lone surrogates are escaped.

    Raises:
        ValueError: For NaN or an infinity, which JSON does not have.
    """
    raw = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE_IN_SCRIPT.sub(lambda match: f"\\u{ord(match[0]):04x}", raw)


def for_spreadsheet(cell: str) -> str:
    """Keep a spreadsheet from reading a cell as a formula: a leading ``'`` where it would."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
