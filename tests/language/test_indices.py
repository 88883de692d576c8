"""Indices in a cell's text: what they mean, how they print, and what is refused."""

import numpy as np
import pytest

from bptt import Cell, check_equation, errors

HEADS = "j = 1, ..., n_head\n"


def refused(text, kind=errors.IndexUseError):
    with pytest.raises(kind) as caught:
        Cell(text)
    return str(caught.value)


def test_an_index_adds_its_dimension_in_front():
    cell = Cell(HEADS + "b: n_head\nh[t, j] = tanh(W[j] @ h[t-1, j] + u[j] * b[j])\n"
                "o[t] = sum(j, V @ h[t, j]) + U @ x[t]")  # fmt: skip
    assert cell.parameters == {
        "W": ("n_head", "n_h", "n_h"), "u": ("n_head", "n_h"), "b": ("n_head",),
        "V": ("n_o", "n_h"), "U": ("n_o", "n_x"),
    }  # fmt: skip
    assert cell.nodes == {"h": ("n_head", "n_h"), "o": ("n_o",)}


def test_a_name_read_whole_and_by_element_is_a_vector():
    cell = Cell("d = 1, ..., n_x\ny[t, d] = a[d] * x[t, d] + dot(c, x[t])\na: n_x")
    assert cell.inputs == {"x": ("n_x",)}
    assert cell.nodes == {"y": ("n_x",)}


def test_two_indices_of_one_range_have_one_dimension():
    cell = Cell("i, j = 1, ..., n_z\nA: (n_z, n_z)\np: n_z\nx: n_z\n"
                "p[t, j] = sum(i, A[i, j] * p[t-1, i]) + x[t, j]")  # fmt: skip
    assert cell.parameters == {"A": ("n_z", "n_z")}
    assert cell.inputs == {"x": ("n_z",)}


def test_dimensions_and_indices_are_numbers():
    cell = Cell("i = 1, ..., 3\nh[t, i] = i * x[t, i] / n_x + sqrt(n_x)\nx: (3)")
    params = cell.init()
    run = cell.forward(params, {"x": np.ones((1, 3))})
    np.testing.assert_allclose(run["h"][0], np.array([1, 2, 3]) / 3 + 3**0.5)


def test_places_outside_are_zero_and_wrap_goes_around():
    cell = Cell("i = 1, ..., 4\nx: 4\na[t, i] = x[t, i-1]\nb[t, i] = x[t, wrap(i-1)]\n"
                "c[t, i] = x[t, 2] + x[t, 5-i]")  # fmt: skip
    x = np.array([[1.0, 2, 3, 4]])
    for executor in ("reference", "llvm"):
        run = cell.forward({}, {"x": x}, executor=executor)
        assert run["a"][0].tolist() == [0, 1, 2, 3]
        assert run["b"][0].tolist() == [4, 1, 2, 3]
        assert run["c"][0].tolist() == [6, 5, 4, 3]


def test_a_diagonal_and_what_runs_along_an_index():
    cell = Cell(
        "i, j = 1, ..., 3\nA: (3, 3)\nx: 3\nd[t, i] = A[i, i] * x[t, i]\n"
        "m[t] = max(i, x[t, i]) + logsumexp(i, x[t, i]) + mean(i, x[t, i])\n"
        "n: ()\nn[t] = min(i, 2 * x[t, i]) + 10 * argmin(i, x[t, i])\n"
        "k[t] = argmax(i, -x[t, i])\n"
        "s[t, i] = softmax(i, x[t, i])\nc[t, i] = cumsum(i, x[t, i])"
    )
    A, x = np.arange(9.0).reshape(3, 3), np.array([[0.5, -1.0, 2.0]])
    for executor in ("reference", "llvm"):
        run = cell.forward({"A": A}, {"x": x}, executor=executor)
        np.testing.assert_allclose(run["d"][0], np.diag(A) * x[0])
        lse = np.log(np.exp(x[0]).sum())
        np.testing.assert_allclose(run["m"][0], 2 + lse + 0.5)
        np.testing.assert_allclose(run["n"][0], -2 + 10 * 1)
        assert run["k"][0] == 1
        np.testing.assert_allclose(run["s"][0], np.exp(x[0] - lse))
        np.testing.assert_allclose(run["c"][0], np.cumsum(x[0]))


@pytest.mark.parametrize("body", [
    "h[t, j] = sum(i, A[i, j] * h[t-1, wrap(i+1)]) + x[t, j]",
    "h[t, j] = max(i, A[i, j] + h[t-1, i]) + where(j > 2, x[t, j], x[t, 3-j])",
    "h[t, j] = A[j, j] + min(i, A[i, j] - h[t-1, i]) * argmin(i, x[t, i])",
    "h[t, j] = softmax(j, A[j, j] * h[t-1, j]) + A[1, j] * x[t, j] / n_z",
    "g[t] = eye(n_z) @ diag(x[t]) @ A @ h[t-1]; h[t, j] = g[t, j]",
])  # fmt: skip
def test_every_form_prints_to_what_reads_back_to_it(body):
    text = f"i, j = 1, ..., n_z\nA: (n_z, n_z)\nh: n_z\nx: n_z\n{body}"
    printed = Cell(text).canonical_text
    assert Cell(printed).canonical_text == printed
    assert printed.startswith("i = 1, ..., n_z\nj = 1, ..., n_z\n")


