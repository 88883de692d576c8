"""Tables and series: what is read, split in time, standardised, predicted, forecast."""

import csv
import gzip
import json
from importlib.util import find_spec

import numpy as np
import pytest

from bptt.cli.app import app
from bptt.train import (
    DataRequest,
    TableRequest,
    TrainingOptions,
    load,
    open_data,
    train,
)
from bptt.train.data import tables
from bptt.train.data import text as text_module
from bptt.train.data.opening import make_task
from bptt.train.data.sequence_task import sequence_task
from bptt.train.door import limits
from bptt.train.errors import (
    BadRecordError,
    DataUnreadableError,
    ForecastError,
    IgnoredOptionError,
    OptionError,
    UnlikeDataError,
)
from bptt.train.predicting import forecast_run, predict_run
from bptt.train.run_config import read_run_config
from bptt.train.trivial import measure_lagged

pandas = pytest.importorskip("pandas")

MONTHS = 60
SALES = 100 + np.arange(MONTHS) + 20 * np.sin(np.arange(MONTHS) * np.pi / 6)


@pytest.fixture
def sales(tmp_path):
    """Five years of monthly sales, the newest first."""
    file = tmp_path / "sales.csv"
    lines = [f"2020-{i:03},{v:.4f}" for i, v in enumerate(SALES)]
    file.write_text("month,sales\n" + "\n".join(lines[::-1]) + "\n")
    return file


def read(file, **table):
    return open_data(DataRequest((file,), table=TableRequest(**table)))


def test_columns_of_another_file_are_found_by_their_names(tmp_path, quiet):
    rows = np.cumsum(np.random.default_rng(3).normal(size=(40, 2)), 0).round(3)
    frame = pandas.DataFrame(rows, columns=["a", "b"])
    frame.to_csv(tmp_path / "ab.csv", index=False)
    frame.assign(note="x")[["b", "note", "a"]].to_csv(tmp_path / "ba.csv", index=False)
    frame[["b"]].to_csv(tmp_path / "b.csv", index=False)
    request = DataRequest((tmp_path / "ab.csv",))
    options = TrainingOptions(cell="elman", n_h=2)
    train(open_data(request), options, tmp_path / "run", quiet, request)
    heads, rows = predict_run(tmp_path / "run", [tmp_path / "ab.csv"])
    again, others = predict_run(tmp_path / "run", [tmp_path / "ba.csv"])
    assert (heads, list(rows)) == (again, list(others))
    with pytest.raises(OptionError, match="column a: expected one of b"):
        predict_run(tmp_path / "run", [tmp_path / "b.csv"])
    np.savez(tmp_path / "x.npz", x=frame.to_numpy(np.float32)[None])
    heads, rows = predict_run(tmp_path / "run", [tmp_path / "x.npz"])
    assert len(heads) == 4
    kept = read_run_config(tmp_path / "run").request
    assert (kept.table.columns, kept.found) == ((), ("a", "b"))


def test_a_season_longer_than_every_series_is_refused(sales):
    data = read(sales, time="month", horizon=3)
    assert "seasonal naive forecast" in make_task(data, TrainingOptions(season=59)).lags
    with pytest.raises(OptionError, match="fewer steps than the 60 of the longest"):
        make_task(data, TrainingOptions(season=60))


