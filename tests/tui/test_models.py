"""What the screens show, without a screen: undo, replay, evidence, differences, cells."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from sbert_cluster import dedup
from sbert_cluster.errors import RunFolderError
from sbert_cluster.tui.cells import Tone, bar, fit, marked, plain
from sbert_cluster.tui.models.clusters import NOISE, ClustersModel
from sbert_cluster.tui.models.decisions import Answer
from sbert_cluster.tui.models.differences import differences
from sbert_cluster.tui.models.duplicates import DuplicatesModel, Sort
from sbert_cluster.tui.models.evidence import Judged, Share
from sbert_cluster.tui.models.evidence import fit as fit_curve
from sbert_cluster.tui.models.log import EditLog
from sbert_cluster.tui.models.queue import Queue
from sbert_cluster.tui.models.result import write_duplicates
from sbert_cluster.tui.models.run import Run
from sbert_cluster.types import Reason


def duplicates(folder):
    """The model of a run of dedup."""
    return DuplicatesModel(Run.open(Path(folder)))


def seen(model):
    """Everything that a person could see of the duplicates view."""
    groups = [model.group(place) for place in range(len(model))]
    members = [list(model.members(g.head)) for g in groups]
    pair = model.next_pair()
    return model.decisions, model.kept, repr(groups), repr(members), pair


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["keep", "out", "same", "different", "skip", "threshold", "undo", "redo"]),
        st.integers(0, 10_000),
    ),
    max_size=25,
)


def step(model, what, number):
    """One edit, chosen by a number."""
    match what:
        case "undo":
            model.undo()
        case "redo":
            model.redo()
        case "threshold":
            model.set_threshold(model.floor + (1 - model.floor) * (number % 11) / 10)
        case "same" | "different" | "skip":
            model.judge(model.pair(number % len(model.graph.left)), Answer(what))
        case _ if len(model):
            group = model.group(number % len(model))
            row = int(model.members(group.head).rows[number % group.size])
            model.keep(row) if what == "keep" else model.take_out(row)


@given(STEPS)
@settings(max_examples=40)
def test_undoing_all_is_the_start_and_replaying_is_the_state(made, steps):
    """Any edits: a new window shows the same; undoing all shows the run as it was made."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(made / "questions.dedup", Path(place) / "run"))
        model = duplicates(folder)
        start = seen(model)
        for what, number in steps:
            step(model, what, number)
        assert seen(duplicates(folder)) == seen(model)
        count = 0
        while model.undo() is not None:
            count += 1
        assert seen(model) == start
        for _ in range(count):
            assert model.redo() is not None
        assert seen(duplicates(folder)) == seen(model)


def test_the_view_shows_what_the_run_decided(made):
    """Without edits, kept and removed rows are those of the run's own files."""
    model = duplicates(made / "questions.dedup")
    removed = pl.read_csv(made / "questions.dedup" / "duplicates.csv", infer_schema=False)
    of = dict(zip(removed["sbert_row"], removed["sbert_duplicate_of"], strict=True))
    shown = {}
    for place in range(len(model)):
        members = model.members(model.group(place).head)
        for i in range(1, len(members)):
            shown[str(members[i].row)] = str(members[0].row)
            assert members[i].similarity >= np.float32(0.8)
    assert shown == of
    texts = pl.read_csv(made / "questions.csv", infer_schema=False)["question"].to_list()
    assert [t or "" for t in model.rows.texts(range(len(model.rows)))] == [
        t if t and t.strip() else "" for t in texts
    ]


