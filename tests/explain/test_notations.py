"""The notations that people have: the chapter's LaTeX as printed, signs, NumPy."""

import numpy as np
import pytest

import bptt
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.parse import parse
from bptt.explain.notation.plain import to_ascii, to_unicode
from tests.explain.documents import CELLS, explained

H = r"1 - \big( h^{(t)} \big)^2"
# Goodfellow, Bengio and Courville, section 10.2.2, as the Chinese edition prints them.
PRINTED = {
    "10.17": r"\frac{\partial L}{\partial L^{(t)}} = 1.",
    "10.18": r"(\nabla_{o^{(t)}} L)_i =  \frac{\partial L}{\partial o_i^{(t)}} "
    r"=  \frac{\partial L}{\partial L^{(t)}}  "
    r"\frac{\partial L^{(t)}}{\partial o_i^{(t)}}"
    r" = \hat y_i^{(t)} - \mathbf{1}_{i,y^{(t)}}.",
    "10.19": r"\nabla_{h^{(\tau)}} L = V^\top \nabla_{o^{(\tau)}} L.",
    "10.20": r"\nabla_{h^{(t)}} L = \Big( \frac{\partial h^{(t+1)}}{ \partial h^{(t)}} "
    r"\Big)^\top(\nabla_{h^{(t+1)}} L) + \Big( \frac{\partial o^{(t)}}"
    r"{ \partial h^{(t)}}  \Big)^\top (\nabla_{o^{(t)}} L) \\",
    "10.22": r"\nabla_{c} L &=  \sum_t \Big( \frac{\partial o^{(t)}}{\partial c} "
    r"\Big)^\top \nabla_{o^{(t)}} L = \sum_t \nabla_{o^{(t)}} L ,\\",
    "10.23": r"\nabla_{b} L &= \sum_t \Big( \frac{\partial h^{(t)}}{\partial b^{(t)}} "
    r"\Big)^\top \nabla_{h^{(t)}} L = \sum_t \text{diag} \Big( " + H + r" \Big)  "
    r"\nabla_{h^{(t)}} L  ,\\",
    "10.24": r"\nabla_{V} L &= \sum_t \sum_i \Big( \frac{\partial L} "
    r"{\partial o_i^{(t)}}\Big) \nabla_{V} o_i^{(t)} "
    r"= \sum_t (\nabla_{o^{(t)}} L) h^{(t)^\top},\\",
    "10.25": r"\nabla_{W} L &= \sum_t \sum_i \Big( \frac{\partial L} "
    r"{\partial h_i^{(t)}}\Big) \nabla_{W^{(t)}} h_i^{(t)} \\",
    "10.26": r"\nabla_{W} L &= \sum_t \text{diag} \Big( " + H + r" \Big) "
    r"( \nabla_{h^{(t)}} L) h^{(t-1)^\top} ,\\",
    "10.27": r"\nabla_{U} L &= \sum_t \sum_i \Big( \frac{\partial L} "
    r"{\partial h_i^{(t)}}\Big) \nabla_{U^{(t)}} h_i^{(t)} \\",
    "10.28": r"\nabla_{U} L &= \sum_t \text{diag} \Big( " + H + r" \Big) "
    r"( \nabla_{h^{(t)}} L) x^{(t)^\top} ,",
}  # fmt: skip
# Right formulas of the book's network in the signs that pages and papers have.
AS_COPIED = (
    "∇h[t] ≔ W^⊤ ⋅ ∇a[t+1] + V^{⊤} ∇o[t]", "∇a[t] = (1 - h[t]²) ∗ ∇h[t]",
    "∇𝐡[t] = 𝑊⊺ ∇𝐚[t+1] + 𝐕ᵀ ∇𝑜[t]", "∇ℎ[t] = W.T\u2062 ∇a[t+1] + V.T.dot(∇o[t])",
    "∇y_hat[t] = -np.dot(one_hot(y[t], n_o) / y_hat[t,y[t]], ∇L[t])",
    "∇L[t] = 0 * h[t].dot(a[t]) + 1",
    r"\frac{dh^{(\tau)}}{dh^{(1)}} = \prod_{k=\tau}^{2} \mathrm{diag}(1-(h^{(k)})^2) W",
    r"\nabla_{h_t} L = W^⊤ \nabla_{a_{t+1}} L + V^{⊤} (1 ⊙ (ŷ_t - e_{y_t}))",
)  # fmt: skip
PRINTED_10_21 = (
    r"\nabla_{h^{(t)}} L = W^\top (\nabla_{h^{(t+1)}} L) \text{diag} \Big( 1 - "
    r"(h^{(t+1)})^2 \Big) + V^\top ( \nabla_{o^{(t)}} L ),"
)


