"""The examples in the docstrings of `bptt.torch`, and that nobody else loads torch."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import bptt.torch

MODULES = [
    found.name for found in pkgutil.walk_packages(bptt.torch.__path__, "bptt.torch.")
]
WITH_EXAMPLES = ("bptt.torch.layers", "bptt.torch.recurrent", "bptt.torch.convert",
                 "bptt.torch.watch")  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert (found.attempted > 0) == (name in WITH_EXAMPLES)


def test_importing_bptt_loads_no_torch():
    code = "import bptt, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
