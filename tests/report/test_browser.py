"""The page in a browser: what texts try does not happen, and what readers try does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sbert_cluster.report.html import render_dedup

if TYPE_CHECKING:
    from collections.abc import Callable

    from sbert_cluster.types import DedupResult

    MakeResult = Callable[..., DedupResult]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")


def open_page(source: str, folder: Path) -> str:
    """The document that the browser has after the script ran."""
    page = folder / "page.html"
    page.write_text(source, encoding="utf-8", newline="\n")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --virtual-time-budget=5000"
    )
    command = [str(BROWSER), *flags.split(), f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=60, check=True)
    return done.stdout.decode("utf-8", "replace")


def drive(source: str, script: str, folder: Path) -> Any:
    """What a script answers that works the page as a reader would.

    The policy would stop it, so it is taken out of this copy of the page.
    """
    source = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    driver = (
        "<script>(async () => { const wait = () => new Promise((r) => setTimeout(r, 300));"
        "const type = async (id, value) => { const e = document.getElementById(id);"
        "e.value = value; e.dispatchEvent(new Event('input'));"
        "e.dispatchEvent(new Event('change')); await wait(); };"
        "const shown = () => document.getElementById('status').textContent;"
        f"const answer = await (async () => {{ {script} }})();"
        "const pre = document.createElement('pre'); pre.id = 'answer';"
        "pre.textContent = JSON.stringify(answer); document.body.append(pre); })();</script>"
    )
    seen = open_page(source.replace("</body>", f"{driver}</body>"), folder)
    found = re.search(r'<pre id="answer">(.*?)</pre>', seen, re.DOTALL)
    assert found, "the script did not come to its end"
    return json.loads(unescape(found[1]))


def test_texts_are_shown_and_nothing_runs(make_result: MakeResult, tmp_path: Path) -> None:
    """Hostile texts are on the page as text, the title is ours, every group is there."""
    seen = open_page(render_dedup(make_result()), tmp_path)
    assert "<title>desk.csv: duplicates</title>" in seen
    assert seen.count('class="group"') == 7
    assert "&lt;img src=x onerror" in seen
    assert '<span class="unseen" title="a character that is not shown otherwise">U+202E' in seen
    assert seen.count("<script") == 2


def test_policy_stops_a_foreign_script(make_result: MakeResult, tmp_path: Path) -> None:
    """Even a script that got into the page would not run."""
    foreign = "<script>document.title = 'pwned'</script><img src=x onerror='document.title=1'>"
    source = render_dedup(make_result()).replace("</body>", f"{foreign}</body>")
    assert "<title>desk.csv: duplicates</title>" in open_page(source, tmp_path)


def test_words_that_differ_are_marked(make_result: MakeResult, tmp_path: Path) -> None:
    """Added words are inserted, missing ones deleted, ideographs one by one, spaces shown."""
    families = [
        ("How do I reset my password?", ["How can I reset my lost password?"]),
        ("再設定の方法", ["再設定する方法"]),
        ("one two", ["one  two"]),
    ]
    seen = open_page(render_dedup(make_result(families)), tmp_path)
    assert "How <del>do</del><ins>can</ins> I reset my <ins>lost</ins> password?" in seen
    assert "再設定<del>の</del><ins>する</ins>方法" in seen
    assert "one<del>␣</del><ins>␣␣</ins>two" in seen


def test_reader_can_search_filter_and_sort(make_result: MakeResult, tmp_path: Path) -> None:
    """Each control changes what is shown, and the filters can be cleared."""
    families = [
        ("reset my password", ["reset my password", "reset the password", "password reset"]),
        ("printer is broken", ["the printer broke"]),
    ]
    script = """
      const start = shown();
      await type("search", "PRINTER bro"); const searched = shown();
      await type("search", "no such words");
      const empty = [shown(), document.getElementById("no-match").hidden];
      document.getElementById("reset").click(); const cleared = shown();
      await type("ceiling", "0.91"); const close = shown();
      await type("ceiling", "1");
      document.querySelector("input[name=reason][value='2']").click(); const exact = shown();
      document.getElementById("reset").click();
      await type("differences", "off");
      const marks = document.querySelectorAll("ins, del").length;
      await type("sort", "lowest");
      const first = document.querySelector(".kept-row .text").textContent;
      return {start, searched, empty, cleared, close, exact, marks, first};
    """
    assert drive(render_dedup(make_result(families)), script, tmp_path) == {
        "start": "2 groups, 4 removed rows",
        "searched": "1 group, 1 removed row",
        "empty": ["0 groups, 0 removed rows", False],
        "cleared": "2 groups, 4 removed rows",
        "close": "0 groups, 0 removed rows",
        "exact": "1 group, 1 removed row",
        "marks": 0,
        "first": "reset my password",
    }


def test_large_groups_and_texts_open_step_by_step(make_result: MakeResult, tmp_path: Path) -> None:
    """Ten rows at first, then a hundred at a time; a long text shows its changes, then all."""
    long = "all of this is the same in both texts " * 20
    families = [
        ("k", [f"r {i}" for i in range(250)]),
        (f"{long} red {long}", [f"{long} blue {long}"]),
        *((f"kept {i}", [f"gone {i}"]) for i in range(100)),
    ]
    script = """
      const rows = () => document.querySelectorAll(".group:first-child .members > li").length;
      const counts = [rows()];
      const button = document.querySelector(".group:first-child .wide");
      while (!button.hidden) { button.click(); counts.push(rows()); }
      const text = document.querySelectorAll(".group")[1].querySelector(".members .text");
      const before = text.textContent.length;
      text.parentElement.querySelector("button").click();
      const groups = () => document.querySelectorAll(".group").length;
      const atFirst = groups();
      // Scrolling does the same, but in a browser without a screen no frame tells of it.
      const more = document.getElementById("more");
      while (!more.hidden) more.querySelector("button").click();
      const whole = text.textContent.length;
      return {counts, isCut: before < 400, whole, atFirst, atLast: groups()};
    """
    assert drive(render_dedup(make_result(families)), script, tmp_path) == {
        "counts": [10, 110, 210, 250],
        "isCut": True,
        "whole": len(long) * 2 + len(" red") + len("blue "),
        "atFirst": 30,
        "atLast": 102,
    }
