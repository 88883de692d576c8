"""The API is the committed list, and every name of it is documented."""

import importlib
import inspect

import pytest

from tests.house.api import FILE, MODULES, describe

NEEDS = {"bptt.torch": "torch", "bptt.jax": "jax", "bptt.train": "safetensors"}
HOW = "the API changed: if that is meant, run python -m tests.house.api and commit"


@pytest.mark.parametrize("module", MODULES)
def test_the_api_is_the_committed_list(module):
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    names = importlib.import_module(module).__all__
    begins = tuple(f"{module}.{name}" for name in names)
    listed = [
        line
        for line in FILE.read_text(encoding="utf-8").splitlines()
        if line.startswith(begins) and line.count(".") > module.count(".")
        and (module != "bptt" or not line.startswith(tuple(f"{m}." for m in NEEDS)))
    ]  # fmt: skip
    now = describe((module,))
    lost = [line for line in listed if line not in now]
    new = [line for line in now if line not in listed]
    assert (lost, new) == ([], []), HOW


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_documented(module):
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    loaded = importlib.import_module(module)
    bare = [
        name
        for name in loaded.__all__
        if callable(getattr(loaded, name))
        and not (inspect.getdoc(getattr(loaded, name)) or "").strip()
    ]
    assert bare == []
