"""A cross-encoder's answer weighed with the similarity, and the mean of several trainings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from sbert_cluster import pipeline
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.errors import UsageError
from sbert_cluster.evaluation.pairs import average_precision
from sbert_cluster.options import Precision
from sbert_cluster.training.blend import FEWEST_ROWS, Blend, fit_blend, logits
from sbert_cluster.training.cross_encoder import BLEND, YES
from sbert_cluster.training.recipe import Recipe
from sbert_cluster.training.reranker import Reranker
from sbert_cluster.types import Reason


@pytest.fixture
def judged():
    """Two judges that err apart from each other: similarity, answer, truth."""
    random = np.random.default_rng(5)
    truth = random.random(3000) < 0.3
    similarity = 0.7 + 0.1 * truth + 0.08 * random.standard_normal(3000)
    answer = 1 / (1 + np.exp(-(2.0 * truth - 1 + 1.5 * random.standard_normal(3000))))
    return similarity, answer, truth


def test_two_judges_are_better_than_either(judged):
    """On rows that the weights were not fitted on."""
    similarity, answer, truth = judged
    blend = fit_blend("sha", similarity[:1500], answer[:1500], truth[:1500])
    assert blend is not None
    rest = slice(1500, None)
    both = average_precision(blend(similarity[rest], answer[rest]), truth[rest])
    assert both > average_precision(similarity[rest], truth[rest]) + 0.02
    assert both > average_precision(answer[rest], truth[rest]) + 0.02


def test_a_blend_is_a_logistic_regression(judged):
    """Its own formula, also where an answer is 0 or 1."""
    similarity, answer = judged[0].copy(), judged[1].copy()
    answer[:2] = 0, 1
    made = Blend("sha", 3.0, 0.5, -2.0)(similarity, answer)
    wanted = 1 / (1 + np.exp(-(3 * similarity + 0.5 * logits(answer) - 2)))
    assert np.allclose(made, wanted)
    assert np.isfinite(made).all()


def test_few_rows_or_one_label_give_no_blend(judged):
    """Then the cross-encoder decides alone."""
    similarity, answer, truth = judged
    few = FEWEST_ROWS - 1
    assert fit_blend("sha", similarity[:few], answer[:few], truth[:few]) is None
    assert fit_blend("sha", similarity, answer, np.ones(len(truth), np.bool_)) is None


def test_a_blend_holds_for_its_own_encoder_only(tmp_path, sample_data, tiny_model):
    """Its weights stand in the folder, with the encoder that they were fitted for."""
    pipeline.train(
        str(sample_data / "labelled_pairs.csv"),
        output=tmp_path / "cross",
        model=str(tiny_model),
        recipe=Recipe(epochs=0.2, holdout=0.5),
        cross_encoder=True,
        cache=False,
    )
    folder = tmp_path / "cross"
    settings = folder / "sbert_cluster.json"
    stored = json.loads(settings.read_text(encoding="utf-8"))
    own = open_checkpoint(str(tiny_model)).fingerprint.sha256
    # Too few rows are held out of the sample's 720 to fit one; so as it would be written:
    assert BLEND not in stored
    stored[BLEND] = Blend(own, 1.0, 2.0, 3.0).to_dict()
    settings.write_text(json.dumps(stored), encoding="utf-8")
    judge = Reranker.open(str(folder), "cpu")
    assert judge.blend_with(own) == Blend(own, 1.0, 2.0, 3.0)
    assert judge.blend_with("another") is None
    # Weighed, an even chance decides; alone, the probability that its own training found.
    for bias, known, asked_for, any_yes in (
        (-3.0, own, 0.0, False),
        (-3.0, "another", 0.0, True),
        (3.0, own, 1.1, True),
        (3.0, "another", 1.1, False),
    ):
        stored |= {YES: asked_for, BLEND: Blend(known, 0.0, 0.0, bias).to_dict()}
        settings.write_text(json.dumps(stored), encoding="utf-8")
        result = pipeline.dedup(
            str(sample_data / "questions.csv"),
            model=str(tiny_model),
            rerank=str(folder),
            band=(0.9, 0.95),
            cache_dir=tmp_path / "cache",
        )
        assert result.manifest.counts["reranked_asked"] > 0
        assert (Reason.RERANKED in result.pairs.reason) == any_yes


def test_the_mean_of_seeds_is_the_mean_of_their_weights(tmp_path, sample_data, tiny_model):
    """As if each had been trained alone."""

    def trained(name, seed, **options):
        pipeline.train(
            str(sample_data / "labelled_pairs.csv"),
            output=tmp_path / name,
            model=str(tiny_model),
            recipe=Recipe(epochs=0.3, seed=seed, holdout=0, learning_rate=1e-3),
            precision=Precision.FP32,
            cache=False,
            **options,
        )
        return load_file(tmp_path / name / "model.safetensors")

    both = trained("both", 0, seeds=2, average=True)
    first, second = trained("first", 0), trained("second", 1)
    assert any(not np.allclose(first[name], second[name], atol=1e-5) for name in first)
    for name, weight in both.items():
        assert np.allclose(weight, (first[name] + second[name]) / 2, atol=1e-6), name


@pytest.mark.parametrize("options", [{"seeds": 1}, {"seeds": 2, "cross_encoder": True}])
def test_a_mean_needs_several_trainings(tmp_path, sample_data, tiny_model, options):
    """One line, before any work."""
    with pytest.raises(UsageError, match="--average"):
        pipeline.train(
            str(sample_data / "labelled_pairs.csv"),
            output=tmp_path / "model",
            model=str(tiny_model),
            average=True,
            cache=False,
            **options,
        )
