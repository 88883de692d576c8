"""The examples with Lightning and Hugging Face's Trainer run and learn."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
REQUIRED = os.environ.get("BPTT_REQUIRED_FRAMEWORKS", "").split(",")


@pytest.mark.parametrize(
    ("name", "package"),
    [("lightning_lstm.py", "lightning"), ("transformers_trainer.py", "transformers")],
)
def test_an_example_learns_what_chance_does_not_know(name, package, tmp_path):
    if package not in REQUIRED:
        pytest.importorskip(package, exc_type=ModuleNotFoundError)
    paths = os.pathsep.join(sys.path)
    ended = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    right = re.search(r"right: (\d\.\d\d), 0.20 by chance", ended.stdout)
    assert right is not None, ended.stdout
    assert float(right.group(1)) > 0.9
    assert not list(tmp_path.glob("*.ckpt"))