def test_one_series_is_sorted_split_in_time_and_standardised(
    sales,
):
    data = read(sales, time="month", horizon=3)
    options = TrainingOptions(held_out=0.2, test=0.1, season=12)
    task = make_task(data, options)
    n = MONTHS - 3
    n_test, n_validation = round(n * 0.1), round(n * 0.2)
    first = n - n_test - n_validation
    mean, scale = SALES[:first].mean(), SALES[:first].std()
    # The file has four decimals, and a number of it is a float32.
    assert task.form.x_mean == pytest.approx((mean,), rel=1e-5)
    assert task.form.x_scale == pytest.approx((scale,), rel=1e-5)
    bounds = {"training": (0, first), "validation": (first, first + n_validation)}
    bounds["test"] = (first + n_validation, n)
    y_mean, y_scale = task.form.y_mean[0], task.form.y_scale[0]
    for part, (start, stop) in bounds.items():
        (x,) = task.parts[part].sequences.x
        (y,) = task.parts[part].sequences.y
        np.testing.assert_allclose(x[:, 0], (SALES[:stop] - mean) / scale, atol=1e-5)
        np.testing.assert_allclose(y[:, 0] * y_scale + y_mean, SALES[3 : stop + 3],
                                   rtol=1e-5)  # fmt: skip
        counts = task.parts[part].sequences.steps(0)
        assert np.flatnonzero(counts).tolist() == list(range(start, stop))
    assert task.lags == {"naive forecast": 0, "seasonal naive forecast": 9}


def test_the_naive_forecasts_are_those_by_hand(sales):
    data = read(sales, time="month")
    options = TrainingOptions(held_out=0.3, season=12, standardise=False)
    task = make_task(data, options)
    n = MONTHS - 1
    first = n - round(n * 0.3)
    true = SALES[first + 1 :]
    for name, guess in (
        ("naive forecast", SALES[first:-1]),
        ("seasonal naive forecast", SALES[first + 1 - 12 : -12]),
    ):
        found = measure_lagged(
            name, task.lags[name], task.parts["validation"], task.form
        )
        assert found.figures["rmse"] == pytest.approx(
            np.sqrt(((guess - true) ** 2).mean()), rel=1e-5
        )
        assert found.loss == pytest.approx(((guess - true) ** 2).mean(), rel=1e-5)


def test_a_group_is_a_sequence_with_a_label_of_its_own_or_one_per_row(tmp_path):
    file = tmp_path / "ragged.tsv"
    rows = [("b", 1.0, 2, 1), ("a", 2.0, 3, 0), ("b", 3.0, 4, 1), ("a", 4.0, 5, 0),
            ("a", 6.0, 7, 0)]  # fmt: skip
    text = "\n".join("\t".join(map(str, row)) for row in rows)
    file.write_text("who\tp\tq\tlabel\n" + text + "\n")
    data = read(file, group="who", target="label")
    assert (data.form.target, data.form.n_o, data.form.per_step) == ("class", 2, False)
    a, b = data.parts["whole"].x
    np.testing.assert_array_equal(a, [[2, 3], [4, 5], [6, 7]])
    np.testing.assert_array_equal(b, [[1, 2], [3, 4]])
    assert [int(y) for y in data.parts["whole"].y] == [0, 1]
    data = read(file, group="who", target="q", columns=("p",))
    assert (data.form.n_x, data.form.n_o, data.form.per_step) == (1, 8, True)
    data = read(file, group="who", target="p", columns=("q",))
    assert (data.form.target, data.form.n_o) == ("real", 1)


