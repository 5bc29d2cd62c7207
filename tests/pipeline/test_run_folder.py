"""What a run folder holds, and that together it holds the input."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.pipeline import dedup

EXTRA = ["sbert_row", "sbert_group", "sbert_duplicate_of", "sbert_similarity", "sbert_reason"]
REASONS = {"exact", "normalised", "semantic", "reranked"}
SETTINGS = settings(max_examples=20)
groupings = st.sampled_from(["direct", "complete", "single"])


def csv_cell(value, *, quote):
    if value is None:
        return ""
    text = str(value)
    if quote or any(sign in text for sign in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def csv_records(frame, *, quote=False):
    """Each row as a CSV record without line end."""
    return [
        ",".join(
            [
                csv_cell(text, quote=quote),
                csv_cell(vector and json.dumps(vector), quote=True),
                str(score),
            ]
        )
        for text, vector, score in frame.select("text", "vector", "score").iter_rows()
    ]


def run(path, folder, **options):
    """Run once and give the result with the folder that it was written to."""
    return dedup(path, vector_column="vector", text_column="text", output=folder, **options), folder


@pytest.fixture(scope="module")
def example():
    """Rows with copies, other cases, near and far vectors, a missing text and a missing vector."""
    rows = [
        ("Reset it", [1.0, 0.0]),
        ("reset it!", [0.99, 0.1]),
        ("Reset it", [1.0, 0.0]),
        ('Far, "away"\nhere', [0.0, 1.0]),
        ("=1+1", [0.05, 1.0]),
        (None, [-1.0, 0.0]),
        ("語 é", None),
    ]
    frame = pl.DataFrame(rows, schema=["text", "vector"], orient="row")
    return frame.with_columns(score=pl.int_range(1, 8))


@pytest.fixture(scope="module")
def written(example, tmp_path_factory):
    """(result, folder) of a Parquet input."""
    folder = tmp_path_factory.mktemp("run")
    example.write_parquet(folder / "in.parquet")
    return run(folder / "in.parquet", folder / "in.dedup", threshold=0.9)


def check_rows(result, kept, duplicates, frame):
    """Rows of both files are the input with its row numbers, and decisions are those returned."""
    removed = np.flatnonzero(~result.groups.kept).tolist()
    assert duplicates["sbert_row"].to_list() == removed
    assert kept.columns == frame.columns
    assert duplicates.columns == [*frame.columns, *EXTRA]
    stays = np.flatnonzero(result.groups.kept).tolist()
    assert kept.equals(frame[stays])
    assert duplicates.select(frame.columns).equals(frame[removed])
    assert sorted(stays + duplicates["sbert_row"].to_list()) == list(range(frame.height))
    assert duplicates["sbert_group"].to_list() == result.groups.group[removed].tolist()
    assert (
        duplicates["sbert_duplicate_of"].to_list() == result.groups.duplicate_of[removed].tolist()
    )
    np.testing.assert_allclose(
        duplicates["sbert_similarity"], result.groups.similarity[removed], rtol=1e-6
    )
    assert set(duplicates["sbert_reason"]) <= REASONS


def test_parquet_in_parquet_out(frames, tmp_path):
    """All rows of a Parquet input are in one of the two files, with their types."""

    @SETTINGS
    @given(frames(), groupings)
    def check(frame, grouping):
        frame.write_parquet(tmp_path / "in.parquet")
        result, folder = run(
            tmp_path / "in.parquet", tmp_path / "out", grouping=grouping, overwrite=True
        )
        kept = pl.read_parquet(folder / "kept.parquet")
        check_rows(result, kept, pl.read_parquet(folder / "duplicates.parquet"), frame)

    check()


def test_json_lines_in_json_lines_out(frames, tmp_path):
    """All lines of a JSONL input are in one of the two files, kept ones byte for byte."""

    @SETTINGS
    @given(frames(), groupings, st.sampled_from(["\n", "\r\n"]))
    def check(frame, grouping, newline):
        lines = [json.dumps(row, ensure_ascii=row["score"] > 1) for row in frame.to_dicts()]
        data = "".join(line + newline for line in lines)
        (tmp_path / "in.jsonl").write_bytes(data.encode())
        result, folder = run(
            tmp_path / "in.jsonl", tmp_path / "out", grouping=grouping, overwrite=True
        )
        expected = [line for line, stays in zip(lines, result.groups.kept, strict=True) if stays]
        assert (folder / "kept.jsonl").read_bytes() == "".join(
            line + newline for line in expected
        ).encode()
        rest = (folder / "duplicates.jsonl").read_text(encoding="utf-8")
        removed = [json.loads(line) for line in rest.split("\n")[:-1]]
        for row in removed:
            number = row["sbert_row"]
            assert {name: row[name] for name in frame.columns} == frame.row(number, named=True)
            assert list(row) == [*frame.columns, *EXTRA]
            assert row["sbert_duplicate_of"] == result.groups.duplicate_of[number]
        numbers = [row["sbert_row"] for row in removed]
        assert numbers == np.flatnonzero(~result.groups.kept).tolist()

    check()


def test_csv_in_csv_out_byte_for_byte(frames, tmp_path):
    """Kept records of a CSV input are its very bytes; the others only have cells appended."""

    @SETTINGS
    @given(
        frames(),
        groupings,
        st.sampled_from(["\n", "\r\n"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["utf-8", "utf-8-sig"]),
    )
    def check(frame, grouping, newline, quote, ends, encoding):
        records = csv_records(frame, quote=quote)
        data = "text,vector,score" + newline + newline.join(records) + (newline if ends else "")
        (tmp_path / "in.csv").write_bytes(data.encode(encoding))
        result, folder = run(
            tmp_path / "in.csv", tmp_path / "out", grouping=grouping, overwrite=True
        )
        kept = result.groups.kept
        stays = [record for record, stay in zip(records, kept, strict=True) if stay]
        expected = "".join(line + newline for line in ["text,vector,score", *stays])
        assert (folder / "kept.csv").read_bytes() == expected.encode(encoding)
        rest = (folder / "duplicates.csv").read_bytes().decode(encoding)
        head = ",".join(["text,vector,score", *EXTRA]) + newline
        assert rest.startswith(head)
        rest = rest.removeprefix(head)
        for row in np.flatnonzero(~kept).tolist():
            assert rest.startswith(records[row] + ",")
            cells, _, rest = rest.removeprefix(records[row] + ",").partition(newline)
            number, group, head_row, similarity, reason = cells.split(",")
            assert int(number) == row
            assert int(group) == result.groups.group[row]
            assert int(head_row) == result.groups.duplicate_of[row]
            assert np.float32(similarity) == result.groups.similarity[row]
            assert reason in REASONS
        assert rest == ""

    check()


def test_several_files_are_numbered_through(example, tmp_path):
    """Rows of a second file go on counting where the first one ends, and none is lost."""
    for name, part in (("a", example[:3]), ("b", example[3:])):
        data = "text,vector,score\n" + "".join(r + "\n" for r in csv_records(part))
        (tmp_path / f"{name}.csv").write_text(data, encoding="utf-8", newline="")
    result, folder = run([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out")
    removed = pl.read_csv(folder / "duplicates.csv")["sbert_row"].to_list()
    assert removed == [1, 2, 4]
    text = (folder / "kept.csv").read_text(encoding="utf-8")
    kept = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [int(row["score"]) - 1 for row in kept] == [0, 3, 5, 6]
    assert [file["rows"] for file in result.manifest.input["files"]] == [3, 4]


def test_pairs_file_has_the_columns_and_the_order_of_the_contract(written):
    """``pairs.parquet`` holds left, right, similarity and reason, the most similar pair first."""
    _, folder = written
    pairs = pl.read_parquet(folder / "pairs.parquet")
    assert dict(pairs.schema) == {
        "left": pl.Int64,
        "right": pl.Int64,
        "similarity": pl.Float32,
        "reason": pl.String,
    }
    assert pairs.equals(pairs.sort(-pl.col("similarity"), "left", "right"))
    assert (pairs["left"] < pairs["right"]).all()
    assert [tuple(row) for row in pairs.select("left", "right", "reason").iter_rows()] == [
        (0, 2, "exact"),
        (3, 4, "semantic"),
        (0, 1, "normalised"),
    ]


def test_pairs_file_without_pairs_keeps_its_types(tmp_path):
    """Where nothing is similar, the pairs file has no rows, but the same columns."""
    frame = pl.DataFrame({"text": ["a", "b"], "vector": [[1.0, 0.0], [0.0, 1.0]], "score": [1, 2]})
    frame.write_parquet(tmp_path / "in.parquet")
    _, folder = run(tmp_path / "in.parquet", tmp_path / "out")
    pairs = pl.read_parquet(folder / "pairs.parquet")
    assert pairs.schema == {
        "left": pl.Int64, "right": pl.Int64, "similarity": pl.Float32, "reason": pl.String,
    }  # fmt: skip
    assert pairs.height == 0
    assert pl.read_parquet(folder / "duplicates.parquet").columns == [*frame.columns, *EXTRA]


def test_pairs_file_is_ordered_for_any_input(frames, tmp_path):
    """The order (falling similarity, left, right) and left < right hold for any rows."""

    @SETTINGS
    @given(frames())
    def check(frame):
        frame.write_parquet(tmp_path / "in.parquet")
        result, folder = run(
            tmp_path / "in.parquet", tmp_path / "out", threshold=0.5, overwrite=True
        )
        pairs = pl.read_parquet(folder / "pairs.parquet")
        keys = [(-s, i, j) for i, j, s, _ in pairs.iter_rows()]
        assert keys == sorted(keys)
        assert all(i < j for _, i, j in keys)
        assert pairs.height == result.manifest.counts["pairs"]

    check()


def test_manifest_has_every_field_of_the_contract(written):
    """``run.json`` has each field that the contract names, with the values of this run."""
    result, folder = written
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert manifest.keys() >= {
        "schema_version", "command", "arguments", "input", "model", "device", "precision", "counts",
        "search", "timings_s", "peak_memory_bytes", "versions",
    }  # fmt: skip
    assert manifest["schema_version"] == 1
    assert manifest["command"] == "dedup"
    assert manifest["arguments"]["threshold"] == 0.9
    assert manifest["arguments"]["keep"] == "first"
    assert manifest["arguments"]["grouping"] == "direct"
    assert manifest["input"]["rows"] == 7
    assert manifest["input"]["files"][0].keys() == {"path", "sha256", "rows"}
    assert manifest["model"].keys() >= {"name", "sha256", "pooling", "dimensions", "max_seq_length"}
    assert manifest["model"]["dimensions"] == 2
    counts = manifest["counts"]
    named = ("rows", "empty", "exact_duplicates", "pairs", "groups", "kept", "removed", "truncated")
    assert [counts[name] for name in named] == [7, 1, 1, 3, 2, 4, 3, 0]
    assert list(manifest["timings_s"]) == ["read", "encode", "compare", "decide", "write", "total"]
    assert manifest["peak_memory_bytes"] > 1_000_000
    assert manifest["versions"].keys() >= {"python", "numpy", "polars"}
    assert manifest == json.loads(json.dumps(result.manifest.to_dict()))


def test_search_is_exhaustive_and_says_how_copies_are_joined(written):
    """``search`` tells that every pair of distinct rows was compared, and of the star of copies."""
    _, folder = written
    search = json.loads((folder / "run.json").read_text(encoding="utf-8"))["search"]
    assert search["exhaustive"] is True
    # Seven rows less one copy and one without a vector.
    assert search["pairs_possible"] == search["pairs_compared"] == 5 * 4 // 2
    assert search["borderline"] == 0
    assert search["recall"] is None
    assert "first row only" in search["copies"]


def test_borderline_pairs_are_counted_in_the_manifest(tmp_path):
    """Pairs within 5e-4 of the threshold are counted, above and below it."""
    angles = np.arccos([1, 0.9004, 0.9006])
    vectors = [[np.cos(a), np.sin(a)] for a in angles] + [[0.8996, -np.sqrt(1 - 0.8996**2)]]
    frame = pl.DataFrame({"id": range(4), "vector": [list(map(float, v)) for v in vectors]})
    result = dedup(frame, vector_column="vector", threshold=0.9, output=tmp_path / "out")
    search = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["search"]
    # 0.9004 and 0.8996 from the first row; 0.9006 lies outside.
    assert search["borderline"] == 2
    assert result.manifest.counts["pairs"] == 3


def test_folder_holds_the_five_files_and_nothing_else(written):
    """No temporary file is left behind, inside or beside the folder."""
    _, folder = written
    assert sorted(path.name for path in folder.iterdir()) == [
        "duplicates.parquet", "kept.parquet", "pairs.parquet", "report.html", "run.json",
    ]  # fmt: skip
    assert sorted(path.name for path in folder.parent.iterdir()) == ["in.dedup", "in.parquet"]
