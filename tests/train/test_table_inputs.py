"""Cells that read more than x and y, from tables: a column bears its input's name."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from bptt.cli.app import app
from bptt.train import DataRequest, TableRequest, load, open_data, reads_of
from bptt.train.errors import BadRecordError

pytest.importorskip("torch")
pytest.importorskip("pandas")
CELL = """
    s: () = input
    delta: (); m: n_x
    h[t] = tanh(b + exp(-delta[t]) * (W @ h[t-1]) + U @ (m[t] * x[t]) + s * E[:, k[t]])
"""
N, TAU = 6, 5


def table():
    """Columns by name; x is a and b, the sequence is id."""
    rng = np.random.default_rng(2)
    rows, reals = N * TAU, ("a", "b", "delta", "m_1", "m_2")
    found = {name: np.round(rng.uniform(0.1, 2, rows), 3) for name in reals}
    found["k"] = rng.integers(0, 4, rows)
    found["s"] = np.repeat(np.arange(N) / 4, TAU)
    found["id"] = np.repeat(np.arange(N), TAU)
    found["label"] = rng.integers(0, 3, rows)
    return found


@pytest.fixture
def write(tmp_path):
    def write(columns, text=CELL):
        cell, data = tmp_path / "mine.cell", tmp_path / "data.csv"
        cell.write_text(text)
        with data.open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(columns)
            rows.writerows(zip(*columns.values(), strict=True))
        return str(cell), data

    return write


def read(cell, data, **more):
    request = TableRequest(**{"group": "id", **more})
    return open_data(DataRequest((data,), table=request, reads=reads_of(cell)))


@pytest.mark.parametrize("target", ["label", None])
def test_a_column_is_the_input_of_its_name(write, target):
    given = table()
    data = read(*write(given), target=target)
    whole, n = data.parts["whole"], TAU if target else TAU - 1
    assert data.columns == ("a", "b") if target else ("a", "b", "label")
    assert data.form.shapes == {"delta": (), "m": (2,), "k": (), "s": ()}
    assert whole.rows == ("s",)
    for i in range(N):
        rows = slice(i * TAU, i * TAU + n)
        m = np.stack([given["m_1"][rows], given["m_2"][rows]], axis=1)
        expected = {"delta": given["delta"][rows], "m": m, "k": given["k"][rows]}
        for name, value in expected.items():
            np.testing.assert_allclose(whole.others[name][i], value, rtol=1e-6)
        assert whole.others["s"][i] == i / 4
    assert whole.others["k"][0].dtype.kind == "i"


def test_commands_train_measure_and_predict(write, tmp_path):
    cell, data = write(table())
    run = tmp_path / "run"

    def bptt(*arguments):
        found = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert found.exit_code == 0, found.output

    bptt(
        "train", str(data), "--cell", cell, "--group", "id", "--target", "label",
        "--n-h", "4", "--held-out", "0.3", "--out", str(run),
    )  # fmt: skip
    bptt("eval", str(run), str(data))
    bptt("predict", str(run), str(data), "--out", str(tmp_path / "p.csv"))
    with (tmp_path / "p.csv").open() as stream:
        found = np.array([row[-3:] for row in list(csv.reader(stream))[1:]], float)
    given, model = table(), load(run)

    def steps(*names):
        values = np.stack([given[n] for n in names], axis=1)
        return values.reshape(N, TAU, -1).swapaxes(0, 1)

    p = model.predict({
        "x": steps("a", "b"), "m": steps("m_1", "m_2"), "s": np.arange(N) / 4,
        "delta": steps("delta")[..., 0], "k": steps("k")[..., 0],
    })  # fmt: skip
    expected = p.swapaxes(0, 1).reshape(-1, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def without(name):
    return lambda given: given.pop(name)


MISTAKES = {
    "has no column delta; the cell reads x, y, delta": without("delta"),
    "has no column m_1, m_2, ...; the cell reads": without("m_1"),
    "has 's' change within a sequence; it is one number": (
        lambda given: given["s"].__setitem__(1, 7)
    ),
    "has 'k' with numbers that are not whole": (
        lambda given: given.update(k=given["k"] + 0.5)
    ),
    "delta holds 1e+39, step 2; float32 holds 3.4e+38 at most": (
        lambda given: given["delta"].__setitem__(1, 1e39)
    ),
    "k holds 1e+300, step 4; 2^31 - 1 is the most": (
        lambda given: given.update(k=[*given["k"][:3], "1e300", *given["k"][4:]])
    ),
    "k holds 99999999999999, step 4; 2^31 - 1 is the most": (
        lambda given: given["k"].__setitem__(3, 99999999999999)
    ),
    "k holds -1, step": lambda given: given["k"].__setitem__(3, -1),
    "has 'delta' missing, line 2": (
        lambda given: given.update(delta=["", *given["delta"][1:]])
    ),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_table_that_does_not_fit_the_cell_is_refused(said, write):
    given = table()
    MISTAKES[said](given)
    with pytest.raises(BadRecordError) as error:
        read(*write(given), target="label")
    assert said in str(error.value)


def test_a_gap_in_another_input_is_refused_with_a_mask_too(write):
    given = table()
    given["delta"] = ["", *given["delta"][1:]]
    with pytest.raises(BadRecordError, match="An input besides x may have no gap"):
        read(*write(given), target="label", missing="mask")


def test_a_matrix_is_no_column(write):
    text = "m: (2, n_x) = input\nh[t] = tanh(W @ h[t-1] + V @ (m @ x[t]))"
    assert not read(*write(table(), text)).form.shapes
