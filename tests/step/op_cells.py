"""One small cell per operation of the table, so that every backward rule is on a path.

`OP_CELLS` has the text of a cell that uses the operation forwards; `BUILT` makes graphs
of operations that the language does not write. The operations of the passage between a
step and the whole sequence (`total`, ...) act in every gradient, and their own backward
rules in the second derivative of the cell named here.
"""

from __future__ import annotations

from dataclasses import replace

from bptt import Cell
from bptt.step.graph import Graph, Node
from bptt.step.ops import apply

STATE = "a[t] = b + w * h[t-1] + x[t]\nh[t] = tanh(a[t])\n"


def _loss(expression: str) -> str:
    return STATE + f"L[t] = {expression}"


OP_CELLS: dict[str, str] = {
    "add": "h[t] = b + w * h[t-1]\ng[t] = sin(h[t]) + x[t] * v\nL[t] = sum(g[t] ** 2)",
    "sub": "h[t] = w * x[t] - b * h[t-1]\nL[t] = sum((h[t] - v) ** 2)",
    "mul": _loss("sum(h[t] * v * h[t])"),
    "div": _loss("sum(h[t] / (2 + v * v))"),
    "pow": _loss("sum((2 + h[t]) ** v)"),
    "neg": _loss("sum(-sin(h[t]) * v)"),
    "maximum": _loss("sum(maximum(h[t], v * x[t]))"),
    "minimum": _loss("sum(minimum(h[t], v * x[t]))"),
    "greater": _loss("sum(where(h[t] > x[t], v * h[t], sin(h[t])))"),
    "greater_equal": _loss("sum(where(h[t] >= x[t], v * h[t], sin(h[t])))"),
    "where": _loss("sum(where(h[t] > x[t], v * h[t], sin(h[t])))"),
    "tanh": _loss("sum(h[t])"),
    "sigmoid": _loss("sum(sigmoid(v * h[t]))"),
    "relu": _loss("sum(relu(v * h[t]))"),
    "softplus": _loss("sum(softplus(v * h[t]))"),
    "exp": _loss("sum(exp(v * h[t]))"),
    "log": _loss("sum(log(2 + v * v * h[t]))"),
    "sqrt": _loss("sum(sqrt(2 + v * v * h[t]))"),
    "sin": _loss("sum(sin(v * h[t]))"),
    "cos": _loss("sum(cos(v * h[t]))"),
    "abs": _loss("sum(abs(v * h[t]))"),
    "sign": _loss("sum(abs(v * h[t]) + sign(h[t]) * v)"),
    "floor": _loss("sum(floor(3 * h[t]) * v)"),
    "round": _loss("sum(round(3 * h[t]) * v)"),
    "expm1": _loss("sum(expm1(v * h[t]))"),
    "erf": _loss("sum(erf(v * h[t]))"),
    "with_derivative": _loss("sum(with_derivative(h[t] > 0, tanh(v * h[t])) * v)"),
    "max": _loss("max(v * h[t]) ** 2"),
    "cumsum": _loss("dot(cumsum(h[t] * v), h[t])"),
    "lower_part": _loss("dot(lower_part(A) @ h[t], v)"),
    "logsumexp": _loss("logsumexp(v * h[t]) ** 2"),
    "stop_gradient": _loss("sum(stop_gradient(h[t]) * h[t] * v)"),
    "softmax": _loss("dot(softmax(h[t]), v)"),
    "log_softmax": _loss("dot(log_softmax(h[t]), v)"),
    "layer_norm": _loss("dot(layer_norm(h[t]), v)"),
    "sum": _loss("sum(h[t]) ** 2 + sum(v)"),
    "mean": _loss("mean(h[t]) ** 2 + mean(v)"),
    "dot": _loss("dot(h[t], v)"),
    "fill": _loss("sum(h[t]) ** 2"),
    "matvec": "h[t] = tanh(W @ h[t-1] + x[t])\nL[t] = sum(h[t] ** 2)",
    "matmul": STATE + "L[t] = sum((A @ B) @ h[t])\nA: (n_h, n_h)\nB: (n_h, n_h)",
    "outer": STATE + "L[t] = dot(v, sin(outer(h[t], v)) @ x[t])",
    "transpose": "h[t] = tanh(W.T @ h[t-1] + x[t])\nL[t] = sum(h[t] ** 2)",
    "lookup": "h[t] = tanh(w * h[t-1] + U[:, k[t]])\nL[t] = sum(h[t] ** 2)",
    "scatter": "h[t] = tanh(w * h[t-1] + U[:, k[t]])\nL[t] = sum(h[t] ** 2)",
    "one_hot": _loss("nll(softmax(h[t]), k[t])"),
    "nll": STATE + "p[t] = sigmoid(h[t])\nL[t] = nll(p[t], k[t])",
    "nll_logits": _loss("nll(softmax(h[t]), k[t])"),
    "nll_soft": _loss("nll(sigmoid(h[t]), sigmoid(v))"),
    "nll_soft_logits": _loss("nll(softmax(h[t]), softmax(v))"),
    "bce": STATE + "p[t] = exp(h[t] - 3)\nL[t] = bce(p[t], sigmoid(v))",
    "bce_logits": _loss("bce(sigmoid(h[t]), sigmoid(v))"),
    "mse": _loss("mse(h[t], sin(v))"),
    "named": _loss("sum(h[t] * v)"),
    "total": _loss("sum(h[t] * sin(v) * w)"),
    "total_outer": "h[t] = tanh(W @ h[t-1] + x[t])\nL[t] = sum(h[t] ** 2)",
    "total_scatter": "h[t] = tanh(w * h[t-1] + U[:, k[t]])\nL[t] = sum(h[t] ** 2)",
}  # fmt: skip


def op_cell(op: str) -> Cell:
    """The cell that exercises an operation's backward rule."""
    if op == "spread":
        return _with_node("p[t] = v * x[t]\nL[t] = sum(sin(p[t]))", _spread)
    if op in ("fill", "scatter", "one_hot"):
        return _with_node(OP_CELLS[op], lambda graph: graph)
    return Cell(OP_CELLS[op])


def _with_node(text: str, change) -> Cell:
    cell = Cell(text)
    cell.graph = change(cell.graph)
    return cell


def _spread(graph: Graph) -> Graph:
    """p[t] = spread(sin(v)) * x[t]."""
    old = graph.definitions["p"]
    v, x = old.inputs[0].inputs
    new = Node("named", (apply("spread", apply("sin", v)) * x,), old.shape, "p")
    loss = graph.definitions["L"]
    total = apply("sum", apply("sin", new), data=1)
    definitions = {"p": new, "L": Node("named", (total,), loss.shape, "L")}
    return replace(graph, definitions=definitions)
