"""The page of a run: well formed, self-contained, with the figures of the run."""

import json
from html.parser import HTMLParser
from math import nan

import numpy as np
import pytest

from bptt.train.checkpoint import Checkpoint
from bptt.train.page.chart import Chart, Line, draw
from bptt.train.page.page import write_page
from bptt.train.page.scale import Scale, format_tick, linear_ticks, make_scale
from bptt.train.run_folder import Metrics, create_run

VOID = {"meta", "line", "circle", "path"}


class Checker(HTMLParser):
    """Every element is closed, and nothing is loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.points = [], [], 0

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert not {"src", "href", "onload", "onclick"} & given.keys()
        assert tag != "script"
        self.points += tag == "path"
        if tag not in VOID or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID

    def handle_endtag(self, tag):
        if tag in VOID and self.open[-1] != tag:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def check(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return " ".join(checker.texts)


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("safetensors")
    folder = tmp_path / "run"
    config = {
        "options": {"cell": "<b>mine", "clip": 1.0, "tau": 3},
        "data": {"source": "a & b", "summary": "11 < 12 characters"},
        "versions": {"bptt": "0"},
    }
    create_run(folder, "h[t] = tanh(x[t])", config, None, Checkpoint({}))
    with Metrics(folder) as metrics:
        for window in range(1, 21):
            metrics.write({
                "window": window, "learning_rate": 0.1 / window, "seconds": window * 9,
                "training_bits_per_character": 8.0 / window,
                "gradient_norm": 2.0 / window,
            })  # fmt: skip
            if window % 10 == 0:
                norms = {
                    "t": [1, 2, 3],
                    "states": {"h": [1e-9, 1e-3, None]},
                    "copies": {"W_i": [0.5, 0.1, 0.2], "V": [0.0, 0.0, 0.7]},
                }
                metrics.write({"window": window, "gradient_norms": norms})
                metrics.write({"window": window, "sample": f"<i>text {window}"})
                metrics.write({
                    "window": window, "validation_bits_per_character": 9.0 / window,
                    "validation_accuracy": window / 40, "seconds": 181.0,
                })  # fmt: skip
    return folder


def test_the_page_tells_the_run_and_loads_nothing(folder):
    text = check(write_page(folder).read_text())
    for needed in (
        "<b>mine on a & b",
        "11 < 12 characters",
        "0.45", "bits per character, held out, best",
        "50.0%", "accuracy, held out",
        "5%", "of the gradients clipped",
        "3 min",
        "<i>text 10", "<i>text 20", "after window 20",
        "Norm of the gradient, before clipping",
        "h[t] = tanh(x[t])",
    ):  # fmt: skip
        assert needed in text


def test_norms_are_a_picture_per_quantity_and_a_line_per_moment(folder):
    page = write_page(folder).read_text()
    assert page.count('class="line aged"') == 2 * 2  # h and W_i; V is at one step only
    assert "--age:0.000" in page
    assert "--age:1.000" in page
    assert "∇<sub>W<sub>i</sub><sup>(t)</sup></sub>" in page


def test_a_run_that_has_only_begun_has_a_page(folder):
    (folder / "metrics.jsonl").write_text("")
    check(write_page(folder).read_text())
    (folder / "metrics.jsonl").write_text(
        json.dumps({"window": 1, "seconds": 1}) + "\n"
    )
    check(write_page(folder).read_text())


def test_a_line_breaks_where_a_value_is_missing_and_a_log_axis_leaves_out_zero():
    points = [(0, 1.0), (1, None), (2, 10.0), (3, nan), (4, 0.0), (5, 100.0)]
    svg = draw(Chart("a", "t", [Line("l", points)], is_log=True))
    _, path = svg.split('d="')
    path = path.split('"')[0]
    assert path.count("M") == 3
    assert path.count("L") == 0


def test_positions_are_where_the_axis_says():
    scale = Scale(0.01, 100.0, 400, is_log=True)
    assert [scale(v) for v in (0.01, 1.0, 100.0)] == pytest.approx([0, 200, 400])
    assert scale(1e-9) == 0
    assert Scale(2.0, 4.0, 50)(3.5) == pytest.approx(37.5)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.13, 0.31, [0.15, 0.2, 0.25, 0.3]),
        (-3, 4, [-2, 0, 2, 4]),
    ],
)
def test_ticks_are_round_numbers(low, high, ticks):
    np.testing.assert_allclose(linear_ticks(low, high), ticks, atol=1e-12)


def test_a_log_axis_has_whole_decades_and_few_ticks():
    scale = make_scale([3e-13, 0.0, nan, 40.0], 100, is_log=True)
    assert (scale.low, scale.high) == (1e-13, 100.0)
    assert len(scale.ticks()) <= 6
    assert make_scale([], 100, is_log=True).ticks() == pytest.approx([0.1, 1.0])
    assert make_scale([2.0, 2.0], 100)(2.0) == pytest.approx(50)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2000, "2,000"), (0.05, "0.05"), (1e-5, "10⁻⁵"), (2e7, "2·10⁷")],
)
def test_ticks_are_short(value, text):
    assert format_tick(value) == text
