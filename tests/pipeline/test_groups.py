"""``groups`` from Python: what it returns, what it writes, and what later commands make of it."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from sbert_cluster import assign_groups, edit_groups, evaluate_clusters, groups
from sbert_cluster.errors import RunFolderError, UsageError
from sbert_cluster.pipeline.groups_folder import open_groups

WORDS = ["late parcel", "broken zip", "wet tent", "kind staff"]


@pytest.fixture(scope="module")
def frame():
    """Four topics of thirty rows, three strangers, copies, an empty row, and a date."""
    random = np.random.default_rng(0)
    heads = random.normal(size=(4, 24))
    gold = np.repeat(np.arange(4), 30)
    vectors = heads[gold] + 0.5 * random.normal(size=(120, 24))
    vectors[1] = vectors[0]
    vectors = np.vstack([vectors, 1.2 * random.normal(size=(3, 24))])
    texts = [f"{WORDS[k]} number {row}" for row, k in enumerate(gold)] + ["x", "y", "z"]
    texts[1] = texts[0]
    listed: list[list[float] | None] = vectors.tolist()
    listed.append(None)
    return pl.DataFrame(
        {
            "id": [f"R{row}" for row in range(124)],
            "text": [*texts, None],
            "vector": pl.Series(listed, dtype=pl.List(pl.Float64)),
            "topic": [WORDS[k] for k in gold] + [None] * 4,
            "day": [f"2024-{1 + row % 6:02}-01" for row in range(124)],
        }
    )


@pytest.fixture
def made(frame, tmp_path):
    """A run folder over the frame, written as Parquet."""
    frame.write_parquet(tmp_path / "in.parquet")
    folder = tmp_path / "run"
    result = groups(
        tmp_path / "in.parquet",
        text_column="text",
        id_column="id",
        vector_column="vector",
        output=folder,
    )
    return result, folder


def test_the_result_is_what_the_types_promise(made, frame):
    """Rows, clusters by size, names from the texts, copies together, the empty row in none."""
    result, _ = made
    assert len(result.summaries) == 4
    assert result.rows.height == 124
    assert result.rows.select(frame.columns).equals(frame)
    labels = result.clustering.labels
    assert labels[0] == labels[1]
    assert labels[123] == -1
    assert np.isnan(result.clustering.places[123]).all()
    for one in result.summaries:
        assert one.size == (labels == one.cluster).sum()
        inside = {WORDS[row // 30] for row in range(120) if labels[row] == one.cluster}
        assert len(inside) == 1
        name = inside.pop()
        assert set(one.label.casefold().replace(" · ", " ").split()) & set(name.split())
        assert all(labels[row] == one.cluster for row in one.rows)
        assert one.stability is not None
        assert one.stability > 0.8
    counts = result.manifest.counts
    assert counts["rows"] == 124
    assert counts["empty"] == 1
    assert counts["clustered"] + counts["noise"] == 123
    assert counts["exact_duplicates"] == 1


def test_the_run_folder_is_the_contract(made):
    """Its files and columns."""
    result, folder = made
    assert {path.name for path in folder.iterdir()} == {
        "rows.parquet",
        "clusters.csv",
        "base.parquet",
        "centres.parquet",
        "report.html",
        "run.json",
    }
    rows = pl.read_parquet(folder / "rows.parquet")
    added = ["sbert_cluster", "sbert_strength", "sbert_x", "sbert_y"]
    assert rows.columns[-4:] == added
    assert rows["sbert_x"].null_count() == 1
    clusters = pl.read_csv(folder / "clusters.csv")
    assert clusters.columns[:7] == [
        "cluster",
        "size",
        "label",
        "keywords",
        "representative",
        "representative_row",
        "cohesion",
    ]
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["command"] == "groups"
    assert set(manifest["timings_s"]) == {
        "read",
        "encode",
        "compare",
        "cluster",
        "describe",
        "write",
        "total",
    }
    assert manifest["counts"] == result.manifest.counts
    assert manifest["clustering"]["method"] == "modes"


def test_an_opened_run_is_the_run(made):
    """Labels, names, shapes and texts come back."""
    result, folder = made
    again = open_groups(folder).result
    assert again.texts == result.texts
    np.testing.assert_array_equal(again.clustering.labels, result.clustering.labels)
    np.testing.assert_array_equal(again.clustering.places, result.clustering.places)
    for ours, theirs in zip(again.summaries, result.summaries, strict=True):
        assert (ours.label, ours.keywords, ours.rows) == (
            theirs.label,
            theirs.keywords,
            theirs.rows,
        )
    assert again.manifest.to_dict() == result.manifest.to_dict() | {
        "timings_s": again.manifest.timings_s,
        "peak_memory_bytes": again.manifest.peak_memory_bytes,
    }


def test_edits_change_the_whole_folder(made):
    """Merge, rename and split; then undone in order, and the run is as it was."""
    first, folder = made
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    merged = edit_groups(folder, merge=[[0, 1]], rename={2: "<b>Mine</b>"})
    assert merged.summaries[0].size == sum(one.size for one in first.summaries[:2])
    rows = pl.read_parquet(folder / "rows.parquet")
    assert set(rows["sbert_cluster"]) == {-1, 0, 2, 3}
    clusters = pl.read_csv(folder / "clusters.csv")
    assert "<b>Mine</b>" in clusters["label"].to_list()
    page = (folder / "report.html").read_text()
    assert "<b>Mine" not in page
    assert "\\u003cb\\u003eMine" in page
    split = edit_groups(folder, split=[0])
    assert len(split.summaries) == 4
    parts = {tuple(np.flatnonzero(split.clustering.labels == k)) for k in (0, 4)}
    assert parts == {tuple(np.flatnonzero(first.clustering.labels == k)) for k in (0, 1)}
    edit_groups(folder, undo=3)
    lines = (folder / "edits.jsonl").read_text().splitlines()
    assert [json.loads(line)["operation"] for line in lines] == [
        "merge",
        "rename",
        "split",
        *["undo"] * 3,
    ]
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in ("base.parquet", "rows.parquet"):
        old, new = (pl.read_parquet(content) for content in (before[name], after[name]))
        assert old.equals(new)
    old, new = (pl.read_csv(content["clusters.csv"]) for content in (before, after))
    assert old.drop("stability").equals(new.drop("stability"))
    redone = edit_groups(folder, redo=1)
    assert len(redone.summaries) == 3


def test_moved_rows_and_wrong_edits(made):
    """A row goes where it is told; a wrong edit leaves every file alone."""
    _, folder = made
    assert edit_groups(folder, move={120: 3}).clustering.labels[120] == 3
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for wrong in ({"merge": [[0, 9]]}, {"split": [9]}, {"rename": {9: "x"}}, {"undo": 2}):
        with pytest.raises(UsageError):
            edit_groups(folder, **wrong)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_new_rows_join_the_nearest_group(made, frame):
    """The run's own rows go where they are, strangers go nowhere."""
    result, folder = made
    random = np.random.default_rng(5)
    strangers = frame.head(4).with_columns(
        vector=pl.Series(random.normal(size=(4, 24)).tolist(), dtype=pl.List(pl.Float64))
    )
    found = assign_groups(folder, pl.concat([frame, strangers]), text_column="text")
    inside = result.clustering.labels >= 0
    same = found.labels[:124] == result.clustering.labels
    assert same[inside].mean() > 0.9
    assert (found.labels[124:] == -1).sum() >= 3
    assert found.labels[123] == -1
    assert (found.strengths[found.labels == -1] == 0).all()
    assert set(found.rows["sbert_label"].drop_nulls()) == {one.label for one in result.summaries}


