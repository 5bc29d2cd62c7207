"""Starting from a finished run gives what a run from the start gives, byte for byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.encoder import encoder as encoders
from sbert_cluster.errors import InputError, RunFolderError, UsageError
from sbert_cluster.pipeline import comparing, dedup, rethreshold, update

SETTINGS = settings(max_examples=25)
thresholds = st.sampled_from([0.2, 0.5, 0.9, 0.9003, 0.97, 1.0])
groupings = st.sampled_from(["direct", "complete", "single"])
rules = st.sampled_from(["first", "last", "longest", "max:score"])
# What a run costs, how it was asked for, and how many pairs its bound left over.
COSTS = ("timings_s", "peak_memory_bytes", "arguments")


def assert_same_run(one: Path, other: Path) -> None:
    """All files are the same, but for costs and arguments in ``run.json`` and the page."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        if name not in ("run.json", "report.html"):
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert told(one) == told(other)


def told(folder: Path) -> dict:
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for name in ("pairs_pruned", "pairs_scored", "pairs_rescored"):
        manifest["search"].pop(name)
    return {name: value for name, value in manifest.items() if name not in COSTS}


def test_update_equals_a_run_over_all_files(frames, tmp_path):
    """Old and new rows, compared in two steps, give the folder of one run over both files."""

    @SETTINGS
    @given(frames(min_rows=3), st.integers(1, 99), thresholds, groupings, rules)
    def check(frame, cut, threshold, grouping, keep):
        place = fresh(tmp_path)
        cut = 1 + cut % (frame.height - 1)
        old, new = place / "old.parquet", place / "new.parquet"
        if not frame["vector"][:cut].count() or not frame["vector"][cut:].count():
            return
        frame[:cut].write_parquet(old)
        frame[cut:].write_parquet(new)
        options = {"threshold": threshold, "grouping": grouping, "keep": keep}
        dedup(old, vector_column="vector", output=place / "run", **options)
        update(place / "run", new, output=place / "updated")
        dedup([old, new], vector_column="vector", output=place / "once", **options)
        assert_same_run(place / "updated", place / "once")

    check()


def test_update_against_another_file_equals_a_run_over_all(frames, tmp_path):
    """With ``--against``, only the new rows are compared with the reference, to the same end."""

    @SETTINGS
    @given(frames(min_rows=6), thresholds)
    def check(frame, threshold):
        place = fresh(tmp_path)
        third = frame.height // 3
        parts = [frame[:third], frame[third : 2 * third], frame[2 * third :]]
        if not all(part["vector"].count() for part in parts):
            return
        files = [place / f"{name}.parquet" for name in ("old", "new", "reference")]
        for part, file in zip(parts, files, strict=True):
            part.write_parquet(file)
        options = {"threshold": threshold, "against": files[2], "vector_column": "vector"}
        dedup(files[0], output=place / "run", **options)
        update(place / "run", files[1], output=place / "updated")
        dedup(files[:2], output=place / "once", **options)
        assert_same_run(place / "updated", place / "once")

    check()


def test_rethreshold_equals_a_run_with_that_threshold(frames, tmp_path):
    """Upwards from the stored pairs or downwards anew: the folder is that of a fresh run."""

    @SETTINGS
    @given(frames(min_rows=4), thresholds, thresholds, groupings, st.booleans())
    def check(frame, before, after, grouping, two_files):
        place = fresh(tmp_path)
        files = [place / "a.parquet", place / "b.parquet"]
        half = frame.height // 2
        if not frame["vector"][:half].count() or not frame["vector"][half:].count():
            return
        frame[:half].write_parquet(files[0])
        frame[half:].write_parquet(files[1])
        options = {"against": files[1] if two_files else None, "vector_column": "vector"}
        dedup(files[0], threshold=before, output=place / "run", **options)
        rethreshold(place / "run", threshold=after, grouping=grouping, output=place / "again")
        dedup(files[0], threshold=after, grouping=grouping, output=place / "fresh", **options)
        assert_same_run(place / "again", place / "fresh")

    check()


