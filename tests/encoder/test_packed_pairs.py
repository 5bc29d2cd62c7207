"""A classifier over pairs against transformers, for every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sbert_cluster.encoder.packed_pairs import is_packable
from sbert_cluster.errors import ModelError
from sbert_cluster.options import Precision
from sbert_cluster.training.reranker import Reranker

FAMILIES = ["bert", "roberta", "xlm-roberta", "mpnet", "distilbert"]


@pytest.fixture
def classifier(make_model, tmp_path):
    """A function that makes a tiny cross-encoder of a family."""

    def make(family):
        source = make_model(plain=True, family=family)
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1)
        for name, parameter in model.named_parameters():
            # Segments, biases and heads begin as zeros or small: their part would not be seen.
            if "type" in name or "classifier" in name or "pooler" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(tmp_path)
        AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path)
        return tmp_path, model.eval()

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_transformers(classifier, random_texts, family):
    folder, model = classifier(family)
    reranker = Reranker.open(str(folder), "cpu", Precision.FP32)
    pairs = [(a, b) for a in random_texts[:6] + random_texts[10:14] for b in random_texts[8:30]]
    expected = []
    for one in pairs:
        both = []
        for left, right in (one, one[::-1]):
            encoding = reranker._tokenizer.encode(left, right)
            fields = {"input_ids": torch.tensor([encoding.ids])}
            if family == "bert":
                assert set(encoding.type_ids) == {0, 1}
                fields["token_type_ids"] = torch.tensor([encoding.type_ids])
            with torch.inference_mode():
                both.append(float(model(**fields).logits.sigmoid()))
        expected.append(sum(both) / 2)
    assert is_packable(reranker.checkpoint) == (family != "distilbert")
    assert np.std(expected) > 0.003
    np.testing.assert_allclose(reranker.score(pairs), expected, atol=1e-5)
    half = Reranker.open(str(folder), "cpu", Precision.BF16)
    np.testing.assert_allclose(half.score(pairs), expected, atol=0.05)


def test_a_head_that_does_not_fit_is_refused(classifier):
    folder, model = classifier("bert")
    model.classifier = torch.nn.Linear(model.classifier.in_features, 2)
    model.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"classifier\.weight has shape \(2"):
        Reranker.open(str(folder), "cpu")
