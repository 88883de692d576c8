"""Short real runs from text to run folder."""

import json
import signal

import numpy as np
import pytest
from rich.console import Console

from bptt.train import TrainingOptions, open_run, train
from bptt.train import loop as loop_module
from bptt.train.data.text import PlainText
from bptt.train.errors import TextTooShortError
from bptt.train.run_folder import read_run

pytest.importorskip("torch")
pytest.importorskip("safetensors")

OPTIONS = TrainingOptions(
    cell="book", n_h=24, n_b=8, tau=16, epochs=3, learning_rate=0.01, held_out=0.1
)


@pytest.fixture(scope="module")
def finished(small_text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "one"
    return train(small_text, OPTIONS, folder, Console(quiet=True))


def test_the_model_beats_the_unigram_by_far(finished):
    assert finished.validation < 0.6 * finished.baselines.unigram
    assert not finished.was_interrupted
    assert len(finished.sample) == 300
    assert "the " in finished.sample


def test_the_metrics_tell_the_whole_run(finished):
    lines = (finished.folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    windows = [r for r in records if "training_bits_per_character" in r]
    validations = [r for r in records if "validation_bits_per_character" in r]
    assert [r["window"] for r in windows] == list(range(1, len(windows) + 1))
    assert windows[-1]["characters"] == finished.n_characters == len(windows) * 8 * 16
    assert validations[-1]["validation_bits_per_character"] == finished.validation
    assert validations[-1]["window"] == len(windows)
    first, last = (
        np.mean([r["training_bits_per_character"] for r in part])
        for part in (windows[:10], windows[-10:])
    )
    assert last < 0.6 * first


def test_the_configuration_has_every_option(finished):
    config = json.loads((finished.folder / "config.json").read_text())
    assert config["options"]["tau"] == 16
    assert config["options"]["cell"] == "book"
    assert config["data"]["source"] == "words"
    assert config["versions"].keys() == {"bptt", "numpy", "torch", "python"}


def test_the_saved_model_writes_the_same_sample(finished):
    sampler = open_run(finished.folder)
    again = "".join(sampler.write("\n", 300, temperature=0.7, seed=0))
    assert again == finished.sample


def test_the_same_seed_gives_the_same_parameters_bit_for_bit(
    finished, small_text, tmp_path, quiet
):
    again = train(small_text, OPTIONS, tmp_path / "two", quiet)
    assert again.validation == finished.validation
    first, second = (read_run(f).parameters for f in (finished.folder, again.folder))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_another_seed_gives_other_parameters(finished, small_text, tmp_path, quiet):
    options = TrainingOptions(**{**vars(OPTIONS), "seed": 1, "epochs": 1})
    other = train(small_text, options, tmp_path / "two", quiet)
    first, second = (read_run(f).parameters for f in (finished.folder, other.folder))
    assert not np.array_equal(first["W"], second["W"])


def test_an_interrupt_ends_the_run_with_everything_saved(
    small_text, tmp_path, quiet, monkeypatch
):
    original = loop_module.Learner.learn_window

    def learn_window(self, dataset, window, state, number):
        if number == 5:
            signal.raise_signal(signal.SIGINT)
        return original(self, dataset, window, state, number)

    monkeypatch.setattr(loop_module.Learner, "learn_window", learn_window)
    report = train(small_text, OPTIONS, tmp_path / "run", quiet)
    assert report.was_interrupted
    assert report.n_characters == 5 * 8 * 16
    lines = (report.folder / "metrics.jsonl").read_text().splitlines()
    last, final = map(json.loads, lines[-2:])
    assert last["validation_bits_per_character"] == report.validation
    assert final["best_bits_per_character"] == report.best
    assert "".join(open_run(report.folder).write("the", 5))


def test_a_text_that_is_too_short_leaves_no_folder(tmp_path, quiet):
    text = PlainText("too short", source="words", n_files=1)
    with pytest.raises(TextTooShortError, match="need 129"):
        train(text, OPTIONS, tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()