def test_agreement_with_a_column(made):
    """The topics are found; rows without one do not count."""
    _, folder = made
    scores = evaluate_clusters(folder, gold="topic")
    assert scores.rows == 120
    assert scores.classes == 4
    assert scores.noise_as_singletons.ari > 0.9
    with pytest.raises(UsageError, match="nothing"):
        evaluate_clusters(folder, gold="nothing")


def test_layers_stand_in_every_file(tmp_path):
    """Twelve topics in four families: a layer of families."""
    random = np.random.default_rng(1)
    families = random.normal(size=(4, 40))
    heads = np.repeat(families, 3, axis=0) + 0.45 * random.normal(size=(12, 40))
    vectors = np.repeat(heads, 25, axis=0) + 0.25 * random.normal(size=(300, 40))
    frame = pl.DataFrame({"text": [f"word{row // 25} {row}" for row in range(300)]})
    frame = frame.with_columns(vector=pl.Series(vectors.tolist()))
    result = groups(
        frame, text_column="text", vector_column="vector", layers=True, output=tmp_path / "run"
    )
    assert len(result.summaries) == 12
    top = [one for one in result.layers if one.layer == max(g.layer for g in result.layers)]
    assert len(top) == 4
    assert sorted(k for one in top for k in one.clusters) == list(range(12))
    rows = pl.read_parquet(tmp_path / "run" / "rows.parquet")
    assert rows["sbert_layer_1"].n_unique() in (4, 5)
    assert pl.read_csv(tmp_path / "run" / "layers.csv").height == len(result.layers)
    assert open_groups(tmp_path / "run").result.layers == result.layers


