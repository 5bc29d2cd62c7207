"""A training in a process of its own, which may be killed: see test_resume.py."""

from __future__ import annotations

import os
import signal
import sys

from sbert_cluster import pipeline
from sbert_cluster.training import prevalence
from sbert_cluster.training.recipe import Recipe


def main() -> None:
    """Train; with numbers as last argument, die by SIGKILL once so many steps of so many are done.

    Words: label file, output, model, epochs (``auto``: what fits), ``DONE/TOTAL`` or nothing.
    """
    labels, output, model, epochs, last = sys.argv[1:6]

    def progress(stage: str, done: int, total: int, *_: object) -> None:
        if stage == "training" and last == f"{done}/{total}":
            os.kill(os.getpid(), signal.SIGKILL)

    # The sample has some thousand texts too few; small batches leave no time for all positives.
    prevalence.FEWEST_TEXTS, prevalence.BATCH = 100, 16
    recipe = Recipe(
        epochs=None if epochs == "auto" else float(epochs),
        batch_size=8 if epochs == "auto" else 32,
        learning_rate=3e-3,
        dropout=0.1,
        looks=4,
        accumulate=2,
    )
    pipeline.train(
        labels,
        output=output,
        model=model,
        recipe=recipe,
        precision="fp32",
        checkpoint_every=3,
        cache=False,
        progress=progress,
    )


if __name__ == "__main__":
    main()
