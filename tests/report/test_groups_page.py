"""The page of ``groups``: what is in it, and what a reader can do with it in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import polars as pl
import pytest

from sbert_cluster.report import groups_data
from sbert_cluster.report.groups_data import breakdowns, choose_points, points_json
from sbert_cluster.report.groups_page import render_groups
from sbert_cluster.types import (
    Clustering,
    ClusterSummary,
    Corpus,
    GroupsResult,
    LayerGroup,
    RunManifest,
    SourceFile,
)

HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=alert(1)> \u202e"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)


def make(rows=60, clusters=3, noise=4, layers=()):
    """A result with clusters on a line of the map, and one hostile text in each."""
    labels = np.append(np.arange(rows) % clusters, np.full(noise, -1)).astype(np.int64)
    random = np.random.default_rng(0)
    centre = np.stack([labels * 10.0, labels * 0.0], axis=1)
    places = (centre + random.normal(size=(len(labels), 2))).astype(np.float32)
    texts = [f"Row {row} about topic{k}" for row, k in enumerate(labels)]
    for k in range(clusters):
        texts[k] = f"topic{k} {HOSTILE}"
    frame = pl.DataFrame(
        {
            "text": texts,
            "shop": [("Rome", "Oslo")[row % 2] for row in range(len(labels))],
            "day": [f"2024-{1 + row % 12:02}-05" for row in range(len(labels))],
            "price": np.linspace(0, 1, len(labels)),
        }
    )
    summaries = tuple(
        ClusterSummary(
            cluster=k,
            size=int((labels == k).sum()),
            label=f"Topic {k} <b>&",
            keywords=(f"topic{k}", HOSTILE),
            rows=(k, k + clusters),
            cohesion=0.5,
            nearest=(k + 1) % clusters,
            stability=0.9,
        )
        for k in range(clusters)
    )
    manifest = RunManifest(
        command="groups",
        arguments={"method": "modes"},
        input={"files": []},
        model={"name": "m", "max_seq_length": 256},
        device="cpu",
        precision="fp32",
        counts={
            "rows": len(labels), "empty": 0, "clustered": rows, "noise": noise,
            "truncated": 0, "attached": 0,
        },
        search={},
        timings_s={"total": 1.0},
        peak_memory_bytes=1,
        versions={"sbert-cluster": "0"},
        notes=(HOSTILE,),
    )  # fmt: skip
    clustering = Clustering(
        labels,
        np.linspace(1, 0.1, len(labels)).astype(np.float32),
        np.zeros(len(labels), np.bool_),
        places,
    )
    corpus = Corpus(frame, ("text",), sources=(SourceFile("a<b>.csv", "", len(labels)),))
    return GroupsResult(corpus, texts, clustering, summaries, manifest, layers)


def test_the_page_stands_alone_and_texts_stay_texts():
    """No address is loaded, and no text ends a script or becomes markup."""
    page = render_groups(make())
    ours = re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)
    assert page.count("<script") - page.count("<\\/script") >= 3
    assert "pwned'</script>" not in page
    assert "<b>&" not in ours.replace("a&lt;b&gt;", "")
    assert not re.search(r'(src|href)="https?:', ours)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(data["clusters"]) == 3
    assert data["points"]["text"][0].startswith("topic0 </script>")
    x = np.frombuffer(base64.b64decode(data["points"]["x"]), "<f4")
    np.testing.assert_array_equal(x, make().clustering.places[:, 0])


def test_too_many_rows_and_characters_are_cut_and_said(monkeypatch):
    """The map shows as many as a browser draws at once."""
    monkeypatch.setattr(groups_data, "MAX_POINTS", 20)
    monkeypatch.setattr(groups_data, "MAX_CHARACTERS_IN_ALL", 200)
    result = make()
    points = choose_points(result)
    assert len(points.rows) == 20
    assert points.left_out == 44
    assert all(len(text) <= 82 for text in points_json(result, points)["text"])
    assert "shows 20 rows" in render_groups(result)


def test_sizes_over_columns():
    """A date by month, a column of few values by value; numbers and texts are left out."""
    time, shop = breakdowns(make())
    assert (time.column, time.is_time, len(time.values)) == ("day", True, 12)
    assert (shop.column, shop.is_time, set(shop.values)) == ("shop", False, {"Rome", "Oslo"})
    assert time.counts.sum() == shop.counts.sum() == 64
    assert shop.counts.shape == (4, 2)
    assert shop.counts[3].sum() == 4


def drive(page, script, folder):
    """What a script answers that works the page as a reader would."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    driver = (
        "<script>(async () => { const wait = (ms) => new Promise((r) => setTimeout(r, ms));"
        "const $ = (id) => document.getElementById(id); let answer;"
        "for (let n = 0; n < 100 && !document.querySelector('#names button'); n++) await wait(50);"
        "await wait(300);"
        f"try {{ answer = await (async () => {{ {script} }})(); }}"
        "catch (error) { answer = String(error.stack); }"
        "const pre = document.createElement('pre'); pre.id = 'answer';"
        "pre.textContent = JSON.stringify(answer); document.body.append(pre); })();</script>"
    )
    path = folder / "page.html"
    path.write_text(page.replace("</body>", f"{driver}</body>"), encoding="utf-8")
    flags = (
        "--headless=new --no-sandbox --use-gl=angle --use-angle=swiftshader --no-first-run "
        "--enable-unsafe-swiftshader --disable-background-networking --disable-component-update "
        "--window-size=1300,1000 --virtual-time-budget=20000"
    )
    command = [str(BROWSER), *flags.split(), f"--user-data-dir={folder / 'p'}", "--dump-dom"]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, timeout=120, check=True)
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout.decode(), re.DOTALL)
    assert found, "the script did not come to its end"
    return json.loads(unescape(found[1]))


needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")


@needs_browser
def test_a_reader_clicks_searches_and_hovers(tmp_path):
    """A name lists its rows, words find rows, the pointer shows a text, all as text."""
    script = """
      const map = $("map");
      const items = () => document.querySelectorAll("#panel li").length;
      const start = $("panel").querySelector("h3").textContent;
      document.querySelector("#names button").click(); await wait(200);
      const heading = () => $("panel").querySelector("h3").textContent;
      const clicked = [heading(), items(), $("status").textContent];
      map.emit("plotly_hover", { points: [{ customdata: 1 }] }); await wait(100);
      const tip = [$("tip").hidden, $("tip").querySelector("p").textContent.slice(0, 6)];
      map.emit("plotly_unhover"); const gone = $("tip").hidden;
      map.emit("plotly_click", { points: [{ customdata: 5 }] }); await wait(200);
      const point = $("panel").querySelector("h3").textContent;
      $("search").value = "ROW 1 topic1"; $("search").dispatchEvent(new Event("input"));
      await wait(200);
      const found = [$("status").textContent, document.querySelectorAll("#panel mark").length > 3];
      $("clear").click(); await wait(200);
      const cleared = $("panel").querySelector("h3").textContent;
      document.querySelector("#table tbody button").click(); await wait(300);
      const chosen = document.querySelectorAll("#table tr.chosen").length;
      const drawn = map.data.map((trace) => trace.x.length);
      return { start, clicked, tip, gone, point, found, cleared, chosen, drawn,
        title: document.title, images: document.querySelectorAll("img").length };
    """
    answer = drive(render_groups(make()), script, tmp_path)
    assert answer == {
        "start": "Largest groups",
        "clicked": ["Topic 0 <b>&", 20, "Topic 0 <b>&: 20 rows"],
        "tip": [False, "topic1"],
        "gone": True,
        "point": "Topic 2 <b>&",
        "found": ["19 rows found", True],
        "cleared": "Largest groups",
        "chosen": 1,
        "drawn": [4, 60, 20],
        "title": "a<b>.csv: groups",
        "images": 0,
    }


@needs_browser
def test_layers_name_the_map(tmp_path):
    """Choosing a layer puts its names on the map."""
    layer = LayerGroup(1, 0, 60, "Everything & all", ("x",), (0, 1, 2))
    script = """
      const names = () => [...document.querySelectorAll("#names button")].map((b) => b.title);
      const before = names().length;
      $("layer").value = "1"; $("layer").dispatchEvent(new Event("change")); await wait(200);
      return [before, names()];
    """
    answer = drive(render_groups(make(layers=(layer,))), script, tmp_path)
    assert answer == [3, ["Everything & all"]]


@needs_browser
def test_the_policy_lets_the_map_draw(tmp_path):
    """With the page's own policy in force, the map is there and a foreign script is not run."""
    page = render_groups(make())
    foreign = "<script>document.title = 'pwned'</script><img src=x onerror='document.title=1'>"
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"{foreign}</body>"), encoding="utf-8")
    flags = (
        "--headless=new --no-sandbox --use-gl=angle --use-angle=swiftshader --no-first-run "
        "--enable-unsafe-swiftshader --virtual-time-budget=8000"
    )
    command = [str(BROWSER), *flags.split(), f"--user-data-dir={tmp_path / 'p'}", "--dump-dom"]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, timeout=120, check=True)
    seen = done.stdout.decode()
    assert "<title>a&lt;b&gt;.csv: groups</title>" in seen
    assert '<canvas class="gl-canvas' in seen
    assert re.search('<button[^>]* title="Topic 0 (&lt;|<)b(&gt;|>)&amp;"', seen)
