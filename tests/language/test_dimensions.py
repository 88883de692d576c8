"""How dimensions get their names, and what a declaration changes."""

import inspect

import pytest

from bptt import Cell, cells, errors


def test_the_book_names_its_dimensions():
    cell = cells.book
    assert cell.dims == ("n_x", "n_o", "n_h")
    assert cell.parameters == {
        "b": ("n_h",), "W": ("n_h", "n_h"), "U": ("n_h", "n_x"),
        "c": ("n_o",), "V": ("n_o", "n_h"),
    }  # fmt: skip
    assert cell.inputs == {"x": ("n_x",), "y": ()}
    assert cell.graph.inputs["y"].index == "n_o"
    assert cell.nodes["y_hat"] == ("n_o",)


@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "elman"])
def test_a_layer_has_one_hidden_size(name):
    cell = cells.get(name)
    assert set(cell.dims) == {"n_h", "n_x"}
    assert set(cell.nodes.values()) == {("n_h",)}
    shapes = {"b": ("n_h",), "d": ("n_h",), "W": ("n_h", "n_h"), "U": ("n_h", "n_x")}
    assert cell.parameters == {p: shapes[p[0]] for p in cell.parameters}


def test_the_vector_defined_last_names_a_shared_dimension():
    cell = Cell("a[t] = W @ h[t-1] + U @ x[t]\nh[t] = tanh(a[t])\nz[t] = 2 * h[t]")
    assert cell.nodes == {"a": ("n_z",), "h": ("n_z",), "z": ("n_z",)}


def test_a_low_rank_product_has_a_dimension_of_its_own():
    cell = Cell("h[t] = tanh(P @ (Q.T @ h[t-1]) + U @ x[t])")
    assert cell.parameters == {
        "P": ("n_h", "n_P_columns"), "Q": ("n_h", "n_P_columns"), "U": ("n_h", "n_x"),
    }  # fmt: skip


def test_an_input_names_a_dimension_that_no_definition_has():
    assert Cell("L[t] = mse(U @ x[t], y[t])").parameters == {"U": ("n_y", "n_x")}


def test_an_integer_input_names_the_dimension_it_counts():
    cell = Cell("h[t] = tanh(W @ h[t-1] + U[:, x[t]])")
    assert cell.parameters["U"] == ("n_h", "n_x")
    assert cell.inputs == {"x": ()}
    assert cell.graph.inputs["x"].index == "n_x"


def test_a_class_counts_the_scores_it_chooses_from():
    cell = Cell("o[t] = V @ x[t]\nL[t] = nll(softmax(o[t]), y[t])")
    assert cell.graph.inputs["y"].index == "n_o"


def test_a_declared_target_is_a_vector_of_probabilities():
    text = "o[t] = V @ x[t]\nL[t] = nll(softmax(o[t]), y[t])"
    cell = Cell("y: n_o\n" + text)
    assert cell.inputs["y"] == ("n_o",)
    assert cell.graph.inputs["y"].index is None
    assert Cell("y: ()\n" + text).graph.inputs["y"].index == "n_o"


def test_a_declaration_decides_before_every_rule():
    cell = Cell("W: (units, units)\nh[t] = tanh(W @ h[t-1] + U @ x[t])")
    assert cell.dims == ("n_x", "units")
    assert cell.nodes["h"] == ("units",)


def test_a_declared_scalar_and_a_fixed_size():
    cell = Cell("alpha: ()\nU: (n_h, 3)\nh[t] = alpha * h[t-1] + U @ x[t]")
    assert cell.parameters == {"alpha": (), "U": ("n_h", 3)}
    assert cell.inputs == {"x": (3,)}
    assert cell.dims == ("n_h",)


def test_a_vector_called_b_does_not_take_the_name_of_the_batch():
    cell = Cell("b[t] = tanh(W @ b[t-1] + U @ x[t])")
    assert cell.nodes["b"] == ("dim_b",)
    assert cell.dims == ("n_x", "dim_b")


