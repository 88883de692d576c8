"""Every cell, of the library and of the catalogue, through all that bptt does with one.

BPTT_EVERY_CELL=1 asks for all of them, a quarter of an hour on one free core; otherwise
there are four, of different kinds. torch and JAX have files of their own.
"""

import os
import re

import numpy as np
import pytest

import bptt
from bptt import Cell, cells
from bptt.check.instances import seeded_name
from tests.catalogue import cases
from tests.catalogue.cases import LENGTHS, N_B, TAU, Case, load
from tests.catalogue.loops import LOOPS
from tests.catalogue.test_against_loops import IN_NUMPY

FEW = ("skip_connections", "last_output", "linear_attention", "library elman")
EVERY = (*LOOPS, *(f"library {name}" for name in cells.names()))
NAMES = EVERY if os.environ.get("BPTT_EVERY_CELL") else FEW
CELLS = pytest.mark.parametrize("name", NAMES)
WEIGHTS = np.random.default_rng(9).uniform(0.5, 1.5, (TAU, N_B))
ALL = {"input_gradient": True, "initial_gradient": True}


def get(name):
    library, _, own = name.rpartition(" ")
    return cells.get(own) if library else load(own)


def case_of(name, cell=None, dtype=np.float64):
    cell = cell or get(name)
    node = cell.graph.loss or seeded_name(cell.graph)
    return Case(name.rpartition(" ")[2], node, dtype, cell)


def gradient(case, *, is_plain=False, **more):
    if not is_plain:
        weights = WEIGHTS.astype(case.dtype)
        more = {"lengths": LENGTHS, "weights": weights, **more}
    return case.cell.gradient(
        case.params, case.inputs, initial=case.initial, seeds=case.seeds, **more
    )


def arrays(grad):
    groups = {"": grad, "input ": grad.inputs, "initial ": grad.initial}
    groups["node "] = grad.nodes
    return {k + n: v for k, group in groups.items() for n, v in group.items()}


def assert_near(found, expected, bound):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        largest = max(1.0, np.abs(value).max(initial=0.0))
        error = np.abs(found[name] - value).max(initial=0.0)
        assert error <= bound * largest, name


@CELLS
def test_its_texts_read_back_to_themselves(name):
    cell = get(name)
    for text in (c.canonical_text for c in (cell, cell._stepwise(), cell._open_loss())):
        assert Cell(text).canonical_text == text
    again = Cell(cell.canonical_text)
    assert again.parameters == cell.parameters
    assert again.inputs == cell.inputs
    assert again.nodes == cell.nodes


@CELLS
@pytest.mark.filterwarnings("ignore::bptt.execute.dispatch.FallbackWarning")
def test_kernels_compute_what_the_reference_does(name):
    case = case_of(name)
    asked = {"nodes": tuple(case.cell.nodes), **ALL}
    for reduction in ("sum", "batch_mean", "mean", "last"):
        found, right = (
            arrays(gradient(case, reduction=reduction, executor=e, **asked))
            for e in ("llvm", "reference")
        )
        assert_near(found, right, 1e-10)
    single = arrays(gradient(case_of(name, dtype=np.float32), **asked))
    right = arrays(gradient(case, executor="reference", **asked))
    assert_near(single, right, 2e-4)
    assert all(value.dtype == np.float32 for value in single.values())
    grad = gradient(case)
    copies = {n: np.asarray(grad.copies[n]).sum(axis=0) for n in case.params}
    assert_near(copies, dict(grad), 1e-10)


@CELLS
@pytest.mark.filterwarnings("ignore::bptt.execute.dispatch.FallbackWarning")
def test_less_memory_and_a_prepared_call_change_no_bit(name):
    case = case_of(name)
    right = gradient(case)
    if name not in IN_NUMPY:
        for checkpoint in (1, "sqrt", "optimal"):
            assert_near(dict(gradient(case, checkpoint=checkpoint)), dict(right), 0)
        if not case.cell.graph.backward:
            assert str(gradient(case, is_plain=True, truncate=(2, 3)).bias())
    prepared = case.cell.prepare(
        case.params, case.inputs, initial=case.initial, seeds=case.seeds
    )
    assert_near(dict(prepared()), dict(gradient(case, is_plain=True)), 0)


