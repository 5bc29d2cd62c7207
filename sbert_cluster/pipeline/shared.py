"""The options that every command has, under the same name and with the same meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from sbert_cluster.options import (
    DEFAULT_MODEL,
    EncodeOptions,
    EngineName,
    EngineOptions,
    FileFormat,
    LongTexts,
    Precision,
    ReadOptions,
)


class Shared(TypedDict, total=False):
    """Keyword arguments of every function of the Python API.

    ``text_column``: column(s) that hold the text; None: found by itself.
    ``id_column``: column that names a row.
    ``format``: input format, where the file name does not tell.
    ``encoding``: character encoding; None: detected.
    ``model``: bundled name, model folder or hub id.
    ``prompt``: text put before each input text, or the name of one of the model's prompts; None:
    the model's default.
    ``dimensions``: numbers of a vector that are kept, for models trained for it; None: as the model
    says, usually all.
    ``long_texts``: ``truncate`` (cut at the model's length) or ``chunk`` (read in overlapping
    chunks, whose vectors are averaged).
    ``device``: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    ``precision``: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
    ``batch_tokens``: tokens in one forward pass; None: by device.
    ``max_rows_in_memory``: above this number of distinct texts, vectors are held in a file.
    ``max_memory``: likewise above half of this amount, such as ``6G``; None: half of what is free.
    ``cache_dir``: folder of the embedding cache; None: the user's.
    ``cache``: whether vectors are looked up in and added to the cache.
    """

    text_column: str | Sequence[str] | None
    id_column: str | None
    format: str | None
    encoding: str | None
    model: str
    prompt: str | None
    dimensions: int | None
    long_texts: str
    device: str
    precision: str
    batch_tokens: int | None
    max_rows_in_memory: int
    max_memory: str | None
    cache_dir: str | Path | None
    cache: bool


class SharedEngine(Shared, total=False):
    """Keyword arguments of the functions whose work can run elsewhere; see :class:`Shared`.

    ``engine``: ``local`` (this machine) or ``ray``.
    ``address``: of a Ray cluster; None: the one that ``RAY_ADDRESS`` names, otherwise one is
    started on this machine.
    ``workers``: units of work at a time; None: one for each core.
    """

    engine: str
    address: str | None
    workers: int | None


def check_names(function: str, shared: Mapping[str, object], known: type[Shared] = Shared) -> None:
    """Refuse an argument that does not exist, as Python does for named parameters.

    Raises:
        TypeError: Naming the function and the argument.
    """
    for name in shared:
        if name not in known.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def read_options(shared: Shared, vector_column: str | None = None) -> ReadOptions:
    """The part of the shared options that says how to read."""
    columns = shared.get("text_column")
    format_ = shared.get("format")
    return ReadOptions(
        text_columns=(columns,) if isinstance(columns, str) else tuple(columns or ()),
        id_column=shared.get("id_column"),
        vector_column=vector_column,
        format=FileFormat(format_) if format_ else None,
        encoding=shared.get("encoding"),
    )


def encode_options(shared: Shared) -> EncodeOptions:
    """The part of the shared options that says how to encode."""
    cache_dir = shared.get("cache_dir")
    # What was not given keeps the default that EncodeOptions documents.
    rows = shared.get("max_rows_in_memory")
    limits: dict[str, Any] = {} if rows is None else {"max_rows_in_memory": rows}
    return EncodeOptions(
        model=shared.get("model", DEFAULT_MODEL),
        prompt=shared.get("prompt"),
        dimensions=shared.get("dimensions"),
        long_texts=LongTexts(shared.get("long_texts", LongTexts.TRUNCATE)),
        device=shared.get("device", "auto"),
        precision=Precision(shared.get("precision", Precision.AUTO)),
        batch_tokens=shared.get("batch_tokens"),
        cache_dir=Path(cache_dir) if cache_dir else None,
        use_cache=shared.get("cache", True),
        max_memory=shared.get("max_memory"),
        **limits,
    )


def engine_options(shared: SharedEngine) -> EngineOptions:
    """The part of the shared options that says where to run."""
    return EngineOptions(
        name=EngineName(shared.get("engine", EngineName.LOCAL)),
        address=shared.get("address"),
        workers=shared.get("workers"),
    )


def engine_arguments(options: EngineOptions) -> dict[str, Any]:
    """Where the work ran, as it stands among the arguments in ``run.json``."""
    return {"engine": str(options.name), "workers": options.workers}


def reading_arguments(options: EncodeOptions) -> dict[str, Any]:
    """How texts become vectors, as it stands among the arguments in ``run.json``."""
    return {
        "prompt": options.prompt,
        "dimensions": options.dimensions,
        "long_texts": str(options.long_texts),
    }