def test_two_dimensions_never_share_a_name():
    cell = Cell("v: n_W\nu: dim_W\nh[t] = sum(W) * x[t] + sum(u) + sum(v)")
    rows, columns = cell.parameters["W"]
    names = [rows, columns, "n_W", "dim_W", *cell.nodes["h"]]
    assert len(set(names)) == 5
    assert rows == "dim_2_W"


def test_a_declared_dimension_of_a_vector_is_that_vectors():
    cell = Cell("K: (n_h, n_k)\nh[t] = tanh(b + U @ x[t])\no[t] = K @ y[t]")
    assert cell.nodes["h"] == ("n_h",)
    assert cell.parameters["b"] == ("n_h",)
    assert cell.nodes["o"] == ("n_h",)


def test_capitals_are_matrices_also_as_states():
    cell = Cell("P[t] = 0.5 * P[t-1] + outer(x[t], y[t])")
    assert cell.inputs == {"x": ("n_x",), "y": ("n_y",)}
    assert cell.nodes["P"] == ("n_x", "n_y")


def test_a_bom_an_indentation_and_line_ends_are_no_part_of_a_cell():
    plain = Cell("a[t] = b + U @ x[t]\nh[t] = tanh(a[t])")
    for text in (
        "\ufeffa[t] = b + U @ x[t]\nh[t] = tanh(a[t])",
        "\n    a[t] = b + U @ x[t]  # affine\n\n    h[t] = tanh(a[t])\n  ",
        "a[t] = b + U @ x[t]\r\nh[t] = tanh(a[t])\r\n",
        "a[t] = b + U @ x[t]; h[t] = tanh(a[t])",
        "a[t] = (b\n    + U @ x[t])\nh[t] = tanh(\n  a[t]\n)",
    ):
        assert Cell(text).canonical_text == plain.canonical_text


def test_an_input_names_a_dimension_before_a_parameter_does():
    cell = Cell("L[t] = dot(w, x[t])")
    assert cell.dims == ("n_x",)
    assert cell.parameters == {"w": ("n_x",)}


def test_every_argument_of_init_is_refused_as_the_name_of_a_size():
    arguments = {
        name
        for function in (Cell.init, Cell.objective, Cell.lower)
        for name, given in inspect.signature(function).parameters.items()
        if given.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert arguments >= {"self", "seed", "dtype"}
    for name in sorted(arguments - {"tau", "n_b"}):  # those can name no dimension
        with pytest.raises(errors.ReservedNameError):
            Cell(f"h: ({name})\nh[t] = 0.5 * h[t-1] + x[t]")


@pytest.mark.parametrize(("text", "dims"), [
    ("n_x[t] = tanh(A @ x[t])\nh[t] = tanh(W @ h[t-1] + U @ n_x[t])",
     ("dim_x", "n_n_x", "n_h")),
    ("n_h[t] = 0.5 * n_h[t-1] + x[t]\nh[t] = tanh(W @ h[t-1] + U @ n_h[t])",
     ("n_n_h", "dim_h")),
    ("h: k\nk[t] = K @ x[t]\nh[t] = tanh(W @ h[t-1] + U @ k[t])", ("n_x", "n_k", "k")),
    ("n_h: ()\nh[t] = n_h * tanh(W @ h[t-1])", ("dim_h",)),
])  # fmt: skip
def test_a_name_that_a_dimension_would_have_stays_the_persons(text, dims):
    cell = Cell(text)
    assert sorted(cell.dims) == sorted(dims)
    assert Cell(cell.canonical_text).dims == cell.dims
    sizes = dict(zip(cell.dims, range(2, 6), strict=False))
    assert set(cell.init(**sizes)) == set(cell.parameters)


def test_a_read_out_of_a_vector_that_is_called_as_a_dimension():
    cell = Cell("n_o[t] = tanh(W @ n_o[t-1] + U @ x[t])").with_readout()
    assert cell.graph.loss == "L"