def fresh(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


@pytest.fixture
def questions(tmp_path, sample_data) -> tuple[Path, Path]:
    """The sample of questions in two files."""
    lines = (sample_data / "questions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    # Records may span lines; the reader of the package knows where they end.
    from sbert_cluster.corpus.reading import read_corpus
    from sbert_cluster.options import ReadOptions

    corpus = read_corpus([sample_data / "questions.csv"], ReadOptions())
    assert corpus.records is not None
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    for file, records in ((old, corpus.records[:300]), (new, corpus.records[300:420])):
        file.write_text(lines[0] + "\n".join([*records, ""]), encoding="utf-8")
    return old, new


def test_texts_are_updated_and_rethresholded_like_vectors(tmp_path, questions, tiny_model):
    """With a model: same folders, and upwards the forward pass is never loaded."""
    old, new = questions
    model = {"model": str(tiny_model), "cache_dir": tmp_path / "cache"}
    dedup(old, threshold=0.8, output=tmp_path / "run", **model)
    update(tmp_path / "run", new, output=tmp_path / "updated")
    dedup([old, new], threshold=0.8, output=tmp_path / "once", **model)
    assert_same_run(tmp_path / "updated", tmp_path / "once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders.Encoder, "_loaded", lambda _: pytest.fail("weights were loaded"))
        patch.setattr(comparing, "find_pairs", lambda *_: pytest.fail("rows were compared"))
        rethreshold(tmp_path / "updated", threshold=0.95, output=tmp_path / "up")
    dedup([old, new], threshold=0.95, output=tmp_path / "fresh", **model)
    assert_same_run(tmp_path / "up", tmp_path / "fresh")
    # Options that are given anew count, all others are those of the run.
    again = rethreshold(tmp_path / "up", keep="longest", grouping="single")
    assert again.manifest.arguments["keep"] == "longest"
    assert again.manifest.arguments["grouping"] == "single"
    assert again.manifest.arguments["threshold"] == 0.95


def test_without_pairs_no_model_is_opened(tmp_path, tiny_model):
    """Where no pair stays, the model may even be gone."""
    copy = shutil.copytree(tiny_model, tmp_path / "model")
    rows = tmp_path / "rows.csv"
    rows.write_text("text\none thing\nquite another\n")
    result = dedup(rows, threshold=0.9, output=tmp_path / "run", model=str(copy))
    shutil.rmtree(copy)
    high = float(np.nextafter(1, 0))
    assert not len(result.pairs) or result.pairs.similarity.max() < high
    assert len(rethreshold(tmp_path / "run", threshold=high).pairs) == 0


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run over three rows with vectors."""
    frame = pl.DataFrame({"text": ["a", "b", "c"], "v": [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]})
    frame.write_parquet(tmp_path / "in.parquet")
    dedup(tmp_path / "in.parquet", vector_column="v", output=tmp_path / "in.dedup")
    return tmp_path / "in.dedup"


def test_input_that_changed_is_refused(run, tmp_path):
    """Another content under the same name is not what the pairs are about."""
    pl.DataFrame({"text": ["x"], "v": [[1.0, 0.0]]}).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(InputError, match=r"in\.parquet has changed"):
        rethreshold(run, threshold=0.95)
    with pytest.raises(InputError, match=r"in\.parquet has changed"):
        update(run, tmp_path / "in.parquet")


def test_input_that_is_gone_is_named(run, tmp_path):
    """A missing input is an error that names it."""
    (tmp_path / "in.parquet").unlink()
    with pytest.raises(InputError, match="is not there"):
        rethreshold(run, threshold=0.95)


def test_input_that_moved_with_the_run_is_found(run, tmp_path):
    """A run folder and its input may move together."""
    (tmp_path / "elsewhere").mkdir()
    for path in (run, tmp_path / "in.parquet"):
        path.rename(tmp_path / "elsewhere" / path.name)
    assert len(rethreshold(tmp_path / "elsewhere" / "in.dedup", threshold=0.95).pairs) == 1


@pytest.mark.parametrize("what", ["missing", "groups", "pairs gone", "pairs spoiled", "pairs cut"])
def test_what_is_no_finished_run_is_refused(run, what):
    """A folder that holds no whole run of dedup is an error of its own."""
    if what == "missing":
        run = run.parent / "nowhere"
    elif what == "groups":
        text = (run / "run.json").read_text().replace('"dedup"', '"groups"', 1)
        (run / "run.json").write_text(text)
    elif what == "pairs gone":
        (run / "pairs.parquet").unlink()
    elif what == "pairs spoiled":
        (run / "pairs.parquet").write_bytes(b"PAR1 nonsense")
    else:
        pl.read_parquet(run / "pairs.parquet")[:0].write_parquet(run / "pairs.parquet")
    with pytest.raises(RunFolderError):
        rethreshold(run, threshold=0.95)


def test_what_pairs_rest_on_cannot_be_given_anew(run, tmp_path):
    """Another column or model would make other pairs."""
    with pytest.raises(UsageError, match="--model cannot be changed"):
        update(run, tmp_path / "in.parquet", model="other")
    with pytest.raises(TypeError, match="nonsense"):
        rethreshold(run, nonsense=1)
    with pytest.raises(UsageError, match="nothing to add"):
        update(run, [])


def test_frames_and_stdin_cannot_be_read_again(tmp_path):
    """A run whose input was no file says so."""
    frame = pl.DataFrame({"v": [[1.0, 0.0], [1.0, 0.0]]})
    dedup(frame, vector_column="v", output=tmp_path / "run")
    with pytest.raises(UsageError, match="not made from files"):
        rethreshold(tmp_path / "run", threshold=0.95)


def test_a_flood_is_refused_with_advice(monkeypatch):
    """Too many expected pairs stop the run before it compares; ``yes`` goes on."""
    from sbert_cluster.neighbors import forecast

    monkeypatch.setattr(forecast, "MANY_PAIRS", 3_000)
    monkeypatch.setattr(comparing, "MANY_PAIRS", 3_000)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(150, 4)) + 1
    frame = pl.DataFrame({"v": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float64))})
    with pytest.raises(UsageError, match=r"pairs are expected at --threshold 0\.1 ") as refused:
        dedup(frame, vector_column="v", threshold=0.1)
    assert "Use --threshold 0." in refused.value.remedy
    assert "--yes" in refused.value.remedy
    assert len(dedup(frame, vector_column="v", threshold=0.1, yes=True).pairs) > 3_000
    with pytest.raises(UsageError, match="pairs are expected"):
        dedup(frame, against=frame, vector_column="v", threshold=0.1)
