"""A trained model in Python, torch and JAX, and as ONNX and C: all say the same.

Float tolerance: values are below 4 and a step has less than 100 roundings of 6e-8 each,
so 1e-5 is beyond rounding and far below any mistake.
"""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from bptt.cli.app import app
from bptt.train import (
    DataRequest,
    TrainingOptions,
    load,
    open_data,
    read_text,
    train,
)
from bptt.train.data.form import Form
from bptt.train.errors import ExportError, OptionError, PredictInputError
from bptt.train.export.c_header import c_header
from bptt.train.export.onnx_model import onnx_model
from bptt.train.export.single_step import single_step
from bptt.train.model import build_model

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

TAU, N_B, N_X = 7, 2, 3
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two layers with every noise, binary targets."""
    folder = tmp_path_factory.mktemp("trained")
    random = np.random.default_rng(0)
    x = random.normal(size=(12, TAU, N_X)).astype(np.float32)
    np.savez(folder / "x.npz", x=x, y=random.random((12, TAU, 4)) < 0.4)
    noise = {"layers": 2, "dropout": 0.2, "zoneout": 0.1, "recurrent-dropout": 0.3}
    small = {"cell": "gru", "n-h": 5, "n-b": 4, "validations": 1, "held-out": 0.3}
    options = [f"--{name}={value}" for name, value in (noise | small).items()]
    given = ["train", str(folder / "x.npz"), *options, "--out", str(folder / "r")]
    app(given, standalone_mode=False)
    return folder / "r"


@pytest.fixture
def x():
    random = np.random.default_rng(1)
    return random.normal(size=(TAU, N_B, N_X)).astype(np.float32)


def test_a_prediction_is_the_sigmoid_of_o_and_zero_beyond_a_length(run, x):
    model = load(run)
    y = np.zeros((TAU, N_B, 4), np.float32)
    inputs = model.cell.draw(model.parameters, {"x": x, "y": y}, mean=True)
    forward = model.cell.forward(model.parameters, inputs, executor="reference")
    p = model.predict(x)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-forward["o"])), **CLOSE)
    np.testing.assert_allclose(np.log(p / (1 - p)), model.scores(x), **CLOSE)
    short = model.predict(x, lengths=np.array([7, 3]))
    np.testing.assert_allclose(short[:3], p[:3], **CLOSE)
    assert not short[3:, 1].any()
    for wrong in (x[..., :2], x[0], np.zeros((TAU, N_B), int)):
        with pytest.raises(PredictInputError, match=r"reads \(tau, n_b, 3\) numbers"):
            model.predict(wrong)


def test_torch_and_jax_say_what_predict_says(run, x):
    import torch

    model = load(run)
    module = model.torch_module()
    found = module(torch.from_numpy(x))
    np.testing.assert_allclose(found.detach().numpy(), model.scores(x), **CLOSE)
    found.sum().backward()
    assert module.network.get_parameter("V").grad.abs().max() > 0
    pytest.importorskip("jax")
    function = model.jax_function()
    np.testing.assert_allclose(function(model.parameters, x), model.scores(x), **CLOSE)


def test_a_state_dict_loads_into_a_module_of_the_same_cell(run, tmp_path, x):
    from safetensors.torch import load_file

    app(["export", str(run), str(tmp_path / "m.safetensors")], standalone_mode=False)
    module = load(run).torch_module()
    state = load_file(tmp_path / "m.safetensors")
    assert module.network.load_state_dict(state).missing_keys == []
    for name, value in load(run).parameters.items():
        np.testing.assert_array_equal(state[name].numpy(), value)


def test_a_scalar_parameter_stays_one_in_a_state_dict(tmp_path, x):
    """A cell of one's own may have it; a vector of one element is another shape."""
    from safetensors.torch import load_file

    (tmp_path / "own.cell").write_text(
        "alpha: () = 0.4\ns[t] = alpha * s[t-1] + tanh(U @ x[t])\n"
        "h[t] = s[t] + W @ h[t-1]\n"
    )
    np.savez(tmp_path / "x.npz", x=x, y=np.tile([0, 2], (TAU, 1))[:, :N_B])
    cell, file, out = (tmp_path / name for name in ("own.cell", "x.npz", "r"))
    small = ["--n-h=2", "--held-out=0.3", "--validations=1", "--out", str(out)]
    app(["train", str(file), "--cell", str(cell), *small], standalone_mode=False)
    app(["export", str(out), str(tmp_path / "m.safetensors")], standalone_mode=False)
    state = load_file(tmp_path / "m.safetensors")
    model = load(out)
    assert model.parameters["alpha"].shape == ()
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(state[name].numpy(), value, strict=True)
    assert model.torch_module().network.load_state_dict(state).missing_keys == []


