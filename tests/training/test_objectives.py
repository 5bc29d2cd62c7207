"""Every objective equals its equation, and sentence-transformers' loss where it has one."""

from __future__ import annotations

import math

import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer.losses import (
    ContrastiveLoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    MarginMSELoss,
    MSELoss,
    MultipleNegativesRankingLoss,
    OnlineContrastiveLoss,
    SiameseDistanceMetric,
    TripletLoss,
)

from sbert_cluster.training import objectives

ROWS, WIDTH = 13, 7


class Given(SentenceTransformer):
    """A model whose vectors are the features themselves."""

    def forward(self, features, **_):
        return features


@pytest.fixture(scope="module")
def model() -> Given:
    """Modules do not matter: nothing is encoded."""
    return Given(modules=[torch.nn.Identity()], device="cpu")


@pytest.fixture
def made() -> list[torch.Tensor]:
    """Three columns of random vectors, float64 so that only the equation can differ."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.fixture
def same() -> torch.Tensor:
    """Labels of pairs, both kinds."""
    return (torch.arange(ROWS) % 3 == 0).double()


@pytest.fixture
def scores() -> torch.Tensor:
    """Scores of pairs, some of them equal."""
    return (torch.arange(ROWS) % 5).double() / 5


def features(columns):
    """Vectors as sentence-transformers hands them to a loss."""
    return [{"sentence_embedding": column} for column in columns]


def test_classification_is_cross_entropy_of_a_softmax(made):
    """-log of the softmax of W (u, v, |u - v|) at the true class, averaged."""
    u, v, _ = made
    weights = torch.randn(3, 3 * WIDTH, dtype=torch.float64)
    classes = torch.arange(ROWS) % 3
    logits = objectives.concatenated(u, v, "u,v,d") @ weights.T
    expected = 0.0
    for i in range(ROWS):
        seen = torch.cat([u[i], v[i], (u[i] - v[i]).abs()])
        powers = [math.exp(float(row @ seen)) for row in weights]
        expected -= math.log(powers[int(classes[i])] / sum(powers)) / ROWS
    assert float(objectives.classification(logits, classes)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("parts", "width"),
    [("u,v", 2), ("d", 1), ("p", 1), ("d,p", 2), ("u,v,p", 3), ("u,v,d", 3), ("u,v,d,p", 4)],
)
def test_every_concatenation_of_table_6(made, parts, width):
    """The parts stand one behind the other in the order asked for."""
    u, v, _ = made
    seen = objectives.concatenated(u, v, parts)
    whole = {"u": u, "v": v, "d": (u - v).abs(), "p": u * v}
    assert seen.shape == (ROWS, width * WIDTH)
    for place, part in enumerate(parts.split(",")):
        assert torch.equal(seen[:, place * WIDTH : (place + 1) * WIDTH], whole[part])


def test_regression(model, made, scores):
    """Mean squared error of the cosine."""
    reference = CosineSimilarityLoss(model)(features(made[:2]), scores)
    assert_same(objectives.regression(*made[:2], scores), reference)


def test_triplet(model, made):
    """Euclidean, margin 1, as in section 3.1."""
    reference = TripletLoss(model, triplet_margin=1)(features(made), None)
    assert_same(objectives.triplet(*made), reference)


def test_contrastive(model, made, same):
    """Margin 0.5 on cosine distances."""
    reference = ContrastiveLoss(
        model, distance_metric=SiameseDistanceMetric.COSINE_DISTANCE, margin=0.5
    )(features(made[:2]), same)
    assert_same(objectives.contrastive(*made[:2], same), reference)


@pytest.mark.parametrize("labels", ["both", "one", "all", "none"])
def test_online_contrastive(model, made, same, labels):
    """Hard pairs only; also where a class has one member, or none."""
    truth = {
        "both": same,
        "one": torch.zeros(ROWS).index_fill(0, torch.tensor(4), 1.0).double(),
        "all": torch.ones(ROWS).double(),
        "none": torch.zeros(ROWS).double(),
    }[labels]
    reference = OnlineContrastiveLoss(model, margin=0.5)(features(made[:2]), truth)
    assert_same(objectives.online_contrastive(*made[:2], truth), reference)


def test_ranking_with_hard_negatives(model, made):
    """In-batch negatives and explicit ones, scale 20."""
    reference = MultipleNegativesRankingLoss(model, scale=20.0)(features(made), None)
    mine = objectives.ranking(made[0], torch.cat(made[1:]), scale=20.0)
    assert_same(mine, reference)


def test_symmetric_ranking(model, made):
    """Positives have to find their anchors as well."""
    loss = MultipleNegativesRankingLoss(
        model,
        scale=20.0,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
    reference = loss(features(made[:2]), None)
    assert_same(objectives.ranking(*made[:2], scale=20.0, symmetric=True), reference)


def test_ranking_leaves_out_what_is_excluded(made):
    """An excluded candidate counts as if it were not there."""
    anchors, positives, _ = made
    excluded = torch.zeros(ROWS, ROWS, dtype=torch.bool)
    excluded[0, 3] = True
    cosine = objectives.all_cosines(anchors, positives) * 20
    expected = 0.0
    for i in range(ROWS):
        others = [float(cosine[i, j]) for j in range(ROWS) if not excluded[i, j]]
        expected -= float(cosine[i, i]) - math.log(sum(map(math.exp, others)))
    mine = objectives.ranking(anchors, positives, excluded=excluded)
    assert float(mine) == pytest.approx(expected / ROWS, abs=1e-9)


def test_cosent(model, made, scores):
    """Every pair of pairs whose order is known, scale 20."""
    reference = CoSENTLoss(model, scale=20.0, similarity_fct=util.pairwise_cos_sim)(
        features(made[:2]), scores
    )
    cosines = objectives.cosines(*made[:2])
    # The reference pushes wrong gaps to -1e12 instead of leaving them out.
    assert_same(objectives.cosent(cosines, scores), reference)


def test_margin_mse(model, made, scores):
    """Dot products, against the teacher's margins."""
    reference = MarginMSELoss(model)(features(made), scores)
    assert_same(objectives.margin_mse(*made, scores), reference)


def test_vectors_of_a_teacher(model, made):
    """Mean over all numbers."""
    reference = MSELoss(model)(features(made[:1]), made[1])
    assert_same(objectives.vectors(*made[:2]), reference)


def test_simcse_is_ranking_of_two_passes(made):
    """The same text is the positive, all others are negatives."""
    mine = objectives.simcse(*made[:2])
    assert_same(mine, objectives.ranking(*made[:2], scale=20.0))


def assert_same(mine, reference):
    """Equal to 1e-6, the promise of the documentation."""
    assert mine.ndim == 0
    assert abs(float(mine) - float(reference)) <= 1e-6 * max(1.0, abs(float(reference)))
