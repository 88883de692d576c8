"""The examples in the docstrings of the source."""

import doctest
import importlib
import pkgutil

import pytest

import bptt

# What needs an extra (torch, jax) or starts a program is tested with it.
SKIPPED = ("bptt.torch", "bptt.jax", "bptt.train", "bptt.cli", "bptt.__main__")
MODULES = [
    found.name
    for found in pkgutil.walk_packages(bptt.__path__, "bptt.", onerror=lambda _: None)
    if not found.name.startswith(SKIPPED)
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_examples_are_found():
    cell = importlib.import_module("bptt.cell")
    assert doctest.testmod(cell).attempted >= 9
