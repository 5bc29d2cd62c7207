"""The flags that several commands share: same name, same meaning, same help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbert_cluster.options import EngineName, FileFormat, LongTexts, Precision

_INPUT = "Input"
_MODEL = "Model"
_OUTPUT = "Output"
_ENGINE = "Engine"

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="CSV, TSV, JSONL, Parquet, Arrow or text files (also .gz, .zst), globs, "
        "or - for stdin.",
        show_default=False,
    ),
]
TextColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--text-column",
        "-c",
        metavar="COLUMN",
        help="Column with the text; may be repeated. Default: found by itself, and said.",
        rich_help_panel=_INPUT,
        show_default=False,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column that names a row.",
        rich_help_panel=_INPUT,
        show_default=False,
    ),
]
VectorColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column with vectors from any model: nothing is encoded, all else is the same.",
        rich_help_panel=_INPUT,
        show_default=False,
    ),
]
Format = Annotated[
    FileFormat | None,
    typer.Option(
        help="Format of the input where its name does not tell (stdin).",
        rich_help_panel=_INPUT,
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Character encoding. Default: detected, and said if it is not UTF-8.",
        rich_help_panel=_INPUT,
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FOLDER|ORG/NAME",
        help="The bundled model, a model folder, or a model of the Hugging Face hub.",
        rich_help_panel=_MODEL,
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|NAME",
        help="Text put before each input, or the name of one of the model's prompts, for models "
        "trained with them.",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
Dimensions = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Keep the first N numbers of each vector, for models trained for it (Matryoshka).",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
LongTextsFlag = Annotated[
    LongTexts,
    typer.Option(
        "--long-texts",
        help="Texts that are longer than the model reads: truncate cuts them; chunk reads them in "
        "overlapping chunks and averages the vectors.",
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps", help="Where to encode.", rich_help_panel=_MODEL
    ),
]
PrecisionFlag = Annotated[
    Precision,
    typer.Option("--precision", help="Number format of the encoder.", rich_help_panel=_MODEL),
]
BatchTokens = Annotated[
    int | None,
    typer.Option(
        metavar="TOKENS",
        help="Tokens in one forward pass. Default: 2048 on a CPU, more on a GPU.",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
MaxRowsInMemory = Annotated[
    int,
    typer.Option(
        metavar="ROWS",
        help="Above this number of distinct texts, vectors are held in a file.",
        rich_help_panel=_MODEL,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory that a run may take, such as 6G; vectors are held in a file where they would "
        "take more than half of it. Default: half of what is free.",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where vectors are kept between runs. Default: the user's cache folder.",
        rich_help_panel=_MODEL,
        show_default=False,
    ),
]
NoCache = Annotated[
    bool,
    typer.Option(
        "--no-cache",
        help="Neither use nor keep vectors of other runs; an interrupted run starts over.",
        rich_help_panel=_MODEL,
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        help="local: the cores and GPUs of this machine; ray: processes of this machine or of a "
        "Ray cluster. The result is the same.",
        rich_help_panel=_ENGINE,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT|auto",
        help="Ray cluster to work on. Default: RAY_ADDRESS, or one started for this run.",
        rich_help_panel=_ENGINE,
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Units of work at a time with --engine ray. Default: one for each core.",
        rich_help_panel=_ENGINE,
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an existing result.", rich_help_panel=_OUTPUT),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print run.json to stdout, and nothing else.", rich_help_panel=_OUTPUT
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Say what the run would take; compute nothing.", rich_help_panel=_OUTPUT
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=_OUTPUT),
]
Seed = Annotated[int, typer.Option(help="Of every random choice.", rich_help_panel=_OUTPUT)]


class Narration:
    """How much the process says; set by flags before any command runs."""

    verbose = False


def _speak(asked: bool) -> None:
    Narration.verbose = Narration.verbose or asked


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Say more; show the traceback of an error.",
        callback=_speak,
        is_eager=True,
        rich_help_panel=_OUTPUT,
    ),
]
