"""The screens, driven by their keys; every wait is for a condition."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.geometry import Offset
from textual.widgets import Input, Static

from sbert_cluster import dedup
from sbert_cluster.cli.main import run
from sbert_cluster.errors import SbertClusterError
from sbert_cluster.tui.app import BrowseApp, open_model
from sbert_cluster.tui.models.decisions import Answer, Keep, TakeOut
from sbert_cluster.tui.screens import evidence
from sbert_cluster.tui.screens.clusters import ClustersScreen
from sbert_cluster.tui.screens.duplicates import DuplicatesScreen
from sbert_cluster.tui.screens.evidence import EvidenceScreen
from sbert_cluster.tui.screens.help import HelpScreen
from sbert_cluster.tui.screens.review import ReviewScreen
from sbert_cluster.tui.screens.sources import RowLines
from sbert_cluster.tui.task import module as task_module
from sbert_cluster.tui.widgets.key_line import KeyLine
from sbert_cluster.tui.widgets.scatter_map import ScatterMap
from sbert_cluster.tui.widgets.slider import Slider
from sbert_cluster.tui.widgets.virtual_table import VirtualTable

SNAPSHOTS = Path(__file__).parent / "snapshots"
HOSTILE = [
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\x1b]8;;https://example.org\x07link\x1b]8;;\x07",
    "\x1b]52;c;cm0gLXJm\x07 clipboard",
    "[bold red]markup[/] [@click=app.quit]x[/]",
    "\u202egnihton\u202c \u2066isolate\u2069",
    "שלום עולם مرحبا بالعالم",
    "語語語 👩‍👩‍👧 🇩🇪 é",
    "a\rb\nc\td\x00e\x9bf",
]


def drive(folder, script, size=(120, 40)):
    """Run a script of keys on a run; returns what the script returns."""

    async def main():
        app = BrowseApp(open_model(Path(folder)))
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            result = await script(app, pilot)
            await app.workers.wait_for_complete()
            return result

    return asyncio.run(main())


async def press(pilot, *keys):
    """Press keys one after the other."""
    for key in keys:
        await pilot.press(key)
    await pilot.pause()


async def type_in(pilot, text):
    """Put a text into the prompt and answer."""
    pilot.app.screen.query_one(Input).value = text
    await pilot.pause()
    await press(pilot, "enter")


def shown(app):
    """The screen as lines of text."""
    strips = app.screen._compositor.render_strips()
    return [strip.text for strip in strips]


def figures(app):
    """The line of figures."""
    return str(app.screen.query_one("#figures", Static).render())


def test_every_key_of_the_duplicates_view(runs, until):
    """Each key does what the help says it does."""

    async def script(app, pilot):
        screen, model = app.screen, app.model
        assert isinstance(screen, DuplicatesScreen)
        groups = screen.query_one("#groups", VirtualTable)
        members = screen.query_one("#members", VirtualTable)
        await press(pilot, "down", "down", "up", "pagedown", "end", "home", "down")
        assert groups.cursor == 1
        # The threshold, up and down, and no further than the run stored.
        await press(pilot, "right", "right")
        await until(pilot, lambda: model.threshold == 0.81)
        await press(pilot, "shift+right", "left")
        await until(pilot, lambda: model.threshold == 0.855)
        await press(pilot, "shift+left", "shift+left", "left")
        await until(pilot, lambda: model.threshold == 0.8)
        assert screen.query_one(Slider).value == 0.8
        await press(pilot, "u")
        assert model.history.done == []
        # Rows of a group.
        await press(pilot, "home", "enter")
        assert members.has_focus
        await press(pilot, "down")
        row = screen._member.row
        await press(pilot, "k")
        assert model.history.done == [Keep(row)]
        assert model.members(model.group(groups.cursor).head)[0].row == row
        await press(pilot, "end", "x")
        assert isinstance(model.history.done[-1], TakeOut)
        await press(pilot, "u", "u")
        assert model.history.done == []
        await press(pilot, "U", "ctrl+r", "u", "u")
        assert len(model.history.undone) == 2

    drive(runs / "questions.dedup", script)


def test_finding_and_going_elsewhere(runs, until):
    """Columns, order, search, jump, themes, and the other screens."""

    async def script(app, pilot):
        screen, model = app.screen, app.model
        groups = screen.query_one("#groups", VirtualTable)
        await press(pilot, "tab", "down", "d")
        assert any("channel" in line for line in shown(app))
        await press(pilot, "tab")
        assert groups.has_focus
        # Order, search, jump.
        before = len(model)
        await press(pilot, "s", "s", "s", "slash")
        screen.query_one(Input).value = "order"
        await until(pilot, lambda: len(model) < before)
        await press(pilot, "enter", "escape")
        assert len(model) == before
        row = int(model.members(model.group(3).head).rows[-1])
        await press(pilot, "colon")
        await type_in(pilot, str(row))
        assert screen._member.row == row
        await press(pilot, "colon")
        await type_in(pilot, "999999")
        await press(pilot, "L", "L", "t")
        assert isinstance(app.screen, EvidenceScreen)
        await press(pilot, "escape", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert any("out of its group" in line for line in shown(app))
        await press(pilot, "escape", "r")
        assert isinstance(app.screen, ReviewScreen)
        await press(pilot, "escape")
        assert app.screen is screen

    drive(runs / "questions.dedup", script)


def test_a_review(runs):
    """Answers, skipping, undo without limit; what is said is on disk at once."""
    log = runs / "questions.dedup" / "edits.jsonl"

    async def script(app, pilot):
        await press(pilot, "r")
        screen, model = app.screen, app.model
        first = screen.pair
        await press(pilot, "y")
        assert [json.loads(line)["answer"] for line in log.read_text().splitlines()] == ["same"]
        assert screen.pair != first
        await press(pilot, "n", "space", "d", "d")
        assert [edit.answer for edit in model.history.done] == [*Answer]
        await press(pilot, "u", "u", "u", "u")
        assert screen.pair == first
        await press(pilot, "U", "ctrl+r")
        assert len(model.history.done) == 2
        for number in range(min(25, model.reviewable - 2)):
            await press(pilot, "y" if screen.pair.similarity > 0.82 or number % 4 == 0 else "n")
        assert "agreement" in str(screen.query_one("#progress", Static).render())
        await press(pilot, "c", "t")
        assert isinstance(app.screen, EvidenceScreen)
        assert any(f"{len(model.judged)} pairs judged" in line for line in shown(app))
        await press(pilot, "escape", "escape")
        assert f"{len(model.history.done)} edits" in figures(app)
        return len(model.history.done)

    edits = drive(runs / "questions.dedup", script)
    assert len(open_model(runs / "questions.dedup").history.done) == edits


def test_all_pairs_can_be_judged(tmp_path, tiny_model):
    """At the end of the queue the review says so, and undo still works."""
    frame = pl.DataFrame({"text": ["Same text", "same text!", "quite another thing"]})
    dedup(frame, threshold=0.999, model=str(tiny_model), output=tmp_path / "run")

    async def script(app, pilot):
        await press(pilot, "r", "y", "y")
        assert app.screen.pair is None
        assert any("All pairs are judged" in line for line in shown(app))
        await press(pilot, "u")
        assert app.screen.pair is not None

    drive(tmp_path / "run", script)


def test_writing_and_searching_below(runs, until):
    """With w come the files of the contract; b searches again and takes the decisions along."""

    async def script(app, pilot):
        await press(pilot, "r", "y", "n", "escape", "w")
        written = runs / "questions.dedup" / "edited" / "labels.csv"
        await until(pilot, lambda: isinstance(app.screen, DuplicatesScreen) and written.exists())
        assert pl.read_csv(written).height == 2
        await press(pilot, "b")
        await type_in(pilot, "0.75")
        new = runs / "questions-0.75.dedup"
        await until(pilot, lambda: app.model.run.folder == new, "the new run")
        assert app.model.floor == 0.75
        assert len(app.model.history.done) == 2
        await press(pilot, "b")
        await type_in(pilot, "0.9")
        assert app.model.run.folder == new

    drive(runs / "questions.dedup", script)


def test_every_key_of_the_clusters_view(runs):
    """Looking, searching, marking, changing, undoing and writing."""

    async def script(app, pilot):
        screen, model = app.screen, app.model
        assert isinstance(screen, ClustersScreen)
        rows = screen.query_one("#rows", VirtualTable)
        start = model.labels.tolist()
        # A layer opens and closes; then to a cluster.
        lines = len(model)
        await press(pilot, "home", "enter")
        assert len(model) < lines
        await press(pilot, "enter", "down")
        assert len(model) == lines
        # Rename, merge, move, split by hand.
        await press(pilot, "e")
        await type_in(pilot, "[bold]Named by hand")
        cluster = screen._cluster
        assert model.name(cluster) == "[bold]Named by hand"
        await press(pilot, "space", "space", "m")
        assert len(model.history.done) == 2
        await press(pilot, "enter")
        assert rows.has_focus
        await press(pilot, "space", "space", "v")
        await type_in(pilot, "-1")
        assert model.noise > start.count(-1)
        screen.query_one("#rows").focus()
        await press(pilot, "space", "space", "p")
        assert len(model.history.done) == 4
        await press(pilot, "u", "u", "u", "u")
        assert model.labels.tolist() == start
        await press(pilot, "U", "ctrl+r", "u", "u")
        assert model.labels.tolist() == start

    drive(runs / "questions.groups", script)


def test_finding_rows_of_clusters(runs, until):
    """Order, columns, filter, search, jump, and the map."""

    async def script(app, pilot):
        screen = app.screen
        rows = screen.query_one("#rows", VirtualTable)
        await press(pilot, "s", "s", "s", "down", "d")
        await type_in(pilot, "channel")
        assert any(column.title == "channel" for column in rows.source.columns)
        await press(pilot, "S")
        await type_in(pilot, "id")
        await until(pilot, lambda: rows.source.columns[2].title == "id")
        ids = [rows.source.line(i)[2][0].text for i in range(len(rows.source))]
        assert ids == sorted(ids)
        await press(pilot, "c")
        await type_in(pilot, "channel=email")
        await until(pilot, lambda: "channel holds" in figures(app))
        await press(pilot, "escape", "slash")
        screen.query_one(Input).value = "order"
        await until(pilot, lambda: "holding" in figures(app))
        await press(pilot, "enter", "escape", "colon")
        await type_in(pilot, "17")
        assert screen._row == 17
        # The map.
        screen.query_one(ScatterMap).focus()
        seen = set()
        for key in ("left", "right", "up", "down", "right", "down"):
            await press(pilot, key)
            seen.add(screen._cluster)
        assert len(seen) > 1
        await press(pilot, "a", "a", "tab", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        await press(pilot, "escape")

    drive(runs / "questions.groups", script)


def test_the_mouse_in_the_duplicates_view(runs, until):
    """A click marks a line, a second opens it; a click on the slider moves the threshold."""

    async def script(app, pilot):
        screen, model = app.screen, app.model
        groups = screen.query_one("#groups", VirtualTable)
        members = screen.query_one("#members", VirtualTable)
        # The head of the table is line 0 of its content, below the border.
        await pilot.click("#groups", offset=(5, 4))
        assert groups.cursor == 2
        assert not members.has_focus
        await pilot.click("#groups", offset=(5, 4))
        assert members.has_focus
        await pilot.click("#members", offset=(5, 3))
        assert members.cursor == 1
        await pilot.click("#groups", offset=(5, 1))
        assert groups.cursor == 2
        # The wheel moves the list, the cursor stays.
        groups.post_message(scrolled(groups))
        await until(pilot, lambda: groups.scroll_offset.y > 0, "the wheel")
        assert groups.cursor == 2
        # The handle goes where the mouse is, and follows it.
        slider, right = screen.query_one(Slider), screen.size.width - 1
        await pilot.click(Slider, offset=(screen.size.width // 2, 1))
        await until(pilot, lambda: 0.89 < model.threshold < 0.91, "a click")
        assert slider.value == model.threshold
        await pilot.mouse_down(Slider, offset=(screen.size.width // 2, 1))
        await pilot.hover(Slider, offset=(right, 1))
        await until(pilot, lambda: model.threshold == 1, "the handle")
        await pilot.mouse_up(Slider, offset=(right, 1))
        await pilot.hover(Slider, offset=(10, 1))
        assert slider.value == 1
        assert len(model.history.done) == 1

    drive(runs / "questions.dedup", script, (120, 24))


def scrolled(widget):
    """A turn of the wheel over a widget."""
    return events.MouseScrollDown(
        widget, x=5, y=5, delta_x=0, delta_y=1, button=0, shift=False, meta=False, ctrl=False
    )


def test_the_mouse_in_the_clusters_view(runs):
    """A click goes to a cluster in the list and on the map; keys at the foot can be clicked."""

    async def script(app, pilot):
        screen, model = app.screen, app.model
        clusters = screen.query_one("#clusters", VirtualTable)
        await pilot.click("#clusters", offset=(5, 4))
        assert clusters.cursor == 2
        scatter = screen.query_one(ScatterMap)
        centres = model.scatter.centres()
        wanted = next(k for k in centres if k != screen._cluster)
        x, y = centres[wanted]
        inside = scatter.content_region.offset - scatter.region.offset
        place = round(x * scatter.size.width), round(y * scatter.size.height)
        await pilot.click(ScatterMap, offset=inside + Offset(*place))
        await pilot.pause()
        assert screen._cluster == wanted
        assert scatter.marked == wanted
        await pilot.click(KeyLine, offset=(shown(app)[-1].index("Mark"), 0))
        assert screen._marked == {wanted}

    drive(runs / "questions.groups", script)


def test_meaning_neighbours_and_splits_come_from_another_process(runs, until):
    """A typed text is encoded, the row itself is its nearest neighbour, nothing is loaded here."""

    async def script(app, pilot):
        screen = app.screen
        rows = screen.query_one("#rows", VirtualTable)
        await press(pilot, "f")
        text = app.model.rows.text(17)
        await type_in(pilot, text)
        await until(pilot, lambda: screen._near is not None)
        assert isinstance(rows.source, RowLines)
        assert app.model.rows.text(int(rows.source.rows[0])).casefold() == text.casefold()
        await press(pilot, "down", "n")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await until(pilot, lambda: app.screen is screen)
        await press(pilot, "escape", "home", "down")
        screen.query_one("#clusters").focus()
        await press(pilot, "home", "down", "p")
        await until(pilot, lambda: app.screen is screen and len(app.model.history.done) == 1)
        await press(pilot, "w")
        await until(pilot, lambda: app.screen is not screen)
        await until(pilot, lambda: app.screen is screen)
        return app.model.labels.tolist()

    labels = drive(runs / "questions.groups", script)
    written = pl.read_csv(runs / "questions.groups" / "rows.csv")
    assert written["sbert_cluster"].to_list() == labels
    sizes = pl.read_csv(runs / "questions.groups" / "clusters.csv")
    assert dict(sizes.select("cluster", "size").rows()) == {
        k: labels.count(k) for k in set(labels) if k >= 0
    }


def judged(folder, similar=0.82):
    """Judge every pair of a run by its similarity, with a few mistakes."""
    model = open_model(folder)
    for number in range(model.reviewable):
        pair = model.next_pair()
        same = pair.similarity > similar or number % 7 == 0
        model.judge(pair, Answer.SAME if same else Answer.DIFFERENT)
    model.close()


def test_advice_moves_the_threshold(runs, monkeypatch):
    """What the answers advise is taken with a key, and can be undone."""
    # Few pairs prove little: nine in ten would need more than this run has.
    monkeypatch.setattr(evidence, "_WANTED", 0.5)
    judged(runs / "questions.dedup", similar=0.85)

    async def script(app, pilot):
        await press(pilot, "t")
        advice = app.screen.advice
        assert advice is not None
        await press(pilot, "a", "escape")
        assert app.model.threshold == pytest.approx(advice, abs=1e-6)
        assert app.model.judged.precision(advice).interval[0] >= 0.5
        await press(pilot, "u")
        assert app.model.threshold == 0.8

    drive(runs / "questions.dedup", script)


def test_calibrating_and_training_from_the_answers(runs, until):
    """The same code as ``calibrate`` and ``train``, in another process."""
    pytest.importorskip("sbert_cluster.pipeline.calibrate")
    pytest.importorskip("sbert_cluster.pipeline.train")
    judged(runs / "questions.dedup", similar=0.9)

    async def script(app, pilot):
        await press(pilot, "t", "c")
        await until(pilot, lambda: any("Calibrated" in line for line in shown(app)))
        advice = app.screen.advice
        await press(pilot, "a")
        assert app.model.threshold == pytest.approx(max(advice, 0.8), abs=1e-6)
        await press(pilot, "f")
        await until(pilot, lambda: any("Fine-tuned" in line for line in shown(app)))

    drive(runs / "questions.dedup", script)
    assert (runs / "questions-model" / "model.safetensors").exists()


def test_a_missing_part_is_said():
    """Where an installation lacks a command, the answer says so."""
    with pytest.raises(SbertClusterError, match="no part of that name"):
        task_module("no part of that name")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("name", ["questions.dedup", "questions.groups"])
def test_every_size_shows_full_lines(runs, name, size):
    """At each size every line is exactly as wide as the terminal."""

    async def script(app, pilot):
        await press(pilot, "down", "down")
        lines = shown(app)
        assert len(lines) == size[1]
        assert {cell_len(line) for line in lines} == {size[0]}
        assert "Help" in lines[-1]

    drive(runs / name, script, size)


@pytest.fixture
def hostile(tmp_path, tiny_model):
    """Runs of texts that try to act."""
    texts = [text for text in HOSTILE for _ in range(3)] + [f"{text} again" for text in HOSTILE]
    frame = pl.DataFrame({"text": texts, "[bold]column\x1b[31m": texts})
    frame.write_parquet(tmp_path / "\x1b[31m[bold]in.parquet")
    source = str(tmp_path / "\x1b[31m[bold]in.parquet")
    dedup(source, model=str(tiny_model), output=tmp_path / "run", text_column="text")
    return tmp_path / "run"


def test_hostile_texts_are_shown_and_do_nothing(hostile):
    """Control sequences, markup and bidi controls reach no line of the screen."""
    groups = len(open_model(hostile))

    async def script(app, pilot):
        lines = []
        for place in range(groups):
            app.screen.query_one("#groups", VirtualTable).go_to(place)
            await pilot.pause()
            lines += shown(app)
        await press(pilot, "d", "r", "d")
        lines += shown(app)
        await press(pilot, "escape", "question_mark")
        return [*lines, *shown(app), app.export_screenshot()]

    *lines, picture = drive(hostile, script)
    text = "\n".join(lines)
    assert {cell_len(line) for line in lines} == {120}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "[bold red]markup[/]" in text
    assert "␛[31mred" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", picture)


def test_torch_is_not_loaded(runs):
    """Browsing finished runs loads none of the heavy libraries."""
    code = """
