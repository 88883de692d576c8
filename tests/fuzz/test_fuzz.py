"""Random cells in continuous integration, and the fuzzer itself put to the test."""

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt.calculus.program import Request, gradient_program
from bptt.execute.compile.compiler import compile_program
from bptt.execute.kernels import executor
from bptt.execute.kernels.memory import StepMemory, Workspace
from bptt.execute.kernels.places import boundaries_read
from bptt.step.ops import OPS
from tests.fuzz import stages
from tests.fuzz.case import Case, Equation
from tests.fuzz.generate import generate
from tests.fuzz.minimise import minimise, shorter
from tests.fuzz.oracle import answer
from tests.fuzz.report import Tally, run, show, shrink
from tests.fuzz.stages import CORE
from tests.fuzz.trial import Fault, attempt, poisoned

HERE = Path(__file__).parent
SECONDS, CASES = 60.0, 60


def test_random_cells_agree_with_the_oracle():
    tally = Tally()
    found = [
        f"seed {seed}\n{fault}\n{show(generate(seed))}"
        for seed, fault in run(0, seconds=SECONDS, cases=CASES, tally=tally)
    ]
    assert not found, "\n\n".join(found)
    assert tally.cases >= 5
    assert sum(tally.skipped.values()) <= tally.cases / 3


def test_the_oracle_shares_no_code_with_bptt():
    for name in (
        "case",
        "forms",
        "grammar",
        "generate",
        "meanings",
        "oracle",
        "reader",
        "minimise",
        "places",
    ):
        tree = ast.parse((HERE / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert all(not a.name.startswith("bptt") for a in node.names)
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("bptt")


def plain(**right):
    """A case of two steps and one row, sizes 2."""
    equations = tuple(Equation(name, text) for name, text in right.items())
    kinds = {"x": "input", "w": "parameter"} | dict.fromkeys(right, "node")
    shapes = dict.fromkeys(kinds, ("n_p",)) | {"L": ()}
    return Case(equations, shapes, kinds, {}, frozenset(shapes), {"n_p": 2}, 2, 1)


def test_the_oracle_agrees_with_a_gradient_by_hand():
    # h1 = w x1, h2 = w x2 + h1: L = sum(h1) + sum(h2) = w . (2 x1 + x2).
    case = plain(h="w * x[t] + h[t-1]", L="sum(h[t])")
    x, w = case.sequence("x")[:, 0], case.parameter("w")
    found = answer(case)
    assert found.loss == pytest.approx(w @ (2 * x[0] + x[1]), rel=1e-14)
    np.testing.assert_allclose(found.params["w"], 2 * x[0] + x[1], rtol=1e-14)
    np.testing.assert_allclose(found.copies["w"], [2 * x[0], x[1]], rtol=1e-14)
    np.testing.assert_allclose(found.nodes["h"][:, 0], [[2, 2], [1, 1]], rtol=1e-14)
    np.testing.assert_allclose(found.inputs["x"][:, 0], [2 * w, w], rtol=1e-14)
    np.testing.assert_allclose(found.initial["h"], [[2, 2]], rtol=1e-14)


def test_a_row_of_a_ragged_batch_ends_with_its_own_step():
    case = plain(h="w * x[t+1] + x[t]", L="sum(h[t])")
    case = case.but(n_b=2, lengths=(1, 2), start=frozenset({"x"}))
    x, start, w = case.sequence("x"), case.initial()["x"], case.parameter("w")
    found = answer(case).values["h"]
    np.testing.assert_allclose(found[0, 0], w * start[0] + x[0, 0], rtol=1e-14)
    np.testing.assert_allclose(found[1, 1], w * start[1] + x[1, 1], rtol=1e-14)
    assert not found[1, 0].any()


def test_a_planted_mistake_is_found_and_made_small(monkeypatch):
    wrong = replace(OPS["softplus"], bprop=lambda g, y, x: (g * y,))
    monkeypatch.setitem(OPS, "softplus", wrong)
    found = []
    seeds = (seed for seed in range(2000) if "softplus" in generate(seed).text)
    while not found:
        seed = next(seeds)
        found = attempt(generate(seed), {"NumPy": CORE["NumPy"]}).faults
    assert found[0].kind[1].startswith("value of ")
    small = shrink(seed, found[0], 20.0)
    assert "softplus" in small.text
    # Declarations cannot shrink; what is computed can.
    lengths = [
        sum(len(equation.right) for equation in case.equations)
        for case in (small, generate(seed))
    ]
    assert lengths[0] <= lengths[1] / 2


def test_parts_replace_the_whole():
    assert set(shorter("tanh(a[t] + b)")) >= {"(a[t] + b)", "tanh(a[t])", "tanh(b)"}


def test_the_minimiser_keeps_what_the_fault_needs():
    case = next(c for c in map(generate, range(99)) if "tanh(" in c.equations[0].right)
    small = minimise(case, lambda c: any("tanh(" in str(e) for e in c.equations), 5.0)
    assert any("tanh(" in str(equation) for equation in small.equations)
    assert len(small.text) < len(case.text) / 2


def test_every_seed_gives_a_cell():
    """2617 once asked for one row of a matrix, which no form could write."""
    assert all(generate(seed).equations for seed in range(3000))


def test_a_sum_of_sizes_is_told_by_another():
    # n_p+n_q alone leaves both open; n_p+n_r and b: n_r tell n_p first.
    cell = bptt.Cell(
        "s: n_p = input\nb: n_r\nW: (n_p+n_q, n_p+n_q)\nc: n_p+n_r\n"
        "h[t] = W @ h[t-1] + x[t]\nk[t] = [s; b] + c"
    )
    given = cell.init(n_p=3, n_q=2, n_r=4)
    sizes = stages.named_sizes(cell, given)
    assert sizes == {"n_p": 3, "n_q": 2, "n_r": 4}


def test_a_seed_gives_the_same_cell_in_every_process():
    code = "from tests.fuzz.generate import generate\n"
    code += "from tests.fuzz.report import show\n"
    code += "print(*(show(generate(s)) for s in range(30)), sep='')"
    shown = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": number}, cwd=HERE.parents[1],
        ).stdout
        for number in ("1", "2")
    }  # fmt: skip
    assert len(shown) == 1


def test_a_workspace_is_full_of_nan_before_a_call():
    program = gradient_program(bptt.cells.elman.graph, Request(seeds=("h",)))
    made = compile_program(program, {"n_x": 2, "n_h": 3}, 8, executor.host_target())
    with poisoned():
        loan = executor.borrow([], (5, 2), lambda: Workspace(made, 5, 2, np.float64))
        steps = executor.borrow([], (5, 2), lambda: StepMemory(made, 5, 2, np.float64))
    workspace = loan.workspace
    for buffers in (workspace.buffers, steps.workspace.buffers):
        reads = boundaries_read(made)
        triples = list(zip(made.layout.buffers, buffers, reads, strict=True))
        assert any(layout.is_padded for layout, *_ in triples)
        for layout, buffer, (has_first, has_last) in triples:
            if buffer is not None and layout.is_padded:
                assert np.isnan(buffer[1:-1]).all()
                assert not (has_first and buffer[0].any())
                assert not (has_last and buffer[-1].any())
            elif buffer is not None:
                assert np.isnan(buffer).all()
    for array in (*workspace.results, *workspace.packed.values()):
        assert np.isnan(array).all()


def test_kinds_of_faults_are_told_apart():
    assert Fault("a", "b", "one").kind == Fault("a", "b", "two").kind
    assert Fault("a", "b").kind != Fault("a", "c").kind
