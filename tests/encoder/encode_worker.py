"""Encodes in a process of its own, and prints the number of texts done after each batch.

Takes one JSON object: ``options`` of the encoder, ``texts``, ``output`` for the vectors, and
perhaps ``largest_file``, the bytes from which writing fails as on a full disk.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Do the job that the command line names."""
    import torch

    from sbert_cluster.encoder.encoder import Encoder
    from sbert_cluster.options import EncodeOptions

    job = json.loads(sys.argv[1])
    if "largest_file" in job:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest_file"],) * 2)
    torch.set_num_threads(1)
    options = job["options"]
    options["cache_dir"] = Path(options["cache_dir"])
    encoder = Encoder.open(EncodeOptions(**options))
    texts = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))

    def report(stage: str, done: int, total: int | None, unit: str) -> None:  # noqa: ARG001
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()

    embeddings = encoder.encode(texts, report)
    np.save(job["output"], np.asarray(embeddings.vectors))


if __name__ == "__main__":
    main()
