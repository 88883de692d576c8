"""No command's answer names what carries a delay: a person wrote `h[t-3]`."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from bptt import Cell
from bptt.cli.app import app

CELLS = {
    "loop": "h[t] = tanh(b + W @ h[t-1] + R @ h[t-3] + U @ x[t] + V @ x[t-2])",
    "index": """
        d = 0, ..., 2
        g: 3 = constant(0.3)
        s[t] = tanh(b + sum(d, g[d] * (W @ s[t - 2**d])) + U @ x[t])
        o[t] = c + Q @ s[t-2]
        L[t] = nll(softmax(o[t]), y[t])
    """,
    "ahead": "u[t] = tanh(b + W @ u[t+2] + A @ u[t+1] + U @ x[t])",
    "start": """
        m: n_m = input
        h[0] = tanh(B @ m)
        h[t] = tanh(b + W @ h[t-1] + R @ h[t-3] + U @ x[t])
        o = c + V @ h[tau]
        L = nll(softmax(o), y)
    """,
    "clock": "h[t] = where(t % 2 == 0, tanh(b + W @ h[t-2] + U @ x[t]), h[t-1])",
}


def made_up(cell):
    """Names of a step that no line of the cell has; "step" is a word, too."""
    words = {*re.findall(r"\w+", cell.text), "step"}
    return [name for name in cell.graph.times.hidden if name not in words]


def refuse(cell, said, where):
    said = re.sub(r"<script.*?</script>", "", said, flags=re.DOTALL)
    for name in made_up(cell):
        found = re.search(rf"(?<![a-zA-Z]){name}(?!\w)", said)
        assert not found, f"{where}: {said[max(0, found.start() - 60) :][:160]}"


def run(*arguments):
    found = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture(params=CELLS)
def file(request, tmp_path):
    path = tmp_path / f"{request.param}.cell"
    path.write_text(CELLS[request.param])
    return path


def test_the_list_the_check_and_the_flow(file):
    cell = Cell.load(file)
    refuse(cell, run("cells", str(file)), "cells")
    refuse(cell, run("check", str(file)), "check")
    ledger = cell.check(instances=1)
    for row in ledger.rows:
        refuse(cell, f"{row.what} {row.note}", row.how)
    common = ("--n-h", "4", "--tau", "8", "--rows", "2")
    page = file.with_suffix(".html")
    refuse(cell, run("flow", str(file), *common, "--out", str(page)), "flow")
    refuse(
        cell,
        re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL),
        page,
    )


@pytest.mark.parametrize(
    ("name", "asked"), [("loop", "text"), ("index", "latex"), ("ahead", "markdown")]
)
def test_an_explanation_of_a_delay(name, asked, tmp_path):
    """One derivation by the command, and one for what the others print."""
    path = tmp_path / "mine.cell"
    path.write_text(CELLS[name])
    cell = Cell.load(path)
    said = run("explain", str(path), "--format", asked)
    refuse(cell, said, f"--format {asked}")
    found = cell.explain(name="mine")
    others = {"text": str, "latex": type(found).latex, "markdown": type(found).markdown}
    if asked != "text":  # which is cut to the width of a terminal
        said = said.replace(path.name, path.stem)  # in the command that checks it
        assert said.strip() == others[asked](found).strip()
    for kind, show in others.items():
        refuse(cell, show(found), kind)


def test_the_run_of_a_training(file, tmp_path):
    pytest.importorskip("torch")
    cell, rng = Cell.load(file), np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(12, 7, 3)), "y": rng.integers(0, 4, (12, 7))}
    if cell.graph.times.once:
        arrays |= {"y": rng.integers(0, 4, 12), "m": rng.normal(size=(12, 5))}
    data, folder = tmp_path / "data.npz", tmp_path / "run"
    np.savez(data, **arrays)
    said = run(
        "train", str(data), "--cell", str(file), "--n-h", "5", "--held-out", "0.3",
        "--out", str(folder),
    )  # fmt: skip
    refuse(cell, said, "train")
    for one in ("summary.json", "metrics.jsonl"):
        refuse(cell, (folder / one).read_text(), one)
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        norms = json.loads(line).get("gradient_norms")
        if norms is not None:
            assert set(norms["states"]) <= {"h", "s", "u"}
    for one in ("report.html", "flow_first.html", "flow_last.html"):
        refuse(cell, (folder / one).read_text(), one)
