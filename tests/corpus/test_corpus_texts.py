"""Texts of rows, their normal form, and the distinct ones."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sbert_cluster.corpus.texts import distinct, normalise, texts_of
from sbert_cluster.types import Corpus

LIGHT = settings(max_examples=300)


def test_texts_are_untouched() -> None:
    """A text is what stands in the file, and only what shows nothing is empty."""
    cells = [" Hi  there ", None, "", " \t\n", "\u200b\u00ad\ufeff", "\x00\x1b", "\u3000", "."]
    corpus = Corpus(pl.DataFrame({"a": cells}), ("a",))
    assert texts_of(corpus) == [" Hi  there ", "", "", "", "", "", "", "."]


def test_texts_are_joined() -> None:
    """Several columns are joined by a line break, blank ones left out."""
    frame = pl.DataFrame({"a": ["x", " ", None], "b": ["y", "z", ""], "n": [1, 2, None]})
    assert texts_of(Corpus(frame, ("a", "b", "n"))) == ["x\ny\n1", "z\n2", ""]


def test_texts_of_other_types() -> None:
    """Scalars become text, and a corpus without text columns has empty ones."""
    frame = pl.DataFrame(
        {
            "d": [date(2024, 1, 5)],
            "f": [1.0],
            "t": [True],
            "c": pl.Series(["k"], dtype=pl.Categorical),
        }
    )
    assert texts_of(Corpus(frame, ("d", "f", "t", "c"))) == ["2024-01-05\n1.0\ntrue\nk"]
    assert texts_of(Corpus(frame, ())) == [""]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I reset it?", "how do I reset it"),
        ("Hello,   world!", "hello world"),
        ("“Quoted” — text…", "quoted text"),
        ("ＦＵＬＬ　ｗｉｄｔｈ！", "full width"),
        ("cafe\u0301", "café"),
        ("we’re here", "we're here"),
        ("so\u00adft", "soft"),
        ("a\u200bb", "ab"),
        ("zero\x00byte", "zerobyte"),
        ("tab\there\r\n", "tab here"),
        ("¿Qué tal?", "qué tal"),
        ("東京です。", "東京です"),
        ("☎\ufe0f now", "☎ now"),
        ("(-5)", "-5"),
        ("STRASSE", "straße"),
        ("e-mail", "e mail"),
    ],
)
def test_same_form(one: str, other: str) -> None:
    """Case, white space, punctuation and Unicode form do not matter."""
    assert normalise(one) == normalise(other)


DIFFERENT = [
    ["C", "C#", "C++", "C*", "C/"],
    ["$5", "5%", "5", "-5", ".5", "5‰", "€5", '5"', "5'", "#5", "§5", "+5", "5°", "–5"],
    ["U.S.", "us"],
    ["we're", "were", "we re"],
    ["1.5", "15", "1 5", "1,5", "1:5", "1-5", "1/5"],
    ["10²", "102", "10^2 m"],
    ["1½", "11⁄2"],
    ["1,000", "1000", "1.000"],
    ["a = b", "a != b", "a < b"],
    ["great :)", "great :(", "great 😀", "great 😡", "great"],
    ["👩\u200d🚀", "👩🚀"],
    ["\U0001f3f4\U000e0067\U000e0062\U000e0065", "\U0001f3f4\U000e0067\U000e0062\U000e0073"],
    [".NET", "net"],
    ["resume", "résumé"],
    ["foobar", "foo-bar"],
    ["a@b", "a b", "a&b"],
    ["!", "?", "..."],
    ["می\u200cخواهم", "میخواهم"],
    ["x²", "x"],
    ["①", "②", "11", "①①"],
]


@pytest.mark.parametrize("texts", DIFFERENT)
def test_different_form(texts: list[str]) -> None:
    """Texts that mean different things stay different."""
    assert len({normalise(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("text", ["!!!", "?", "—", "(…)", "😀", "\u0301"])
def test_never_nothing(text: str) -> None:
    """A text of punctuation alone keeps it."""
    assert normalise(text)


TRICKY = st.text(
    st.sampled_from("aA1 .,:;-!?()'\"’#%=\t\n\u0345\u0301\u200d\u200b\ufe0f²½①ßİſΐ\u1e9e‥…″—̈ʼ"),
    max_size=10,
)


@LIGHT
@given(st.one_of(st.text(max_size=12), TRICKY))
@example("\u0345\u0301")
@example("ʼn")
def test_idempotent(text: str) -> None:
    """A normal form is its own normal form."""
    once = normalise(text)
    assert normalise(once) == once


@LIGHT
@given(st.text(st.characters(max_codepoint=126), max_size=12))
def test_ascii_path(text: str) -> None:
    """ASCII takes a shorter way to the same form."""
    assert normalise(text + " é") == normalise(normalise(text) + " é") or not normalise(text)


def test_case_and_space_never_matter() -> None:
    """Upper case and wide spacing give the same form."""
    text = "Can I get a refund, please? It's item 5.5 (order #7)."
    assert normalise(text) == normalise(f"  {text.upper()} ".replace(" ", "\u00a0 "))


def test_distinct() -> None:
    """Distinct texts are numbered in order of appearance; empty rows have no number."""
    found = distinct(["b", "", "a", "b", "", "c", "a"])
    assert found.first.tolist() == [0, 2, 5]
    assert found.index.tolist() == [0, -1, 1, 0, -1, 2, 1]
    assert len(found) == 3
    assert len(distinct([])) == 0
    assert distinct([""]).index.tolist() == [-1]


@LIGHT
@given(st.lists(st.text(max_size=2)))
def test_distinct_gives_texts_back(texts: list[str]) -> None:
    """Numbers lead back to the texts."""
    found = distinct(texts)
    back = ["" if i < 0 else texts[found.first[i]] for i in found.index]
    assert back == texts
