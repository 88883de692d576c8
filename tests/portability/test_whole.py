"""The package, a gradient, a training run and commands in a process of Windows."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SENTENCE = "the cat sat on the mat. "
GRADIENT = """
import sys
for name in ("fcntl", "resource", "msvcrt"):
    sys.modules[name] = None
import numpy as np, bptt
cell = bptt.cells.lstm
params = cell.init(n_x=3, n_h=5, seed=0, dtype="float64")
inputs = {"x": np.random.default_rng(0).normal(size=(4, 2, 3))}
seeds = {"h": np.ones((4, 2, 5))}
ours = cell.gradient(params, inputs, seeds=seeds)
exact = cell.gradient(params, inputs, seeds=seeds, executor="reference")
for name in params:
    np.testing.assert_allclose(ours[name], exact[name], rtol=1e-12, atol=1e-14)
"""


def run(*arguments, folder, **settings):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONIOENCODING"}
    env |= {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **settings}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True,
        encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip


def windows(*arguments, folder, **settings):
    return run("-m", "tests.portability.windows", *arguments, folder=folder, **settings)


def test_a_gradient_without_modules_of_one_system(tmp_path):
    ended = run("-c", GRADIENT, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_a_run_is_trained_and_gone_on_with(tmp_path):
    pytest.importorskip("torch")
    text = tmp_path / "t.txt"
    text.write_text(SENTENCE * 20, encoding="utf-8")
    small = ("--n-h", "3", "--n-b", "2", "--tau", "99", "--out", "r")
    then = ("--then", "train", "--resume", "r", "--epochs", "2")
    ended = windows("train", "t.txt", *small, *then, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = (tmp_path / "r/metrics.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["best_window"] >= 2  # what the second command kept
    assert ended.stdout.count("saved in r") == 2
    config = json.loads((tmp_path / "r/config.json").read_text("utf-8"))
    assert config["options"]["epochs"] == 2


def test_doctor_passes_its_own_test(tmp_path):
    ended = windows("doctor", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "passed" in ended.stdout


@pytest.mark.parametrize("asked", [{}, {"PYTHONIOENCODING": "cp1252"}])
def test_a_formula_is_checked_on_a_code_page_without_its_signs(tmp_path, asked):
    ended = run(
        "-X", "utf8=0", "-m", "bptt", "check", "book",
        "--equation", "∇h[t] = W.T @ ∇h[t+1]", folder=tmp_path, **asked,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    sign = "?" if asked else "∇"
    assert f"{sign}h[t] = W.T @ {sign}h[t+1]" in ended.stdout


# ----- what the text of the source shows -----

# Of `os`, what Windows lacks; whoever asks for one says first whether it is there.
POSIX_ONLY = (
    "geteuid", "getuid", "register_at_fork", "sched_getaffinity", "sched_setaffinity",
    "fork", "getloadavg", "killpg", "mkfifo", "getpgid", "setsid", "uname", "chown",
)  # fmt: skip
POSIX_MODULES = (
    "fcntl",
    "resource",
    "grp",
    "pwd",
    "termios",
    "pty",
    "msvcrt",
    "winreg",
)
PLACES = ("src", "website", "benchmarks", "examples", "tests/house", "tests/language",
          "tests/portability", "tests/website")  # fmt: skip
SOURCES = [file for place in PLACES for file in sorted((ROOT / place).rglob("*.py"))]


def without_code(path):
    """Calls that open or write text and do not say its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        is_method = isinstance(node.func, ast.Attribute)
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = [a.value for a in node.args if isinstance(a, ast.Constant)]
        said = any(word.arg == "encoding" for word in node.keywords)
        if name == "read_text" and is_method:
            said = said or "utf-8" in given or len(node.args) > 1
        elif name == "open" and not is_method:
            said = said or any(isinstance(g, str) and "b" in g for g in given[1:])
        elif name != "write_text":
            continue
        if not said:
            yield node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_text_names_its_code_and_systems_are_asked_what_they_have(path):
    assert list(without_code(path)) == []
    if path.is_relative_to(ROOT / "src"):
        text = path.read_text(encoding="utf-8")
        for name in POSIX_ONLY:
            if f"os.{name}(" in text:
                assert f'hasattr(os, "{name}")' in text or "sys.platform !=" in text
        for name in POSIX_MODULES:
            assert f"\nimport {name}\n" not in text
        assert '"/tmp' not in text


def test_text_without_a_code_is_found(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "p.read_text()\np.write_text('x')\nopen('a')\nopen('a', 'rb')\n"
        "p.read_text('utf-8')\nopen('a', encoding='utf-8')\n",
        encoding="utf-8",
    )
    assert list(without_code(path)) == [1, 2, 3]
