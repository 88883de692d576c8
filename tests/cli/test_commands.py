"""The command line as a person meets it: text, exit codes, no traceback."""

import inspect
import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import typer

from bptt.cli.app import COMMANDS, app
from bptt.train.definition import defined
from bptt.train.options import TrainingOptions
from tests.cli.command import bptt, bptt_alone

HAS_TRAIN = find_spec("torch") is not None and find_spec("safetensors") is not None
needs_train = pytest.mark.skipif(not HAS_TRAIN, reason="needs the extra train")


def test_help_names_every_command(tmp_path):
    ended = bptt("--help", cwd=tmp_path)
    assert ended.returncode == 0
    names = "train sample eval check bench cells explain flow doctor"
    for command in names.split():
        assert command in ended.stdout


def test_help_of_train_fits_two_screens_and_help_all_names_every_option(tmp_path):
    env = {"COLUMNS": "80"}
    short = bptt("train", "--help", cwd=tmp_path, env=env).stdout
    assert short.count("\n") <= 2 * 24
    assert max(map(len, short.splitlines())) <= 80
    whole = bptt("train", "--help-all", cwd=tmp_path, env=env).stdout
    for one in defined(TrainingOptions):
        assert f"  {one.flags[0]}" in whole
        if one.option.is_common:
            assert f"  {one.flags[0]}" in short
    assert "  --zoneout" not in short
    for heading in ("Data:", "The model:", "Learning:", "The run:", "Help:"):
        assert heading in short