@pytest.mark.parametrize("number", PRINTED)
def test_a_displayed_equation_of_the_chapter_is_read_as_printed(number):
    report = bptt.check_equation(PRINTED[number])
    assert report.passed, str(report)
    framed = (
        rf"$$\begin{{aligned}} {PRINTED[number]} \tag{{{number}}} \end{{aligned}}$$"
    )
    assert bptt.check_equation(framed).passed


def test_10_21_as_printed_is_refused_with_the_reason_in_latex():
    report = bptt.check_equation(PRINTED_10_21)
    assert report.status == "shapes do not fit"
    assert "(n_h×n_h) (n_h×1) (n_h×n_h)" in report.problem
    assert r"swap the factors \nabla_{h^{(t+1)}} L and \operatorname{diag}" in str(
        report
    )
    assert bptt.check_equation(report.suggestion).passed
    assert report.trap.is_silent


def test_the_readers_own_jacobian_is_mended():
    report = bptt.check_equation(
        r"\Big( \frac{\partial h^{(t+1)}}{ \partial h^{(t)}}  \Big)^\top = W^\top  \\"
    )
    assert report.edit.kind == "missing factor"
    assert bptt.check_equation(report.suggestion).passed
    report = bptt.check_equation("∂h^(t+1)/∂h^(t) = W^T")
    assert report.suggestion == "partial(h[t+1], h[t]) = diag(1 - h[t+1]**2) @ W"
    assert bptt.check_equation(report.suggestion).passed


PATHS = (
    r"\nabla_{h_t} L = \sum_{s=t}^\tau \Big(\prod_{k=s}^{t+1} "
    r"\frac{\partial h^{(k)}}{\partial h^{(k-1)}}\Big)^\top V^\top \nabla_{o_s} L"
)


@pytest.mark.parametrize("text", [
    "∂L/∂h[t] = Wᵀ diag(1 − h[t+1]²) ∂L/∂h[t+1] + V' ∇o[t]",
    "dL/dh[t] = np.dot(W.T, (1 - h[t+1]**2) * dL/dh[t+1]) + V.T.dot(∇o[t])",
    "∇_{h^(t)} L = Wᵀ ∇_{a^(t+1)} L ＋ Vᵀ（∇_{o^(t)} L）",
    "∇_h⁽ᵗ⁾ L = Wᵀ diag(1 − (h⁽ᵗ⁺¹⁾)²) ∇_h⁽ᵗ⁺¹⁾ L + Vᵀ ∇_o⁽ᵗ⁾ L",
    "∇_{h_t} L = V^T ∇_{o_t} L + W^T ∇_{a_{t+1}} L",
    "grad_h[t] = np.matmul(W.T, grad_a[t+1]) + np.transpose(V) @ grad_o[t]",
    r"\nabla_{h_t} L = W^{\top} \nabla_{a^{(t+1)}} L + V^{\mathsf T}\nabla_{o^{(t)}}L",
    r"\frac{dL}{dh_t} = W^T \left(\frac{dL}{da^{(t+1)}}\right) + V^T \frac{dL}{do_t}",
    r"\frac{\mathrm{d} L}{\mathrm{d} h_t} = W' \nabla_{a_{t+1}} L + V' \nabla_{o_t} L",
    "h^(t) = tanh(a^(t))",
    "∇W = sum_{t=1}^{tau} np.outer(∇a[t], h[t-1])",
    "∇W = Σ_{t=1..τ} ∇a[t] h[t-1]ᵀ",
    "∇W_ij = sum(t, 1, tau, ∇a[t,i] h[t-1,j])",
    r"\nabla_W L = \sum_{t=1}^\tau (\nabla_{h_t} L \odot (1-(h_t)^2)) h^{(t-1)\top}",
    "dh[tau]/dh[t] = prod(s, tau, t+1, ∂h[s]/∂h[s-1])",
    r"\frac{dh_\tau}{dh^{(t)}} = \prod_{s=\tau}^{t+1} \mathrm{diag}(1-(h^{(s)})^2) W",
    "∇h[t] = sum(s, t, tau, prod(k, s, t+1, ∂h[k]/∂h[k-1]).T @ V.T @ ∇o[s])",
    PATHS,
    "partial(h[t], b) = diag(1 - h[t]**2)",
    "2 tau ∇b = 2 tau sum(t, 1, tau, ∇a[t])",
    *AS_COPIED,
])  # fmt: skip
def test_a_right_equation_is_right_in_any_notation(text):
    report = bptt.check_equation(text)
    assert report.passed, str(report)


