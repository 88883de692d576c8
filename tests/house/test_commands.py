"""Every command that a page prints is there; the short ones run as printed."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from bptt.cli.app import app, main
from bptt.cli.usage import is_usage

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "README.zh.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
GROUP = typer.main.get_command(app)
# `bptt` at the head of a command, after a folder, after `python -m`.
BPTT = re.compile(r"(?:^|[\s/])bptt (-?[a-z].*)$")
# What stands for a number.
FIGURES = {"N": "1", "$held_out": "0.1"}


def printed_on(text):
    """The lines of the blocks that are no Python, and what stands between backticks."""
    for language, block in FENCE.findall(text):
        if language not in {"python", "text"}:
            yield from re.sub(r"\\\n\s*", " ", block).splitlines()
    for code in INLINE.findall(FENCE.sub("", text)):
        yield " ".join(code.split())


def commands():
    """(page, one command), each without its comment."""
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        for line in printed_on(page.read_text(encoding="utf-8")):
            for command in re.sub(r"(^|\s+)#.*", "", line).split(" && "):
                yield name, command.strip()


def refusal_of(command):
    """What `bptt` says against a command, or None; nothing of it is run."""
    given = shlex.split(re.sub(r"[\[\]]", "", BPTT.search(command)[1]))
    words = [FIGURES.get(word, word) for word in given]
    if words[0].startswith("-"):
        return None
    found = GROUP.get_command(None, words[0])
    if found is None:
        return f"no command {words[0]}"
    try:
        found.make_context(words[0], words[1:])
    except typer.Exit:
        pass  # --help
    except Exception as refused:
        if not is_usage(refused):
            raise
        message = refused.format_message()
        # `bptt eval --json` in a sentence names a command, or an option of it; a line
        # to type has what they need.
        is_name = len(words) == 1 or (len(words) == 2 and words[1].startswith("--"))
        lacks = "Missing argument" in message or "requires an argument" in message
        return None if is_name and lacks else message
    return None


def test_every_printed_command_of_bptt_is_taken():
    said = [(page, line) for page, line in commands() if BPTT.search(line)]
    assert len(said) > 120
    wrong = [(page, line, refusal_of(line)) for page, line in said]
    assert [row for row in wrong if row[2] is not None] == []


@pytest.mark.parametrize(
    ("line", "against"),
    [
        ("bptt flow RUN DATA", "unexpected extra argument"),
        (".venv/bin/bptt explian book", "no command explian"),
        ("python -m bptt train --epcohs 3", "No such option"),
        ("bptt flow book --tau many", "valid integer"),
        ("bptt export RUN", "Missing argument"),
    ],
)
def test_a_command_that_is_not_taken_is_found(line, against):
    assert against in refusal_of(line)


def test_every_printed_module_script_session_and_extra_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    sessions = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    found = 0
    for page, line in commands():
        for script in re.findall(r"(?:python|bash) ([\w./]+)", line):
            assert (ROOT / script).is_file(), (page, line)
            found += 1
        for module in re.findall(r"python -m ((?:tests|benchmarks)[\w.]*)", line):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or path.is_dir(), (page, line)
            found += 1
        for session in re.findall(r"nox -s (\w+)", line):
            assert f"def {session}(" in sessions, (page, line)
            found += 1
        for asked in re.findall(r"pip install .*\.\[([\w,]+)\]", line):
            assert set(asked.split(",")) <= extras, (page, line)
            found += 1
    assert found > 40


# Pages whose commands run here as printed, in this order, and what each is given.
RUN = (
    "docs/how-to/own-cell.md",
    "docs/how-to/time-series.md",
    "docs/how-to/vanishing.md",
    "docs/how-to/check-formula.md",
    "docs/explain.md",
    "README.md",
    "docs/tutorial.md",
)
LONG = re.compile(r"train$|--resume|doctor$|FILES")  # of a minute; tests/cli has them
GIVEN = {"RUN": "runs/2026", "FILE": "book.txt", "...": "∇h[t] = ∇h[t+1]"}
WRONG = {"...": 1}  # the exit code of a formula that is wrong
SHOPS = "month,shop,sales\n" + "".join(
    f"20{19 + m // 12}-{m % 12 + 1:02d},{shop},{'' if m == 7 else 9 + m % 12}\n"
    for shop in "ab"
    for m in range(60)
)
OWN = re.compile(r"^```python\n.*?Cell\(\"\"\"\n(.*?)\"\"\"", re.MULTILINE | re.DOTALL)


def fill(folder):
    """What the pages take for granted: a cell saved, a text, a table."""
    own = OWN.search((ROOT / RUN[0]).read_text(encoding="utf-8"))[1]
    (folder / "mine.cell").write_text(own, encoding="utf-8")
    text = "the cat sat on the mat, and the dog lay on the log. " * 120
    (folder / "book.txt").write_text(text, encoding="utf-8")
    (folder / "shops.csv").write_text(SHOPS, encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_the_commands_of_how_to_readme_and_tutorial_run_as_printed(
    tmp_path, monkeypatch, capsys
):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    ran = {}
    for page, line in sorted(
        ((p, c) for p, c in commands() if p in RUN and BPTT.search(c)),
        key=lambda pair: RUN.index(pair[0]),
    ):
        words = shlex.split(BPTT.search(line)[1])
        if LONG.search(line) or len(words) == 1 or line in ran:
            continue
        given = dict(
            GIVEN, RUN=next(iter(sorted(map(str, Path("runs").glob("2*")))), "")
        )
        monkeypatch.setattr(sys, "argv", ["bptt", *(given.get(w, w) for w in words)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        wanted = max(WRONG.get(word, 0) for word in words)
        assert code == wanted, (page, line, capsys.readouterr().err)
        ran[line] = page
    assert set(ran.values()) == set(RUN)
    for name in (
        "mine.html",
        "runs/one/forecast.csv",
        "flow.html",
        "net.svg",
        "talk.html",
    ):
        assert (tmp_path / name).is_file(), name