def test_sorting_and_finding(made):
    """The list can be ordered and cut down; every group still holds what was searched."""
    model = duplicates(made / "questions.dedup")
    sizes = [model.group(i).size for i in range(len(model))]
    assert sizes == sorted(sizes, reverse=True)
    model.sort_by(Sort.DOUBT)
    lowest = [model.group(i).lowest for i in range(len(model))]
    assert lowest == sorted(lowest)
    model.sort_by(Sort.ROW)
    rows = [model.group(i).row for i in range(len(model))]
    assert rows == sorted(rows)
    model.show_only(np.concatenate(list(model.rows.matching("PLUS"))))
    assert 0 < len(model) < len(rows)
    for place in range(len(model)):
        members = model.members(model.group(place).head)
        texts = model.rows.texts(members.rows)
        assert any("plus" in text.casefold() for text in texts)
        assert model.place_of(int(members.rows[-1])) == place


def test_below_the_run_nothing_is_stored(made):
    """The threshold cannot go where no pairs are."""
    model = duplicates(made / "questions.dedup")
    assert not model.set_threshold(0.7)
    assert model.threshold == 0.8


KILLED = """
import sys
from pathlib import Path
from sbert_cluster.tui.models.duplicates import DuplicatesModel
from sbert_cluster.tui.models.run import Run
from sbert_cluster.tui.models.decisions import Answer
model = DuplicatesModel(Run.open(Path(sys.argv[1])))
for number in range(10_000):
    pair = model.pair(number % len(model.graph.left))
    model.judge(pair, Answer.SAME if number % 3 else Answer.DIFFERENT)
    print(number + 1, flush=True)
"""


def test_a_killed_review_loses_nothing(runs):
    """SIGKILL in the middle: what was said before is there, in a new window as well."""
    folder = runs / "questions.dedup"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 200:
            process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            break
    process.stdout.close()
    process.wait()
    model = duplicates(folder)
    assert len(model.history.done) >= 200
    answers = [edit.answer for edit in model.history.done[:200]]
    assert answers == [Answer.SAME if i % 3 else Answer.DIFFERENT for i in range(200)]
    before = len(model.history.done)
    model.judge(model.pair(0), Answer.SAME)
    assert len(duplicates(folder).history.done) == before + 1


def test_a_torn_line_is_cut_off(tmp_path):
    """A line that a crash left unfinished is not read, and the next one does not stick to it."""
    log = EditLog(tmp_path)
    log.append({"operation": "one"})
    log.close()
    with log.path.open("ab") as file:
        file.write(b'{"operation": "tw')
    assert [r["operation"] for r in EditLog(tmp_path).read()] == ["one"]
    again = EditLog(tmp_path)
    again.append({"operation": "three"})
    assert [r["operation"] for r in again.read()] == ["one", "three"]


def test_strange_logs_are_refused(tmp_path, runs):
    """A line that is no edit, or an edit of another run, ends in a sentence."""
    (tmp_path / "edits.jsonl").write_text("[]\n")
    with pytest.raises(RunFolderError, match="line 1 is not an edit"):
        list(EditLog(tmp_path).read())
    log = runs / "questions.dedup" / "edits.jsonl"
    for line in ('{"operation":"undo"}', '{"operation":"dance"}', '{"operation":"keep"}'):
        log.write_text(line + "\n")
        with pytest.raises(RunFolderError, match="cannot be followed"):
            duplicates(runs / "questions.dedup")
    log.write_text('{"operation":"judge","left":0,"right":1,"answer":"same"}\n')
    with pytest.raises(RunFolderError, match="no pair of this run"):
        duplicates(runs / "questions.dedup")


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_two_windows_do_not_write_at_once(tmp_path):
    """The second window is told; after the first is closed it may write."""
    first, second = EditLog(tmp_path), EditLog(tmp_path)
    first.append({"operation": "one"})
    with pytest.raises(RunFolderError, match="another window"):
        second.append({"operation": "two"})
    first.close()
    second.append({"operation": "two"})
    assert [r["operation"] for r in second.read()] == ["one", "two"]


def test_a_run_with_edits_is_not_replaced(runs, tiny_model):
    """--overwrite does not throw away what people decided."""
    folder = runs / "questions.dedup"
    duplicates(folder).set_threshold(0.9)
    with pytest.raises(RunFolderError, match="decisions that people made"):
        dedup(runs / "questions.csv", model=str(tiny_model), output=folder, overwrite=True)