def predict_with_onnx(path, step, x):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    before = {
        f"before_{name}": np.zeros((x.shape[1], *shape), np.float32)
        for name, (_, shape) in step.states.items()
    }
    return session.run(["prediction"], {"x": x, **before})[0]


MAIN = """
#include "model.h"
void run(const void *x, int tau, float *out) {
  model_state s;
  model_begin(&s);
  for (int t = 0; t < tau; t++)
    model_step(&s, STEP, out + t * model_N_O);
}
"""


def predict_with_c(folder, header, step, x):
    """The first row of x, streamed through the header; strict C99, no warning."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    (folder / "model.h").write_text(header)
    read = "(const float *)x + t * model_N_X"
    if step.x_is_token:
        read = "((const int *)x)[t]"
    (folder / "run.c").write_text(MAIN.replace("STEP", read))
    strict = ["-std=c99", "-O1", "-Wall", "-Werror", "-Wno-unused-function"]
    command = ["gcc", *strict, "-shared", "-fPIC", "-o", "run.so", "run.c", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    row = np.ascontiguousarray(x[:, 0], np.int32 if step.x_is_token else np.float32)
    out = np.zeros((len(x), int(np.prod(step.shape(step.o)))), np.float32)
    library = ctypes.CDLL(str(folder / "run.so"))
    library.run(row.ctypes.data_as(ctypes.c_void_p), len(x),
                out.ctypes.data_as(ctypes.c_void_p))  # fmt: skip
    return out


def test_the_files_of_bptt_export_say_what_predict_says(run, tmp_path, x):
    model = load(run)
    app(["export", str(run), str(tmp_path / "model.h")], standalone_mode=False)
    header = (tmp_path / "model.h").read_text().replace("bptt", "model")
    found = predict_with_c(tmp_path, header, model.step, x)
    np.testing.assert_allclose(found, model.predict(x)[:, 0], **CLOSE)
    pytest.importorskip("onnx")
    app(["export", str(run), str(tmp_path / "model.onnx")], standalone_mode=False)
    found = predict_with_onnx(str(tmp_path / "model.onnx"), model.step, x)
    np.testing.assert_allclose(found, model.predict(x), **CLOSE)
    with pytest.raises(
        OptionError, match=r"a name that ends in \.onnx, \.h, \.safetensors"
    ):
        app(["export", str(run), str(tmp_path / "model.bin")], standalone_mode=False)


def test_standardised_columns_are_exported_in_their_units(tmp_path, quiet):
    pytest.importorskip("pandas")
    random = np.random.default_rng(4)
    steps = np.arange(90)
    table = [30 + 5 * np.sin(steps / 3), 1000 + 80 * random.normal(size=90)]
    np.savetxt(tmp_path / "a.csv", np.stack(table, 1), delimiter=",", header="a,b",
               comments="")  # fmt: skip
    data = open_data(DataRequest((tmp_path / "a.csv",)))
    options = TrainingOptions(n_h=6, epochs=30, held_out=0.2)
    train(data, options, tmp_path / "run", quiet)
    model = load(tmp_path / "run")
    x = np.stack(table, 1)[:, None].astype(np.float32)
    expected = model.predict(x)
    assert 20 < expected[5:, 0, 0].mean() < 40
    close = {"rtol": 1e-4}  # float32, seen 3e-6
    header = model.export("c").decode().replace("bptt", "model")
    found = predict_with_c(tmp_path, header, model.step, x)
    np.testing.assert_allclose(found, expected[:, 0], **close)
    scores = model.scores(x)
    module = model.torch_module()
    np.testing.assert_allclose(
        module(torch.from_numpy(x)).detach().numpy(), scores, rtol=1e-4, atol=1e-5
    )
    (tmp_path / "m.onnx").write_bytes(model.export("onnx"))
    found = predict_with_onnx(str(tmp_path / "m.onnx"), model.step, x)
    np.testing.assert_allclose(found, expected, **close)


OWN = """\
a[t] = b + W @ h[t-1] + U @ x[t]
s[t] = dot(a[t], a[t]) / 4 + max(a[t]) + logsumexp(a[t]) + mean(a[t])
g[t] = where(a[t] > 0, softplus(a[t]), expm1(a[t])) + floor(a[t]) * 0.1 + abs(a[t])
h[t] = tanh(g[t] / (1 + s[t] ** 2) + softmax(a[t]) - log_softmax(a[t]) / 9)
"""


@pytest.mark.parametrize("cell", ["lstm_layer_norm", "slstm", "own"])
@pytest.mark.parametrize(
    "form", [Form(N_X, False, "real", 2), Form(5, True, "class", 5)]
)
def test_a_step_as_onnx_and_as_c_is_the_step_of_the_cell(cell, form, tmp_path):
    if cell == "own":
        (tmp_path / "own.cell").write_text(OWN)
        cell = str(tmp_path / "own.cell")
    options = TrainingOptions(cell=cell, n_h=6)
    model = build_model(options, form)
    params = model.init(form, options)
    random = np.random.default_rng(2)
    x = random.normal(size=(TAU, N_B, N_X)).astype(np.float32)
    y = np.zeros((TAU, N_B, 2), np.float32)
    if form.x_is_token:
        x, y = random.integers(0, 5, (TAU, N_B)), np.zeros((TAU, N_B), int)
    o = model.cell.forward(params, {"x": x, "y": y}, executor="reference")["o"]
    p = o
    if form.target == "class":
        p = np.exp(o) / np.exp(o).sum(axis=-1, keepdims=True)
    step = single_step(model, form, params)
    found = predict_with_c(tmp_path, c_header(step, "model"), step, x)
    np.testing.assert_allclose(found, p[:, 0], **CLOSE)
    pytest.importorskip("onnx")
    found = predict_with_onnx(onnx_model(step), step, x)
    np.testing.assert_allclose(found, p, **CLOSE)


def test_what_has_no_step_of_its_own_is_refused(tmp_path):
    (tmp_path / "own.cell").write_text("h[t] = tanh(W @ h[t-2] + U @ x[t])\n")
    options = TrainingOptions(cell=str(tmp_path / "own.cell"), n_h=3)
    form = Form(N_X, False, "real", 2)
    model = build_model(options, form)
    params = model.init(form, options)
    step = single_step(model, form, params)  # h[t-2] is a state of its own
    x = np.random.default_rng(3).normal(size=(TAU, 1, N_X)).astype(np.float32)
    y = np.zeros((TAU, 1, 2), np.float32)
    o = model.cell.forward(params, {"x": x, "y": y}, executor="reference")["o"]
    found = predict_with_c(tmp_path, c_header(step, "model"), step, x)
    np.testing.assert_allclose(found, o[:, 0], **CLOSE)
    (tmp_path / "own.cell").write_text(
        "h[t] = tanh(W @ h[t-1] + U @ x[t] + Q @ y[t-1])\nL[t] = mse(h[t], y[t])\n"
    )
    refused = TrainingOptions(cell=str(tmp_path / "own.cell"), n_h=3)
    model = build_model(refused, form)
    params = model.init(form, refused)
    with pytest.raises(ExportError, match=r"it reads y\[t-1\]"):
        single_step(model, form, params)


def test_a_model_of_text_writes_and_has_its_vocabulary(tmp_path, quiet):
    (tmp_path / "a.txt").write_text("abcabcabd" * 40)
    options = TrainingOptions(cell="elman", n_h=4, n_b=2, tau=5, validations=1)
    train(read_text([tmp_path / "a.txt"]), options, tmp_path / "run", quiet)
    model = load(tmp_path / "run")
    assert sorted(model.vocabulary.characters) == ["a", "b", "c", "d"]
    assert len("".join(model.sample("ab", 9, seed=1))) == 9
    tokens = model.vocabulary.encode("abc").reshape(-1, 1)
    assert model.predict(tokens).sum(axis=-1) == pytest.approx(np.ones((3, 1)))
