"""Saved models open here and in sentence-transformers, with the same vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sentence_transformers import CrossEncoder as Reference
from sentence_transformers import SentenceTransformer

from sbert_cluster import pipeline
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import ModelError
from sbert_cluster.options import EncodeOptions, Precision
from sbert_cluster.training.cross_encoder import is_cross_encoder
from sbert_cluster.training.recipe import Recipe
from sbert_cluster.training.reranker import Reranker
from sbert_cluster.training.saving import read_settings, save_model
from sbert_cluster.types import RunManifest

TEXTS = ["Where is my order?", "I want my money back.", "réponse", "A much longer text " * 9, "?"]


def encoded(folder):
    """Vectors as our own encoder makes them."""
    options = EncodeOptions(model=str(folder), use_cache=False, precision=Precision.FP32)
    return Encoder.open(options).encode(TEXTS).vectors


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_vectors_are_the_same_everywhere(network, tmp_path, pooling):
    """The network that was trained, the saved folder, and sentence-transformers agree to 1e-5."""
    made = network(TEXTS)
    made.shape = type(made.shape)((pooling,))
    save_model(made, tmp_path, "# card\n", {"calibration": {"threshold": 0.5}})
    own = made.vectors(np.arange(len(TEXTS)))
    reference = SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS)
    assert np.allclose(own, encoded(tmp_path), atol=1e-5)
    assert np.allclose(own, reference, atol=1e-5)
    assert open_checkpoint(str(tmp_path)).pooling == (pooling,)
    assert read_settings(tmp_path) == {"calibration": {"threshold": 0.5}}


def test_a_trained_folder_holds_what_is_promised(tmp_path, sample_data, tiny_model):
    """Card with before and after, threshold, manifest; and its vectors differ from the base's."""
    folder, told = tmp_path / "model", []
    result = pipeline.train(
        str(sample_data / "labelled_pairs.csv"),
        output=folder,
        model=str(tiny_model),
        recipe=Recipe(epochs=4, learning_rate=1e-2),
        cache=False,
        tell=told.append,
    )
    assert isinstance(result.manifest, RunManifest)
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("labelled_pairs.csv", "average_precision", "ranking + cosent", "threshold"):
        assert word in card
    assert "Can I iron" not in card  # no text of the user's
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert manifest["command"] == "train"
    assert result.calibration is not None
    stored = read_settings(folder)["calibration"]
    assert stored == json.loads(json.dumps(result.calibration.to_dict()))
    assert result.calibration.pairs > result.held_out[0].rows  # all pairs of the held-out texts
    assert not np.allclose(encoded(folder), encoded(tiny_model), atol=1e-2)
    reference = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    assert np.allclose(encoded(folder), reference, atol=1e-5)
    (gained,) = result.held_out
    assert gained.after["average_precision"] > gained.before["average_precision"]
    assert any("no text stands in two" in sentence for sentence in told)


def test_a_cross_encoder_opens_in_sentence_transformers(tmp_path, sample_data, tiny_model):
    """The same probabilities, in either order of the texts."""
    folder = tmp_path / "cross"
    pipeline.train(
        str(sample_data / "labelled_pairs.csv"),
        output=folder,
        model=str(tiny_model),
        recipe=Recipe(epochs=1, learning_rate=1e-3),
        cross_encoder=True,
        precision="fp32",
        cache=False,
    )
    assert is_cross_encoder(str(folder))
    pairs = [(TEXTS[i], TEXTS[j]) for i in range(5) for j in range(5)]
    own = Reranker.open(str(folder), "cpu", Precision.FP32).score(pairs)
    reference = Reference(str(folder), device="cpu")
    both = [reference.predict([p[::step] for p in pairs]) for step in (1, -1)]
    assert np.allclose(own, (both[0] + both[1]) / 2, atol=1e-5)


def test_an_encoder_is_no_cross_encoder(tiny_model):
    """Its folder is refused, with the command that makes one."""
    with pytest.raises(ModelError, match="--cross-encoder"):
        Reranker.open(str(tiny_model))
