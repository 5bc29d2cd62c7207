"""Runs the installed program of an environment without development packages.

Usage: python tests/wheel_smoke.py ENVIRONMENT/bin
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(folder: str) -> None:
    """Run ``--help``, ``info`` and the demo, outside the source tree."""
    program = Path(folder).resolve() / "sbert-cluster"
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(ROOT / "sample_data" / "questions.csv", place)
        environment = {**os.environ, "SBERT_CLUSTER_CACHE": str(Path(place) / "cache")}

        def run(*words: str) -> str:
            command = [str(program), *words]
            done = subprocess.run(
                command, cwd=place, env=environment, check=True, stdout=subprocess.PIPE
            )
            return done.stdout.decode()

        assert "dedup" in run("--help")
        assert json.loads(run("info", "--json"))["model"]["dimensions"] == 384
        manifest = json.loads(run("dedup", "questions.csv", "--threshold", "0.9", "--json"))
        assert manifest["counts"]["removed"] > 150
        assert (Path(place) / "questions.dedup" / "report.html").stat().st_size > 50_000
    print("the wheel works on its own")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