def test_writing_gives_files_of_the_contract(runs):
    """Kept and removed rows are the input, byte for byte; labels are what was said."""
    folder = runs / "questions.dedup"
    model = duplicates(folder)
    model.set_threshold(0.9)
    first = model.members(model.group(0).head)
    model.keep(int(first.rows[-1]))
    out = int(model.members(model.group(1).head).rows[-1])
    model.take_out(out)
    for answer in (Answer.SAME, Answer.DIFFERENT, Answer.SKIP):
        model.judge(model.next_pair(), answer)
    written = write_duplicates(model)
    kept = (written / "kept.csv").read_text().splitlines()
    removed = pl.read_csv(written / "duplicates.csv")
    source = (runs / "questions.csv").read_text()
    assert len(pl.read_csv(written / "kept.csv")) == model.kept
    assert int(first.rows[-1]) not in removed["sbert_row"].to_list()
    assert out not in {*removed["sbert_row"], *removed["sbert_duplicate_of"]}
    assert all(line in source for line in kept)
    both = sorted([*removed["sbert_row"].to_list(), *kept_rows(model)])
    assert both == list(range(len(model.rows)))
    labels = pl.read_csv(written / "labels.csv")
    assert labels.columns == ["text_a", "text_b", "label"]
    assert labels["label"].to_list() == [1, 0]
    manifest = json.loads((written / "run.json").read_text())
    assert manifest["edited"]["threshold"] == 0.9
    assert manifest["counts"]["kept"] == model.kept
    # Writing again, after more was decided, replaces it.
    model.undo()
    assert write_duplicates(model) == written


def kept_rows(model):
    """Rows that stay."""
    removed = {
        int(row)
        for place in range(len(model))
        for row in model.members(model.group(place).head).rows[1:]
    }
    return [row for row in range(len(model.rows)) if row not in removed]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".txt", ".csv.gz"])
