"""What a run reached: on disk, beside the trivial predictor, compared and swept."""

import json
import re

import numpy as np
import pytest

from bptt.cli.app import app
from bptt.train import (
    BEST,
    TrainingOptions,
    compare_runs,
    measure_run,
    read_sequences,
    read_summary,
    train,
    write_comparison,
)
from bptt.train.children import Children
from bptt.train.data.form import Form
from bptt.train.data.sequences import Batches, Sequences
from bptt.train.errors import ComparisonError, ConfigFileError, SweepError
from bptt.train.report import PartReport
from bptt.train.run_folder import read_metrics, read_run
from bptt.train.sweep import DONE, FAILED, WAITS, WENT_ON, read_sweep, run_sweep
from bptt.train.tallies import BinaryTally, ClassTally, RealTally
from bptt.train.trivial import Predictor, Trivial

pytest.importorskip("torch")
pytest.importorskip("safetensors")


def test_figures_are_those_counted_by_hand():
    classes = ClassTally(4)
    o = np.eye(4)[[0, 0, 1, 2, 1]]
    classes.add(o, np.array([0, 1, 1, 2, 2]))
    assert classes.figures() == {
        "accuracy": 3 / 5,
        "mean_recall": (1 + 1 / 2 + 1 / 2) / 3,
    }
    assert classes.by_class() == [1, 0.5, 0.5, None]
    rolls = BinaryTally()  # 2 found, 1 wrong, 3 missed, 4 rightly left out
    rolls.add(
        np.array([1.0] * 3 + [-1.0] * 7), np.array([1, 1, 0, 1, 1, 1, 0, 0, 0, 0])
    )
    assert rolls.figures() == {
        "accuracy": 6 / 10,
        "frame_accuracy": 2 / 6,
        "f1": pytest.approx(2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5)),
    }
    real = RealTally(scale=np.array([10.0, 2.0]))
    real.add(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 2.0], [0.0, 3.0]]))
    assert real.figures() == {
        "rmse": pytest.approx(np.sqrt((100 + 36) / 4)),
        "mae": pytest.approx((10 + 6) / 4),
    }


def batches(y, n_x=2):
    return Batches(Sequences([np.zeros((len(v), n_x)) for v in y], y, True), 2)


def test_the_trivial_predictor_says_what_the_training_targets_say():
    training = batches([np.array([0, 1, 1]), np.array([1, 2])])
    held_out = batches([np.array([1, 0, 1, 2])])
    found = Trivial.of(training, Form(2, False, "class", 4), "nll").measure(
        held_out, 0.25
    )
    p = np.array([2, 4, 2, 1]) / 9  # 1, 3, 1, 0 counts and one each
    assert found.loss == pytest.approx(-np.log(p[[1, 0, 1, 2]]).mean() + 0.25)
    assert found.figures["accuracy"] == 0.5
    assert found.figures["perplexity"] == pytest.approx(np.exp(found.loss))
    roll = np.array([[1, 0], [1, 0], [1, 1]])
    found = Trivial.of(batches([roll]), Form(2, False, "multi-hot", 2), "bce")
    p = np.array([4 / 5, 2 / 5])
    y = np.array([[1, 1], [0, 0]])
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=1).mean()
    assert found.measure(batches([y])).loss == pytest.approx(loss)
    real = Trivial.of(
        batches([np.array([[1.0], [3.0]])]), Form(2, False, "real", 1), "mse"
    )
    assert real.measure(batches([np.array([[5.0], [2.0]])])).loss == pytest.approx(4.5)


def test_a_network_that_is_no_better_is_told_so_and_one_that_is_better_is_not():
    other = Predictor("training mean", 2.0, {"rmse": 3.0, "accuracy": 0.5})
    same = PartReport(2.0, {"rmse": 3.5, "accuracy": 0.5}, references=(other,))
    (remark,) = same.remarks("test part")
    assert remark == (
        "No better than the training mean on the test part: loss 2.000 against 2.000; "
        "accuracy 50.00% against 50.00%; RMSE 3.5 against 3."
    )
    better = PartReport(1.9, {"rmse": 2.9, "accuracy": 0.6}, references=(other,))
    assert better.remarks("test part") == []


def write_data(folder):
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 7, 2)).astype(np.float32)
    file = folder / "walk.npz"
    np.savez(file, x=x, y=(x[..., 0].cumsum(axis=1) > 0).astype(int))
    return file


