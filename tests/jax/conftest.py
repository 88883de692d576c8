"""Without JAX these tests are skipped, unless CI requires it; all in float64."""

import os

import pytest

if not os.environ.get("BPTT_REQUIRED_FRAMEWORKS"):
    pytest.importorskip("jax")

import jax

from tests.jax.oracle import Problem


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def problem():
    with jax.enable_x64(True):
        return Problem("elman")


@pytest.fixture(scope="session")
def lstm():
    with jax.enable_x64(True):
        return Problem("lstm")
