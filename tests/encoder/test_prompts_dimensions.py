"""Named prompts, and vectors of which only the first numbers are kept."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from sbert_cluster import embed
from sbert_cluster.cli.main import run
from sbert_cluster.encoder.cache import cache_files
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import UsageError
from sbert_cluster.options import EncodeOptions, LongTexts

PROMPTS = (("query", "query: "), ("passage", "passage: "))


def test_prompt_by_name(make_model, reference, encode, random_texts):
    """The name of one of the model's prompts stands for its text; any other text is itself."""
    folder = make_model(prompts=PROMPTS)
    embeddings = encode(folder, random_texts, prompt="query")
    assert embeddings.model.prompt == "query: "
    wanted = reference(folder, random_texts, prompt_name="query")
    np.testing.assert_allclose(embeddings.vectors, wanted, atol=1e-5)
    literal = encode(folder, random_texts, prompt="query: ")
    np.testing.assert_array_equal(literal.vectors, embeddings.vectors)
    assert encode(folder, ["a"], prompt="search").model.prompt == "search"
    assert encode(folder, ["a"]).model.prompt == ""


def test_prompts_are_said(make_model):
    """A prompt that the user did not write out is told, with the flag that changes it."""
    folder = make_model(prompts=PROMPTS, default_prompt="passage")

    def notes(prompt):
        options = EncodeOptions(model=str(folder), prompt=prompt, use_cache=False)
        return Encoder.open(options).notes

    assert "'passage: '" in notes(None)[0]
    assert "--prompt" in notes(None)[0]
    assert "'query: '" in notes("query")[0]
    assert notes("query: ") == notes("") == ()


@pytest.mark.parametrize("dimensions", [1, 7, 32])
@pytest.mark.parametrize("normalize", [True, False])
def test_dimensions_equal_the_reference(
    make_model, reference, encode, random_texts, dimensions, normalize
):
    """The first numbers of each vector, at norm 1, as sentence-transformers cuts them."""
    folder = make_model(normalize=normalize)
    embeddings = encode(folder, random_texts, dimensions=dimensions)
    wanted = reference(folder, random_texts, truncate_dim=dimensions)
    np.testing.assert_allclose(embeddings.vectors, wanted, atol=1e-5)
    assert embeddings.vectors.shape[1] == embeddings.model.dimensions == dimensions
    assert embeddings.vectors.dtype == np.float32


def test_dimensions_of_chunks_are_cut_after_averaging(make_model, encode, random_texts):
    """A shortened vector is the beginning of the whole one, also for texts in chunks."""
    options = {"long_texts": LongTexts.CHUNK}
    whole = encode(make_model(), random_texts, **options).vectors[:, :5]
    short = encode(make_model(), random_texts, dimensions=5, **options).vectors
    wanted = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    np.testing.assert_allclose(short, wanted, atol=1e-5)


def test_dimensions_share_the_cache(make_model, encode, random_texts, tmp_path):
    """Vectors are kept whole, and serve whatever the dimensions, with the same numbers."""
    texts, vectors, told = list(dict.fromkeys(random_texts)), {}, []
    for dimensions in (5, None, 9, 5):
        options = EncodeOptions(model=str(make_model()), cache_dir=tmp_path, dimensions=dimensions)
        encoder = Encoder.open(options)
        made = encoder.encode(texts, lambda *news: told.append(news[1])).vectors
        assert encoder.count_cached(texts) == len(texts)
        np.testing.assert_array_equal(vectors.setdefault(dimensions, made), made)
    # Only the first run began with nothing.
    assert told.count(0) == 1
    assert len(cache_files(tmp_path)) == 1
    wanted = encode(make_model(), texts, dimensions=9).vectors
    np.testing.assert_allclose(vectors[9], wanted, atol=1e-6)


def test_dimensions_that_the_model_names(edited, encode):
    """``truncate_dim`` of the model is its default, said, and --dimensions goes before it."""
    folder = edited()
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    for said, kept in ((10, 10), (99, 32), (None, 32), ("many", 32), (0, 32)):
        path.write_text(json.dumps({**config, "truncate_dim": said}))
        encoder = Encoder.open(EncodeOptions(model=str(folder), use_cache=False))
        assert encoder.fingerprint.dimensions == kept
        assert encoder.encode(["a"]).vectors.shape == (1, kept)
        assert [("--dimensions 32" in note) for note in encoder.notes] == [True] * (kept < 32)
    path.write_text(json.dumps({**config, "truncate_dim": 10}))
    assert encode(folder, ["a"], dimensions=20).vectors.shape == (1, 20)
    whole = Encoder.open(EncodeOptions(model=str(folder), dimensions=32, use_cache=False))
    assert whole.notes == ()


@pytest.mark.parametrize("dimensions", [0, -3, 33])
def test_impossible_dimensions_are_refused(make_model, encode, dimensions):
    """Fewer than one dimension, or more than the model makes, are an error with the number."""
    with pytest.raises(UsageError, match=f"--dimensions {dimensions} ") as caught:
        encode(make_model(), ["a"], dimensions=dimensions)
    assert caught.value.remedy


def test_zero_vectors_stay_zero():
    """A vector whose first numbers are all zero has no direction, and stays similar to nothing."""
    from sbert_cluster.encoder.dimensions import shortened

    made = shortened(np.array([[0, 0, 1], [0.6, 0, 0.8]], np.float32), 2)
    np.testing.assert_array_equal(made, np.array([[0, 0], [1, 0]], np.float32))


def test_flags_reach_the_manifest(tiny_model, tmp_path, capsys):
    """The flags are those of the Python API, and stand among the arguments of the run."""
    table = tmp_path / "texts.csv"
    table.write_text("text\na parcel\n" + "where is my parcel " * 60 + "\n")
    flags = ["--dimensions", "6", "--long-texts", "chunk", "--prompt", "query: ", "--json"]
    command = ["embed", str(table), "-o", str(tmp_path / "v.parquet"), "-m", str(tiny_model)]
    assert run([*command, *flags]) == 0
    out, err = capsys.readouterr()
    manifest = json.loads(out)
    given = {"prompt": "query: ", "dimensions": 6, "long_texts": "chunk"}
    assert given.items() <= manifest["arguments"].items()
    assert manifest["model"]["dimensions"] == 6
    assert "1 text is longer than 64 tokens and was read in chunks" in err
    vectors = pl.read_parquet(tmp_path / "v.parquet")["vector"]
    assert vectors.dtype == pl.Array(pl.Float32, 6)
    again = embed(table, model=str(tiny_model), prompt="query: ", dimensions=6, long_texts="chunk")
    np.testing.assert_array_equal(vectors.to_numpy(), again.vectors)
    assert run([*command, "--dimensions", "999", "--overwrite"]) == 2
    assert "--dimensions 999" in capsys.readouterr().err


def test_info_names_the_prompts(make_model, capsys):
    """``info`` shows the prompt in use and the names of the others."""
    folder = make_model(prompts=PROMPTS, default_prompt="passage")
    assert run(["info", "-m", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "'passage: ' (by name: " in out
    assert "query" in out
