"""The canonical text: golden for the library, and precedence piece by piece."""

import pytest

from bptt import Cell, cells

KEPT = [
    "x[t] - (b - c)", "x[t] - b - c", "x[t] / (b / c)", "x[t] * (b / c)",
    "(x[t] * b) / c",
    "-x[t] ** 2.0", "(-x[t]) ** 2.0", "x[t] ** b ** c", "(x[t] ** b) ** c", "-(-x[t])",
    "x[t] ** (-1.5)", "2.0 ** (-x[t])", "(-2.0) ** x[t]", "x[t] - -1.0", "-(x[t] + b)",
    "-x[t] * b", "-(x[t] * b)", "b * -x[t]", "W @ (W @ x[t])", "W @ W @ x[t]",
    "W.T @ x[t]", "(W - W.T) @ x[t]", "(W @ W).T @ x[t]", "W @ x[t] * b",
    "W @ (x[t] * b)",
    "(x[t] > b) * c", "where(x[t] > b, x[t], c)", "(x[t] > b) > c", "W[:, k[t]] + x[t]",
    "(W + W.T)[:, k[t]] + x[t]", "layer_norm(x[t], eps=0.001)", "1e-09 * x[t]",
    "1e+300 * x[t]", "maximum(x[t], b) + minimum(b, c)", "x[t-1] * x[t]",
    "stop_gradient(x[t])", "sum(x[t]) * x[t]", "outer(x[t], b) @ c",
]  # fmt: skip


@pytest.mark.parametrize("right", KEPT)
def test_brackets_are_kept_exactly_where_they_matter(right):
    text = Cell(f"x: n_h\nh[t] = {right}").canonical_text
    printed = text.splitlines()[-1].removeprefix("h[t] = ")
    assert Cell(text).canonical_text == text
    bare = right.replace("(x[t] * b) / c", "x[t] * b / c")
    bare = bare.replace("-(-x[t])", "--x[t]").replace("(W @ W).T @", "(W @ W).T @")
    assert printed == bare


def test_an_operation_between_swapped_sides_prints_as_it_means():
    text = Cell("h[t] = where(x[t] < b, x[t], b)").canonical_text
    assert text.endswith("h[t] = where(b > x[t], x[t], b)\n")


@pytest.mark.parametrize("name", cells.names())
def test_every_library_cell_prints_and_parses_back(name):
    cell = cells.get(name)
    again = Cell(cell.canonical_text)
    assert again.canonical_text == cell.canonical_text
    assert again.parameters == cell.parameters
    assert again.inputs == cell.inputs
    assert again.nodes == cell.nodes
    assert again.graph.parameters == cell.graph.parameters


def test_the_book_in_canonical_form():
    assert cells.book.canonical_text == (
        "b: n_h\nW: (n_h, n_h)\nU: (n_h, n_x)\nc: n_o\nV: (n_o, n_h)\nx: n_x\nh: n_h\n"
        "a[t] = b + W @ h[t-1] + U @ x[t]\nh[t] = tanh(a[t])\no[t] = c + V @ h[t]\n"
        "y_hat[t] = softmax(o[t])\nL[t] = nll(y_hat[t], y[t])\n"
    )


def test_initial_values_are_printed():
    text = Cell(
        "b: n_h = -1\nW: (n_h, n_h) = orthogonal\nU: (n_h, n_x) = normal(0.1)\n"
        "V: (n_h, n_x) = uniform(-0.5, 0.25)\nh[t] = b + W @ h[t-1] + (U + V) @ x[t]"
    ).canonical_text
    assert text.splitlines()[:4] == [
        "b: n_h = -1.0",
        "W: (n_h, n_h) = orthogonal",
        "U: (n_h, n_x) = normal(0.1)",
        "V: (n_h, n_x) = uniform(-0.5, 0.25)",
    ]
    assert Cell(text).canonical_text == text
