"""Under torchrun, whole or sharded, a model has the gradient of one process."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.torch import distributed
from tests.torch.pairs import assert_equal

ROOT = Path(__file__).parents[2]


def test_two_processes_give_the_gradient_of_one(tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
        "--standalone", "-m", "tests.torch.distributed", str(tmp_path),
    ]  # fmt: skip
    paths = [str(ROOT), *sys.path]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    expected = distributed.gradient(distributed.make_model(), distributed.make_batch())
    for kind in ("whole", "sharded"):
        for rank in range(2):
            found = torch.load(tmp_path / f"{kind}-{rank}.pt")
            assert_equal(found, expected)
