"""The vectors are those of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.locate import locate_model
from sbert_cluster.options import DEFAULT_MODEL, EncodeOptions

FAMILIES = ("bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "modernbert")
POOLINGS = (("mean",), ("cls",), ("max",), ("mean_sqrt_len_tokens",), ("mean", "max"))
TOLERANCE = 1e-5


def test_default_model_on_2000_mixed_texts(reference, encode, mixed_texts):
    """The bundled model gives the reference's vectors on texts of every kind."""
    assert len(mixed_texts) == 2000
    embeddings = encode(DEFAULT_MODEL, mixed_texts)
    wanted = reference(locate_model(DEFAULT_MODEL), mixed_texts)
    np.testing.assert_allclose(embeddings.vectors, wanted, atol=TOLERANCE)
    assert embeddings.vectors.dtype == np.float32
    assert embeddings.vectors.shape == (2000, 384)
    assert 8 <= embeddings.truncated.sum() < 100


@pytest.mark.parametrize("pooling", POOLINGS, ids="+".join)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_pooling(make_model, reference, encode, random_texts, family, pooling):
    """Each architecture with each pooling gives the reference's vectors at any length."""
    folder = make_model(family=family, pooling=pooling)
    embeddings = encode(folder, random_texts)
    wanted = reference(folder, random_texts)
    np.testing.assert_allclose(embeddings.vectors, wanted, atol=TOLERANCE)
    # Vectors that are all alike would make the comparison worthless.
    assert (wanted @ wanted.T).min() < 0.98
    assert embeddings.model.dimensions == 32 * len(pooling)
    assert embeddings.model.pooling == "+".join(pooling).removesuffix("_tokens")


@pytest.mark.parametrize("dense", [(), ("Tanh",), ("Identity",), ("GELU", "Sigmoid")], ids="+".join)
@pytest.mark.parametrize("normalize", [True, False], ids=["normalize", "raw"])
def test_dense_and_normalize(make_model, reference, encode, random_texts, dense, normalize):
    """Dense layers are applied in order, and vectors are of unit length in any case."""
    folder = make_model(pooling=("mean", "max"), dense=dense, normalize=normalize)
    embeddings = encode(folder, random_texts)
    wanted = reference(folder, random_texts)
    np.testing.assert_allclose(embeddings.vectors, wanted, atol=TOLERANCE)
    np.testing.assert_allclose(np.linalg.norm(embeddings.vectors, axis=1), 1, atol=1e-5)
    assert embeddings.model.dimensions == embeddings.vectors.shape[1] == wanted.shape[1]


@pytest.mark.parametrize("pooling", [*POOLINGS, ("max", "mean")], ids="+".join)
def test_legacy_configuration_files(make_model, reference, encode, random_texts, pooling):
    """Models whose files were written by sentence-transformers 2 give the reference's vectors."""
    folder = make_model(family="mpnet", pooling=pooling, legacy=True)
    assert "pooling_mode_mean_tokens" in (folder / "1_Pooling" / "config.json").read_text()
    assert "sentence_transformers.models.Pooling" in (folder / "modules.json").read_text()
    embeddings = encode(folder, random_texts)
    np.testing.assert_allclose(embeddings.vectors, reference(folder, random_texts), atol=TOLERANCE)
    assert embeddings.model.max_seq_length == 24


@pytest.mark.parametrize("length", [None, 2, 5, 24, 64])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_maximum_length(make_model, reference, encode, random_texts, family, length):
    """The model's own length is kept to, down to the two special tokens alone."""
    folder = make_model(family=family, max_seq_length=length)
    embeddings = encode(folder, random_texts)
    np.testing.assert_allclose(embeddings.vectors, reference(folder, random_texts), atol=TOLERANCE)
    assert embeddings.model.max_seq_length == (length or 64)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_checkpoint_gets_mean_pooling(make_model, reference, encode, random_texts, family):
    """A Hugging Face checkpoint without modules.json is pooled by the mean, as by the reference."""
    folder = make_model(plain=True, family=family)
    assert not (folder / "modules.json").exists()
    embeddings = encode(folder, random_texts)
    np.testing.assert_allclose(embeddings.vectors, reference(folder, random_texts), atol=TOLERANCE)
    assert embeddings.model.pooling == "mean"


