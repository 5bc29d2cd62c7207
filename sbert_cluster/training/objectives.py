"""What training minimises, each with its equation and its source.

Vectors are as the pooling (and dense layers) give them, not yet of norm 1, unless a docstring says
otherwise. ``cos`` is the cosine of two vectors. All functions return a mean or sum as a scalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def cosines(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Cosine of each row of ``left`` with the same row of ``right``. Shape: (rows,)."""
    import torch

    return torch.nn.functional.cosine_similarity(left, right, dim=-1)


def all_cosines(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Cosine of each row of ``left`` with each row of ``right``. Shape: (rows, other rows)."""
    from torch.nn.functional import normalize

    return normalize(left, dim=-1) @ normalize(right, dim=-1).T


def concatenated(u: torch.Tensor, v: torch.Tensor, parts: str) -> torch.Tensor:
    """What the classifier sees (Reimers & Gurevych 2019, Table 6).

    Args:
        u: First sentences. Shape: (rows, width).
        v: Second sentences, likewise.
        parts: ``u``, ``v``, ``d`` (|u − v|) and ``p`` (u * v), joined by commas.

    Returns:
        Shape: (rows, width × number of parts).
    """
    import torch

    made = {"u": u, "v": v, "d": (u - v).abs(), "p": u * v}
    return torch.cat([made[part] for part in parts.split(",")], dim=-1)


def classification(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of o = softmax(W (u, v, |u − v|)) (Reimers & Gurevych 2019, section 3).

    Args:
        logits: W applied to :func:`concatenated`. Shape: (rows, classes).
        classes: Numbers of the true classes. Shape: (rows,).
    """
    import torch

    return torch.nn.functional.cross_entropy(logits, classes)


def regression(u: torch.Tensor, v: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Mean of (cos(u, v) − score)² (Reimers & Gurevych 2019, section 3, "regression").

    With a teacher's scores (a cross-encoder's, or the cosines of a larger model) in the place of
    people's it is distillation (Thakur et al. 2021, Augmented SBERT).

    Args:
        u: First sentences. Shape: (rows, width).
        v: Second sentences, likewise.
        scores: In [0, 1]. Shape: (rows,).
    """
    return ((cosines(u, v) - scores) ** 2).mean()


def triplet(
    anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, margin: float = 1.0
) -> torch.Tensor:
    """Mean of max(‖a − p‖ − ‖a − n‖ + ε, 0), Euclidean (Reimers & Gurevych 2019, section 3)."""
    import torch

    near = torch.nn.functional.pairwise_distance(anchor, positive)
    far = torch.nn.functional.pairwise_distance(anchor, negative)
    return torch.relu(near - far + margin).mean()


def contrastive(
    u: torch.Tensor, v: torch.Tensor, same: torch.Tensor, margin: float = 0.5
) -> torch.Tensor:
    """Mean of ½ (y d² + (1 − y) max(ε − d, 0)²), d = 1 − cos(u, v) (Hadsell et al. 2006, eq. 4).

    Args:
        u: First sentences. Shape: (rows, width).
        v: Second sentences, likewise.
        same: y, 1 for the same meaning and 0 for another. Shape: (rows,).
        margin: ε.
    """
    import torch

    distance = 1 - cosines(u, v)
    pull, push = distance**2, torch.relu(margin - distance) ** 2
    return (0.5 * (same * pull + (1 - same) * push)).mean()


def online_contrastive(
    u: torch.Tensor, v: torch.Tensor, same: torch.Tensor, margin: float = 0.5
) -> torch.Tensor:
    """Contrastive over the hard pairs of the batch only, summed.

    Hard is a positive farther apart than the nearest negative, and a negative nearer than the
    farthest positive; with one class only, those beyond the mean distance count, as in
    sentence-transformers' ``OnlineContrastiveLoss``.
    """
    import torch

    distance = 1 - cosines(u, v)
    positive, negative = distance[same > 0.5], distance[same <= 0.5]
    nearest = negative.min() if len(negative) > 1 else positive.mean()
    farthest = positive.max() if len(positive) > 1 else negative.mean()
    pull = positive[positive > nearest] ** 2
    push = torch.relu(margin - negative[negative < farthest]) ** 2
    return pull.sum() + push.sum()


def ranking(
    anchors: torch.Tensor,
    candidates: torch.Tensor,
    *,
    scale: float = 20.0,
    excluded: torch.Tensor | None = None,
    symmetric: bool = False,
) -> torch.Tensor:
    """Mean of −log softmax(s · cos(aᵢ, cⱼ)) at j = i: each anchor must find its own candidate.

    Henderson et al. 2017, section 4.4, with cosines; the InfoNCE of van den Oord et al. 2018.

    Args:
        anchors: Shape: (rows, width).
        candidates: The positive of anchor i at position i; explicit hard negatives behind the
            positives. Shape: (rows + negatives, width).
        scale: s, 1 / temperature.
        excluded: True where a candidate is no negative of an anchor though it is not its own
            positive (the labels' closure says that they mean the same). Shape: (rows, candidates).
        symmetric: Whether each positive must find its anchor among all anchors as well.
    """
    import torch

    scores = scale * all_cosines(anchors, candidates)
    if excluded is not None:
        scores = scores.masked_fill(excluded, -torch.inf)
    own = torch.arange(len(anchors), device=anchors.device)
    loss = torch.nn.functional.cross_entropy(scores, own)
    if not symmetric:
        return loss
    back = torch.nn.functional.cross_entropy(scores[:, : len(anchors)].T, own)
    return (loss + back) / 2


def cosent(similarity: torch.Tensor, scores: torch.Tensor, scale: float = 20.0) -> torch.Tensor:
    """log(1 + Σ exp(s · (cosᵢ − cosⱼ))) over all i, j with scoreᵢ < scoreⱼ (Su 2022, CoSENT).

    Args:
        similarity: Cosine of each pair. Shape: (rows,).
        scores: What people say of it. Shape: (rows,).
        scale: s.
    """
    import torch

    gaps = scale * (similarity[:, None] - similarity[None, :])
    wrong = gaps[scores[:, None] < scores[None, :]]
    return torch.logsumexp(torch.cat([gaps.new_zeros(1), wrong]), dim=0)


def margin_mse(
    anchor: torch.Tensor,
    positive: torch.Tensor,
    negative: torch.Tensor,
    margins: torch.Tensor,
) -> torch.Tensor:
    """Mean of ((a · p − a · n) − margin)² (Hofstätter et al. 2020, eq. 6): distils a cross-encoder.

    Args:
        anchor: Shape: (rows, width).
        positive: Likewise.
        negative: Likewise.
        margins: The teacher's score of (a, p) less that of (a, n). Shape: (rows,).
    """
    gap = (anchor * positive).sum(-1) - (anchor * negative).sum(-1)
    return ((gap - margins) ** 2).mean()


def vectors(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean squared difference to a teacher's vectors (Reimers & Gurevych 2020, eq. 1)."""
    return ((made - wanted) ** 2).mean()


def simcse(first: torch.Tensor, second: torch.Tensor, scale: float = 20.0) -> torch.Tensor:
    """:func:`ranking` of two passes over the same texts, whose dropout is the only difference.

    Gao et al. 2021, eq. 4 (unsupervised SimCSE), temperature 1/20.
    """
    return ranking(first, second, scale=scale)