@pytest.mark.parametrize(
    ("text", "table", "error", "message"),
    [
        ("a,b\n1,2\n3,\n", {}, BadRecordError, "record 1 .* has 'b' missing"),
        ("a,b\n1,x\n3,y\n", {}, BadRecordError, "record 0 .* has 'b' 'x', line 2, a w"),
        ("sale\n1\n2\n", {"columns": ("sales",)}, OptionError, "did you mean sale"),
        ("a\n1\n", {}, BadRecordError, "no more than one row"),
        ("a,y\n1,-1\n2,0\n", {"target": "y"}, BadRecordError, "classes count from 0"),
        ("", {}, DataUnreadableError, "No columns to parse"),
        ("a;b\n0,5;1,5\n2,5;3,5\n", {}, DataUnreadableError, "more fields than its"),
        ("a\n0,1\n2,3\n", {}, DataUnreadableError, r"'\.' in decimals"),
        ("a;b\n1;2\n3;4\n", {}, DataUnreadableError, "parted by ';'; save it with"),
        (
            "a,b, a\n1,2,3\n",
            {},
            DataUnreadableError,
            "two of its columns are called 'a'",
        ),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, text, table, error, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(error, match=message):
        read(tmp_path / "t.csv", **table)


def test_other_kinds_of_files_are_named_and_columns_are_for_tables_alone(tmp_path):
    for name, word in (("a.mid", "piano roll"), ("a.mat", "scipy.io.loadmat")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DataUnreadableError, match=word):
            read(tmp_path / name)
    (tmp_path / "a.txt").write_text("some text")
    with pytest.raises(IgnoredOptionError, match="--group: it would be ignored"):
        read(tmp_path / "a.txt", group="x")


def test_a_run_on_monthly_sales_predicts_and_forecasts_in_their_units(
    sales, tmp_path, capsys
):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    run = tmp_path / "run"
    small = "--cell elman --n-h 6 --epochs 150 --learning-rate 0.02 --validations 1"
    asked = ["--time", "month", "--season", "12", "--split", "0.7,0.2,0.1"]
    given = ["train", str(sales), *asked, *small.split(), "--out", str(run), "--json"]
    app(given, standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    names = ["training mean", "naive forecast", "seasonal naive forecast"]
    assert list(found["baselines"]["validation"]) == names
    # In the units of the sales: the deviation around the mean of a trend is above 20.
    mean = found["baselines"]["test"]["training mean"]
    assert found["best"]["rmse"] < 20 < mean["rmse"]
    model = load(run)
    x = SALES[:-1].reshape(-1, 1, 1).astype(np.float32)
    p = model.predict(x)
    assert abs(p[:30, 0, 0] - SALES[1:31]).mean() < 20
    app(["predict", str(run), str(sales), "--out", str(tmp_path / "p.csv")],
        standalone_mode=False)  # fmt: skip
    with (tmp_path / "p.csv").open() as stream:
        heads, *rows = csv.reader(stream)
    assert heads == ["sequence", "step", "sales"]
    np.testing.assert_allclose([float(r[2]) for r in rows], p[:, 0, 0], rtol=1e-4)
    app(["forecast", str(run), "--steps", "3"], standalone_mode=False)
    heads, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert [r[:2] for r in rows] == [["1", "1"], ["1", "2"], ["1", "3"]]
    series = SALES.reshape(-1, 1, 1).astype(np.float32)
    for row in rows:  # each step is the last prediction of the series so far
        last = model.predict(series)[-1:]
        assert float(row[2]) == pytest.approx(float(last[0, 0, 0]), rel=1e-4)
        series = np.concatenate([series, last.astype(np.float32)])


def test_a_model_of_classes_does_not_forecast(tmp_path, quiet):
    from bptt.train import forecast_run, read_sequences

    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    x = np.random.default_rng(0).normal(size=(8, 4, 2))
    np.savez(tmp_path / "x.npz", x=x, y=(x[..., 0] > 0).astype(int))
    data = read_sequences("x", [tmp_path / "x.npz"])
    options = TrainingOptions(cell="elman", n_h=2, validations=1, held_out=0.3)
    train(data, options, tmp_path / "run", quiet)
    with pytest.raises(ForecastError, match="its target is no later x"):
        load(tmp_path / "run").forecast(x.swapaxes(0, 1), 2)
    with pytest.raises(ForecastError, match="its target is no later x"):
        forecast_run(tmp_path / "run", [tmp_path / "x.npz"], 2)


def test_a_forecast_of_data_with_targets_of_its_own_is_refused(tmp_path, quiet):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    cell = tmp_path / "twice.cell"
    cell.write_text("o[t] = w * x[t]\nL[t] = mse(o[t], y[t])\nw: () = 2\n")
    x = np.random.default_rng(0).normal(size=(8, 4, 1))
    np.savez(tmp_path / "x.npz", x=x)
    np.savez(tmp_path / "y.npz", x=x, y=x)
    request = DataRequest((tmp_path / "x.npz",))
    options = TrainingOptions(cell=str(cell), validations=1, held_out=0.3)
    train(open_data(request), options, tmp_path / "run", quiet, request)
    assert len(list(forecast_run(tmp_path / "run", (), 2)[1])) == 2 * len(x)
    with pytest.raises(ForecastError, match="has targets y, which are no later x"):
        forecast_run(tmp_path / "run", [tmp_path / "y.npz"], 2)


GAPS = """id,time,a,b,label
u,1,,5,0
u,2,1,6,0
u,3,,7,1
u,4,3,8,
u,5,4,,1
v,1,2,2,1
v,2,3,3,0
w,1,,1,1
"""


def test_gaps_are_an_error_or_carried_on_and_without_a_loss(tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text(GAPS)
    with pytest.raises(BadRecordError, match="'a' missing"):
        read(path, group="id", time="time", target="label")
    data = read(path, group="id", time="time", target="label", missing="mask")
    whole = data.parts["whole"]
    assert data.ids == ("u", "v")  # w never has an a
    assert data.columns == ("a", "b")
    np.testing.assert_array_equal(whole.x[0], [[1, 6], [1, 7], [3, 8], [4, 8]])
    np.testing.assert_array_equal(whole.steps(0), [True, True, False, True])
    np.testing.assert_array_equal(whole.steps(1), [True, True])
    later = read(path, group="id", time="time", columns=("a",), missing="mask")
    np.testing.assert_array_equal(later.parts["whole"].y[0][:, 0], [1, 3, 4])
    np.testing.assert_array_equal(later.parts["whole"].steps(0), [False, True, True])


@pytest.mark.parametrize("horizon", [1, 6])
def test_the_naive_forecasts_of_a_trend_are_in_the_units_of_the_data(tmp_path, horizon):
    """x and y of a trend have other means: in those of one the other would be off."""
    path = tmp_path / "a.csv"
    values = np.random.default_rng(2).normal(size=90).cumsum() + 3 * np.arange(90)
    path.write_text("a\n" + "\n".join(f"{v:.6f}" for v in values))
    options = TrainingOptions(held_out=0.2, season=8)
    task = make_task(read(path, horizon=horizon), options)
    n = round(0.2 * (90 - horizon))
    for name, lag in (("naive forecast", horizon), ("seasonal naive forecast", 8)):
        found = measure_lagged(
            name, task.lags[name], task.parts["validation"], task.form
        )
        errors = values[-n:] - values[-n - lag : -lag]
        expected = np.sqrt((errors**2).mean())
        assert found.figures["rmse"] == pytest.approx(expected, rel=1e-5)


def test_every_group_is_split_in_time_or_by_groups(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{g},{100 * k + t}" for k, g in enumerate("uvw") for t in range(21)]
    path.write_text("g,a\n" + "\n".join(rows))
    data = read(path, group="g")
    options = TrainingOptions(held_out=0.3, test=0.1, standardise=False)
    parts = sequence_task(data, options).parts
    for name, first, last in (("training", 0, 12), ("validation", 12, 18),
                              ("test", 18, 20)):  # fmt: skip
        found = parts[name].sequences
        assert len(found) == 3
        for k in range(3):
            np.testing.assert_array_equal(found.x[k][:, 0], 100 * k + np.arange(last))
            counts = np.arange(last) >= first
            np.testing.assert_array_equal(found.steps(k) > 0, counts)
    apart = TrainingOptions(held_out=0.34, split_by="sequences", standardise=False)
    parts = sequence_task(data, apart).parts
    assert [len(parts[n].sequences) for n in ("training", "validation")] == [2, 1]
    labels = read(path, group="g", target="a", columns=("a",))
    np.savez(tmp_path / "b.npz", x=np.zeros((9, 4, 2)), y=np.zeros((9, 3)))
    once = open_data(DataRequest((tmp_path / "b.npz",)))
    with pytest.raises(OptionError, match="--split-by time: expected sequences"):
        sequence_task(once, TrainingOptions(split_by="time"))
    in_time = TrainingOptions(held_out=0.3, split_by="time", standardise=False)
    assert len(sequence_task(labels, in_time).parts["training"].sequences) == 3


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_a_table_that_memory_has_no_room_for_is_refused(tmp_path, monkeypatch, kind):
    """By its values, counted before pandas reads one: 60,000 of 20 bytes."""
    if kind == ".parquet":
        pytest.importorskip("pyarrow")
    file, separator = tmp_path / f"a{kind}", "\t" if kind == ".tsv" else ","
    table = pandas.DataFrame({"a": np.zeros(30_000, int), "b": 1})
    if kind == ".parquet":
        table.to_parquet(file)
    else:
        table.to_csv(file, index=False, sep=separator)
    monkeypatch.setattr(limits, "available_memory", lambda: 2**20)
    with pytest.raises(DataUnreadableError, match=r"needs 1\.14 MiB of memory"):
        read(file)
    monkeypatch.undo()
    assert len(read(file)) == 1


def test_a_packed_table_that_expands_beyond_all_measure_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(text_module, "FREE_EXPANSION", 10_000)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n" + b"1\n" * 2_000_000))
    with pytest.raises(DataUnreadableError, match="unpacks to more than"):
        read(tmp_path / "a.csv.gz")


def test_packed_and_capital_tables_are_tables_and_parquet_is_the_same(tmp_path):
    text = "month,sales\n2,5.5\n1,4\n3,-1\n"
    (tmp_path / "a.CSV").write_text(text)
    with gzip.open(tmp_path / "a.csv.gz", "wt") as stream:
        stream.write(text)
    tables = [tmp_path / "a.CSV", tmp_path / "a.csv.gz"]
    if find_spec("pyarrow"):
        pandas.read_csv(tables[0]).to_parquet(tmp_path / "a.parquet")
        tables.append(tmp_path / "a.parquet")
    if find_spec("zstandard"):
        pandas.read_csv(tables[0]).to_csv(tmp_path / "a.csv.zst", index=False)
        tables.append(tmp_path / "a.csv.zst")
    for table in tables:
        (x,) = read(table, time="month").parts["whole"].x
        np.testing.assert_array_equal(x, [[4], [5.5]])


def test_a_long_series_is_read_in_streams_that_follow_each_other(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "\n".join(map(str, range(101))))
    data = read(path)
    options = TrainingOptions(n_b=4, tau=10, held_out=0.2, standardise=False)
    training = sequence_task(data, options).parts["training"].sequences
    assert [len(x) for x in training.x] == [20, 20, 20, 20]
    np.testing.assert_array_equal(np.concatenate(training.x)[:, 0], np.arange(80))
    np.testing.assert_array_equal(np.concatenate(training.y)[:, 0], np.arange(1, 81))
    few = TrainingOptions(n_b=16, tau=30, held_out=0.2, standardise=False)
    assert len(sequence_task(data, few).parts["training"].sequences) == 2
    whole = sequence_task(data, TrainingOptions(held_out=0.2))
    assert len(whole.parts["training"].sequences) == 1
    assert whole.remarks == ()


def test_a_forecast_of_a_longer_horizon_is_fed_what_it_said(tmp_path, quiet):
    """A network made by hand that says 2 x of three steps ago; no training is in it."""
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "\n".join(map(str, range(1, 41))))
    request = DataRequest((path,), table=TableRequest(horizon=3))
    cell = tmp_path / "twice.cell"
    cell.write_text("o[t] = w * x[t]\nL[t] = mse(o[t], y[t])\nw: () = 2\n")
    options = TrainingOptions(
        cell=str(cell), learning_rate=1e-30, held_out=0.2, season=4, standardise=False
    )
    train(open_data(request), options, tmp_path / "run", quiet, request)
    heads, rows = forecast_run(tmp_path / "run", (), 7)
    assert heads == ["sequence", "step", "a", "a naive", "a seasonal naive"]
    found = np.array(list(rows))
    # 38, 39, 40 twice, then what was said three steps before, twice
    np.testing.assert_allclose(found[:, 2], [76, 78, 80, 152, 156, 160, 304], rtol=1e-6)
    assert set(found[:, 3]) == {40}
    np.testing.assert_array_equal(found[:, 4], [37, 38, 39, 40, 37, 38, 39])


def write_words(path, rows):
    path.write_text("who,p,label\n" + "\n".join(rows) + "\n")
    return path


def test_words_are_classes_in_order_and_called_by_their_names(tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    kinds = ["wet", "dry", "hail"]
    rows = [f"s{i},{i % 3 + 0.1 * t},{kinds[i % 3]}" for i in range(24)
            for t in range(2 + i % 4)]  # fmt: skip
    file = write_words(tmp_path / "w.csv", rows)
    data = read(file, group="who", target="label")
    assert data.classes == ("dry", "hail", "wet")
    assert (data.form.target, data.form.n_o, data.form.per_step) == ("class", 3, False)
    by_id = dict(zip(data.ids, map(int, data.parts["whole"].y), strict=True))
    assert (by_id["s0"], by_id["s1"], by_id["s2"]) == (2, 0, 1)
    run = str(tmp_path / "run")
    small = "--cell elman --n-h 5 --epochs 40 --validations 1 --n-b 6 --held-out 0.2"
    asked = ["train", str(file), "--group", "who", "--target", "label"]
    app([*asked, *small.split(), "--out", run], standalone_mode=False)
    assert "wet: " in capsys.readouterr().out.split("recall of each class")[1]
    # Fewer words in another file mean what they meant in training.
    other = write_words(tmp_path / "o.csv", ["a,0.0,wet", "a,0.1,wet", "b,2.1,hail"])
    app(["predict", run, str(other), "--out", str(tmp_path / "p.csv")],
        standalone_mode=False)  # fmt: skip
    app(["eval", run, str(other), "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    with (tmp_path / "p.csv").open() as stream:
        said = list(csv.DictReader(stream))
    names = ["label dry", "label hail", "label wet"]
    best = [max(names, key=lambda name: float(one[name])) for one in said]
    right = [best[0] == "label wet", best[1] == "label hail"]
    assert found["accuracy"] == sum(right) / 2
    odd = write_words(tmp_path / "x.csv", ["a,0.0,wat", "a,0.1,wat"])
    with pytest.raises(BadRecordError, match=r"'label' wat, where .* mean wet\?"):
        app(["eval", run, str(odd)], standalone_mode=False)
    with pytest.raises(UnlikeDataError, match="labels dry, hail, zap"):
        app(["train", *asked[2:], str(write_words(tmp_path / "z.csv", [
            row.replace("wet", "zap") for row in rows])), *small.split(),
            "--start", run], standalone_mode=False)  # fmt: skip


def test_of_many_words_the_first_are_named_and_the_sentence_ends(tmp_path):
    words = tuple(f"w{number:02}" for number in range(14))
    file = write_words(tmp_path / "w.csv", ["a,1,zz"])
    for classes, end in ((words, r"w11, \.\.\. Nothing"),
                         (("zzz", "on"), r"did you mean zzz\? Nothing"),
                         (("on", "off"), r"classes: on, off\. Nothing")):  # fmt: skip
        with pytest.raises(BadRecordError, match=end):
            read(file, target="label", columns=("p",), classes=classes)


def test_a_label_that_is_missing_leaves_its_row_out(tmp_path):
    rows = ["a,1,on", "a,2,", "a,3,off", "a,4,on"]
    file = write_words(tmp_path / "w.csv", rows)
    with pytest.raises(BadRecordError, match="has 'label' missing"):
        read(file, target="label", columns=("p",))
    data = read(file, target="label", columns=("p",), missing="mask")
    assert data.classes == ("off", "on")
    np.testing.assert_array_equal(data.parts["whole"].scored[0], [1, 0, 1, 1])
    assert data.parts["whole"].y[0][[0, 2, 3]].tolist() == [1, 0, 1]


def test_values_are_counted_without_the_signs_in_quotes():
    blocks = [b'a,b\n"x, y,', b' z\nw",2\n', b'"",3\n']
    assert tables._count_ends(blocks, b",") == 6
