"""Cells that read more than x and y: arrays that bear the names of their inputs."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bptt import Cell
from bptt.cli.app import app
from bptt.train import (
    DataRequest,
    TrainingOptions,
    load,
    measure_run,
    open_data,
    read_sequences,
    reads_of,
    train,
)
from bptt.train.data.opening import make_task
from bptt.train.data.sequence_task import sequence_task
from bptt.train.errors import (
    BadRecordError,
    CellNotTrainableError,
    ExportError,
    ForecastError,
    IgnoredOptionError,
    PredictInputError,
    TrainError,
)
from bptt.train.model import build_model
from bptt.train.predicting import read_like

pytest.importorskip("torch")
pytest.importorskip("safetensors")
CATALOGUE = Path(__file__).parents[2] / "examples" / "catalogue"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "other-inputs.md"
QUIET = Console(quiet=True)
# Source vectors of which n count in a row, a gap of time, a class fed back, two sizes
# that only the data knows.
DECODER = """
    j = 1, ..., n_src
    m: (n_src, n_m) = input; n: () = input
    delta: (); q: n_q
    e[t, j] = dot(v, tanh(W_e @ s[t-1] + U_e @ m[j]))
    alpha[t, j] = softmax(j, where(j > n, -1000, e[t, j]))
    c[t] = sum(j, alpha[t, j] * m[j])
    s[t] = tanh(b + W @ (exp(-delta[t]) * s[t-1]) + U[:, x[t]] + C @ c[t] + E[:, k[t]] + Q @ q[t])
