"""Gives a command the flags that every command has, so that they are written down once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

import typer

from sbert_cluster.cli import flags
from sbert_cluster.errors import UsageError
from sbert_cluster.options import DEFAULT_MODEL, EngineName, LongTexts, Precision

if TYPE_CHECKING:
    from sbert_cluster.pipeline import Shared, SharedEngine


def _collect(
    text_column: flags.TextColumn = None,
    id_column: flags.IdColumn = None,
    format: flags.Format = None,
    encoding: flags.Encoding = None,
    model: flags.Model = DEFAULT_MODEL,
    prompt: flags.Prompt = None,
    dimensions: flags.Dimensions = None,
    long_texts: flags.LongTextsFlag = LongTexts.TRUNCATE,
    device: flags.Device = "auto",
    precision: flags.PrecisionFlag = Precision.AUTO,
    batch_tokens: flags.BatchTokens = None,
    max_rows_in_memory: flags.MaxRowsInMemory = 2_000_000,
    max_memory: flags.MaxMemory = None,
    cache_dir: flags.CacheDir = None,
    no_cache: flags.NoCache = False,
) -> Shared:
    """Turn the shared flags into the shared arguments of the Python API."""
    return {
        "text_column": text_column,
        "id_column": id_column,
        "format": format,
        "encoding": encoding,
        "model": model,
        "prompt": prompt,
        "dimensions": dimensions,
        "long_texts": long_texts,
        "device": device,
        "precision": precision,
        "batch_tokens": batch_tokens,
        "max_rows_in_memory": max_rows_in_memory,
        "max_memory": max_memory,
        "cache_dir": cache_dir,
        "cache": not no_cache,
    }


def _collect_with_engine(
    engine: flags.Engine = EngineName.LOCAL,
    address: flags.Address = None,
    workers: flags.Workers = None,
    **shared: Any,
) -> SharedEngine:
    """The same with those that say where the work runs."""
    return {**_collect(**shared), "engine": engine, "address": address, "workers": workers}


def on_this_machine(shared: SharedEngine, what: str) -> Shared:
    """The shared arguments of work that runs nowhere else.

    Raises:
        UsageError: If it is to run elsewhere.
    """
    rest: dict[str, Any] = dict(shared)
    engine = rest.pop("engine")
    if engine is not EngineName.LOCAL:
        raise UsageError(f"--engine {engine} does not go with {what}", "Leave it out.")
    rest.pop("address")
    rest.pop("workers")
    return cast("Shared", rest)


def given_flags(context: typer.Context) -> dict[str, Any]:
    """Arguments that stand on the command line, under their names in the Python API."""
    given = {
        name: value
        for name, value in context.params.items()
        if str(getattr(context.get_parameter_source(name), "name", "")) == "COMMANDLINE"
    }
    if "no_cache" in given:
        given["cache"] = not given.pop("no_cache")
    return given


def with_shared_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the shared flags to a command, which gets them as its argument ``shared``."""
    return _with(command, _collect, _collect)


def with_engine_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Likewise, with the flags that say where the work runs."""
    return _with(command, _collect_with_engine, _collect, _collect_with_engine)


def _with(
    command: Callable[..., None],
    collect: Callable[..., Any],
    *declared: Callable[..., Any],
) -> Callable[..., None]:
    """Add the flags that functions declare; ``collect`` makes ``shared`` of their values."""
    common = {
        name: parameter
        for function in declared
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "shared"]

    @wraps(command)
    def wrapper(**values: Any) -> None:
        shared = collect(**{name: values.pop(name) for name in common})
        command(**values, shared=shared)

    # Typer reads the signature and the annotations, so both must tell of the added flags.
    hints: dict[str, Any] = {}
    for function in (*declared, command):
        hints |= _hints(function)
    parameters = [p.replace(annotation=hints[p.name]) for p in [*own, *common.values()]]
    wrapper.__dict__.pop("__wrapped__")
    vars(wrapper)["__signature__"] = inspect.Signature(parameters)
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of the parameters, evaluated; ``Shared`` is not, since it would load polars."""
    names = inspect.signature(function).parameters.keys() - {"shared"}
    return {
        name: eval(function.__annotations__[name], function.__globals__)  # noqa: S307 - our own source
        for name in names
    }