OPTIONS = {"cell": "elman", "n_h": 4, "n_b": 8, "epochs": 2, "validations": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    file = write_data(folder)
    arguments = [f"--{k.replace('_', '-')}={v}" for k, v in OPTIONS.items()]
    given = ["train", str(file), *arguments, "--split", "0.6,0.2,0.2", "--json"]
    app([*given, "--out", str(folder / "run")], standalone_mode=False)
    return folder


def test_every_figure_of_a_run_is_on_the_disk(finished, capsys):
    run = finished / "run"
    found = read_summary(run).content
    data = read_sequences("walk", [finished / "walk.npz"])
    best = read_run(run, BEST)
    assert found["seed"] == 0
    assert found["options"] == best.config["options"]
    assert found["data"]["sha256"] == best.config["data"]["sha256"]
    assert found["parameters"] == sum(p.size for p in best.parameters.values())
    last = read_metrics(run)[-1]
    assert last["best_nats_per_step"] == found["best"]["loss"]
    assert last["test_accuracy"] == found["test"]["accuracy"]
    assert (
        last["test_of_training_frequencies_nats_per_step"]
        == (found["baselines"]["test"]["training frequencies"]["loss"])
    )
    page = (run / "report.html").read_text()
    assert f"{found['test']['accuracy']:.2%}" in page
    assert "training frequencies, test part" in page
    # The test figures are those of the model on the records the run set aside.
    whole = measure_run(run, data)
    assert whole.n == 40 * 7
    assert 0 < whole.figures["mean_recall"] < 1


def test_json_is_all_that_train_and_eval_print_on_standard_output(finished, capsys):
    run, file = str(finished / "run"), str(finished / "walk.npz")
    app(["train", "--resume", run, "--json"], standalone_mode=False)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == read_summary(finished / "run").content
    assert "going on after window" in printed.err
    app(["eval", run, file, "--json"], standalone_mode=False)
    measured = json.loads(capsys.readouterr().out)
    assert measured["n"] == 280
    assert len(measured["recall_per_class"]) == 2


def copy_with(run, to, **changes):
    """A run's folder with other figures, as a run with another seed leaves it."""
    to.mkdir()
    content = json.loads((run / "summary.json").read_text())
    options = content["options"] | changes.pop("options", {})
    content |= {"options": options, **changes}
    (to / "summary.json").write_text(json.dumps(content))
    (to / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes())
    return to


def test_runs_that_differ_in_the_seed_are_one_row(finished, tmp_path, capsys):
    run = finished / "run"
    best = read_summary(run).content["best"]
    seeds = [
        copy_with(run, tmp_path / f"seed{s}", seed=s, best=best | {"loss": loss},
                  options={"seed": s})
        for s, loss in ((1, 0.5), (2, 0.75))
    ]  # fmt: skip
    wide = copy_with(run, tmp_path / "wide", options={"n_h": 9})
    twice = compare_runs([wide, seeds[0], wide]).rows
    assert [row.runs[0].folder for row in twice] == [wide, seeds[0]]
    found = compare_runs([*seeds, wide])
    assert [row.label for row in found.rows] == ["n_h 4", "n_h 9"]
    loss = found.rows[0].figures["held-out loss"]
    assert (loss.mean, loss.values) == (0.625, [0.5, 0.75])
    assert loss.deviation == pytest.approx(np.std([0.5, 0.75], ddof=1))
    assert found.rows[1].figures["held-out loss"].deviation is None
    held_out = found.tables()[0]
    assert held_out.rows[0][1:3] == ("2", "0.625 ± 0.177")
    assert held_out.heads[1:3] == ["runs", "loss"]
    write_comparison(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "0.625 ± 0.177" in page
    drawn = r"class=[\"']?curve (s\d)[\"']?[^<]*>(?:</path>)?</svg>([^<]*)"
    entries = re.findall(drawn, page)
    assert entries == [("s0", "n_h 4"), ("s1", "n_h 9")]
    again = copy_with(run, tmp_path / "again", seed=1)
    found = compare_runs([*seeds, seeds[0], wide, again])
    assert [len(row.runs) for row in found.rows] == [2, 1, 1]
    assert found.rows[2].label == f"n_h 4 ({again})"
    other = copy_with(run, tmp_path / "bits", unit="bits per character")
    with pytest.raises(ComparisonError, match="bits per character"):
        compare_runs([run, other])


SWEEP = """
data = "{file}"
out = "{out}"
cell = "elman"
epochs = 1
validations = 1
[grid]
n_h = [2, 3]
seed = [0, 1]
"""


def test_a_sweep_runs_what_is_left_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    toml = tmp_path / "sweep.toml"
    out = tmp_path / "out"
    toml.write_text(SWEEP.format(file=write_data(tmp_path), out=out))
    asked = []

    def run(self, command, output, env):
        asked.append(command[3:])
        if "n_h=3,seed=1" in command[-1]:
            output.write("first\nbptt: something is wrong\n")
            return 2
        app(command[3:], standalone_mode=False)
        return 0

    monkeypatch.setattr(Children, "run", run)
    folder, jobs = read_sweep(toml)
    heard = []
    first = run_sweep(folder, jobs, 1, heard.append)
    assert [outcome.how for outcome in first] == [WENT_ON] * 3 + [FAILED]
    assert first[-1].reason == "bptt: something is wrong"
    assert heard == first
    options = read_run(out / "n_h=3,seed=0").options
    assert options == TrainingOptions(
        cell="elman", epochs=1, validations=1, n_h=3, seed=0
    )
    (out / "n_h=2,seed=1" / "summary.json").unlink()  # as a run that was stopped
    again = run_sweep(folder, jobs, 1, heard.append)
    assert [outcome.how for outcome in again] == [DONE, WENT_ON, DONE, FAILED]
    resumed = ["train", "--resume", str(out / "n_h=2,seed=1")]
    assert asked[4] == resumed
    toml.write_text(toml.read_text().replace("epochs = 1", "epochs = 2"))
    with pytest.raises(SweepError, match="other options or data than the sweep now"):
        run_sweep(*read_sweep(toml), 1, heard.append)
    other = "missing = 'mask'\nepochs = 1"
    toml.write_text(toml.read_text().replace("epochs = 2", other))
    with pytest.raises(SweepError, match="other options or data than the sweep now"):
        run_sweep(*read_sweep(toml), 1, heard.append)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n-h = 3\n[grid]\nn_h = [2]", "says n-h outside of \\[grid\\] and n_h in it"),
        ("scheduler = 'constant'\n[grid]\nschedule = ['cosine']", "leave one out"),
        ("epoch = 1\n[grid]\nnh = [2]", "has 'epoch', which no option is called"),
        ("[grid]\nout = ['a', 'b']", "each run has a folder of its own"),
    ],
)
def test_what_a_sweep_says_twice_is_refused(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(ConfigFileError, match=message):
        read_sweep(tmp_path / "sweep.toml")


def test_a_sweep_waits_for_what_a_killed_one_left_at_work(tmp_path, monkeypatch):
    posix = pytest.importorskip("fcntl")
    toml, out, heard = tmp_path / "sweep.toml", tmp_path / "out", []
    toml.write_text(SWEEP.format(file=write_data(tmp_path), out=out))
    folder, jobs = read_sweep(toml)
    folder.mkdir()
    log = (folder / "n_h=2,seed=1.log").open("w")
    posix.flock(log, posix.LOCK_EX)  # a process has it as its output

    def tell(outcome):
        heard.append((outcome.job.name, outcome.how))
        if outcome.how == WAITS:
            app(["train", "--config", str(tmp_path / "run.json"),
                 "--out", str(outcome.job.folder)], standalone_mode=False)  # fmt: skip
            log.close()

    def run(self, command, output, env):
        return 0

    (tmp_path / "run.json").write_text(json.dumps(jobs[1].table))
    monkeypatch.setattr(Children, "run", run)
    found = run_sweep(folder, jobs, 1, tell)
    assert [one.how for one in found] == [WENT_ON, DONE, WENT_ON, WENT_ON]
    assert heard[1:3] == [("n_h=2,seed=1", WAITS), ("n_h=2,seed=1", DONE)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_h = 3", r"has no table \[grid\]"),
        ("[grid]\nn_h = 3", "grid.n_h is not a list"),
        ("[grid]\nn_q = [3]", "did you mean n_h"),
        ("[grid]\nn_h = [1, 1]", "names 1 runs twice"),
        (
            f"[grid]\nn_h = {list(range(1, 200))}\nseed = {list(range(99))}",
            "19,701 runs",
        ),
    ],
)
def test_a_sweep_that_is_none_says_why(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(ConfigFileError, match=message):
        read_sweep(tmp_path / "sweep.toml")


def test_the_unigram_of_a_text_is_its_baseline(small_text, tmp_path, quiet):
    options = TrainingOptions(cell="elman", n_h=2, n_b=8, validations=1, epochs=1)
    report = train(small_text, options, tmp_path / "run", quiet)
    unigram, _ = report.best_part.references
    # Of 600 characters the first and what fills no stream are no targets of a network.
    assert unigram.loss == pytest.approx(report.baselines.unigram, rel=4 / 600)
    assert report.last.figures["perplexity"] == pytest.approx(2**report.validation)