# Where a gradient is not that of the value: a derivative of its own, or one held still.
CHOSEN = ("with_derivative(", "stop_gradient(2.0", "stop_gradient(min")


@CELLS
def test_a_hessian_product_is_the_slope_of_the_gradient(name):
    if name == "hmm":  # its input is called y, the name of the targets
        return
    cell = get(name).with_readout()
    case = case_of(name, cell)
    text = cell.canonical_text
    if any(one in text for one in CHOSEN):
        return
    held = re.findall(r"\w+", " ".join(re.findall(r"stop_gradient\(([^()]*)\)", text)))
    rng = np.random.default_rng(3)
    v = {n: (n not in held) * rng.standard_normal(a.shape)
         for n, a in case.params.items()}  # fmt: skip
    more = {"initial": case.initial, "lengths": LENGTHS, "weights": WEIGHTS}
    product = cell.hessian_vector(case.params, case.inputs, v, **more)

    def moved(step):
        params = {n: a + step * v[n] for n, a in case.params.items()}
        return cell.gradient(params, case.inputs, executor="reference", **more)

    ahead, behind = moved(1e-6), moved(-1e-6)
    slope = {n: (ahead[n] - behind[n]) / 2e-6 for n in v}
    assert_near(product, slope, 1e-5)


def variants(cell):
    real = [n for n, spec in cell.graph.inputs.items() if spec.index is None]
    states = [n for n in cell.states if n in cell.nodes]
    states = [n for n in states if n not in cell.graph.times.hidden]
    rates = dict.fromkeys([*real[:1], *states[:1]], 0.3)
    return {
        "two layers": lambda: bptt.stack(cell, 2),
        "under another": lambda: bptt.stack([cell, cells.elman]),
        "both directions": lambda: bptt.bidirectional(cell),
        "dropout": lambda: bptt.dropout(cell, **rates),
        "zoneout": lambda: bptt.zoneout(cell, 0.2),
        "noise": lambda: bptt.noise(cell, **{seeded_name(cell.graph): 0.1}),
    }


@CELLS
@pytest.mark.filterwarnings("ignore::bptt.execute.dispatch.FallbackWarning")
@pytest.mark.filterwarnings("ignore:invalid value")  # noise on a probability
def test_variants_are_cells_or_refused_in_words(name, monkeypatch):
    monkeypatch.setattr(cases, "SIZES", tuple(range(2, 30)))
    for kind, make in variants(get(name)).items():
        try:
            cell = make()
        except bptt.BpttError:
            continue
        assert Cell(cell.canonical_text).canonical_text == cell.canonical_text, kind
        case = case_of(name, cell)
        case.initial = {n: np.abs(a) + 0.5 for n, a in case.initial.items()}
        found, right = (
            arrays(gradient(case, executor=e, **ALL)) for e in ("llvm", "reference")
        )
        if all(np.isfinite(value).all() for value in right.values()):
            assert_near(found, right, 1e-9)


@CELLS
def test_it_is_explained_and_measured_in_both_languages(name, tmp_path):
    cell = get(name)
    explanation = cell.explain(tau=2)
    badge = explanation.document.badge
    assert badge.checked == badge.equations > 0
    assert not badge.failed
    assert explanation.text()
    assert explanation.latex()
    assert len(explanation.html()) < 1e6
    case = case_of(name)
    if cell.states:
        flow = cell.flow(
            case.params, case.inputs, initial=case.initial, seeds=case.seeds, lag=2
        )
        assert flow.text("zh") != flow.text()
        flow.save(tmp_path / "flow.html")


@CELLS
@pytest.mark.filterwarnings("ignore::bptt.execute.dispatch.FallbackWarning")
def test_it_passes_its_own_check(name):
    ledger = get(name).check(instances=1)
    assert ledger.passed, ledger