@pytest.mark.parametrize("include", [True, False], ids=["pooled", "left-out"])
@pytest.mark.parametrize("pooling", [*POOLINGS], ids="+".join)
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
def test_prompt(make_model, reference, encode, random_texts, family, pooling, include):
    """A prompt is put before each text, and its tokens are pooled or not as the model says."""
    folder = make_model(family=family, pooling=pooling, include_prompt=include)
    vectors = encode(folder, random_texts, prompt="query: ").vectors
    wanted = reference(folder, random_texts, prompt="query: ")
    np.testing.assert_allclose(vectors, wanted, atol=TOLERANCE)
    assert np.abs(vectors - encode(folder, random_texts).vectors).max() > 1e-3


@pytest.mark.parametrize("pooling", [("mean",), ("max",), ("cls",)], ids="+".join)
def test_prompt_that_fills_the_whole_length(make_model, reference, encode, random_texts, pooling):
    """A prompt as long as the model reads leaves the reference's vectors, not nothing."""
    folder = make_model(pooling=pooling, include_prompt=False)
    prompt = "represent this passage for clustering: " * 6
    vectors = encode(folder, random_texts, prompt=prompt).vectors
    np.testing.assert_allclose(
        vectors, reference(folder, random_texts, prompt=prompt), atol=TOLERANCE
    )


def test_prompt_with_a_tokenizer_that_ends_texts_with_nothing(edited, reference, encode):
    """Where no special token ends a text, the whole prompt is left out and no token more."""
    folder = edited(family="modernbert", include_prompt=False)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"]["single"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    texts = ["How do I wash it?", "parcel", "a", "where is my parcel " * 20]
    vectors = encode(folder, texts, prompt="query: ").vectors
    np.testing.assert_allclose(vectors, reference(folder, texts, prompt="query: "), atol=TOLERANCE)


def test_default_prompt(make_model, reference, encode, random_texts):
    """The prompt that the model names is used unless another, or none, is asked for."""
    prompts = (("query", "query: "), ("passage", "passage: "))
    folder = make_model(family="roberta", prompts=prompts, default_prompt="passage")
    wanted = reference(folder, random_texts)
    embeddings = encode(folder, random_texts)
    assert embeddings.model.prompt == "passage: "
    np.testing.assert_allclose(embeddings.vectors, wanted, atol=TOLERANCE)
    without = encode(folder, random_texts, prompt="").vectors
    np.testing.assert_allclose(without, reference(folder, random_texts, prompt=""), atol=TOLERANCE)
    assert np.abs(without - wanted).max() > 1e-3
    assert open_checkpoint(str(folder)).prompts["query"] == "query: "


