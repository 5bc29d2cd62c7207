"""The program: finds the command, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.exceptions import Abort, TyperException

from sbert_cluster.cli.browse import browse
from sbert_cluster.cli.calibrate import calibrate
from sbert_cluster.cli.dedup import dedup
from sbert_cluster.cli.distill import distill
from sbert_cluster.cli.embed import embed
from sbert_cluster.cli.evaluate import evaluate
from sbert_cluster.cli.flags import Narration
from sbert_cluster.cli.groups import groups
from sbert_cluster.cli.info import info
from sbert_cluster.cli.search import search
from sbert_cluster.cli.train import train
from sbert_cluster.errors import ExitCode, SbertClusterError

# Tracebacks with local variables would show people's texts.
app = typer.Typer(
    name="sbert-cluster",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from sbert_cluster import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Find what is in a file of texts twice, and what belongs together.

    Example: sbert-cluster dedup questions.csv --threshold 0.9
    """


app.command()(dedup)
app.command()(groups)
app.command()(browse)
app.command()(search)
app.command()(embed)
app.command()(train)
app.command()(distill)
app.command()(calibrate)
app.command()(evaluate)
app.command()(info)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code.

    Args:
        arguments: Words of the command line; None: those of the process.
    """
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: Words of the command line; None: those of the process.

    Returns:
        The exit code. Whatever went wrong has been said on stderr, in one line.
    """
    Narration.verbose = False
    command = typer.main.get_command(app)
    words = None if arguments is None else list(arguments)
    try:
        code = command.main(words, prog_name="sbert-cluster", standalone_mode=False)
    except SbertClusterError as error:
        return _report(error, error.problem, error.remedy, error.exit_code)
    except TyperException as error:
        return _report(error, error.format_message().rstrip("."), _hint(error), ExitCode.USAGE)
    except (KeyboardInterrupt, Abort):
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Somebody like ``head`` has read enough; Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except MemoryError as error:
        remedy = "Use a higher threshold, fewer rows, or --max-rows-in-memory."
        return _report(error, "out of memory", remedy, ExitCode.BUG)
    except Exception as error:  # noqa: BLE001 - the last place where a bug can be told in one line
        problem = f"unexpected {type(error).__name__}: {error}"
        return _report(error, problem, "This is a bug; --verbose shows where.", ExitCode.BUG)
    if code == ExitCode.INTERRUPTED:
        _say("interrupted", "What was encoded so far is kept; the same command goes on from there.")
    return int(code or ExitCode.DONE)


def _report(error: Exception, problem: str, remedy: str, code: ExitCode) -> int:
    if Narration.verbose:
        import traceback

        traceback.print_exception(error)
    _say(problem, remedy)
    return code


def _say(problem: str, remedy: str) -> None:
    from sbert_cluster.report.terminal import print_error

    print_error(problem, remedy)


def _hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "sbert-cluster"
    return f"See {path} --help."
