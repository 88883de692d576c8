"""Resident memory and the end of the process, each in a process of its own."""

from tests.execute.guard import run_guarded

COMPILATIONS = 1000  # 0.02 s of one core each

RESIDENT = """
import os, gc
import numpy as np
from bptt import Cell, cells
def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
"""


def test_compiling_many_cells_leaks_nothing():
    """Growth over 1,000 compilations, in MiB, once the cache is full.

    A leaked engine is 0.1 to 1 MiB, so a leak of all would show as hundreds.
    """
    code = f"""{RESIDENT}
x = np.ones((2, 1, 1))
def build(k):
    cell = Cell(f"h[t] = tanh(h[t-1] + {{k}}.5 * x[t])\\nL[t] = sum(h[t])")
    cell.gradient({{}}, {{"x": x}}, threads=1)
for k in range(80):
    build(k)
before = resident()
for k in range(80, 80 + {COMPILATIONS}):
    build(k)
print(resident() - before)
"""
    assert float(run_guarded(code)) < 60


def test_lengths_that_vary_do_not_grow_memory():
    code = f"""{RESIDENT}
cell = cells.elman
rng = np.random.default_rng(0)
params = cell.init(n_x=4, n_h=32)
def call(tau):
    x = np.ones((tau, 8, 4))
    cell.gradient(params, {{"x": x}}, seeds={{"h": np.ones((tau, 8, 32))}})
for tau in range(1, 100):
    call(tau)
before = resident()
for tau in rng.integers(1, 100, 300):
    call(int(tau))
print(resident() - before)
"""
    assert float(run_guarded(code)) < 16


def test_the_process_ends_well_with_live_results_and_threads():
    code = """
import threading
import numpy as np
from bptt import cells
from bptt.execute.llvm import threads
threads.FLOPS_PER_THREAD = 1
cell = cells.elman
params = cell.init(n_x=4, n_h=8)
arguments = (params, {"x": np.ones((5, 9, 4))})
seeds = {"h": np.ones((5, 9, 8))}
grad = cell.gradient(*arguments, seeds=seeds, threads=2, nodes=("h",))
h, copies = grad.nodes["h"], grad.copies["W"]
def sleep():
    held = cell.gradient(*arguments, seeds=seeds, threads=1)
    threading.Event().wait()
threading.Thread(target=sleep, daemon=True).start()
print("end")
"""
    assert run_guarded(code) == "end\n"