@pytest.mark.parametrize("family", ["bert", "mpnet", "roberta", "xlm-roberta"])
def test_do_lower_case(make_model, reference, encode, random_texts, family):
    """Texts are lower-cased where the model says so, special tokens excepted."""
    fields = {"family": family, "tokenizer_lower_case": False, "legacy": True}
    folder = make_model(**fields, lower_case=True)
    vectors = encode(folder, random_texts).vectors
    np.testing.assert_allclose(vectors, reference(folder, random_texts), atol=TOLERANCE)
    cased = encode(make_model(**fields), random_texts).vectors
    assert np.abs(vectors - cased).max() > 1e-3


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_tokenizer_in_old_files(edited, reference, encode, random_texts, family):
    """A folder with vocab.txt, or vocab.json and merges.txt, gives the reference's vectors."""
    folder = edited(family=family)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    if family == "bert":
        words = sorted(model["vocab"], key=model["vocab"].__getitem__)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    else:
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = [" ".join(pair) for pair in model["merges"]]
        (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    texts = [text for text in random_texts if "[" not in text]
    np.testing.assert_allclose(
        encode(folder, texts).vectors, reference(folder, texts), atol=TOLERANCE
    )


def test_weights_in_several_files(edited, encode, random_texts):
    """Weights that are spread over several files are the same weights."""
    folder = edited()
    wanted = encode(folder, random_texts)
    from transformers import AutoModel

    model = AutoModel.from_pretrained(str(folder))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(str(folder), max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    embeddings = encode(folder, random_texts)
    np.testing.assert_array_equal(embeddings.vectors, wanted.vectors)


def test_weights_of_a_language_model(make_model, edited, encode):
    """A checkpoint with a head and without a pooler loads: neither takes part in the vectors."""
    from safetensors.torch import load_file, save_file

    folder = edited()
    weights = load_file(folder / "model.safetensors")
    kept = {f"bert.{key}": w for key, w in weights.items() if not key.startswith("pooler.")}
    assert len(kept) < len(weights)
    kept["cls.predictions.bias"] = weights["embeddings.LayerNorm.bias"].clone()
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    texts = ["where is my parcel", "a", ""]
    np.testing.assert_allclose(
        encode(folder, texts).vectors, encode(make_model(), texts).vectors, atol=1e-7
    )


def test_weights_in_half_precision(edited, encode, random_texts):
    """Weights stored in bf16 are computed in fp32."""
    from safetensors.torch import load_file, save_file

    folder = edited()
    weights = {k: w.bfloat16() for k, w in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    half = encode(folder, random_texts).vectors
    save_file(
        {k: w.float() for k, w in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    np.testing.assert_allclose(half, encode(folder, random_texts).vectors, atol=1e-7)


def test_model_from_the_hub_cache(make_model, encode, tmp_path, monkeypatch):
    """A hub id that is in the local hub cache is used without the network."""
    import shutil

    import huggingface_hub.constants

    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "0123abcd"
    shutil.copytree(make_model(), snapshot)
    (tmp_path / "models--org--tiny" / "refs").mkdir()
    (tmp_path / "models--org--tiny" / "refs" / "main").write_text("0123abcd")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    vectors = encode("org/tiny", ["a text"]).vectors
    np.testing.assert_array_equal(vectors, encode(make_model(), ["a text"]).vectors)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("model", [DEFAULT_MODEL, "tiny"])
def test_half_precision_is_close(make_model, encode, mixed_texts, model, precision):
    """Half precision keeps each vector within a cosine of 0.999, and float32 comes out."""
    folder = make_model(dense=("Tanh",)) if model == "tiny" else model
    texts = [text for text in mixed_texts if len(text) < 200][:100]
    half = encode(folder, texts, precision=precision).vectors
    full = encode(folder, texts).vectors
    assert half.dtype == np.float32
    assert (half * full).sum(1).min() > 0.999
    assert np.abs(half - full).max() > 0


def test_loading_is_silent(make_model, capfd):
    """Loading and encoding print nothing: stdout is data, and stderr is for our own words."""
    folder = make_model(family="modernbert", dense=("Tanh",))
    capfd.readouterr()
    Encoder.open(EncodeOptions(model=str(folder), use_cache=False)).encode(["a text", ""])
    assert capfd.readouterr() == ("", "")


def test_tiny_model_of_the_command_line_tests(reference, encode):
    """The committed model is small, gives the reference's vectors, and knows near-duplicates."""
    folder = Path(__file__).parents[1] / "data" / "tiny-model"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000
    texts = [
        "Where is my parcel?",
        "WHERE is my parcel",
        "Can I iron my jacket?",
        "",
        "?",
        "é" * 99,
    ]
    vectors = encode(folder, texts).vectors
    np.testing.assert_allclose(vectors, reference(folder, texts), atol=TOLERANCE)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.95
    assert vectors[0] @ vectors[2] < 0.6


def test_lone_surrogates_are_encoded(make_model, encode):
    """A string that is no valid Unicode is encoded as if its broken characters were '?'."""
    broken, mended = encode(make_model(), ["half \ud800 a pair", "half ? a pair"]).vectors
    np.testing.assert_array_equal(broken, mended)
