"""A framework that a run is said to test must be there: a skip cannot hide it.

And what is tested where there is none must be found without it.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HIDDEN = """
import sys

import pytest

sys.modules.update(torch=None, jax=None)  # what an import of either then finds
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""
REQUIRED = [f for f in os.environ.get("BPTT_REQUIRED_FRAMEWORKS", "").split(",") if f]


@pytest.mark.parametrize("framework", REQUIRED)
def test_required_framework_is_installed(framework):
    assert find_spec(framework) is not None, f"{framework} is missing: tests would skip"


def test_empty_requirement_is_allowed():
    assert all(REQUIRED)


def test_the_tests_of_the_wheel_are_found_where_no_framework_is():
    script = (ROOT / ".ci/release").read_text(encoding="utf-8")
    rooms = re.findall(r"tests/[\w/.]+", script.split("-m pytest")[-1])
    assert len(rooms) > 3
    found = subprocess.run(
        (sys.executable, "-c", HIDDEN, *rooms),
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr
    assert "tests/step/test_ops.py" in found.stdout
    assert "tests/step/test_linear.py" not in found.stdout
