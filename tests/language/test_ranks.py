"""Every function of the language, given every rank in every argument."""

import itertools
import re

import numpy as np
import pytest

import bptt
from bptt import errors
from bptt.language.functions import CALLS, derived

DECLARED = {"s": "()", "v": "n_p", "M": "(n_p, n_p)"}
NAMED = {"s": "a scalar", "v": "a vector", "M": "a matrix"}
# What each argument takes, and the rank of the value; -: the same rank, or a scalar.
TAKES = {
    **dict.fromkeys(("softmax", "log_softmax", "layer_norm", "softmin", "cumsum"),
                    ({"v"}, 1)),
    **dict.fromkeys(("max", "min", "logsumexp", "prod", "argmax", "argmin"),
                    ({"v"}, 0)),
    **dict.fromkeys(("sum", "mean", "norm"), ({"v", "M"}, 0)),
    **dict.fromkeys(("inverse", "expm", "cholesky", "lower_part"), ({"M"}, 2)),
    "diagonal": ({"M"}, 1),
    "dot": ({"vv"}, 0),
    "outer": ({"vv"}, 2),
    "sample": ({"vs"}, 0),
    "rms_norm": ({"v", "M", "vs", "Ms"}, None),
    "solve": ({"Mv", "MM"}, None),
    "nll": ({"vs", "vv", "MM"}, 0),
    "bce": ({"ss", "vv", "MM"}, 0),
    "mse": ({"ss", "vv", "MM"}, 0),
}  # fmt: skip
NUMBERS = {name: len(f.parameters) for name, f in derived().items()} | {
    name: op.arity for name, op in CALLS.items()
}
CASES = [
    (name, "".join(ranks))
    for name, arity in sorted(NUMBERS.items())
    for ranks in itertools.product("svM", repeat=arity)
]


def agree(ranks):
    """Whether shapes go together element by element."""
    return len(set(ranks) - {"s"}) <= 1


def cell_of(name, ranks):
    """The call in an equation; an integer class stands for a scalar of nll."""
    names = [f"{rank}{place}" for place, rank in enumerate(ranks)]
    lines = [f"{n}: {DECLARED[n[0]]}" for n in names]
    call = f"{name}({', '.join(f'{n}[t]' for n in names)})"
    return "\n".join([*lines, f"q[t] = {call}", ""])


@pytest.mark.parametrize(("name", "ranks"), CASES)
def test_a_rank_is_taken_or_refused_by_name(name, ranks):
    takes, rank = TAKES.get(name, (None, None))
    is_right = agree(ranks) if takes is None else ranks in takes
    if is_right:
        found = bptt.Cell(cell_of(name, ranks)).nodes["q"]
        largest = max("svM".index(r) for r in ranks)
        expected = largest if takes is None else rank
        assert expected is None or len(found) == expected
        return
    with pytest.raises(errors.RankError) as caught:
        bptt.Cell(cell_of(name, ranks))
    message = str(caught.value)
    wrong = re.findall(r"([svM]\d)\[t\] is (a \w+)", message)
    assert wrong, message
    assert all(NAMED[n[0]] == said for n, said in wrong)
    assert "Likely fix: " in message


@pytest.mark.parametrize(("call", "said"), [
    ("roll(s[t], 1)", "s[t] is a scalar (): roll takes a vector"),
    ("diag(s[t])", "s[t] is a scalar: diag takes a vector"),
    ("fill(v[t], n_v)", "v[t] is a vector: fill takes a scalar"),
    ("sample(softmax(v[t]), v[t])",
     "v[t] is a vector (n_v): the second argument of sample is a scalar"),
    ("rms_norm(v[t], v[t])",
     "v[t] is a vector (n_v): the second argument of rms_norm is a scalar"),
    ("nll(s[t], argmax(v[t]))", "s[t] is a scalar: nll of a class takes a vector"),
    ("nll(s[t], sum(v[t]))", "s[t] is a scalar (), sum(v[t]) is a scalar ()"),
])  # fmt: skip
def test_what_is_no_operation_of_the_table_names_its_argument_too(call, said):
    declared = "s: ()\n" if "s[t]" in call else ""
    with pytest.raises(errors.CellError) as caught:
        bptt.Cell(f"{declared}q[t] = {call}")
    assert said in str(caught.value)


def test_numbers_of_a_sample_are_declared_and_then_drawn_from():
    cell = bptt.Cell(
        "u: (); k[t] = sample(softmax(x[t]), u[t]); L[t] = sum(E[:, k[t]])"
    )
    assert cell.inputs["u"] == ()


@pytest.mark.parametrize("target", ["argmax(v[t])", "sample(softmax(v[t]), 0.4)"])
def test_a_class_that_the_cell_chooses_in_the_loss_itself_is_a_class(target):
    inline = bptt.Cell(f"L[t] = nll(softmax(W @ x[t]), {target})")
    named = bptt.Cell(f"k[t] = {target}; L[t] = nll(softmax(W @ x[t]), k[t])")
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((4, 2, 3)), "v": rng.standard_normal((4, 2, 5))}
    params = {"W": rng.standard_normal((5, 3))}
    for executor in ("llvm", "reference"):
        first, second = (
            cell.gradient(params, inputs, executor=executor) for cell in (inline, named)
        )
        np.testing.assert_allclose(first.loss, second.loss, rtol=1e-14)
        np.testing.assert_allclose(first["W"], second["W"], rtol=1e-12)
    assert inline.check(instances=1).passed


def test_a_part_of_a_size_that_only_the_sum_tells_is_asked_for():
    text = "h: n_p+n_q; h[t] = tanh(W @ h[t-1] + x[t]); L[t] = sum(h[t, 1, ..., n_p])"
    params = bptt.Cell(text).init(n_p=2, n_q=3)
    x = np.full((3, 2, 5), 0.1)
    with pytest.raises(errors.MissingSizeError) as caught:
        bptt.Cell(text).forward(params, {"x": x})
    assert "has the size n_p+n_q = 5, and nothing has n_p alone" in str(caught.value)
    assert "`h: 2+n_q`" in str(caught.value)
    named = bptt.Cell(text.replace("n_p+n_q", "2+n_q").replace("n_p", "2"))
    run = named.forward(params, {"x": x})
    np.testing.assert_allclose(run.loss, run["h"][..., :2].sum(), rtol=1e-13)
