"""Large arrays are held once: what a vocabulary of 10,000 words makes large."""

import tracemalloc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

import bptt
from bptt.execute.compile import compiler
from bptt.execute.dispatch import drop_spare
from bptt.execute.kernels import memory
from bptt.flow.numeric import compare, norm
from bptt.train.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from bptt.train.run_folder import create_run, read_run

pytest.importorskip("safetensors")
MIB = 2**20


@contextmanager
def peak():
    """A list that holds the highest number of bytes that Python asked for."""
    found = []
    tracemalloc.start()
    try:
        yield found
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def large(n=4):
    rng = np.random.default_rng(0)
    return {
        f"W_{i}": rng.standard_normal(MIB // 4).astype(np.float32) for i in range(n)
    }


def test_a_checkpoint_is_never_whole_in_memory_but_as_its_arrays(tmp_path):
    """One copy is what safetensors before 0.6 makes; as bytes there were two."""
    content = Checkpoint(large(), {"state": {"m": large()}})
    with peak() as written:
        write_checkpoint(tmp_path, LAST, content)
    assert written[0] < 1.2 * 8 * MIB
    with peak() as read:
        found = read_checkpoint(tmp_path, LAST)
    assert read[0] < 1.5 * 8 * MIB
    for name, value in content.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value)


def test_what_an_optimiser_remembers_is_kept_by_who_goes_on_alone(tmp_path):
    start = Checkpoint({"W": np.ones(3, np.float32)}, {"rate": 0.5})
    config = {"options": {}, "data": {"kind": "tokens"}}
    create_run(tmp_path / "run", "", config, None, start)
    write_checkpoint(tmp_path / "run", BEST, start)
    assert read_run(tmp_path / "run", BEST).checkpoint.optimiser == {}
    kept = read_run(tmp_path / "run", BEST, to_go_on=True).checkpoint
    assert kept.optimiser == {"rate": 0.5}


def test_idle_memory_of_kernels_is_given_back_and_the_gradient_stays(monkeypatch):
    made = []
    begin = memory.Workspace.__init__

    def noted(self, *given):
        begin(self, *given)
        made.append(weakref.ref(self))

    monkeypatch.setattr(memory.Workspace, "__init__", noted)
    cell = bptt.cells.book
    params = cell.init(n_x=3, n_h=5, n_o=7, dtype="float32")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 2, 3)).astype(np.float32)
    inputs = {"x": x, "y": rng.integers(0, 7, (4, 2))}
    drop_spare()
    first = cell.gradient(params, inputs)
    kept = {name: np.array(first[name]) for name in params}
    drop_spare()  # in use: it stays
    assert all(one() is not None for one in made)
    del first
    drop_spare()
    assert made
    assert all(one() is None for one in made)
    assert all(not one.pool and not one.memories for one in compiler.living())
    again = cell.gradient(params, inputs)
    for name, value in kept.items():
        np.testing.assert_array_equal(again[name], value)


def test_gradients_are_compared_one_array_after_the_other():
    mine, exact = large(6), {name: 2 * value for name, value in large(6).items()}
    mine["W_0"] = -mine["W_0"]
    a, b = (np.concatenate(list(v.values())).astype(float) for v in (mine, exact))
    with peak() as held:
        cosine, ratio = compare(list(mine.values()), list(exact.values()))
    assert held[0] < 9 * MIB  # joined, in float64, one of the two is 12
    assert cosine == pytest.approx(a @ b / norm(a) / norm(b), rel=1e-12)
    assert ratio == pytest.approx(norm(a) / norm(b), rel=1e-12)
    assert compare([], []) == (1.0, 1.0)
    tiny = [np.full(3, 1e-300), np.full(2, -1e-308)]
    assert compare(tiny, [1e300 * part for part in tiny])[0] == pytest.approx(1.0)