import asyncio, sys
from pathlib import Path
from sbert_cluster.tui.app import BrowseApp, open_model
async def main(folder):
    async with BrowseApp(open_model(Path(folder))).run_test() as pilot:
        await pilot.press("down", "right", "r", "y", "escape", "u", "slash", "a", "escape")
        await pilot.pause()
for folder in sys.argv[1:]:
    asyncio.run(main(folder))
heavy = {"torch", "transformers", "sklearn", "umap", "hdbscan", "numba", "tokenizers", "scipy"}
print(*heavy & set(sys.modules))
"""
    folders = [str(runs / name) for name in ("questions.dedup", "questions.groups")]
    done = subprocess.run(
        [sys.executable, "-c", code, *folders], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_binding_is_described():
    """Every key has words for the help."""
    for screen in (DuplicatesScreen, ClustersScreen, ReviewScreen, EvidenceScreen):
        for binding in screen.BINDINGS:
            assert isinstance(binding, Binding)
            assert binding.description


def test_the_palette_knows_every_key(runs):
    """Keys are commands as well, and running one does what the key does."""

    async def script(app, pilot):
        commands = {command.title: command for command in app.get_system_commands(app.screen)}
        assert {"Review", "Sort", "Undo"} <= set(commands)
        await commands["Review"].callback()
        await pilot.pause()
        assert isinstance(app.screen, ReviewScreen)

    drive(runs / "questions.dedup", script)


def place_by_hand(run_folder):
    """Put rows where other processors would put them too: last digits decide how a map turns."""
    path = run_folder / "base.parquet"
    base = pl.read_parquet(path)
    angle = base["cluster"].cast(pl.Float64) + pl.Series(range(len(base))) % 7 / 20
    base.with_columns(x=angle.cos(), y=angle.sin()).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "keys", "size"),
    [
        ("questions.dedup", ["down", "right", "right", "tab"], (120, 36)),
        ("questions.dedup", ["r", "y", "n"], (80, 24)),
        ("questions.groups", ["down", "down"], (140, 40)),
        ("questions.dedup", ["question_mark"], (80, 30)),
    ],
    ids=["duplicates", "review", "clusters", "help"],
)
def test_pictures_are_as_before(runs, name, keys, size, request):
    """SVG snapshots; UPDATE_SNAPSHOTS=1 makes them anew."""
    if name == "questions.groups":
        place_by_hand(runs / name)

    async def script(app, pilot):
        await press(pilot, *keys)
        await app.workers.wait_for_complete()
        await pilot.pause()
        return app.export_screenshot()

    picture = re.sub(r"terminal-\d+", "terminal", drive(runs / name, script, size))
    path = SNAPSHOTS / f"{request.node.callspec.id}.svg"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(picture, encoding="utf-8")
    assert picture == path.read_text(encoding="utf-8"), f"{path} differs; look at it"


def test_browse_needs_a_terminal(runs, capsys):
    """In a pipe it says so."""
    assert run(["browse", str(runs / "questions.dedup")]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_browse_groups_an_input_file_first(tmp_path, runs, monkeypatch):
    """An input is grouped beside itself; the second time the run is there."""
    monkeypatch.setenv("TEXTUAL_DRIVER", "none")
    opened = []
    monkeypatch.setattr(BrowseApp, "run", lambda app: opened.append(app.model.run.folder))
    source = tmp_path / "few.csv"
    pl.read_csv(runs / "questions.csv").head(150).write_csv(source)
    assert run(["browse", str(source)]) == 0
    written = (tmp_path / "few.groups" / "rows.csv").stat().st_mtime_ns
    assert run(["browse", str(source), "--light"]) == 0
    assert opened == [tmp_path / "few.groups"] * 2
    assert (tmp_path / "few.groups" / "rows.csv").stat().st_mtime_ns == written


def test_browse_says_what_it_cannot_open(tmp_path, capsys, runs, monkeypatch):
    """Folders that hold no run end in one line and exit code 4."""
    monkeypatch.setenv("TEXTUAL_DRIVER", "none")
    assert run(["browse", str(tmp_path / "nothing")]) == 4
    (tmp_path / "run.json").write_text('{"schema_version": 1, "command": "embed"}')
    assert run(["browse", str(tmp_path)]) == 4
    assert "holds a run of 'embed'" in capsys.readouterr().err
    (runs / "questions.dedup" / "pairs.parquet").write_bytes(b"")
    assert run(["browse", str(runs / "questions.dedup")]) == 4
