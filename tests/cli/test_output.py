"""A text on a terminal: lines that end between words, in columns that stay columns."""

import io

import pytest

import bptt
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