@pytest.mark.parametrize("write", [to_latex, to_ascii, to_unicode])
@pytest.mark.parametrize("name", CELLS)
def test_everything_that_is_displayed_is_read_back(name, write):
    """What "copy LaTeX" gives, and the two texts, with the value that it has."""
    document = explained(name).document
    point = document.shown
    for chain in document.chains():
        letters = dict.fromkeys(chain.letters, 1)
        t = point.tau if chain.last == chain.first else 2
        for link in chain.links:
            back = parse(write(link.expr), document.scope)
            try:
                expected = evaluate(link.expr, point, t, letters)
            except bptt.BpttError:  # shown for another step alone
                continue
            found = evaluate(back, point, t, letters)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("text", "message"), [
    (r"\nabla_{h^{(t)}} L = \foo W", r"\foo is not read; read are \frac"),
    (r"\nabla_b L = \sum_t \nabla_{a_t} L, \nabla_c L = b", "one equation at a time"),
    (r"\frac{\partial h^{(t)}}{h^{(t-1)}} = W", "a derivative is ∂y/∂x or dy/dx"),
    (r"\nabla_b L = \sum_i b", "nothing says what i runs over"),
    (r"\nabla_b L = \sum_{q=1}^{\tau} b", "q is no step"),
    ("dh[t]/x[t] = U", "x is no differential"),
    ("∇h[t] = W.T @ ∇a[t+1", 'expected "]", not the end'),
    ("∇h[t] = Σ b", "needs the step or index"),
    ("∇h[t] = ∫ b", "∫ is not read: steps are added up by sum(t, 1, tau, u)"),
    (r"\nabla_b L = \int b", r"\int is not read: steps are added up by \sum_{t=1}^"),
    ("∇h[t] = W.T × b", "× is not read: factors of a matrix product"),
    ("∇h[t] ≈ b", "≈ is not read: between two sides that are to be equal stands ="),
    ("∇h[t] = b ± c", "± is not read; read are + - @ *"),
    ("∇h[t] = h[t] \x1b[31m b", "U+001B is not read; read are"),
    ("∇h[t] = b \ufe0e", "U+FE0E is not read; read are"),
    ("∇h[t] = ‖b‖", "‖ is not read; read are + - @ *"),
])  # fmt: skip
def test_what_is_not_read_gets_a_hint_in_its_own_notation(text, message):
    with pytest.raises(bptt.BpttError) as caught:
        bptt.check_equation(text)
    assert message in str(caught.value)
    chinese = caught.value.say("zh")
    assert chinese != str(caught.value)
    assert chinese.splitlines()[0] == str(caught.value).splitlines()[0]


def test_a_derivative_between_steps_far_apart_is_told_from_the_total_one():
    report = bptt.check_equation("∂h[tau]/∂h[t] = prod(s, tau, t+1, ∂h[s]/∂h[s-1])")
    assert not report.passed
    assert "Along all paths is total(h[tau], h[t])." in str(report)
