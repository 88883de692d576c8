"""Whoever misspells a name is told the nearest one, wherever a name is taken."""

import re
import subprocess
import sys

import numpy as np
import pytest

import bptt
import bptt.train
from bptt.cli.app import main
from bptt.errors import find_nearest

TAU, N_B, SIZES = 5, 2, {"n_x": 3, "n_h": 4, "n_o": 6}
CELL = bptt.cells.book
PARAMS = CELL.init(seed=0, **SIZES)
INPUTS = {
    "x": np.random.default_rng(0).standard_normal((TAU, N_B, SIZES["n_x"])),
    "y": np.zeros((TAU, N_B), int),
}
H = np.zeros((N_B, SIZES["n_h"]))


def gradient(params=PARAMS, inputs=INPUTS, **options):
    return CELL.gradient(params, inputs, **options)


def instead(given, **wrong):
    """The same names but one, misspelt: `WW="W"`."""
    ((new, old),) = wrong.items()
    return {new if name == old else name: value for name, value in given.items()}


def cell(text):
    return bptt.Cell(f"{text}\nL[t] = sum(h[t])")


API = {
    "a cell": (lambda: bptt.cells.lstn, "lstm"),
    "a cell by its name": (lambda: bptt.cells.get("elmann"), "elman"),
    "a name of the package": (lambda: bptt.Cel, "Cell"),
    "a name of training": (lambda: bptt.train.lod, "load"),
    "a language": (lambda: CELL.explain(lang="ZH").text(), "zh"),
    "a node": (lambda: gradient(nodes=["hh"]), "h"),
    "a node in capitals": (lambda: gradient(nodes=["Y_HAT"]), "y_hat"),
    "a parameter given": (lambda: gradient(instead(PARAMS, WW="W")), "W"),
    "a parameter read": (lambda: gradient()["ww"], "W"),
    "an input": (lambda: gradient(inputs=instead(INPUTS, xs="x")), "x"),
    "an initial state": (lambda: gradient(initial={"hh": H}), "h"),
    "a seed": (lambda: gradient(seeds={"yhat": INPUTS["x"]}), "y_hat"),
    "a gradient of a node": (lambda: gradient(nodes=("h", "a")).nodes["hh"], "h"),
    "a copy": (lambda: gradient().copies["WW"], "W"),
    "a value of a run": (lambda: CELL.forward(PARAMS, INPUTS)["y_ht"], "y_hat"),
    "a size": (lambda: CELL.init(n_hh=3, n_x=2, n_o=4), "n_h"),
    "a size of a plan": (lambda: CELL.lower(n_xx=3, n_h=3, n_o=3), "n_x"),
    "an element type": (lambda: CELL.init(dtype="flaot32", **SIZES), "float32"),
    "one of a plan": (lambda: CELL.lower(dtype="foat64", **SIZES), "float64"),
    "a reduction": (lambda: gradient(reduction="batchmean"), "batch_mean"),
    "an executor": (lambda: gradient(executor="refrence"), "reference"),
    "a way of keeping states": (lambda: gradient(checkpoint="optimum"), "optimal"),
    "a distribution": (
        lambda: cell("z: n_h = nomral(0, 1)\nh[t] = tanh(h[t-1] + z[t])"), "normal",
    ),
    "a first value": (
        lambda: cell("W: (n_h, n_h) = orthogonl()\nh[t] = W @ h[t-1] + x[t]"),
        "orthogonal",
    ),
    "a state of a step before": (
        lambda: cell("hidden[t] = tanh(hiden[t-1] + x[t])\nh[t] = hidden[t]"), "hidden",
    ),
    "a declared parameter": (
        lambda: cell("Wh: (n_h, n_h)\nh[t] = tanh(W_h @ h[t-1] + x[t])"), "W_h",
    ),
    "a state of zoneout": (lambda: bptt.zoneout(CELL, hh=0.1), "h"),
    "a node of noise": (lambda: bptt.noise(CELL, yhat=0.1), "y_hat"),
    "a figure": (lambda: CELL.explain().figure("unroled"), "unrolled"),
    "a name of a figure": (lambda: CELL.explain().figure("paths", of="w"), "W"),
    "a file of a figure": (
        lambda: CELL.explain().figure("unrolled").save("a.svgg"), ".svg",
    ),
    "a file of an explanation": (lambda: CELL.explain().save("a.htm"), ".html"),
    "a card": (lambda: CELL.explain(step="10.211").text(), "10.21"),
    "a size of an explanation": (
        lambda: CELL.explain(sizes={"n_hh": 3}).text(), "n_h",
    ),
    "a name of a formula": (
        lambda: bptt.check_equation("∇hh[t] = W.T @ ∇h[t+1]"), "h",
    ),
    "a panel": (lambda: CELL.flow(PARAMS, INPUTS).plot("lagss"), "lags"),
    "a change to try": (
        lambda: bptt.cells.lstm.flow(
            bptt.cells.lstm.init(n_x=3, n_h=4), {"x": INPUTS["x"]},
            seeds={"h": np.ones((TAU, N_B, 4))},
        ).try_("forgt_bias=1"), "forget_bias",
    ),
    "a spectrum": (lambda: CELL.flow(PARAMS, INPUTS, spectrum="leadin"), "leading"),
}  # fmt: skip


