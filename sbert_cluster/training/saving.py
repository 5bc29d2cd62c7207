"""A trained network as a folder in the sentence-transformers layout."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.corpus.texts import normalise
from sbert_cluster.encoder.checkpoint import TOKENIZER_FILES
from sbert_cluster.encoder.generic import quiet_transformers
from sbert_cluster.training.network import Network

SETTINGS = "sbert_cluster.json"
"""Beside the model: what we know of it that the layout has no place for, such as a threshold."""
_SEEN = "trained_on.npy"


def save_model(network: Network, folder: Path, card: str, settings: dict[str, Any]) -> None:
    """Write a model that opens here and in sentence-transformers, with the same vectors.

    Args:
        network: What was trained; adapters are merged into its weights.
        folder: Exists, and is empty.
        card: ``README.md``.
        settings: ``sbert_cluster.json``.
    """
    checkpoint = network.checkpoint
    with quiet_transformers():
        network.merged().save_pretrained(folder)  # type: ignore[operator]
    for name in TOKENIZER_FILES:
        source = checkpoint.folder / name
        if source.exists():
            shutil.copyfile(source, folder / name)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modes = list(network.shape.pooling)
    width = network.dimensions if not network.dense else network.dense[0][0].in_features  # type: ignore[index]
    _write(
        folder / "1_Pooling" / "config.json",
        _pooling(int(width) // len(modes), modes, checkpoint.pool_prompt),
    )
    for i, layer in enumerate(network.dense):
        place = f"{i + 2}_Dense"
        _save_dense(layer, checkpoint.dense[i].activation, folder / place)
        modules.append((place, "Dense"))
    modules.append((f"{len(modules)}_Normalize", "Normalize"))
    _write(folder / "modules.json", [_module(i, *m) for i, m in enumerate(modules)])
    length = {"max_seq_length": checkpoint.max_seq_length, "do_lower_case": checkpoint.lower_case}
    _write(folder / "sentence_bert_config.json", length)
    prompts = {
        "prompts": checkpoint.prompts,
        "default_prompt_name": checkpoint.prompt_name or None,
        "similarity_fn_name": "cosine",
    }
    _write(folder / "config_sentence_transformers.json", prompts)
    (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")
    write_settings(folder, settings)


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write ``sbert_cluster.json``, adding to what stands there."""
    _write(folder / SETTINGS, {**read_settings(folder), **settings})


def read_settings(folder: Path) -> dict[str, Any]:
    """What stands in ``sbert_cluster.json``; nothing where there is none."""
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_seen(folder: Path, rows: Sequence[tuple[str, ...]]) -> None:
    """Write down which rows were trained on, as hashes: no text is kept with the model."""
    np.save(folder / _SEEN, np.unique(_hashes(rows)), allow_pickle=False)


def seen_by(folder: Path, rows: Sequence[tuple[str, ...]]) -> NDArray[np.bool_]:
    """Which rows a model was trained on. Shape: (rows,); none for a model trained elsewhere."""
    try:
        known = np.load(folder / _SEEN, allow_pickle=False)
    except (OSError, ValueError):
        return np.zeros(len(rows), np.bool_)
    return np.isin(_hashes(rows), known)


def _hashes(rows: Sequence[tuple[str, ...]]) -> NDArray[np.uint64]:
    """uint64[n]: the same for the same texts in any order, once normalised."""
    made = []
    for row in rows:
        joined = "\0".join(sorted(normalise(text) for text in row))
        made.append(int.from_bytes(hashlib.sha256(joined.encode("utf-8", "replace")).digest()[:8]))
    return np.array(made, np.uint64)


def _pooling(width: int, modes: list[str], include_prompt: bool) -> dict[str, Any]:
    keys = {
        "cls": "pooling_mode_cls_token",
        "mean": "pooling_mode_mean_tokens",
        "max": "pooling_mode_max_tokens",
        "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
    }
    asked = {key: mode in modes for mode, key in keys.items()}
    return {"word_embedding_dimension": width, **asked, "include_prompt": include_prompt}


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
    kind = f"sentence_transformers.models.{kind}"
    return {"idx": number, "name": str(number), "path": path, "type": kind}


def _save_dense(layer: Any, activation: str, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    linear = layer[0]
    settings = {
        "in_features": linear.in_features,
        "out_features": linear.out_features,
        "bias": linear.bias is not None,
        "activation_function": f"torch.nn.modules.activation.{activation}"
        if activation != "Identity"
        else "torch.nn.modules.linear.Identity",
    }
    _write(folder / "config.json", settings)
    weights = {f"linear.{k}": w.detach().contiguous() for k, w in linear.state_dict().items()}
    save_file(weights, folder / "model.safetensors")


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