def test_every_format_can_be_browsed_and_written(tmp_path, tiny_model, suffix):
    """Runs on all formats open, and their edits are written in the same format."""
    texts = ["Reset my password", "reset my password!", 'a "b", c\nd', "Reset my password", "é 語"]
    if suffix == ".txt":
        texts[2] = 'a "b", c'
        (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    else:
        frame = pl.DataFrame({"n": range(5), "text": texts})
        path = tmp_path / f"in{suffix}"
        if ".csv" in suffix or suffix == ".tsv":
            data = frame.write_csv(separator="\t" if suffix == ".tsv" else ",").encode()
            import gzip

            path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
        elif suffix == ".jsonl":
            frame.write_ndjson(path)
        else:
            frame.write_parquet(path)
    run = tmp_path / "run"
    dedup(str(tmp_path / f"in{suffix}"), model=str(tiny_model), output=run, text_column="text")
    model = duplicates(run)
    assert model.rows.texts(range(5)) == texts
    assert model.group(0).size == 3
    model.keep(3)
    written = write_duplicates(model)
    assert (written / f"kept{suffix}").exists()
    again = duplicates_written(written)
    assert again == {0: 3, 1: 3}


def duplicates_written(folder):
    """Removed row → row kept in its place."""
    from sbert_cluster.corpus.reading import read_corpus
    from sbert_cluster.options import ReadOptions

    path = next(folder.glob("duplicates.*"))
    frame = read_corpus([path], ReadOptions(text_columns=("text",))).frame
    of = frame.select(pl.col("sbert_row", "sbert_duplicate_of").cast(pl.Int64))
    return dict(of.rows())


@given(st.lists(st.floats(0, 1, width=32), max_size=40), st.floats(0, 1))
def test_the_queue_gives_the_nearest_first(values, centre):
    """Every pair comes exactly once, the nearest to the threshold first; skipped ones come last."""
    similarity = np.sort(np.array(values, np.float32))[::-1]
    queue = Queue(similarity, np.full(len(values), Reason.SEMANTIC, np.uint8))
    done: set[int] = set()
    order = []
    while (edge := queue.next(centre, done, set())) is not None:
        order.append(edge)
        done.add(edge)
    assert sorted(order) == list(range(len(values)))
    distance = np.abs(similarity[order].astype(float) - centre)
    assert (np.diff(distance) >= 0).all()
    everything = set(range(len(values)))
    if everything:
        assert queue.next(centre, everything - {0}, {0}) == 0
    assert queue.next(centre, everything, everything) is None


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    # Newcombe (1998), Table I, method 3 (score interval), in per cent of 1.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_of_wilson(part, whole, low, high):
    """Published values of the score interval."""
    assert Share(part, whole).interval == pytest.approx((low, high), abs=5e-5)


def test_evidence_counts_what_was_judged():
    """Precision, recall, agreement and advice by hand."""
    judged = Judged(np.array([0.95, 0.92, 0.9, 0.85]), np.array([True, True, False, True]))
    assert (judged.precision(0.9).part, judged.precision(0.9).whole) == (2, 3)
    assert (judged.recall(0.9).part, judged.recall(0.9).whole) == (2, 3)
    assert judged.agreement(0.9).part == 2
    assert judged.advice(0.9) is None
    many = Judged(np.linspace(0.8, 1, 200), np.linspace(0.8, 1, 200) > 0.9)
    advice = many.advice(0.9)
    assert advice is not None
    assert many.precision(advice).interval[0] >= 0.9


def test_the_curve_is_that_of_logistic_regression():
    """Against scikit-learn with the same weak penalty."""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    similarity = random.uniform(0.7, 1, 300)
    same = random.random(300) < 1 / (1 + np.exp(-30 * (similarity - 0.85)))
    curve = fit_curve(Judged(similarity, same))
    assert curve is not None
    scaled = (similarity - similarity.mean()) / similarity.std()
    model = LogisticRegression(C=10, tol=1e-10).fit(scaled[:, None], same)
    slope = float(model.coef_[0, 0]) / similarity.std()
    assert curve.slope == pytest.approx(slope, rel=1e-4)
    assert curve.even == pytest.approx(
        similarity.mean() - float(model.intercept_[0]) / slope, abs=1e-5
    )
    assert curve.chance(curve.even) == pytest.approx(0.5)
    assert fit_curve(Judged(similarity, np.zeros(300, bool))) is None


@given(st.text("ab ,é語'\n", max_size=30), st.text("ab ,é語'\n", max_size=30))
def test_differences_lose_no_letter(one, other):
    """The pieces are the texts, and without those that differ the rest is the same."""
    ours, theirs = differences(one, other)
    assert "".join(piece.text for piece in ours) == one
    assert "".join(piece.text for piece in theirs) == other
    if one == other:
        assert not any(piece.differs for piece in [*ours, *theirs])


def test_differences_are_whole_words():
    """A word that differs in a letter is marked whole; spaces around it are not."""
    ours, theirs = differences("How do I extend it?", "How do I end it?")
    assert [piece.text for piece in ours if piece.differs] == ["extend"]
    assert [piece.text for piece in theirs if piece.differs] == ["end"]
    _, late = differences("can I collect a click & collect order", "till click and collect is")
    shared = "".join(piece.text for piece in late if not piece.differs)
    assert shared.split() == ["click", "collect"]
    spaces, _ = differences("a  b", "a b")
    assert [piece.text for piece in spaces if piece.differs] == ["  "]


ODD = "ab é語👩‍👩‍👧🇩🇪שלוםمرحبا\x1b[31m\x1b]52;c;eA==\x07\u202e\u2066[bold]\t\n\x00\ud800"


@given(st.lists(st.text(ODD, max_size=20), max_size=3), st.integers(1, 40), st.booleans())
def test_cells_have_exactly_their_width(texts, width, right):
    """Whatever the text: as wide as the column, and nothing in it that acts."""
    spans = fit([plain(text)[0] for text in texts], width, right=right)
    shown = "".join(span.text for span in spans)
    assert cell_len(shown) == width
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066" for c in shown)


def test_bars_never_show_something_as_nothing():
    """A bar is as long as its share, at least half a cell."""
    assert bar(0, 4) == "    "
    assert bar(0.0001, 4) == "╸   "
    assert bar(0.5, 4) == "━━  "
    assert bar(1, 4) == "━━━━"
    assert marked(differences("a b", "a c")[1])[1].tone is Tone.MARK


CLUSTER_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["merge", "split", "rename", "move", "undo", "redo"]),
        st.integers(0, 1_000),
    ),
    max_size=15,
)