def test_every_gradient_of_a_cell_with_indices_is_checked():
    cell = Cell(
        "i, j = 1, ..., 3; k = -1, ..., 1\nA: (3, 3)\n"
        "h[t, i] = tanh(sum(k, W[k] @ h[t-1, i+k]) + sum(j, A[i, j] * x[t, j]))\n"
        "x: (3, n_x)\nL[t] = sum(i, dot(h[t, i], h[t, wrap(i+1)]))"
    )
    ledger = cell.check(instances=1)
    assert ledger.passed, str(ledger)


# ----- what is refused -----


def test_an_index_on_the_right_alone_is_refused():
    message = refused(HEADS + "o[t] = W_o @ h[t, j]")
    assert "j is on the right only: o[t] is not one for every j" in message
    assert "o[t, j] = ..., or sum(j, ...)" in message
    message = refused("i, j = 1, ..., 3\nC[t, j] = C[t-1, j] + outer(v[t, j], k[t, i])")
    assert "i is on the right only" in message


def test_two_indices_without_a_declaration_are_refused():
    message = refused("i, j = 1, ..., 3\ne[t, j] = sum(i, dot(v[t, i], A[i, j]))")
    assert "A is read with 2 indices, and nothing says what is left" in message
    assert "declare `A: (n_i, n_j)`" in message


def test_what_is_no_place_is_refused():
    assert "`l` is not a place" in refused(HEADS + "h[t, j] = x[t, l]")
    assert "`2 * j` is not a place" in refused(HEADS + "h[t, j] = x[t, 2 * j]")
    assert "is a number, and has no places" in refused(
        HEADS + "a: n_head\nh[t, j] = a[j] * 2\ng[t, j] = h[t, j, j]"
    )
    assert "on the left is not an index" in refused(HEADS + "h[t, x] = x[t]")
    assert "one index stands twice" in refused(HEADS + "h[t, j, j] = x[t]")


def test_what_runs_along_an_index_needs_it():
    assert "has no index j to run along" in refused(HEADS + "h[t] = sum(j, x[t])")
    message = refused(HEADS + "h[t] = max(j, x[t, j])")
    assert "max(j, ...) takes one number for every j" in message


def test_a_look_up_by_an_input_takes_a_matrix_and_one_index():
    message = refused(HEADS + "h[t, j] = B[j, y[t], j]")
    assert "an integer input picks a place of a matrix" in message


def test_an_index_of_another_dimension_is_refused():
    text = "i = 1, ..., 3; j = 1, ..., 4\na: 3\nh[t, i] = a[i] * x[t]\n"
    message = refused(text + "g[t, j] = a[j] * x[t]", errors.DimensionClashError)
    assert "counts another dimension" in message


@pytest.mark.parametrize(("line", "words"), [
    ("j = 1, ..., n, m", "written with its first and its last number"),
    ("j = 2, ..., n_head", "an index up to n_head begins at 1"),
    ("j = 3, ..., 1", "from a whole number to a larger one"),
])  # fmt: skip
def test_an_index_that_is_declared_otherwise_is_refused(line, words):
    message = refused(f"{line}\nh[t] = x[t]", errors.IndexDeclarationError)
    assert words in message


def test_an_index_is_declared_once_and_not_as_t():
    refused(
        "j = 1, ..., 3\nj = 1, ..., 4\nh[t] = x[t]", errors.DuplicateDefinitionError
    )
    refused("t = 1, ..., 3\nh[t] = x[t]", errors.ReservedNameError)


def test_eye_and_diag_say_what_they_take():
    assert "n_q is not a dimension" in refused(HEADS + "h[t, j] = eye(n_q) @ x[t, j]")
    assert "diag takes a vector" in refused(HEADS + "h[t, j] = diag(W[j]) @ x[t, j]")


def test_an_explanation_shows_the_gradient_at_every_index():
    cell = Cell(HEADS + "h[t, j] = tanh(w[j] * h[t-1, j] + U[j] @ x[t])")
    explanation = cell.explain()
    assert "grad_h[t, j] = incoming_h[t, j] + grad_h[t+1, j]" in explanation.text()
    assert explanation.passed
    assert "grad_U[j] is the sum over all steps" in explanation.text()
    assert r"\nabla_{U_{j}} L &= \sum_{t=1}^{\tau}" in explanation.markdown()
    right = (
        "grad_h[t, j] = incoming_h[t, j] + grad_h[t+1, j] * (1 - h[t+1, j]**2) * w[j]"
    )
    assert check_equation(right, cell).passed
    assert not check_equation("grad_h[t, j] = grad_h[t+1, j]", cell).passed
