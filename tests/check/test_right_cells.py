"""Right cells that a check or an explanation could take for wrong, or stumble over."""

import pytest

import bptt

CELLS = {
    "a maximum subtracted": """
        o[t] = c + V @ tanh(W @ x[t])
        m[t] = max(o[t])
        z[t] = log(sum(exp(o[t] - m[t]))) + m[t]
        L[t] = z[t] + 0 * sum(o[t])
    """,
    "a stabiliser that cancels": """
        m: n_h; k[t] = K @ x[t]; v[t] = V @ x[t]
        m[t] = maximum(m[t-1], k[t])
        n[t] = exp(m[t-1] - m[t]) * n[t-1] + exp(k[t] - m[t]) * v[t]
        d[t] = exp(m[t-1] - m[t]) * d[t-1] + exp(k[t] - m[t])
        h[t] = n[t] / (d[t] + 1e-3)
        L[t] = mse(h[t], y[t])
    """,
    "a parameter that a softmax does not see": """
        alpha: ()
        L[t] = nll(softmax(V @ x[t] + alpha), y[t])
    """,
    "a scalar product times a vector in one line": """
        h[t] = dot(w, x[t]) * tanh(b) + dot(x[t], w) * (W @ h[t-1])
        L[t] = sum(h[t])
    """,
    "a node read through stop_gradient alone": """
        h[t] = tanh(W @ h[t-1] + U @ x[t])
        g[t] = V @ x[t]
        L[t] = sum(h[t] * stop_gradient(g[t]))
    """,
    "a node read through a comparison alone": """
        h[t] = tanh(0.5 * h[t-1] + U @ x[t])
        g[t] = V @ x[t]
        L[t] = sum(where(g[t] > 0, h[t], 0.5 * h[t]))
    """,
    "a loss that is 0 by cancellation": """
        L[t] = sum(x[t]) * mean(layer_norm(b, eps=0.01))
    """,
    "saturated": "h[t] = tanh(0.5 * h[t-1] + 40 * x[t]); L[t] = sum(h[t])",
    "a slope that is rounding alone, made large": """
        h[t] = tanh(U @ x[t])
        o[t] = 1e6 * tanh(15 + W @ h[t])
        L[t] = sum(o[t])
    """,
    "a dimension that is a sum": """
        W: (n_p, n_q+n_p); h: n_q+n_p; u: n_q; x: n_p
        h[t] = tanh([u[t]; x[t]] + 0.5 * h[t-1])
        L[t] = mse(W @ h[t], x[t+1])
    """,
    "a mean over a dimension that is a sum": """
        W: (n_q+n_p, n_x); b: n_q; c: n_p
        h[t] = [b; c] * mean(W @ x[t]) + 0.5 * h[t-1]
        L[t] = mse(h[t], y[t])
    """,
    "a choice between equal numbers that have a derivative": """
        h[t] = 0.5 * h[t-1] + outer(c, b)[:, argmax(with_derivative(2, b))]
        L[t] = nll(softmax(h[t]), y[t])
    """,
    "a dimension that is a number": """
        W: (n_r, 2); h: 2; q: n_r
        h[t] = tanh(0.5 * h[t+1] + W.T @ v[t])
        L[t] = nll(softmax(W @ h[t]), q[t])
    """,
    "a number read two steps late": """
        h[t] = tanh(E[:, k[t-2]] + F[:, k[t]] + w * h[t-1])
        L[t] = sum(h[t])
    """,
    "an input whose value of the step itself is replaced": """
        h[t] = with_derivative(x[t], 0.5)
        L[t] = mean(x[t-1] * (W @ x[t-1]))
    """,
    "a minus before a 0": """
        h[t] = tanh((-0) * sigmoid(x[t]) + W @ h[t-1] * (-0.0) + U @ x[t] + (-0))
        L[t] = sum(h[t])
    """,
    "a kink so near that differences have no digits": """
        h[t] = tanh(W @ h[t-1] + U @ x[t])
        L[t] = 3 + sum(where(1e-6 * x[t] > 0, h[t], 0.5 * h[t]))
    """,
    "ties of a running maximum over products": """
        W: (n_p, n_p); b: n_p; h: n_p; out: n_p; g: n_p = input; P: (n_p, n_p)
        h[t] = W[:, k[t]]
        out = P @ sum(t, softmax(t, dot(b, h[t])) * h[t])
        L = mse(out, g)
    """,
    "the larger of two sums of the same terms": """
        g[t] = b
        h[t] = maximum(W @ g[t], W @ b) + 0.3 * c
        L[t] = nll(softmax(h[t]), q[t])
        q: n_h
    """,
    "the larger of two sums of the same terms, at every place": """
        j = 1, ..., n_j
        h: (n_j, n_h)
        g[t] = b
        h[t, j] = 0.3 * h[t-1, j] + maximum(A[j] @ g[t], A[j] @ b) + c
        L[t] = mse(sum(j, h[t, j]), y[t])
    """,
    "the largest of the same sums twice": """
        g[t] = b
        h[t] = 0.3 * h[t-1] + c * max([W @ g[t]; W @ b])
        L[t] = mse(h[t], y[t])
    """,
    "a branch, a sign and a whole number that rounding decides": """
        g[t] = b
        s[t] = where(W @ g[t] >= W @ b, tanh(c) * (W @ g[t]), sin(c))
        r[t] = tanh(c) * (sign(W @ g[t] - W @ b) + floor(W @ g[t] - W @ b + 2))
        h[t] = 0.3 * h[t-1] + s[t] + r[t] + round(W @ g[t] - W @ b + 0.5) * c
        L[t] = mse(h[t], y[t])
    """,
    "a large difference of the same sums": """
        g[t] = b
        h[t] = 0.3 * h[t-1] + relu(100 * (W @ g[t]) - 100 * (W @ b)) + c
        L[t] = mse(h[t], y[t])
    """,
    "the ends of a linear piece, which rounding decides": """
        j = 1, ..., n_j
        a: (n_j, n_h)
        g[t] = b
        h[t] = 0.3 * h[t-1] + hardtanh(1 + W @ g[t] - W @ b) + sum(j, tanh(a[j]))
        L[t] = mse(h[t], y[t])
    """,
    "the largest element two steps ago, where there are places": """
        j = 1, ..., n_j
        C: (n_j, n_p)
        h[t] = tanh(W @ h[t-1])
        s[t] = min(W @ h[t-2]) + max(x[t-3])
        C[t, j] = A[j] @ x[t]
        L[t] = mse(sum(j, C[t, j]) + s[t] * h[t], y[t])
    """,
    "the entropy of a probability that is half": """
        h[t] = relu(b - 5)
        e[t] = bce(sigmoid(h[t]), sigmoid(h[t]))
        L[t] = e[t] + sum(w * x[t])
    """,
    "what is read steps ahead of where a gradient arrives from outside": """
        h[t] = W @ x[t]
        s[t] = mse(h[t+3], 2 * h[t-2]) + sum(h[t+1]) + 0 * sum(y[t])
    """,
    "what is read both ways of where a gradient arrives, at places": """
        h[t] = roll(W @ x[t], 1)
        s[t] = sum(h[t+4]) + sum(h[t-2]) * sum(x[t+2])
    """,
    "the entropy of a probability that is all but 1, of a loop": """
        e[t] = bce(sigmoid(s[t-1]), sigmoid(v))
        h[t] = sigmoid(b) * h[t-1] + maximum(roll(x[t], 1), c * e[t])
        s[t] = sigmoid(v) * s[t-1] + e[t] + 40
        L[t] = mse(h[t], y[t])
    """,
    "a branch that an entropy grows with": """
        h[t] = sigmoid(mean(W)) * h[t+1] + h[t+1]
        s[t] = bce(sigmoid(where(s[t-1] > h[t], s[t-1], h[t])), sigmoid(cos(h[t+1])))
        z[t] = s[t] + sum(x[t])
        W: (n_h, n_h); h: n_h; x: n_x; s: ()
    """,
    "a layer norm of numbers that are all but equal": """
        h[t] = 0.5 * h[t-1] + layer_norm(where(alpha <= 5, alpha, b))
        L[t] = mse(h[t], y[t])
        alpha: (); b: n_h
    """,
    "a sum of a layer norm, which is 0": """
        L[t] = sum(layer_norm([x[t+1]; b], eps=0.01)) + 0 * sum(x[t])
        x: n_x; b: n_p
    """,
    "an element of a product of matrices": """
        v[t] = tanh(x[t])
        h[t] = ((A @ B) @ where(C < D, D, 0.5)) @ glu(E @ v[t], prod(v[t]))
        L[t] = mse(roll(h[t], 1), y[t])
    """,
    "a probability of 1 with a gradient of its own, which is infinite": """
        p[t] = sigmoid(50 + W @ x[t])
        L[t] = bce(p[t], y[t])
    """,
    "a probability of 0, with places": """
        p[t] = sigmoid(roll(W @ x[t], 1) - 800)
        L[t] = bce(p[t], y[t])
    """,
    "probabilities far below every step of a difference": """
        p[t] = softmax(roll(1000 * (W @ x[t]), 1))
        L[t] = nll(p[t], k[t]) - 0.1 * sum(p[t] * log(p[t]))
    """,
    "a soft target of a saturated softmax": """
        p[t] = softmax(3000 * (W @ x[t]))
        L[t] = nll(p[t], softmax(q[t]))
        q: n_h
    """,
    "a deviation that is 0": """
        h[t] = where(alpha <= 5, alpha, W @ x[t])
        L[t] = sqrt(mean((h[t] - mean(h[t])) ** 2))
        alpha: ()
    """,
    "a norm of 0": "h[t] = W @ x[t]; L[t] = norm(h[t] - h[t])",
    "a quotient by what saturates": "L[t] = sum(log(1 - tanh(5 + W @ x[t])))",
    "a softmax of a gradient that all share": """
        p[t] = softmax(W @ x[t])
        L[t] = sum(p[t] * (1e8 + 0 * y[t])) + mse(p[t], y[t])
    """,
    "a loss with digits of a sum alone": "L[t] = sum((1e8 + W @ x[t]) - 1e8)",
    "a tie of a maximum": """
        h[t] = tanh(0.5 * h[t-1] + maximum(minimum(b, x[t]), x[t]))
        L[t] = sum(h[t])
    """,
    "a class of the step before": """
        h[t] = tanh(W @ h[t-1] + U[:, y[t]])
        L[t] = nll(softmax(V @ h[t]), y[t-1])
    """,
    "an input read at another step alone in a loop": """
        h[t] = tanh(W @ h[t+1] + U @ x[t+1])
        L[t] = sum(h[t] * x[t])
    """,
}


@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_right_cell_passes_its_check(text, seed):
    """What could be taken for wrong is the oracles' doing: kernels run one seed."""
    executor = "reference" if seed else "llvm"
    ledger = bptt.Cell(text).check(seed=seed, instances=2, executor=executor)
    assert not ledger.failures, "\n".join(map(str, ledger.failures))


@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
def test_a_right_cell_is_explained(text):
    explanation = bptt.Cell(text).explain(tau=3)
    assert explanation.passed
    assert explanation.text()
    assert explanation.latex()


def test_a_cell_without_parameters_and_loss_passes():
    ledger = bptt.Cell("s[t] = tanh(s[t-1] + x[t])").check(instances=1)
    assert ledger.passed, str(ledger)


def test_a_class_of_a_dimension_that_is_a_sum_is_explained():
    text = "E: (n_h, n_p+1); h[t] = tanh(W @ h[t-1] + E[:, k[t]]); L[t] = sum(h[t])"
    assert bptt.Cell(text).explain(tau=2).passed