def clusters_seen(model):
    """Everything that a person could see of the clusters view."""
    entries = [model.entry(place) for place in range(len(model))]
    rows = [model.rows_of(entry.cluster).tolist() for entry in entries]
    return repr(entries), rows


def change(model, what, number):
    """One edit of clusters, chosen by a number."""
    clusters = model.state.clusters
    one = clusters[number % len(clusters)]
    match what:
        case "undo":
            model.undo()
        case "redo":
            model.redo()
        case "rename":
            model.rename(one, f"name {number}" if number % 3 else "")
        case "move":
            model.move([number % len(model.rows)], one if number % 4 else NOISE)
        case "merge" if len(clusters) > 1:
            model.merge([one, clusters[(number + 1) % len(clusters)]])
        case "split":
            rows = model.rows_of(one)
            if len(rows) > 1:
                model.split(one, [rows[: len(rows) // 2].tolist()])


@given(CLUSTER_STEPS)
@settings(max_examples=30)
def test_cluster_edits_can_all_be_undone_and_replayed(made, steps):
    """Any edits of clusters: a new window shows the same, undoing all shows the start."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(made / "questions.groups", Path(place) / "run"))
        model = ClustersModel(Run.open(folder))
        start = clusters_seen(model)
        for what, number in steps:
            change(model, what, number)
        assert clusters_seen(ClustersModel(Run.open(folder))) == clusters_seen(model)
        while model.undo() is not None:
            pass
        assert clusters_seen(model) == start


def test_layers_are_a_tree(made):
    """Every cluster stands below its layer once; a closed layer hides what is in it."""
    model = ClustersModel(Run.open(made / "questions.groups"))
    entries = [model.entry(i) for i in range(len(model))]
    clusters = [entry.cluster for entry in entries if entry.cluster >= 0]
    assert sorted(clusters) == model.state.clusters
    layers = [entry for entry in entries if entry.open is not None]
    assert layers
    for layer in layers:
        assert layer.size == len(model.rows_of(layer.cluster))
    before = len(model)
    model.toggle(layers[0].cluster)
    assert len(model) < before
    model.toggle(layers[0].cluster)
    assert len(model) == before


def test_the_map_shows_every_row(made):
    """Dots lie where rows lie; going in a direction finds a cluster that lies there."""
    model = ClustersModel(Run.open(made / "questions.groups"))
    cluster = model.state.clusters[0]
    drawing = model.scatter.draw(40, 12, cluster)
    assert drawing.dots.any()
    assert (drawing.marked_dots & ~drawing.dots == 0).all()
    centres = model.scatter.centres()
    assert set(centres) == set(model.state.clusters)
    right = model.scatter.towards(cluster, 1, 0)
    assert right == cluster or centres[right][0] > centres[cluster][0]


def test_columns_and_searches_are_in_input_rows(made):
    """Whichever file a row lies in, it is found under its number in the input."""
    model = duplicates(made / "questions.dedup")
    source = pl.read_csv(made / "questions.csv", infer_schema=False)
    assert model.rows.column("id").to_list() == source["id"].to_list()
    found = sorted(np.concatenate(list(model.rows.matching("mail", "channel"))).tolist())
    assert found == [i for i, c in enumerate(source["channel"]) if "mail" in c]
    assert model.rows.cells(7) == source.row(7, named=True)
