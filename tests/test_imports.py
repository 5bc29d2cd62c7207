"""What a command loads: the promise of a quick start, checked where static contracts cannot see."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "polars",
    "numpy",
    "umap",
    "textual",
    "scipy",
    "tokenizers",
    "sklearn",
    "hdbscan",
    "plotly",
    "matplotlib",
)


def loaded_by(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after the code."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["dedup", "--help"],
        ["groups", "--help"],
        ["train", "--help"],
        ["calibrate", "--help"],
        ["evaluate", "--help"],
        ["--version"],
        ["dedup", "--thresold"],
    ],
)
def test_help_loads_nothing_heavy(words):
    """``--help`` answers without any of the heavy libraries."""
    heavy = set(HEAVY) - ({"polars", "numpy"} if "--thresold" in words else set())
    code = f"from sbert_cluster.cli.main import run\nrun({words!r})"
    assert loaded_by(code).isdisjoint(heavy)


def test_importing_the_package_loads_nothing():
    """``import sbert_cluster`` costs nothing; names are loaded when they are used."""
    assert loaded_by("import sbert_cluster").isdisjoint({*HEAVY, "typer", "rich"})
    assert "polars" in loaded_by("from sbert_cluster import dedup")


def test_every_public_name_can_be_had():
    """Each name of ``__all__`` resolves, and nothing else does."""
    import sbert_cluster

    for name in sbert_cluster.__all__:
        assert getattr(sbert_cluster, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = sbert_cluster.nonsense


def test_the_bert_family_needs_no_transformers(tmp_path, sample_data, tiny_model, monkeypatch):
    """A BERT model runs without transformers, which takes seconds to load."""
    monkeypatch.setenv("SBERT_CLUSTER_CACHE", str(tmp_path / "cache"))
    path, model = str(sample_data / "questions.csv"), str(tiny_model)
    call = f"import sbert_cluster as s; s.dedup({path!r}, model={model!r})"
    assert {"torch", "tokenizers"} <= (loaded := loaded_by(call))
    assert "transformers" not in loaded


def test_groups_compile_nothing(tmp_path, sample_data, tiny_model, monkeypatch):
    """The default method loads neither umap nor numba, whose first call compiles for seconds."""
    monkeypatch.setenv("SBERT_CLUSTER_CACHE", str(tmp_path / "cache"))
    path, model = str(sample_data / "questions.csv"), str(tiny_model)
    out = str(tmp_path / "run")
    call = f"import sbert_cluster as s; s.groups({path!r}, model={model!r}, output={out!r})"
    loaded = loaded_by(call)
    assert loaded.isdisjoint({"umap", "numba", "hdbscan", "transformers", "matplotlib", "plotly"})
