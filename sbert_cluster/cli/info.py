"""``sbert-cluster info``."""

from __future__ import annotations

from typing import Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.options import DEFAULT_MODEL, Precision


def info(
    model: flags.Model = DEFAULT_MODEL,
    device: flags.Device = "auto",
    precision: flags.PrecisionFlag = Precision.AUTO,
    cache_dir: flags.CacheDir = None,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Delete all vectors that were kept.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
) -> None:
    """Say what would run: version, device, number format, model, and the size of the cache.

    Example: [bold]sbert-cluster info --model ./my-model[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator

    narrator = Narrator(quiet=False, json=json)
    if clear_cache:
        narrator.show_cleared(pipeline.clear_cache(cache_dir))
        return
    narrator.show_info(
        pipeline.info(model=model, device=device, precision=precision, cache_dir=cache_dir)
    )
