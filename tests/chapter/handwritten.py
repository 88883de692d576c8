"""Back-propagation through time for the book's cell, by hand, in NumPy.

A literal transcription of Goodfellow et al., 10.17-10.28, with 10.21 in the right order
of factors, and a switch for each mistake that people make with it. Column vectors are
1-D arrays, one batch row at a time.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

MISTAKES = (
    "printed order",
    "W^T alone",
    "index t",
    "(1-h)^2",
    "W for W^T",
    "future term dropped",
    "h(t) for h(t-1)",
    "y_hat - 1 for all i",
)
NODES = ("a", "h", "o", "y_hat", "L")


def problem(seed: int, tau: int = 6, n_x: int = 3, n_h: int = 4, n_o: int = 5):
    """Parameters, inputs of one row, and an initial state."""
    rng = np.random.default_rng(seed)
    params = {
        "b": 0.5 * rng.standard_normal(n_h),
        "W": 0.7 * rng.standard_normal((n_h, n_h)) / np.sqrt(n_h),
        "U": 0.7 * rng.standard_normal((n_h, n_x)) / np.sqrt(n_x),
        "c": 0.5 * rng.standard_normal(n_o),
        "V": 0.7 * rng.standard_normal((n_o, n_h)) / np.sqrt(n_h),
    }
    inputs = {"x": rng.standard_normal((tau, n_x)), "y": rng.integers(0, n_o, tau)}
    return params, inputs, {"h": 0.5 * rng.standard_normal(n_h)}


def forward(params, x, y, h_0):
    """10.8-10.14: h has tau + 1 rows, h[0] is h^(0); the rest tau, [t-1] is step t."""
    tau, h = len(x), [h_0]
    a, o, y_hat, loss = [], [], [], []
    for t in range(tau):
        a.append(params["b"] + params["W"] @ h[-1] + params["U"] @ x[t])
        h.append(np.tanh(a[-1]))
        o.append(params["c"] + params["V"] @ h[-1])
        e = np.exp(o[-1] - o[-1].max())
        y_hat.append(e / e.sum())
        loss.append(-np.log(y_hat[-1][y[t]]))
    return SimpleNamespace(a=a, h=h, o=o, y_hat=y_hat, L=loss)


def future_term(w, h_now, h_next, grad_next, mistake):
    """(∂h^(t+1)/∂h^(t))^T ∇_{h^(t+1)} L = W^T diag(1 - h^(t+1)^2) ∇_{h^(t+1)} L."""
    d = 1 - h_next**2
    if mistake == "printed order":
        return w.T @ grad_next @ np.diag(d)
    if mistake == "W^T alone":
        return w.T @ grad_next
    if mistake == "index t":
        return w.T @ np.diag(1 - h_now**2) @ grad_next
    if mistake == "(1-h)^2":
        return w.T @ np.diag((1 - h_next) ** 2) @ grad_next
    if mistake == "W for W^T":
        return w @ np.diag(d) @ grad_next
    if mistake == "future term dropped":
        return np.zeros_like(grad_next)
    return w.T @ np.diag(d) @ grad_next


def one_row(params, x, y, h_0, weights, mistake=None):
    """Every gradient of one batch row: nodes and copies (tau, ...), h^(0), x."""
    tau, run = len(x), forward(params, x, y, h_0)
    grad_o = np.zeros((tau, len(params["c"])))
    grad_h = np.zeros((tau, len(params["b"])))
    for t in reversed(range(tau)):
        indicator = np.zeros_like(grad_o[t])
        indicator[y[t]] = 1
        if mistake == "y_hat - 1 for all i":
            indicator[:] = 1
        grad_o[t] = weights[t] * (run.y_hat[t] - indicator)  # 10.18
        grad_h[t] = params["V"].T @ grad_o[t]  # 10.19
        if t + 1 < tau:  # 10.20, 10.21
            grad_h[t] += future_term(
                params["W"], run.h[t + 1], run.h[t + 2], grad_h[t + 1], mistake
            )
    squares = np.array([1 - run.h[t + 1] ** 2 for t in range(tau)])
    grad_a = squares * grad_h
    late = 1 if mistake == "h(t) for h(t-1)" else 0
    copies = {
        "c": grad_o,  # 10.22
        "b": grad_a,  # 10.23
        "V": np.array([np.outer(grad_o[t], run.h[t + 1]) for t in range(tau)]),
        "W": np.array([np.outer(grad_a[t], run.h[t + late]) for t in range(tau)]),
        "U": np.array([np.outer(grad_a[t], x[t]) for t in range(tau)]),
    }
    y_hat = np.zeros_like(grad_o)
    for t in range(tau):
        y_hat[t, y[t]] = -weights[t] / run.y_hat[t][y[t]]
    nodes = {"a": grad_a, "h": grad_h, "o": grad_o, "y_hat": y_hat,
             "L": np.asarray(weights, float)}  # fmt: skip
    h_1 = future_term(params["W"], h_0, run.h[1], grad_h[0],
                      None if mistake == MISTAKES[5] else mistake)  # fmt: skip
    loss = float(np.dot(weights, run.L))
    return loss, nodes, copies, grad_a @ params["U"], h_1


def pad_row(row, tau):
    """The gradients of a row that ended early, with zeros up to tau."""
    loss, nodes, copies, x_grad, h_grad = row

    def pad(steps):
        return np.concatenate([steps, np.zeros((tau - len(steps), *steps.shape[1:]))])

    nodes = {name: pad(steps) for name, steps in nodes.items()}
    copies = {name: pad(steps) for name, steps in copies.items()}
    return loss, nodes, copies, pad(x_grad), h_grad


class Gradient(SimpleNamespace):
    """The attributes that a check reads."""

    def __getitem__(self, name: str) -> Any:
        return self.params[name]


def gradient(
    params, inputs, *, mistake=None, initial=None, reduction="sum", weights=None,
    lengths=None, **_options,
):  # fmt: skip
    """The same call as `Cell.gradient` for the book's cell."""
    x, y = np.asarray(inputs["x"]), np.asarray(inputs["y"])
    batched = x.ndim == 3
    if not batched:
        x, y = x[:, None], y[:, None]
    tau, n_b = y.shape
    w = np.ones((tau, n_b)) if weights is None else np.asarray(weights)
    w = np.broadcast_to(w.reshape(tau, -1), (tau, n_b))
    w = {"sum": w, "batch_mean": w / n_b, "mean": w / w.sum()}[reduction]
    h_0 = np.zeros((n_b, len(params["b"])))
    if initial:
        h_0 = h_0 + initial["h"]
    ends = [tau] * n_b if lengths is None else lengths
    rows = [
        pad_row(one_row(params, x[:n, r], y[:n, r], h_0[r], w[:n, r], mistake), tau)
        for r, n in enumerate(ends)
    ]
    copies = {k: sum(row[2][k] for row in rows) for k in params}
    nodes = {k: np.stack([row[1][k] for row in rows], axis=1) for k in NODES}
    x_grad, h_grad = np.stack([r[3] for r in rows], 1), np.stack([r[4] for r in rows])
    if not batched:
        nodes = {k: v[:, 0] for k, v in nodes.items()}
        x_grad, h_grad = x_grad[:, 0], h_grad[0]
    return Gradient(
        loss=sum(row[0] for row in rows),
        params={k: v.sum(axis=0) for k, v in copies.items()},
        copies=copies, nodes=nodes, inputs={"x": x_grad}, initial={"h": h_grad},
    )  # fmt: skip