"""  # noqa: E501
N, TAU, N_SRC, N_M, N_X, N_K, N_O, N_Q = 9, 5, 4, 3, 6, 7, 2, 8
LENGTHS = np.array([5, 2, 4, 5, 3, 1, 5, 4, 2])


def arrays():
    rng = np.random.default_rng(3)
    found = {
        "x": rng.integers(0, N_X, (N, TAU)), "y": rng.integers(0, N_O, (N, TAU)),
        "k": rng.integers(0, N_K, (N, TAU)), "lengths": LENGTHS,
        "m": rng.normal(size=(N, N_SRC, N_M)), "n": rng.integers(1, N_SRC + 1, N),
        "delta": rng.uniform(0.1, 2, (N, TAU)), "q": rng.normal(size=(N, TAU, N_Q)),
    }  # fmt: skip
    found["x"][0, 0], found["k"][0, 0], found["y"][0, 0] = N_X - 1, N_K - 1, N_O - 1
    return found


def write(folder, text=DECODER, **given):
    cell, data = folder / "mine.cell", folder / "data.npz"
    cell.write_text(text)
    np.savez(data, **(given or arrays()))
    return str(cell), data


def read(cell, data):
    return open_data(DataRequest((data,), reads=reads_of(cell)))


def options(cell, **more):
    plain = {"n_h": 5, "n_b": 4, "epochs": 1, "held_out": 0.3, "seed": 2}
    return TrainingOptions(cell=cell, **{**plain, **more})


def test_every_array_reaches_the_cell_at_its_place(tmp_path):
    cell, path = write(tmp_path)
    given, data = arrays(), read(cell, path)
    task = sequence_task(data, options(cell, held_out=0.5))
    batches = task.parts["validation"]
    rows = next(iter(batches.groups(0)))
    block = batches.read(rows, 1, 4)
    whole = data.parts["whole"]
    for column, row in enumerate(rows):
        (source,) = [
            i for i in range(N) if np.array_equal(whole.others["m"][i],
                                                  batches.sequences.others["m"][row])
        ]  # fmt: skip
        ends = np.minimum([1, 2, 3], LENGTHS[source] - 1)
        for name in ("k", "delta", "q"):
            expected = given[name][source][ends]
            np.testing.assert_allclose(block.others[name][:, column], expected, 1e-6)
        for name in ("m", "n"):
            np.testing.assert_allclose(
                block.others[name][column], given[name][source], 1e-6
            )
    assert block.others["m"].dtype == np.float32


def test_a_step_of_learning_is_that_of_the_explicit_gradient(tmp_path):
    cell, path = write(tmp_path)
    data, given = read(cell, path), arrays()
    once = options(
        cell, optimiser="sgd", learning_rate=0.5, schedule="constant", n_b=N,
        clip=np.inf, held_out=0.3, validations=1,
    )  # fmt: skip
    task = make_task(data, once)
    model = build_model(once, task.form)
    before = model.init(task.form, once)
    batch = task.parts["training"].sequences
    chosen = [
        next(i for i in range(N) if np.array_equal(one, np.float32(given["m"][i])))
        for one in batch.others["m"]
    ]
    inputs = {
        name: given[name][chosen] if name in ("m", "n")
        else np.moveaxis(given[name][chosen], 0, 1)
        for name in ("x", "y", "k", "m", "n", "delta", "q")
    }  # fmt: skip
    lengths = LENGTHS[chosen]
    gradient = model.cell.gradient(
        before, inputs, lengths=lengths, weights=np.full((TAU,), 1 / lengths.sum())
    )
    report = train(data, once, tmp_path / "run", QUIET)
    after = load(tmp_path / "run", "last").parameters
    for name, value in before.items():
        expected = value - 0.5 * gradient[name]
        np.testing.assert_allclose(after[name], expected, 1e-4, 1e-6, err_msg=name)
    assert np.isfinite(report.validation)


def test_commands_train_measure_predict_and_go_on(tmp_path, run_cli):
    cell, path = write(tmp_path)
    run = tmp_path / "run"
    common = ("--n-h", "5", "--n-b", "4", "--held-out", "0.3", "--out", str(run))
    run_cli("train", str(path), "--cell", cell, *common)
    assert run_cli("eval", str(run), str(path))
    table = tmp_path / "p.csv"
    run_cli("predict", str(run), str(path), "--out", str(table))
    with table.open() as stream:
        heads, *rows = csv.reader(stream)
    assert heads == ["sequence", "step", "y0", "y1"]
    assert len(rows) == LENGTHS.sum()
    model, given = load(run), arrays()
    named = {n: np.moveaxis(given[n], 0, 1) for n in ("x", "k", "delta", "q")}
    named |= {n: given[n] for n in ("m", "n")}
    p = model.predict(named, lengths=LENGTHS)
    first = np.array([float(v) for v in rows[0][2:]])
    np.testing.assert_allclose(p[0, 0], first, rtol=1e-5)
    # A source word beyond the row's own number changes nothing.
    n = given["n"].copy()
    row = int(np.flatnonzero(n < N_SRC)[0])
    changed = {**named, "m": given["m"].copy()}
    changed["m"][row, n[row] :] += 100
    np.testing.assert_allclose(model.predict(changed, lengths=LENGTHS), p, rtol=1e-6)
    run_cli("train", "--resume", str(run), "--epochs", "2")
    assert json.loads((run / "summary.json").read_text())["options"]["epochs"] == 2
    with pytest.raises(PredictInputError, match="x alone: this model reads x"):
        model.predict(named["x"])
    with pytest.raises(ForecastError):
        model.forecast(named["x"], 3)
    with pytest.raises(ExportError, match="it reads m, one value per sequence"):
        model.export("onnx")


@pytest.fixture
def run_cli():
    from typer.testing import CliRunner

    def run(*arguments):
        found = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.output

    return run


MISTAKES = {
    "has no array delta; the cell reads": lambda a: a.pop("delta"),
    "has an array 'mm', which means nothing here": lambda a: a.update(mm=a["m"]),
    "has m of shape": lambda a: a.update(m=a["m"][:, 0]),
    "has n of shape": lambda a: a.update(n=np.ones((N, TAU))),
    "k holds float64, no whole numbers": lambda a: a.update(k=a["k"] + 0.5),
    "k holds -1, step ": lambda a: a.update(k=a["k"] - 1),
    "k holds 2147483648, step 1; 2^31 - 1 is the most": (
        lambda a: a.update(k=a["k"] * 0 + 2**31)
    ),
    "m holds 1e+300; float32 holds 3.4e+38 at most": (
        lambda a: a.update(m=a["m"] * 0.0 + 1e300)
    ),
    "q is nan": lambda a: a.update(q=a["q"] * np.nan),
    "m holds <U1, no numbers": lambda a: a.update(m=np.full(a["m"].shape, "a")),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_file_that_does_not_fit_the_cell_is_refused(said, tmp_path):
    given = arrays()
    MISTAKES[said](given)
    cell, path = write(tmp_path, **given)
    with pytest.raises(TrainError, match=re.escape(said)):
        read(cell, path)


def test_source_matrices_of_several_sizes_are_told_what_to_do(tmp_path):
    cell, _ = write(tmp_path)
    folder, given = tmp_path / "files", arrays()
    folder.mkdir()
    for i, n in enumerate((3, 4)):
        one = {k: v[i] for k, v in given.items() if k != "lengths"}
        np.savez(folder / f"{i}.npz", **{**one, "m": given["m"][i, :n]})
    with pytest.raises(BadRecordError, match=r"m is \(4, 3\), but \(3, 3\).*zeros"):
        read(cell, folder)


def test_sizes_that_cannot_be_one_are_refused(tmp_path):
    text = "h[t] = tanh(W @ h[t-1] + U @ (x[t] * g[t]))"
    cell, path = write(tmp_path, text, x=np.ones((N, TAU, 3)), g=np.ones((N, TAU, 4)))
    said = "x and g share the size n_x|g and x share the size"
    with pytest.raises(CellNotTrainableError, match=said):
        train(read(cell, path), options(cell), tmp_path / "run", QUIET)
    fixed = "m: (6, n_m) = input\nh[t] = tanh(W @ h[t-1] + U @ x[t] + R @ m[2])"
    given = {"x": np.ones((N, TAU, 3)), "m": np.ones((N, 5, 2))}
    cell, path = write(tmp_path, f"l = 1, ..., 6\n{fixed}", **given)
    with pytest.raises(CellNotTrainableError, match="m has a dimension of 6"):
        train(read(cell, path), options(cell), tmp_path / "run", QUIET)


def test_data_without_the_arrays_is_refused_in_words(tmp_path):
    cell, _ = write(tmp_path)
    given = {"x": arrays()["x"], "y": arrays()["y"]}
    plain = tmp_path / "plain.npz"
    np.savez(plain, **given)
    said = r"it reads m, one \(n_src, n_m\) per sequence, which the data lacks"
    with pytest.raises(CellNotTrainableError, match=said):
        train(read_sequences("plain", [plain]), options(cell), tmp_path / "r", QUIET)
    lru = str(CATALOGUE / "lru.cell")
    with pytest.raises(
        CellNotTrainableError, match=r"the data holds tokens x, and the"
    ):
        train(read_sequences("plain", [plain]), options(lru), tmp_path / "r", QUIET)
    hmm = str(CATALOGUE / "hmm.cell")
    with pytest.raises(CellNotTrainableError, match="has no loss of its own"):
        train(read_sequences("plain", [plain]), options(hmm), tmp_path / "r", QUIET)


LAST = "o: n_o\nh[t] = tanh(b + W @ h[t-1] + U @ x[t])\no = c + V @ h[tau]\n"


def test_one_output_at_the_end_is_scored_once_for_a_row(tmp_path):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(N, TAU, 3)), rng.integers(0, 4, N)
    text = f"{LAST}L = nll(softmax(o), y)"
    cell, path = write(tmp_path, text, x=x, y=y, lengths=LENGTHS)
    report = train(read(cell, path), options(cell), tmp_path / "run", QUIET)
    assert report.unit.item == "sequence"
    model = load(tmp_path / "run")
    lengths = {"lengths": LENGTHS}
    p = model.predict(np.moveaxis(x, 0, 1), **lengths)
    assert p.shape == (N, y.max() + 1)
    found = measure_run(
        tmp_path / "run",
        open_data(read_like(tmp_path / "run", DataRequest((path,)))),
    )
    assert found.loss == pytest.approx(-np.log(p[np.arange(N), y]).mean(), rel=1e-5)
    assert found.accuracy == pytest.approx((p.argmax(axis=1) == y).mean())
    with pytest.raises(CellNotTrainableError, match="comes after the last step"):
        train(read(cell, path), options(cell, tau=2), tmp_path / "cut", QUIET)
    per_step = tmp_path / "steps.npz"
    np.savez(per_step, x=x, y=rng.integers(0, 4, (N, TAU)))
    with pytest.raises(CellNotTrainableError, match="one target y for a whole"):
        train(read(cell, per_step), options(cell), tmp_path / "two", QUIET)


def test_a_target_that_comes_back_is_asked_for(tmp_path):
    rng = np.random.default_rng(5)
    y = np.eye(3)[rng.integers(0, 3, (N, TAU))]
    cell = str(CATALOGUE / "vector_to_sequence.cell")
    path = tmp_path / "data.npz"
    np.savez(path, x=rng.normal(size=(N, 4)), y=y)
    train(read(cell, path), options(cell), tmp_path / "run", QUIET)
    with pytest.raises(IgnoredOptionError, match="--standardise"):
        make_task(read(cell, path), options(cell, standardise=True))
    classes = tmp_path / "classes.npz"
    np.savez(classes, x=rng.normal(size=(N, 4)), y=y.argmax(axis=-1))
    with pytest.raises(BadRecordError, match=r"y = np.eye\(3, dtype=bool\)"):
        read(cell, classes)
    forced = str(CATALOGUE / "conditional.cell")
    np.savez(classes, x=rng.normal(size=(N, TAU, 4)), y=y.argmax(axis=-1))
    with pytest.raises(CellNotTrainableError, match=r"y = np.eye\(3, dtype=bool\)"):
        train(read(forced, classes), options(forced), tmp_path / "other", QUIET)


def tiny(cell):
    """A file for a cell of the catalogue, as its page says; sizes differ."""
    rng, reads, graph = np.random.default_rng(0), reads_of(cell), cell.graph
    sizes, found = {}, {"lengths": rng.integers(2, TAU + 1, N)}

    def size(dim):
        return sizes.setdefault(dim, 3 + len(sizes)) if isinstance(dim, str) else dim

    if reads.has_x:
        found["x"] = rng.normal(size=(N, TAU, size(graph.inputs["x"].shape[0])))
    for name, one in reads.others.items():
        lead = (N, TAU) if one.per_step else (N,)
        shape = tuple(map(size, one.shape))
        found[name] = rng.uniform(0.5, 2, (*lead, *shape))
        if one.index is not None:
            found[name] = rng.integers(0, size(one.index), lead)
    if reads.has_y:
        spec = graph.inputs.get("y")
        lead = (N,) if "y" in graph.times.row_inputs else (N, TAU)
        n = size("n_o" if spec is None else spec.index or spec.shape[0])
        found["y"] = rng.integers(0, n, lead)
        if spec is not None and spec.index is None:
            found["y"] = np.eye(n, dtype=bool)[found["y"]]
    return found, set(cell.dims) - set(sizes)


def files():
    return sorted(CATALOGUE.glob("*.cell"))


OTHERS = [
    one.stem for one in files() if reads_of(one).words != "x, y" and one.stem != "hmm"
]


@pytest.mark.parametrize("name", [*OTHERS, "crf"])
@pytest.mark.filterwarnings("ignore::bptt.execute.dispatch.FallbackWarning")
def test_a_cell_of_the_catalogue_learns_from_such_a_file(name, tmp_path):
    report, _ = train_on_its_file(name, tmp_path)
    assert np.isfinite(report.validation)
    last = load(tmp_path / "run", "last").parameters
    first = load(tmp_path / "run").model.init(
        load(tmp_path / "run").form, load(tmp_path / "run").run.options
    )
    assert any((last[one] != first[one]).any() for one in first)


def train_on_its_file(name, folder):
    path = str(CATALOGUE / f"{name}.cell")
    given, free = tiny(Cell.load(path))
    np.savez(folder / "data.npz", **given)
    sizes = {"n_h": 5} if free else {}
    chosen = TrainingOptions(cell=path, n_b=4, held_out=0.3, **sizes)
    data = read(path, folder / "data.npz")
    return train(data, chosen, folder / "run", QUIET), given


def trained_on_its_file(name, folder):
    _, given = train_on_its_file(name, folder)
    named = {n: np.moveaxis(a, 0, 1) for n, a in given.items() if a.ndim > 1}
    return load(folder / "run"), named


def test_targets_that_are_probabilities_leave_predictions_that_are(tmp_path):
    model, named = trained_on_its_file("teacher_forcing", tmp_path)
    run = model.cell.forward(model.parameters, named)
    e = np.exp(run["o"])
    expected = e / e.sum(-1, keepdims=True)
    np.testing.assert_allclose(model.predict(named), expected, rtol=1e-5)
    with pytest.raises(CellNotTrainableError, match=r"made of x, y\. Only of x alone"):
        model.torch_module()


def test_a_function_of_x_leaves_out_what_the_loss_alone_reads(tmp_path):
    model, named = trained_on_its_file("information_flow", tmp_path)
    assert list(model.network.inputs) == ["x"]
    assert "alpha" not in model.network.parameters
    import torch

    o = model.torch_module()(torch.tensor(np.float32(named["x"])))
    np.testing.assert_allclose(o.detach(), model.scores(named), rtol=1e-5, atol=1e-6)
    found = model.jax_function()(model.parameters, np.float32(named["x"]))
    np.testing.assert_allclose(found, model.scores(named), rtol=1e-5, atol=1e-6)


def test_the_page_says_what_every_cell_of_the_catalogue_reads():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    expected = [(name, reads_of(CATALOGUE / f"{name}.cell").words) for name in OTHERS]
    assert rows == expected
