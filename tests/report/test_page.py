"""The page: whole, honest, and deaf to what texts would have it do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbert_cluster.report import embedded
from sbert_cluster.report.embedded import embed, fair_share
from sbert_cluster.report.html import render_dedup
from sbert_cluster.report.plots import histogram_svg
from sbert_cluster.types import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from sbert_cluster.types import DedupResult

    MakeResult = Callable[..., DedupResult]

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


@dataclass
class Page(HTMLParser):
    """What a browser would make of a page."""

    source: str
    scripts: list[tuple[str | None, str]] = field(default_factory=list)
    metas: dict[str, str] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._is_script = False
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        given_ = dict(attrs)
        self.tags.add(tag)
        self.links += [str(v) for k, v in attrs if k in ("src", "href", "action", "srcset")]
        if tag == "meta":
            key = given_.get("http-equiv") or given_.get("name") or ""
            self.metas[key] = given_.get("content") or ""
        self._is_script = tag == "script"
        if self._is_script:
            self.scripts.append((given_.get("type"), ""))

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parent's signature
        """Take note of an element's end."""
        self._is_script = False

    def handle_data(self, data: str) -> None:
        """Take note of text."""
        if self._is_script:
            kind, before = self.scripts[-1]
            self.scripts[-1] = (kind, before + data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text outside scripts, as it is read."""
        return re.sub(r"\s+", " ", "".join(self.words))

    @property
    def data(self) -> dict[str, Any]:
        """What the script gets to read."""
        loaded: dict[str, Any] = json.loads(self.scripts[0][1])
        return loaded


def texts_in(page: Page) -> list[str]:
    """Every text of the page, kept and removed."""
    texts = []
    for _, (_, _, kept), members, _ in page.data["groups"]:
        texts += [kept, *(kept if member[4] is None else member[4] for member in members)]
    return texts


def as_json_says(text: str) -> str:
    """A text after a round trip, in which surrogates side by side become one character."""
    return str(json.loads(json.dumps(text)))


def test_hostile_texts_stay_data(make_result: MakeResult) -> None:
    """Two scripts and no more, and the data come back as the same texts."""
    result = make_result()
    page = Page(render_dedup(result))
    assert [kind for kind, _ in page.scripts] == ["application/json", None]
    assert sorted(texts_in(page)) == sorted(t for t in result.texts[:-2])
    assert "img" not in page.tags


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.tuples(ANY_TEXT, st.lists(ANY_TEXT, min_size=1, max_size=3)), max_size=4))
def test_any_text_comes_back(
    make_result: MakeResult, families: list[tuple[str, list[str]]]
) -> None:
    """Whatever the texts are, the page has its two scripts and the same texts."""
    result = make_result(families, name="<b>&.csv")
    source = render_dedup(result)
    source.encode("utf-8")
    page = Page(source)
    assert len(page.scripts) == 2
    wanted = [t for kept, removed in families for t in [kept, *removed]]
    assert sorted(texts_in(page)) == sorted(map(as_json_says, wanted))


def test_policy_lets_only_the_own_script_run(make_result: MakeResult) -> None:
    """The content security policy names the script by its hash and allows nothing else."""
    page = Page(render_dedup(make_result()))
    policy = page.metas["Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(page.scripts[1][1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "'unsafe-eval'" not in policy


def test_page_asks_nobody_for_anything(make_result: MakeResult) -> None:
    """There is no address in the page, and nothing that would fetch one."""
    page = Page(render_dedup(make_result()))
    assert page.links == ["#groups"]
    assert not re.search(r"https?://|url\(|@import", page.source)
    assert not page.tags & {"link", "iframe", "object", "embed", "base", "form"}


def test_page_tells_the_run(make_result: MakeResult) -> None:
    """Numbers, settings, certificate and warnings are there without the script."""
    created = datetime(2025, 3, 7, 9, 5).astimezone()
    text = Page(render_dedup(make_result(), created)).text
    for said in (
        "8 of 17 rows (47.1%) repeat another row. 9 rows stay.",
        "7 March 2025, 09:05",
        "direct: every removed row is similar to the row kept in its place",
        "Every one of 136 pairs of distinct texts was compared; 3 pairs lie within",
        "2 texts are longer than the model reads (256 tokens)",
        "1 exact",
        "7 semantic",
        "512 MiB",
        "The delimiter is ';' ␛[31m.",
    ):
        assert said in text


def test_names_of_files_are_text(make_result: MakeResult) -> None:
    """A file may be called anything."""
    page = Page(render_dedup(make_result(name="<img onerror=x>\u202e$style.csv")))
    assert "img" not in page.tags
    assert "<img onerror=x>\\u202e$style.csv" in page.text


def test_nothing_found(make_result: MakeResult) -> None:
    """Without duplicates the page says so, and there is no toolbar."""
    page = Page(render_dedup(make_result([])))
    assert "Nothing repeats." in page.text
    assert 'id="list"' not in page.source


def test_no_rows_at_all(make_result: MakeResult) -> None:
    """An empty input makes a page too."""
    page = Page(render_dedup(make_result([], others=())))
    assert "No duplicates among 0 rows." in page.text


def test_against_another_file(make_result: MakeResult) -> None:
    """The rows that stay are the other file's, and named so."""
    page = Page(render_dedup(make_result(against=True)))
    assert "8 of 10 rows (80.0%) repeat a row of train.csv." in page.text
    assert page.data["keptWord"] == "in train.csv"
    assert page.data["against"] is True


def test_ids_name_rows(make_result: MakeResult) -> None:
    """Rows carry their number and, where there is an id column, their id."""
    groups = Page(render_dedup(make_result(with_ids=True))).data["groups"]
    assert groups[0][1][:2] == [0, "T-0"]
    assert groups[0][2][0][:2] == [7, "T-7"]


def test_least_similar_come_first(make_result: MakeResult) -> None:
    """Inside a group the doubtful rows are on top."""
    family = ("a", ["a", "b", "c", "d"])
    (group,) = Page(render_dedup(make_result([family]))).data["groups"]
    similarities = [member[2] for member in group[2]]
    assert similarities == sorted(similarities)
    assert group[2][-1][4] is None, "an exact copy need not be written twice"


def test_large_run_stays_small(make_result: MakeResult) -> None:
    """Thousands of groups make a page of a few megabytes."""
    families = [
        (f"How do I reset my password {i}?", [f"How to reset password {i}?"] * 2)
        for i in range(5000)
    ]
    source = render_dedup(make_result(families))
    assert len(source.encode()) < 3_000_000
    assert len(Page(source).data["groups"]) == 5000


def test_what_is_left_out_is_said(make_result: MakeResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that cannot hold everything says what it holds."""
    monkeypatch.setattr(embedded, "MAX_ROWS", 10)
    families = [("k", [f"r{i}" for i in range(30)]), ("l" * 5000, ["m", "n"])]
    page = Page(render_dedup(make_result(families)))
    assert "8 of 30" not in page.text
    assert "10 of 32 removed rows, the least similar of each group" in page.text
    assert "the first 2,000 characters of 1 longer text" in page.text
    shown = [(len(members), left_out) for *_, members, left_out in page.data["groups"]]
    assert shown == [(8, 22), (2, 0)]
    assert page.data["groups"][1][1][2] == ["l" * 2000, 5000]


def test_room_for_characters_ends(make_result: MakeResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Very long texts end the page before very many rows do."""
    monkeypatch.setattr(embedded, "MAX_CHARACTERS_IN_ALL", 5_000)
    shown = embed(make_result([("k", [f"{i}" * 2000 for i in range(9)])]))
    assert shown.rows_shown == 3
    assert shown.groups[0][3] == 6


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 200))
def test_fair_share_is_the_largest_that_fits(sizes: list[int], room: int) -> None:
    """One more row per group would not fit, or there is none."""
    share = fair_share(sizes, room)
    fits = sum(min(size, share) for size in sizes) <= room
    assert fits or share == 1
    assert share >= max([1, *sizes]) or sum(min(size, share + 1) for size in sizes) > room


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.855, 0.9, 1.0, None])
@pytest.mark.parametrize("filled", [0, 25, 49])
def test_histogram_draws_every_bin_inside(threshold: float | None, filled: int) -> None:
    """Bars, threshold and label lie on the drawing, wherever the counts are."""
    counts = np.zeros(50, np.int64)
    counts[filled] = 12_345
    drawn = histogram_svg(Histogram(np.linspace(0, 1, 51), counts, 12_345), threshold)
    assert "12,345 texts" in drawn
    places = [float(x) for x in re.findall(r'\bx[12]?="([-\d.]+)"', drawn)]
    assert min(places) >= 0
    assert max(places) <= 720
    assert ("threshold-label" in drawn) == (threshold is not None)


def test_histogram_splits_the_bin_that_the_threshold_cuts() -> None:
    """Part of a bin on each side of the line is drawn on each side."""
    counts = np.zeros(50, np.int64)
    counts[42] = 5
    drawn = histogram_svg(Histogram(np.linspace(0, 1, 51), counts, 5), 0.85)
    assert drawn.count('class="below"') == 1
    assert drawn.count('class="above"') == 1


def test_sample_is_said(make_result: MakeResult) -> None:
    """A histogram over some of the texts says so."""
    result = make_result()
    some = replace(result, histogram=replace(result.histogram, rows=5))
    assert "Measured on a sample of 5 texts." in Page(render_dedup(some)).text
