"""Every figure that is printed at the end is also on the disk."""

import json
import re

import numpy as np
import pytest

from bptt.cli.app import app

pytest.importorskip("torch")
pytest.importorskip("safetensors")
RANDOM = np.random.default_rng(31)
X = RANDOM.normal(size=(30, 7, 2)).astype(np.float32)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?%?")
SMALL = "--cell elman --n-h 4 --epochs 2 --validations 1 --split 0.6,0.2,0.2"


def series(folder):
    pytest.importorskip("pandas")
    lines = [f"{a:.2f},{b:.2f}" for a, b in np.cumsum(RANDOM.normal(size=(80, 2)), 0)]
    (folder / "s.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
    return [folder / "s.csv", "--season", "6", "--tau", "5", "--n-b", "2"]


def classes(folder):
    np.savez(folder / "c.npz", x=X, y=(X[..., 0].cumsum(1) > 0).astype(int) * 2)
    return [folder / "c.npz"]


def rolls(folder):
    np.savez(folder / "r.npz", x=RANDOM.random((30, 9, 4)) < 0.3)
    return [folder / "r.npz", "--n-b", "7", "--clip", "0.1"]


def words(folder):
    (folder / "w.txt").write_text("the cat sat on the mat\nthe end\n" * 90)
    return [folder / "w.txt", "--tokens", "words", "--n-b", "2"]


def characters(folder):
    (folder / "t.txt").write_text("the cat sat on the mat\nthe end\n" * 40)
    return [folder / "t.txt", "--n-b", "2"]


def on_disk(folder):
    """Every number of the JSON files of a run, also those in sentences."""
    text = "\n".join(
        (folder / name).read_text() for name in ("summary.json", "evaluations.jsonl")
        if (folder / name).is_file()
    )  # fmt: skip
    return numbers_in(text)


def numbers_in(text):
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    found = re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?", plain)
    return [float(o.rstrip("%")) / (100 if o.endswith("%") else 1) for o in found]


def is_there(printed, known):
    """Whether a number of the disk is what was printed, to its last digit."""
    plain = printed.replace(",", "").rstrip("%")
    scale = 100 if printed.endswith("%") else 1
    mantissa, _, exponent = plain.partition("e")
    digits = len(mantissa.partition(".")[2])
    half = 0.5 * 10.0 ** (int(exponent or 0) - digits)
    # In four digits 0.9500 is printed as 0.95.
    return any(
        abs(scale * value - float(plain)) <= half * (1 + 1e-9)
        for value in (*known, *(v / 100 for v in known if scale > 1))
    )


@pytest.mark.parametrize("kind", [series, classes, rolls, words, characters])
def test_every_figure_of_the_end_and_of_eval_is_on_the_disk(kind, tmp_path, capsys):
    run = tmp_path / "run"
    given = [str(one) for one in kind(tmp_path)]
    app(["train", *given, *SMALL.split(), "--out", str(run)], standalone_mode=False)
    printed = capsys.readouterr().out.replace(str(tmp_path), "")
    head, _, end = printed.partition("done: ")
    before = [line for line in head.splitlines() if not re.match(r" *\d+ %", line)]
    lines = [*before, end]
    app(["eval", str(run), given[0]], standalone_mode=False)
    lines.append(capsys.readouterr().out.replace(str(tmp_path), ""))
    found = NUMBER.findall(re.sub(r"sample, temperature 0\.7", "", "\n".join(lines)))
    assert len(found) > 20
    known = on_disk(run)
    lost = [one for one in found if not is_there(one, known)]
    assert not lost, f"{lost} in {lines}"
    page = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", (run / "report.html").read_text(),
                  flags=re.DOTALL)  # fmt: skip
    text, _, said = end.partition("\nsaved in")
    text = re.sub(r"a sample, temperature.*", "", text, flags=re.DOTALL)
    text += said[said.find("gradients: ") :]
    text = re.sub(r"after window [\d,]+|learned in \d+ s", "", text)
    known = numbers_in(page)
    lost = [one for one in NUMBER.findall(text) if not is_there(one, known)]
    assert not lost, f"{lost} of {text} are not in report.html"


def test_the_search_finds_a_figure_that_is_not_there():
    assert is_there("12.71%", [0.12706]) and not is_there("12.71%", [0.1272])
    assert is_there("1,234", [1234.4]) and not is_there("1.5e-03", [1.6e-3])


def test_what_was_said_of_the_gradients_is_in_the_summary(tmp_path, capsys):
    run = tmp_path / "run"
    given = [str(one) for one in classes(tmp_path)]
    app(["train", *given, *SMALL.split(), "--json", "--out", str(run)],
        standalone_mode=False)  # fmt: skip
    caught = capsys.readouterr()
    summary = json.loads(caught.out)
    assert summary == json.loads((run / "summary.json").read_text())
    # On one line: who reads a pipe wraps it as he likes.
    assert f"gradients: {summary['gradients']['last']}\n" in caught.err
