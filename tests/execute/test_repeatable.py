"""The same bits in every process, for every fresh cell, on any number of threads.

BPTT_FRESH_PROCESSES=30 asks for more processes than the two of a usual run, and
BPTT_EVERY_CELL=1 for the bits of every cell.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bptt.execute.codegen.target import get_host_target
from bptt.execute.compile import layout
from bptt.execute.kernels import executor, threads
from tests.execute import fingerprints
from tests.execute.library import sizes_of

CELLS = fingerprints.all_cells()
N_FRESH = 30
PROCESSES = int(os.environ.get("BPTT_FRESH_PROCESSES", "2"))


def fresh_plans(name):
    """The plans of 30 fresh cells, with allocations of other objects between them."""
    cell = CELLS[name]
    sizes = sizes_of(cell)
    found, kept = set(), []
    for number in range(N_FRESH):
        kept.append(fingerprints.allocate_junk(number))
        found.add(fingerprints.of_plan(fingerprints.fresh(cell), sizes))
    return found


@pytest.mark.parametrize("name", CELLS)
def test_fresh_cells_are_planned_alike(name):
    assert len(fresh_plans(name)) == 1


def test_an_order_of_addresses_is_found(monkeypatch):
    """What broke the tie between the operands of a GRU's gates: a set of nodes."""
    neighbours = layout._neighbours

    def by_address(block, operands):
        as_sets = {g: dict.fromkeys(set(found)) for g, found in operands.items()}
        return neighbours(block, as_sets)

    monkeypatch.setattr(layout, "_neighbours", by_address)
    assert any(len(fresh_plans(name)) > 1 for name in ("gru", "a stack"))


def test_fresh_processes_give_the_same_kernels_and_the_same_bits():
    every = os.environ.get("BPTT_EVERY_CELL")
    wanted = tuple(CELLS) if every else ("gru", "lstm_peephole")
    found = []
    for number in range(PROCESSES):
        environment = {**os.environ, "PYTHONHASHSEED": str(number + 1)}
        environment["BPTT_CACHE"] = "off"  # each compiles for itself
        command = [sys.executable, "-m", "tests.execute.fingerprints", str(number)]
        result = subprocess.run(
            [*command, *wanted], env=environment, capture_output=True, text=True,
            check=True, timeout=6000,
        )  # fmt: skip
        found.append(json.loads(result.stdout))
    assert len(found[0]) == len(CELLS) + 6 * len(wanted)
    for other in found[1:]:
        assert other == found[0]
    for name in wanted:
        for dtype in fingerprints.DTYPES:
            key = f"{name} {dtype.__name__}"
            assert len({found[0][f"{key} {n}"] for n in (1, 2, 3)}) == 1


@pytest.mark.parametrize("dtype", fingerprints.DTYPES)
@pytest.mark.parametrize("name", ["gru", "a stack"])
def test_fresh_cells_give_the_same_bits(name, dtype, monkeypatch):
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)
    target = replace(get_host_target(), effort=0)
    monkeypatch.setattr(executor, "host_target", lambda: target)
    cell = CELLS[name]
    sizes = sizes_of(cell, 5, 9)
    found, kept = set(), []
    for number in range(4):
        kept.append(fingerprints.allocate_junk(number))
        again = fingerprints.fresh(cell)
        found.add(fingerprints.of_values(again, sizes, dtype, number % 3 + 1))
    assert len(found) == 1
    assert np.dtype(dtype).itemsize in (4, 8)
