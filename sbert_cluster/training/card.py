"""The model card: what was trained on what, how, and how good it is. No text of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sbert_cluster.evaluation.calibration import Calibration
from sbert_cluster.evaluation.pairs import Gain


@dataclass(frozen=True)
class BeforeAfter:
    """Measures of one held-out file, before and after training."""

    file: str
    rows: int
    before: dict[str, float]
    after: dict[str, float]
    gain: Gain | None = None
    """In average precision, with its interval; only for 0/1 labels."""


@dataclass(frozen=True)
class Facts:
    """What a card tells."""

    base: str
    """The model that training started from."""
    data: Sequence[str]
    """What each part of the data is, a line each."""
    recipe: dict[str, Any]
    """Names and values."""
    held_out: Sequence[BeforeAfter]
    """Empty: nothing was held out."""
    calibration: Calibration | None
    """None: the labels do not say what is the same."""
    notes: Sequence[str] = ()
    """Sentences."""


def render_card(facts: Facts) -> str:
    """Write a model card in Markdown, with the head that model hubs read."""
    head = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        f"base_model: {facts.base}",
        "---",
        "",
        "# A sentence encoder, fine-tuned with sbert-cluster",
        "",
        f"Started from `{facts.base}`.",
        "",
    ]
    recipe = [f"- {name}: {value}" for name, value in facts.recipe.items()]
    parts = [
        *head,
        *_section("Data", [f"- {line}" for line in facts.data]),
        *_section("Recipe", recipe),
        *_section("Before and after", _before_after(facts.held_out)),
        *_section("Threshold", _threshold(facts.calibration)),
        *_section("Notes", [f"- {note}" for note in facts.notes]),
        *_section("Use", _USE),
    ]
    return "\n".join(parts).rstrip() + "\n"


_USE = [
    "```console",
    "$ sbert-cluster dedup INPUT --model THIS_FOLDER",
    "```",
    "",
    "```python",
    "from sentence_transformers import SentenceTransformer",
    "",
    'vectors = SentenceTransformer("THIS_FOLDER").encode(texts)',
    "```",
]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _before_after(held_out: Sequence[BeforeAfter]) -> list[str]:
    if not held_out:
        return ["Too few rows to hold any out: not measured."]
    lines = ["On rows that share no text with those trained on:", ""]
    lines += ["| file | rows | measure | before | after |", "| --- | ---: | --- | ---: | ---: |"]
    for one in held_out:
        for name, value in one.after.items():
            before = one.before[name]
            lines.append(f"| {one.file} | {one.rows:,} | {name} | {before:.4g} | {value:.4g} |")
    return [*lines, *(f"\n{said_gain(one.gain)}" for one in held_out if one.gain)]


def said_gain(gain: Gain) -> str:
    """A sentence about a gain, and whether it can be told from chance."""
    moved = f"average precision {gain.before:.3f} → {gain.after:.3f}"
    interval = f"95 % interval of the gain {gain.low:+.3f} to {gain.high:+.3f}"
    if gain.low > 0:
        return f"{moved} ({interval}): better."
    if gain.high < 0:
        return f"{moved} ({interval}): worse; use the model it started from."
    return f"{moved} ({interval}): no difference that could be told from chance."


def _threshold(calibration: Calibration | None) -> list[str]:
    return [] if calibration is None else [f"{said_calibration(calibration)}"]


def said_calibration(made: Calibration) -> str:
    """A sentence about a threshold and what it finds."""
    if made.target_precision is None:
        why = "the best F1"
    elif made.is_reached:
        why = f"a precision of {made.target_precision:g}"
    else:
        why = f"the highest precision there is; {made.target_precision:g} is not reached"
    low, high = made.threshold_interval
    from_, to = made.precision_interval
    least, most = made.recall_interval
    return (
        f"threshold {made.threshold:.3f} ({low:.3f} to {high:.3f}) for {why}: precision "
        f"{made.precision:.3f} ({from_:.3f} to {to:.3f}), recall {made.recall:.3f} "
        f"({least:.3f} to {most:.3f}), F1 {made.f1:.3f}, measured on {made.pairs:,} pairs of which "
        f"{made.positives:,} mean the same"
    )
