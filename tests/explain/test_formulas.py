"""Some 350 formulas as readers write them: each is told what it is, and no more."""

import re

import pytest
from typer.testing import CliRunner

import bptt
from bptt.cli.app import app
from tests.explain.formula_table import CELLS, EVERY, STATUS, table

# Of these no formula in matrices is known: two steps, or a derivative of a matrix.
UNKNOWN = ("∂h_t/∂W_ij", "[t-2]", "/dW", r"\partial W} = \sum_{k=1}", "∂h[t]/∂W = 0",
           "ds[t]/ds[t-1]", r"\prod_{k=t+1}^{\tau} W")  # fmt: skip


def test_there_are_enough_of_every_kind():
    assert len(EVERY) > 340
    for name in CELLS:
        assert {"right", "wrong"} <= {kind for kind, _ in table(name)}


@pytest.mark.parametrize(("name", "kind", "text"), EVERY)
def test_a_formula_is_what_it_is(name, kind, text):
    cell = CELLS[name]
    if kind == "refused":
        with pytest.raises(bptt.BpttError) as caught:
            cell.check_equation(text)
        assert str(caught.value)
        assert caught.value.say("zh") != str(caught.value)
        return
    report = cell.check_equation(text)
    assert report.status == STATUS[kind], str(report)
    said = str(report) + report.say("zh")
    assert not re.search(r"\bnan\b", said, re.IGNORECASE)
    if kind == "right":
        assert "tau" in said or not report.range.fields
        return
    assert any(part in text for part in UNKNOWN) or report.suggestion
    if report.suggestion:
        assert cell.check_equation(report.suggestion).passed, report.suggestion


ODDS = [entry for kind in (*STATUS, "refused") for name in ("book", "lstm")
        for entry in [e for e in EVERY if e[:2] == (name, kind)][:3]]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "text"), ODDS)
def test_the_command_line_says_the_same(name, kind, text):
    result = CliRunner().invoke(app, ["check", name, "--equation", text])
    if kind == "refused":
        assert isinstance(result.exception, bptt.BpttError)
        return
    assert result.exit_code == (kind != "right")
    assert result.output == f"{CELLS[name].check_equation(text)}\n"


FIXES = {
    # a product whose factors stand from the first step to the last
    r"\frac{d h^{(\tau)}}{d h^{(t)}} = \prod_{k=t+1}^{\tau} "
    r"\mathrm{diag}(1-(h^{(k)})^2) W": "order",
    # gradients as rows, as many papers have them
    "∂L/∂h_t = ∂L/∂h_{t+1} ∂h_{t+1}/∂h_t + ∂L/∂o_t ∂o_t/∂h_t": "rows",
    "∇h[t] = ∇a[t+1] @ W + ∇o[t] @ V": "rows",
    "∇h[t] = ∇a[t+1].T @ W + ∇o[t].T @ V": "transpose",
    # sums forgotten, or left to NumPy
    "grad_b = np.sum(grad_a[t])": "missing sum",
    "∇c = ∇o[t]": "missing sum",
    "∇c = ∇o[tau]": "missing sum",
    # * for @, and a state before the first
    "∇x[t] = U' * ∇a[t]": "product",
    "∇h[0] = W.T @ ∇a[0]": "step",
}


@pytest.mark.parametrize("text", FIXES)
def test_the_one_change_is_found(text):
    report = bptt.check_equation(text)
    assert report.edit is not None
    assert report.edit.kind == FIXES[text]
    assert "\n" not in report.edit.advice
    assert report.edit.advice != report.edit.text().id


def test_a_fix_holds_at_the_steps_that_the_formula_covers():
    """Where h[k+1] leaves the sequence nothing is compared, and all would be right."""
    text = "dh[tau]/dh[t] = prod(k, t+1, tau, diag(1 - h[k]**2) @ W)"
    report = bptt.check_equation(text)
    assert "h[k+1]" not in report.suggestion
    assert "for t = 1 ... tau:" in str(bptt.check_equation(report.suggestion))


NESTED = (
    "∇b = sum(t, 1, tau, sum(s, 1, t, diag(1 - h[s]**2)"
    " @ prod(k, t, s+1, ∂h[k]/∂h[k-1]).T @ V.T @ ∇o[t]))"
)


@pytest.mark.parametrize(("text", "range_"), [
    ("dh[t]/dh[s] = prod(k, t, s+1, ∂h[k]/∂h[k-1])",
     "t = 1 ... tau and for s = 1 ... t"),
    ("dh[s]/dh[t] = prod(k, s, t+1, ∂h[k]/∂h[k-1])",
     "t = 1 ... tau and for s = t ... tau"),
    (NESTED, "as it stands"),
])  # fmt: skip
def test_which_of_two_steps_is_the_later_is_read_from_the_formula(text, range_):
    report = bptt.check_equation(text)
    assert report.passed
    assert range_ in str(report)


def test_the_immediate_and_the_total_derivative_are_told_apart():
    through = "diag(z[t]) + diag(h[t-1] - n[t]) @ diag(z[t] * (1 - z[t])) @ W_z"
    through += " + diag(1 - z[t]) @ diag(1 - n[t]**2) @ (diag(r[t]) @ W_n"
    through += " + diag(d_n + W_n @ h[t-1]) @ diag(r[t] * (1 - r[t])) @ W_r)"
    gru = bptt.cells.gru
    assert gru.check_equation(f"dh[t]/dh[t-1] = {through}").passed
    report = gru.check_equation(f"∂h[t]/∂h[t-1] = {through}")
    assert "stands on the right is total(h[t], h[t-1])" in str(report)
    report = bptt.cells.lstm.check_equation("ds[t]/ds[t-1] = diag(f[t])")
    assert "partial(s[t], s[t-1]), along the one edge alone" in str(report)
    assert "只沿这一条边" in report.say("zh")


def test_the_nodes_own_equation_is_known():
    report = bptt.cells.gru.check_equation("h[t] = z[t] * n[t] + (1 - z[t]) * h[t-1]")
    assert report.suggestion == "h[t] = (1 - z[t]) * n[t] + z[t] * h[t-1]"