@pytest.mark.parametrize("name", API)
def test_a_name_in_python(name):
    call, wanted = API[name]
    with pytest.raises((bptt.BpttError, AttributeError)) as refused:
        call()
    assert str(refused.value).rstrip().endswith(f"did you mean {wanted}?")


FRONT_ENDS = {
    "torch": {
        "a name": (lambda module: module.Recurent, "Recurrent"),
        "a reduction": (
            lambda module: module.Recurrent(CELL, reduction="maen", **SIZES), "mean",
        ),
        "an output": (
            lambda module: module.Recurrent(CELL, outputs=["hh"], **SIZES), "h",
        ),
        "a direction of convert": (
            lambda module: module.convert(module.GRU(2, 3), to="troch"), "torch",
        ),
    },
    "jax": {
        "a name": (lambda module: module.recurent, "recurrent"),
        "a parameter": (
            lambda module: module.recurrent(CELL)(instead(PARAMS, WW="W"), INPUTS), "W",
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("end", "name"), [(end, name) for end, rows in FRONT_ENDS.items() for name in rows]
)
def test_a_name_of_a_front_end(end, name):
    call, wanted = FRONT_ENDS[end][name]
    module = pytest.importorskip(f"bptt.{end}")
    with pytest.raises((bptt.BpttError, AttributeError)) as refused:
        call(module)
    assert str(refused.value).rstrip().endswith(f"did you mean {wanted}?")


@pytest.mark.parametrize("wrong", ["bptt.cells.lstn", "bptt.Cel", "bptt.train.lod"])
def test_python_adds_no_second_guess(wrong):
    code = f"import bptt, bptt.cells, bptt.train; {wrong}"
    ended = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.lower().count("did you mean") == 1


def test_an_operation_is_named_first_and_then_all_of_them():
    with pytest.raises(bptt.BpttError, match=r"fix: tanh\? the operations are abs,"):
        cell("h[t] = tanhh(h[t-1] + x[t])")


COMMANDS = {
    "trian": "train",
    "explian book": "explain",
    "train --epcohs 3": "--epochs",
    "train --n_h 3": "--n-h",
    "train --cell lstn": "lstm",
    "train t.txt --optimiser adm": "adam",
    "train t.txt --schedule cosin": "cosine",
    "train t.txt --optimiser sgd --optimiser-option momentm=0.9": "momentum",
    "train t.txt --tau-x 3": "--tau",
    "train t.txt --mask windo --dropout 0.1": "window",
    "train t.csv --missing maks": "mask",
    "train t.csv --columns prise": "price",
    "train t.csv --target Price2": "price",
    "train --config t.toml": "epochs",
    "check boook": "book",
    "flow gruu": "gru",
    "flow book --spektrum 3": None,
    "cells lstm_peepole": "lstm_peephole",
    "explain book --figure unroled -o a.svg": "unrolled",
    "explain book --format htm": "html",
    "explain book -o a.mdd": ".md",
    "explain book --stp 10.21": "--step",
    "--verson": "--version",
    "cache --claer": "--clear",
    "train tt.txt": "t.txt",
    "train --resume runs/onee": "runs/one",
    "train --config topts.toml": "opts.toml",
    "sweep op.toml": "opts.toml",
    "check mine.cel": "mine.cell",
    "sample runs/oen": "runs/one",
    "export runs/one model.onx": ".onnx",
}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_name_on_the_command_line(line, tmp_path, monkeypatch, capsys):
    if "train" in line:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("the cat sat on the mat. " * 90, encoding="utf-8")
    rows = "\n".join(f"{i / 7},{i % 3}" for i in range(40))
    (tmp_path / "t.csv").write_text(f"price,size\n{rows}\n", encoding="utf-8")
    (tmp_path / "runs/one").mkdir(parents=True)
    for name in ("opts.toml", "mine.cell"):
        (tmp_path / name).touch()
    (tmp_path / "t.toml").write_text("epcohs = 3\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["bptt", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2, said
    wanted = COMMANDS[line]
    assert wanted is None or f"did you mean {wanted}?" in said, said


@pytest.mark.parametrize(
    "line",
    ["bench --cel lstm", "train --dtype float32", "sample nowhere", "check none.cell"],
)
def test_what_resembles_nothing_gets_no_guess(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").touch()
    monkeypatch.setattr(sys, "argv", ["bptt", *line.split()])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "did you mean" not in said
    assert "ossible options" not in said


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("lstn", ["gru", "lstm"], "lstm"),
        ("LSTM", ["gru", "lstm"], "lstm"),
        ("n-h", ["n_x", "n_h"], "n_h"),
        ("w", ["W", "w_2"], "W"),
        ("zzz", ["gru", "lstm"], None),
        (3, ["gru"], None),
        ("a", [], None),
    ],
)
def test_the_nearest_is_by_letters_then_whatever_their_case(name, known, nearest):
    assert find_nearest(name, known) == nearest


def test_nobody_looks_for_the_nearest_name_by_other_means():
    """The kind has one home: errors.py."""
    from tests.house.test_style import FILES

    found = [
        file.name
        for file in FILES
        if re.search(r"get_close_matches|difflib", file.read_text("utf-8"))
        and "src" in file.parts
    ]
    assert found == ["errors.py"]