def test_python_m_bptt_is_the_command(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "bptt", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith("bptt 0.")


def test_check_prints_the_ledger_and_passes(tmp_path):
    ended = bptt("check", "book", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "complex step" in ended.stdout


def test_explain_shows_one_card_in_the_language_asked_for(tmp_path):
    ended = bptt("explain", "book", "--step", "10.21", "--lang", "zh", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "代入 Jacobian 矩阵" in ended.stdout
    assert "Wᵀ diag(1 − (h⁽ᵗ⁺¹⁾)²)" in ended.stdout


def test_explain_writes_a_file_of_a_persons_cell_and_says_what_was_checked(tmp_path):
    (tmp_path / "mine.cell").write_text("h[t] = sin(W @ h[t-1] + U @ x[t])\n")
    ended = bptt("explain", "mine.cell", "-o", "mine.md", "--tau", 2, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "equations" in ended.stdout
    assert "checked · worst error" in ended.stdout
    assert "\n$$\n" in (tmp_path / "mine.md").read_text("utf-8")


def test_explain_says_which_cards_there_are(tmp_path):
    ended = bptt("explain", "elman", "--step", "10.21", cwd=tmp_path)
    assert ended.returncode == 2
    assert "no card is called '10.21'; there are: node:h, node:a" in ended.stderr


def test_check_compares_an_equation_and_exits_with_1_if_it_is_wrong(tmp_path):
    wrong = "grad_h[t] = W.T @ grad_h[t+1] + V.T @ grad_o[t]"
    ended = bptt("check", "book", "--equation", wrong, cwd=tmp_path)
    assert ended.returncode == 1
    assert "the factor diag(1 - h[t+1]**2) is missing here" in ended.stdout


def test_check_speaks_of_an_equation_in_chinese(tmp_path):
    ask = ("check", "book", "--lang", "zh", "--equation")
    wrong = (
        r"\nabla_{h^{(t)}} L = W^\top \nabla_{h^{(t+1)}} L + V^\top \nabla_{o^{(t)}} L"
    )
    ended = bptt(*ask, wrong, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout.startswith("错误：")
    assert "这里缺少因子 \\operatorname{diag}" in ended.stdout
    assert "relative" not in ended.stdout
    ended = bptt(*ask, "∇h[t] = frob(h[t])", cwd=tmp_path)
    assert ended.returncode == 2
    assert "没有名为 frob 的运算" in ended.stderr


def test_check_takes_a_file_of_equations(tmp_path):
    (tmp_path / "mine.cell").write_text(
        "h[t] = sin(b + W @ h[t-1] + U @ x[t])\nL[t] = mse(h[t], y[t])\n"
    )
    ended = bptt("check", "mine.cell", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_an_unknown_cell_is_one_message_without_a_traceback(tmp_path):
    ended = bptt("check", "lsmt", cwd=tmp_path)
    assert ended.returncode == 2
    assert "lsmt" in ended.stderr
    assert "lstm" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_mistake_in_a_cell_file_shows_its_line(tmp_path):
    (tmp_path / "mine.cell").write_text("h[t] = tahn(W @ h[t-1] + U @ x[t])\n")
    ended = bptt("check", "mine.cell", cwd=tmp_path)
    assert ended.returncode == 2
    assert "h[t] = tahn(W @ h[t-1] + U @ x[t])" in ended.stderr
    assert "^" in ended.stderr


def test_brackets_in_a_message_are_printed_as_they_are(tmp_path):
    ended = bptt("train", "[bold]nowhere", cwd=tmp_path)
    assert ended.returncode == 2
    assert "[bold]nowhere" in ended.stderr


def test_without_torch_train_says_what_to_install_in_one_line(tmp_path):
    ended = bptt_alone("train", "--limit", "20000", cwd=tmp_path, block=("torch",))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "bptt: this command needs the package torch, which is not installed: "
        'from a clone of bptt, pip install -c constraints.txt ".[train]"\n'
    )
    assert list(tmp_path.iterdir()) == []


def test_neither_help_nor_check_imports_torch_or_jax(tmp_path):
    for arguments in (["train", "--help"], ["check", "elman"]):
        ended = bptt_alone(
            *arguments, cwd=tmp_path, block=("torch", "jax", "safetensors")
        )
        assert ended.returncode == 0, ended.stderr


def test_import_bptt_loads_no_framework_and_no_command_line(tmp_path):
    program = (
        "import sys, bptt\n"
        "print(sorted({'torch', 'jax', 'llvmlite', 'typer'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k1", "0"], "--k1 0: expected a whole number from 1."),
        (["--split", "1"], "--split 1: expected TRAINING,VALIDATION"),
        (["--dropout", "0.1"], "--dropout 0.1: expected --layers 2 or more"),
        (["--optimizer-option", "x"], "--optimiser-option x: expected NAME=VALUE."),
        (["--resume", "nowhere"], "RUN 'nowhere': there is no such folder."),
        (
            ["--resume", "x", "--checkpoint", "y"],
            "--checkpoint y: expected one of last",
        ),
        (["--tau", "0"], "--tau 0: expected a whole number from 1."),
        (["--limit", "0"], "--limit 0: expected a whole number from 1."),
        (["--resume", "x", "--n-h", "3"], "--n-h: it would be ignored, for a run that"),
        (["--split", "0.9,0.1", "--test", "0.1"], "--test: it would be ignored"),
        (["--checkpoint", "best"], "--checkpoint: it would be ignored"),
        (["--pattern", "*.py"], "--pattern: it would be ignored"),
        (["--config", "none.toml"], "--config 'none.toml': there is no such file."),
        (["--optimiser-option", "x"], "--optimiser-option x: expected NAME=VALUE."),
        (["nowhere.txt"], "DATA 'nowhere.txt': there is no such file or folder."),
    ],
)
def test_mistakes_of_train_exit_with_2_and_a_message(tmp_path, arguments, message):
    ended = bptt("train", *arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


@needs_train
def test_train_and_sample_from_end_to_end(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 300)
    sizes = "--cell gru --n-h 12 --n-b 4 --tau 20 --epochs 2 --learning-rate 0.02"
    trained = bptt("train", text, *sizes.split(), "--out", "run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    for needed in (
        "7,201 characters of 1 file, 360 held out",
        "unigram",
        "lzma",
        "saved in run",
    ):
        assert needed in trained.stdout
    assert "\x1b" not in trained.stdout
    command = ["sample", "run", "--prompt", "the ", "--length", "30", "--seed", "3"]
    sampled = bptt(*command, cwd=tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    assert sampled.stdout.startswith("the ")
    assert len(sampled.stdout) == 4 + 30 + 1
    assert bptt_alone(*command, cwd=tmp_path).stdout == sampled.stdout
    measured = bptt("eval", "run", text, cwd=tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert "bits per character, accuracy" in measured.stdout
    assert "(mean over 7," in measured.stdout
    given = ("--config", "run", "--seed", "1", "--out", "other", "--epochs", "1")
    other = bptt("train", *given, cwd=tmp_path)
    assert other.returncode == 0, other.stderr
    assert "7,201 characters of 1 file, 360 held out" in other.stdout
    kept = json.loads((tmp_path / "other" / "config.json").read_text())["options"]
    first = json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert kept == first | {"seed": 1, "epochs": 1}
    again = bptt("train", "--resume", "run", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "going on after window" in again.stdout


@needs_train
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimiser", "lbfgs"], "evaluates the loss several times per step"),
        (["--optimiser", "adm"], "torch.optim has no optimiser of this name"),
        (["--out", "."], "the folder is not empty"),
        (["--out", "text.txt/run"], "cannot write"),
        (["--n-b", "9999"], "characters; one window of tau ="),
        (["--cell", "nothing"], "'nothing'"),
        (["--size", "n_q=3"], "n_q"),
        (["--schedule", "up"], "torch.optim.lr_scheduler has no scheduler of this"),
        (["--k2", "4"], "expected at least the steps between two gradients"),
    ],
)
def test_mistakes_found_before_the_first_step(tmp_path, arguments, message):
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 300)
    ended = bptt("train", "text.txt", *arguments, cwd=tmp_path)
    assert ended.returncode == 2, ended.stdout
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@needs_train
def test_several_processes_need_a_folder_they_all_know(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 300)
    ended = bptt("train", "text.txt", cwd=tmp_path)
    assert ended.returncode == 2
    assert "Name one with --out." in ended.stderr


def test_sampling_from_a_folder_that_is_no_run_says_so(tmp_path):
    ended = bptt("sample", tmp_path, cwd=tmp_path)
    assert ended.returncode == 2
    assert "Give a folder that `bptt train` wrote" in ended.stderr


def test_the_table_of_commands_says_what_the_commands_say():
    """Help is printed from the table: no command is imported for it."""
    group = typer.main.get_command(app)
    context = group.context_class(group)
    for name, (_, _, said) in COMMANDS.items():
        command = group.get_command(context, name)
        assert command.name == name
        paragraph = inspect.cleandoc(command.callback.__doc__).split("\n\n")[0]
        assert " ".join(paragraph.split()) == said
    assert group.get_command(context, "trian") is None


def test_help_and_the_list_of_cells_load_no_numpy():
    for arguments in (["--help"], ["cells"]):
        code = (
            "import sys; from bptt.cli import main\n"
            f"sys.argv = ['bptt', *{arguments}]\n"
            "try:\n    main()\nfinally:\n    print('numpy' in sys.modules)"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert result.stdout.splitlines()[-1] == "False"
        assert len(result.stdout.splitlines()) > 15


def test_what_an_explanation_does_not_need_is_not_loaded():
    rooms = ("bptt.flow", "bptt.explain.indices", "bptt.explain.formula.equation")
    program = (
        "import sys\nfrom bptt.cells import book\nstr(book.explain(step='10.21'))\n"
        f"print(sorted(set({rooms!r}) & set(sys.modules)))\n"
        "from bptt.explain import EquationReport, check_equation\n"
        "print(isinstance(check_equation(book, 'grad_L[t] = 1'), EquationReport))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\nTrue\n"
