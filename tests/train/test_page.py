"""The page of a run: well formed, self-contained, with the figures of the run."""

import json
from html.parser import HTMLParser

import pytest

from bptt.page.tags import OPEN
from bptt.train.checkpoint import Checkpoint
from bptt.train.run_folder import Metrics, create_run
from bptt.train.run_page import top_that_matters, write_page

VOID = {"meta", "line", "circle", "path"}


class Checker(HTMLParser):
    """Every element is closed, by what follows it where HTML lets it be.

    Nothing is loaded from elsewhere.
    """

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
        while self.open[-1] in OPEN and self.open[-1] != tag:
            self.open.pop()
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


def test_the_axis_of_a_loss_is_that_of_what_comes_after_the_beginning():
    falling = [(n, 1.0 + 100 / n**2) for n in range(1, 101)]
    top = top_that_matters(falling)
    highest = 1 + 100 / 11**2  # the first window after a tenth
    lowest = 1 + 100 / 100**2
    assert top == pytest.approx(highest + (highest - lowest) / 20)
    assert top_that_matters([(n, 5.0 - n / 50) for n in range(1, 101)]) is None
    assert top_that_matters([]) is None
    assert top_that_matters([(1, 2.0)]) is None


def test_norms_are_a_picture_per_quantity_and_a_line_per_moment(folder):
    page = write_page(folder).read_text()
    assert page.count('class="curve aged"') == 2 * 2  # h and W_i; V is at one step only
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
