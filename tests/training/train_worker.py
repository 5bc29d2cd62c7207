"""A training in a process of its own, which may be killed: see test_resume.py."""

from __future__ import annotations

import os
import signal
import sys

from sbert_cluster import pipeline
from sbert_cluster.training.recipe import Recipe


def main() -> None:
    """Train; with a number as third argument, die by SIGKILL once so many steps are done."""
    labels, output, model, last = sys.argv[1:5]

    def progress(stage: str, done: int, *_: object) -> None:
        if stage == "training" and last and done == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    recipe = Recipe(epochs=6, batch_size=32, learning_rate=3e-3, dropout=0.1, looks=4, accumulate=2)
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
