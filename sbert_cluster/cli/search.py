"""``sbert-cluster search``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbert_cluster.cli import flags
from sbert_cluster.cli.shared import with_engine_flags

if TYPE_CHECKING:
    from sbert_cluster.pipeline import SharedEngine

_QUERIES = "Queries"

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A CSV, TSV, JSONL, Parquet, Arrow or text file (also .gz, .zst), a glob, or - for "
        "stdin.",
        show_default=False,
    ),
]
Query = Annotated[
    list[str] | None,
    typer.Argument(metavar="QUERY", help="Texts to search for.", show_default=False),
]
QueryFile = Annotated[
    str | None,
    typer.Option(
        "--queries",
        metavar="FILE",
        help="File of queries, answered together.",
        rich_help_panel=_QUERIES,
        show_default=False,
    ),
]
QueryColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of queries in their file. Default: found by itself.",
        rich_help_panel=_QUERIES,
        show_default=False,
    ),
]
QueryVectorColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of vectors in the file of queries, made by the model of --vector-column.",
        rich_help_panel=_QUERIES,
        show_default=False,
    ),
]
QueryPrompt = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|NAME",
        help="Text put before each query, or the name of one of the model's prompts. Default: the "
        "model's 'query' prompt, if it has one and --prompt is not given.",
        rich_help_panel=_QUERIES,
        show_default=False,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        "--top",
        "-k",
        metavar="N",
        help="Rows for each query. Default: 10, or all that reach --threshold.",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        "-t",
        help="Least cosine similarity in (0, 1] of a row that is shown.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        help="File (.csv, .tsv, .jsonl, .parquet, .arrow) or - for the hits with all columns of "
        "their rows. Default: a table.",
        rich_help_panel="Output",
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the hits and run.json as one JSON object.", rich_help_panel="Output"
    ),
]


@with_engine_flags
def search(
    input: Input,
    queries: Query = None,
    top: Top = None,
    threshold: Threshold = None,
    query_file: QueryFile = None,
    query_column: QueryColumn = None,
    query_vector_column: QueryVectorColumn = None,
    query_prompt: QueryPrompt = None,
    output: Output = None,
    overwrite: flags.Overwrite = False,
    json: Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,  # noqa: ARG001 - its callback acts on it
    vector_column: flags.VectorColumn = None,
    *,
    shared: SharedEngine,
) -> None:
    """Find the rows that are most similar to a new text.

    Example: [bold]sbert-cluster search questions.csv "How do I change my plan?" --top 5[/]
    """
    from sbert_cluster import pipeline
    from sbert_cluster.cli.narrate import Narrator

    narrator = Narrator(quiet=quiet, json=json)
    with narrator.progress() as progress:
        result = pipeline.search(
            input,
            queries or (),
            query_file=query_file,
            query_column=query_column,
            query_vector_column=query_vector_column,
            query_prompt=query_prompt,
            top=top,
            threshold=threshold,
            vector_column=vector_column,
            output=output,
            overwrite=overwrite,
            progress=progress,
            **shared,
        )
    narrator.show_search(result, output)
