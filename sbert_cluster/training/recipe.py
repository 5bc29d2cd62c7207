"""What the user may choose about training, checked when it is made; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sbert_cluster.errors import UsageError


class Kind(StrEnum):
    """What a label file holds."""

    LABELS = "labels"
    """Pairs, and whether they mean the same (0 or 1)."""
    SCORES = "scores"
    """Pairs, and how similar they are."""
    NLI = "nli"
    """Premise, hypothesis, and entailment, neutral or contradiction."""
    TRIPLETS = "triplets"
    """Anchor, positive, negative."""
    POSITIVES = "positives"
    """Pairs that mean the same; no labels."""
    TEXTS = "texts"
    """Texts alone."""


class Objective(StrEnum):
    """What is minimised; :mod:`sbert_cluster.training.objectives` has the equations."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    TRIPLET = "triplet"
    CONTRASTIVE = "contrastive"
    ONLINE_CONTRASTIVE = "online-contrastive"
    RANKING = "ranking"
    COSENT = "cosent"
    MARGIN_MSE = "margin-mse"
    VECTORS = "vectors"
    SIMCSE = "simcse"


class Pooling(StrEnum):
    """How token vectors become one; the model's own where nothing is asked for."""

    MEAN = "mean"
    MAX = "max"
    CLS = "cls"


FITTING = {
    Kind.LABELS: (
        "ranking+cosent",
        "ranking",
        "cosent",
        "contrastive",
        "online-contrastive",
        "regression",
        "classification",
    ),
    Kind.SCORES: ("cosent", "regression"),
    Kind.NLI: ("classification", "ranking"),
    Kind.TRIPLETS: ("ranking", "triplet", "margin-mse"),
    Kind.POSITIVES: ("ranking",),
    Kind.TEXTS: ("simcse", "vectors"),
}
"""Objectives that each kind of file can serve; the first is the default. ``+`` adds two of them."""

CONCATENATIONS = ("u,v", "d", "p", "d,p", "u,v,p", "u,v,d", "u,v,d,p")
"""What the classifier sees: u and v, d = |u − v|, p = u * v (Table 6 of the paper)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained (Reimers & Gurevych 2019, section 3.1, where it says)."""

    objective: str | None = None
    """A name, or several joined by ``+``; None: what fits the file."""
    epochs: float | None = None
    """Passes over the data; None: 1, and more for small sets."""
    batch_size: int | None = None
    """Rows of a step; None: 16, and up to 64 where rows are each other's negatives (up to 32 where
    there are labelled ones as well)."""
    accumulate: int = 1
    """Batches whose gradients are added up before a step."""
    learning_rate: float | None = None
    """Of Adam, at its highest; None: 2e-5, and 5e-5 for models of 6 layers or fewer."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises; afterwards it falls linearly to 0."""
    weight_decay: float = 0.0
    """Decoupled; 0 is Adam."""
    dropout: float | None = None
    """Share of numbers that are dropped in training; None: the model's own for SimCSE, whose only
    noise it is, and 0 otherwise, since the short trainings here gain nothing from it."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    pooling: Pooling | None = None
    """None: the model's own."""
    concatenation: str = "u,v,d"
    """What the classifier sees."""
    scale: float = 20.0
    """Factor of the cosines in ranking, CoSENT and SimCSE (1 / temperature)."""
    margin: float | None = None
    """Of triplet (1) and contrastive (0.5) objectives."""
    freeze: int = 0
    """Lowest layers that stay as they are; the word vectors stay as well if it is above 0."""
    lora: int = 0
    """Rank of low-rank adapters; 0: all weights are trained."""
    negatives: int = 1
    """Hard negatives that are mined for each positive pair; 0: none."""
    band: tuple[float, float] = (0.4, 0.85)
    """Similarities, as the model sees them before training, that a mined negative may have."""
    holdout: float = 0.2
    """Share of the rows that is held out; at most 2,000 rows are."""
    patience: int = 3
    """Looks without a gain, in the second half, after which training stops."""
    looks: int = 8
    """Looks at the held-out rows in all."""
    seed: int = 0
    """Of every random choice."""
    cached: int = 0
    """Texts of one forward pass where the batch is too large for the memory; 0: all at once."""

    def __post_init__(self) -> None:
        self._check_numbers()
        low, high = self.band
        if not -1 <= low < high <= 1:
            raise UsageError(
                f"--negatives-band {low:g} {high:g} is no range of similarities",
                "Give two numbers that rise, such as 0.4 0.85.",
            )
        if self.concatenation not in CONCATENATIONS:
            raise UsageError(
                f"--concatenation {self.concatenation!r} is not known",
                f"Use one of {' · '.join(CONCATENATIONS)}.",
            )
        for name in objectives_in(self.objective):
            if name not in tuple(Objective):
                raise UsageError(
                    f"--objective {name!r} is not known", f"Use {', '.join(tuple(Objective))}."
                )

    def _check_numbers(self) -> None:
        ranges = {
            "epochs": (0, 1000, False),
            "batch_size": (2, 65_536, True),
            "accumulate": (1, 65_536, True),
            "learning_rate": (0, 1, False),
            "warmup": (0, 1, True),
            "dropout": (0, 0.9, True),
            "clip": (0, float("inf"), False),
            "scale": (0, 1000, False),
            "freeze": (0, 1000, True),
            "lora": (0, 1024, True),
            "negatives": (0, 64, True),
            "holdout": (0, 0.5, True),
            "patience": (1, 1000, True),
            "looks": (1, 1000, True),
            "cached": (0, 65_536, True),
        }
        for name, (low, high, inclusive) in ranges.items():
            value = getattr(self, name)
            if value is None or low < value <= high or (inclusive and value == low):
                continue
            raise UsageError(
                f"--{name.replace('_', '-')} {value:g} is outside "
                f"{'[' if inclusive else '('}{low:g}, {high:g}]",
                "See sbert-cluster train --help.",
            )


def objectives_in(text: str | None) -> tuple[str, ...]:
    """The names in ``ranking+cosent``; none for None."""
    return tuple(text.split("+")) if text else ()


def objective_for(kind: Kind, asked: str | None) -> tuple[Objective, ...]:
    """The objectives for a kind of file.

    Raises:
        UsageError: If what was asked for needs other columns.
    """
    fitting = FITTING[kind]
    names = objectives_in(asked) or objectives_in(fitting[0])
    unfit = [name for name in names if name not in {n for f in fitting for n in f.split("+")}]
    if unfit:
        raise UsageError(
            f"--objective {unfit[0]!r} does not fit a file of {kind}", f"Use {', '.join(fitting)}."
        )
    return tuple(Objective(name) for name in names)
