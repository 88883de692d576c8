"""A text on a terminal: lines that end between words, in columns that stay columns."""

import io
from pathlib import Path

import pytest

import bptt
from bptt.cli.app import main
from bptt.cli.output import say
from bptt.errors import columns_of

ENGLISH = (
    "  spectral_radius=0.95: scales W, whose largest eigenvalue is 1.31 now, so far"
)
CHINESE = (
    "健康：在 20 步内，放大最多的方向变为 0.0054 倍，末尾每步乘以 0.72（指数 -0.329）。"
)
TABLE = "           k      cosine"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module", params=["en", "zh"])
def flow(request):
    cell = bptt.cells.book
    params = cell.init(n_x=2, n_h=3, n_o=4)
    inputs = {"x": [[[0.5, -1.0]] * 2] * 12, "y": [[1, 3]] * 12}
    return cell.flow(params, inputs).text(request.param)


def said(monkeypatch, text, width, stream):
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    say(text)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("text", [ENGLISH, CHINESE, f"{CHINESE}\n{TABLE}\n\n{ENGLISH}"])
def test_a_line_of_a_terminal_ends_between_words(monkeypatch, text, width):
    shown = said(monkeypatch, text, width, Terminal())
    lines = shown.splitlines()
    assert all(columns_of(line) <= width for line in lines)
    assert "".join(shown.split()) == "".join(text.split())
    for word in text.replace("，", " ").replace("（", " ").split():
        if word.isascii():
            assert any(word in line for line in lines)
    assert not any(line.strip()[:1] in "，。）：" for line in lines if line.strip())


def test_nothing_is_left_to_the_terminal_to_cut():
    """With soft_wrap a terminal cuts where its line ends, in the midst of a word."""
    source = Path(bptt.__file__).parent
    found = [
        file.relative_to(source).as_posix()
        for room in ("cli", "train")
        for file in sorted((source / room).rglob("*.py"))
        if "soft_wrap=True" in file.read_text(encoding="utf-8")
    ]
    assert found == []


@pytest.mark.parametrize("command", ["train", "check"])
def test_a_screen_of_80_columns_is_filled_between_words(command, tmp_path, monkeypatch):
    said = Terminal()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdout", said)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    (tmp_path / "the_text_of_a_long_evening.txt").write_text(
        "the cat sat on the mat. " * 90, encoding="utf-8"
    )
    given = {
        "train": "--n-h 4 --cell elman the_text_of_a_long_evening.txt --out one",
        "check": "book --equation grad_h[t]=W.T@grad_h[t+1]",
    }[command]
    if command == "train":
        pytest.importorskip("torch")
    monkeypatch.setattr("sys.argv", ["bptt", command, *given.split()])
    with pytest.raises(SystemExit):
        main()
    lines = said.getvalue().splitlines()
    assert len(lines) > 5
    assert [line for line in lines if columns_of(line.rstrip()) > 80] == []
    for words in {"train": ["vocabulary", "parameters,"], "check": ["backward", "n_h"]}[
        command
    ]:
        assert words in said.getvalue()


def test_what_is_cut_goes_on_as_far_in_as_it_began(monkeypatch):
    lines = said(monkeypatch, ENGLISH, 40, Terminal()).splitlines()
    assert len(lines) > 1
    assert {len(line) - len(line.lstrip()) for line in lines} == {2}


def test_a_pipe_gets_whole_lines(monkeypatch):
    assert said(monkeypatch, CHINESE, 40, io.StringIO()) == f"{CHINESE}\n"


def test_a_table_of_flow_has_its_heads_over_its_figures(monkeypatch, flow):
    lines = flow.splitlines()
    heads = [i for i, line in enumerate(lines) if line.lstrip()[:2] in ("t ", "k ")]
    assert len(heads) >= 3
    for i in heads:
        assert columns_of(lines[i]) == columns_of(lines[i + 1]) <= 60
    assert said(monkeypatch, lines[heads[0]], 60, Terminal()) == f"{lines[heads[0]]}\n"