TWO_LANGUAGES = [f"the parcel {n} came late" for n in range(12)] + [
    f"das Paket {n} kam zu spät" for n in range(12)
]


@pytest.mark.parametrize(
    "texts",
    [[None], ["one row"], ["same"] * 6, ["a", "b", "c", "d", "e"], TWO_LANGUAGES],
    ids=["empty", "one", "same", "five", "two languages"],
)
def test_odd_corpora(texts, tiny_model, tmp_path):
    """Nothing but an empty row, one row, copies, five rows, two languages: an answer."""
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    result = groups(frame, model=str(tiny_model), output=tmp_path / "run", plot=tmp_path / "m.png")
    assert len(result.clustering) == len(texts)
    if texts == ["same"] * 6:
        assert result.clustering.labels.tolist() == [0] * 6
    elif len(texts) < 2:
        assert any("group" in note for note in result.manifest.notes)
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
    open_groups(tmp_path / "run")


def test_a_file_for_the_rows_alone(frame, tmp_path):
    """-o rows.csv writes one table with the four columns."""
    rows = frame.select("id", "text").head(30).with_columns(text=pl.lit("t"))
    groups(rows, text_column="text", output=tmp_path / "rows.csv")
    written = pl.read_csv(tmp_path / "rows.csv")
    assert written.height == 30
    assert "sbert_cluster" in written.columns


def test_folders_that_are_no_run_of_groups(tmp_path, made):
    """Each is refused with its name."""
    _, folder = made
    with pytest.raises(RunFolderError, match="not a run folder"):
        edit_groups(tmp_path, undo=1)
    (folder / "base.parquet").unlink()
    with pytest.raises(RunFolderError, match="not whole"):
        edit_groups(folder, undo=1)


def test_the_inputs_own_columns_of_such_names_survive(frame, tmp_path):
    """A column called sbert_row, and a name that is a number, come through edits."""
    rows = frame.with_columns(sbert_row=pl.int_range(124), sbert_cluster=pl.lit("mine"))
    rows.write_parquet(tmp_path / "in.parquet")
    groups(
        tmp_path / "in.parquet", text_column="text", vector_column="vector", output=tmp_path / "run"
    )
    edit_groups(tmp_path / "run", rename={0: "2024"})
    result = edit_groups(tmp_path / "run", rename={1: "'quoted'"})
    assert [one.label for one in result.summaries[:2]] == ["2024", "'quoted'"]
    written = pl.read_parquet(tmp_path / "run" / "rows.parquet")
    assert written.columns[:7] == rows.columns
    assert written["sbert_cluster"].to_list() == ["mine"] * 124
    assert written["sbert_cluster_2"].to_list() == result.clustering.labels.tolist()
