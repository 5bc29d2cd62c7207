"""Texts cannot act on a terminal, a page or a spreadsheet."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sbert_cluster.report.escape import for_spreadsheet, json_for_script, plain, shorten, visible

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"


@given(ANY_TEXT)
def test_visible_leaves_nothing_that_acts(text: str) -> None:
    """No control, bidi or invisible format character survives, but for joiners that shape."""
    left = {c for c in visible(text) if unicodedata.category(c) in UNSEEN}
    assert left <= set(JOINERS)
    assert not left & BIDI


@given(st.text("ab \x1b\u200d\u200c\u202e", max_size=20))
def test_joiners_do_not_hide_between_latin_letters(text: str) -> None:
    """A joiner that shapes nothing is shown."""
    assert not set(visible(text)) & set(JOINERS)


@given(ANY_TEXT)
def test_visible_is_settled_after_once(text: str) -> None:
    """Making a text visible twice changes nothing more."""
    assert visible(visible(text)) == visible(text)


@given(ANY_TEXT)
def test_visible_can_be_written_as_utf8(text: str) -> None:
    """Lone surrogates, which no file can hold, are gone."""
    visible(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, ünïcödé 語", "plain words, ünïcödé 語"),
        ("\x1b[31mred\x07\x7f", "␛[31mred␇␡"),
        ("one\r\ntwo\nthree\tfour\rfive", "one⏎two⏎three four␍five"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eevil\u2069", "\\u202eevil\\u2069"),
        ("\ufeffa\u200bb\u2028", "\\ufeffa\\u200bb\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("👩‍💻 🏳️‍🌈 👨🏽‍🚀 ❤️", "👩‍💻 🏳️‍🌈 👨🏽‍🚀 ❤️"),
        ("می‌خواهم ශ්‍රී", "می‌خواهم ශ්‍රී"),
        ("a\u200db", "a\\u200db"),
        ("\U0001fae8\U0001fa77", "\U0001fae8\U0001fa77"),
    ],
)
def test_visible_examples(text: str, shown: str) -> None:
    """Each kind of character is shown as the docstring says."""
    assert visible(text) == shown


@given(ANY_TEXT, st.integers(0, 30))
def test_shorten_fits(text: str, cells: int) -> None:
    """A shortened text is never wider than asked."""
    assert cell_len(shorten(text, cells)) <= cells


@given(st.text("ab語👩‍💻é\u0301", max_size=40), st.integers(0, 20))
def test_shorten_says_that_it_cut(text: str, cells: int) -> None:
    """A text that fits stays whole, and one that does not ends with an ellipsis."""
    shown = shorten(text, cells)
    if cell_len(visible(text)) <= cells:
        assert shown == visible(text)
    elif cells:
        assert shown.endswith("…")


def test_shorten_counts_wide_characters_twice() -> None:
    """Ideographs take two cells, and none is cut in half."""
    assert shorten("日本語テキスト", 8) == "日本語…"


def test_shorten_looks_at_no_more_than_it_needs() -> None:
    """A very long text is shortened without reading all of it."""
    assert shorten("x" * 50_000_000, 5) == "xxxx…"


def test_plain_reads_no_markup() -> None:
    """Square brackets are text."""
    text = plain("[red]no[/red] \x1b[1m")
    assert text.plain == "[red]no[/red] ␛[1m"
    assert not text.spans


@given(st.recursive(ANY_TEXT | st.none() | st.integers(), lambda inner: st.lists(inner)))
def test_json_for_script_comes_back_the_same(value: object) -> None:
    """Nothing is lost, and nothing in it could end or open an element."""
    written = json_for_script(value)
    assert not set(written) & set("<>&\u2028\u2029")
    written.encode("utf-8")
    # A high and a low surrogate side by side become one character, as in every JSON.
    assert json.loads(written) == json.loads(json.dumps(value))


def test_json_for_script_refuses_what_json_cannot_say() -> None:
    """NaN would be a syntax error in the page."""
    with pytest.raises(ValueError, match="JSON"):
        json_for_script([float("nan")])


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_for_spreadsheet_defuses_formulas(start: str) -> None:
    """A cell that a spreadsheet would compute becomes text."""
    assert for_spreadsheet(f"{start}1+1") == f"'{start}1+1"
    assert for_spreadsheet(f"a{start}") == f"a{start}"
