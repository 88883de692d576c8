"""A framework that a run is said to test must be there: a skip cannot hide it."""

import os
from importlib.util import find_spec

import pytest

REQUIRED = [f for f in os.environ.get("BPTT_REQUIRED_FRAMEWORKS", "").split(",") if f]


@pytest.mark.parametrize("framework", REQUIRED)
def test_required_framework_is_installed(framework):
    assert find_spec(framework) is not None, f"{framework} is missing: tests would skip"


def test_empty_requirement_is_allowed():
    assert all(REQUIRED)
