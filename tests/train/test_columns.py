"""Columns of tables: what is a number, and what comes before what in time."""

import json
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from bptt.train import DataRequest, TableRequest, TrainingOptions, open_data
from bptt.train.data.opening import make_task
from bptt.train.data.targets import remarks
from bptt.train.errors import (
    BadRecordError,
    EmptyDataError,
    TooFewRecordsError,
    TooFewStepsError,
)

pandas = pytest.importorskip("pandas")


def read(file, **table):
    return open_data(DataRequest((file,), table=TableRequest(**table)))


def write(folder, text):
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


UNKNOWN = (
    "9", "01.", "12", "Mar", "'98", "FY", "500", "-2", "now", "2015-01-31T23:00", "B",
    "days",
)  # fmt: skip


@pytest.mark.parametrize(
    "times",
    [
        ["2015-2", "2015-10", "2016-1"],
        ["2015-02-01T00:30+02:00", "2015-01-31T23:00Z", "2015-01-31T23:30-05:00"],
        ["2015-Q1", "2015-Q3", "2016-Q1"],
        ["9:30", "10:00", "10:30"],
        ["09:30", "10:00", "10:30"],
        ["01.12.2015", "01.02.2016", "01.03.2016"],
        ["12/01/2015", "01/01/2016", "02/01/2016"],
        ["Mar 2015", "Apr 2015", "May 2015"],
        ["2", "10", "11"],
        ["week 7", "week 8", "week 10"],
        ["'98", "'99", "'00"],
        ["FY98", "FY99", "FY00"],
        ["500 BC", "400 BC", "300 BC"],
        ["BC 500", "BC 400", "BC 300"],
        ["B.C.E. 9", "B.C.E. 8", "B.C.E. 7"],
        ["days_before_9", "days_before_8", "days_before_7"],
        ["black 7", "black 8", "black 10"],
        ["-2 s", "-1 s", "0 s"],
        ["12AM", "01AM", "02AM"],
        ["now", "today", "2100-01-01"],
        ["2015-01-31T23:00", "2015-01-31T23:30Z", "2015-02-01T00:30Z"],
    ],
)
def test_rows_are_in_the_order_of_time_or_it_is_said_that_this_is_unknown(
    tmp_path, times
):
    rows = [f"{times[i]},{i}" for i in (2, 0, 1)]
    file = write(tmp_path, "when,a\n" + "\n".join(rows) + "\n")
    if times[0].startswith(UNKNOWN):
        with pytest.raises(BadRecordError, match=r"'when' .* line \d, and what comes"):
            read(file, time="when")
        return
    whole = read(file, time="when").parts["whole"]
    np.testing.assert_array_equal(whole.x[0][:, 0], [0, 1])


@pytest.mark.parametrize(
    ("text", "table", "message"),
    [
        ('a\n1\n"1,234.5"\n', {}, "'a' '1,234.5', line 3, a word where a number"),
        ("a,b\n1,2\n3,-\n", {}, "'b' '-', line 3"),
        ("g,a\nu,1\n,2\nu,3\n", {"group": "g"}, "'g' missing, line 3, and so no seq"),
        ("t,a\n1,1\n,2\n3,3\n", {"time": "t"}, "'t' missing, line 3, and so no place"),
        ("a\n1\ninf\n", {}, "infinite, line 3"),
        ("a\n1\n\n2\nb\n", {}, "'a' 'b', row 3 of data, a word"),
        ('a,n\n1,"u\nv"\nb,w\n', {"columns": ("a",)}, "'a' 'b', row 2 of data, a w"),
        ("a\n1\n2\n1_0\n3\n", {}, "'a' '1_0', line 4"),
        ("a\n1\n\uff12\nb\n", {}, "'a' '\uff12', line 3"),
        ("a\n1\n99999999999999999999\n-3\n", {}, "999', line 3, a whole number of"),
    ],
)
@pytest.mark.parametrize("missing", ["error", "mask"])
def test_a_value_that_is_none_is_named_with_its_line(
    tmp_path, text, table, message, missing
):
    with pytest.raises(BadRecordError, match=message):
        read(write(tmp_path, text), missing=missing, **table)


PANEL = "t,s,a\n1,u,1\n1,v,2\n2,u,3\n2,v,4\n"
TWICE = "2 rows have the 't' of another .* row 1, line 3"


@pytest.mark.parametrize(
    ("text", "table", "remark"),
    [
        (PANEL, {"time": "t", "columns": ("a",)}, TWICE),
        (PANEL, {"time": "t", "group": "s"}, None),
        (",a\n0,5\n1,7\n2,4\n", {}, "a column without a name"),
        (",a\n0,5\n1,7\n2,4\n", {"columns": ("a",)}, None),
        ("t,a\n1,1\n1,2\n2,3\n", {"time": "t"}, "One row has the 't' of another one"),
        ("1.5,7\n2,3\n4,5\n", {}, "first line of the table, 1.5, 7, is read as names"),
        ("0,1\n2,3\n4,5\n", {}, None),
    ],
)
def test_what_looks_like_a_slip_in_a_table_is_named(tmp_path, text, table, remark):
    found = read(write(tmp_path, text), **table).remarks
    assert [bool(re.search(remark or "", one)) for one in found] == [True] * (
        remark is not None
    )


@pytest.mark.parametrize(
    ("rows", "group", "is_named"),
    [
        ("Ma 3,u,1\nMa 2,u,2\nMa 1,u,3\n", None, True),
        ("Ma 1,u,1\nMa 2,u,2\nMa 11,u,3\n", None, False),
        ("Ma 1,u,1\nMa 2,u,2\nMa 1,v,3\nMa 2,v,4\n", "s", False),
        ("Ma 1,u,1\nMa 2,u,2\nMa 2,v,3\nMa 1,v,4\n", "s", True),
        ("2002-01,u,1\n2001-01,u,2\n", None, False),
        ("3,u,1\n2,u,2\n", None, False),
    ],
)
def test_rows_that_a_number_behind_a_word_moves_are_named(
    tmp_path, rows, group, is_named
):
    table = {"time": "t", "columns": ("a",), "group": group}
    found = read(write(tmp_path, "t,s,a\n" + rows), **table).remarks
    told = [one for one in found if "order of the number in 't', from 'Ma 1'" in one]
    assert len(told) == is_named


@pytest.mark.parametrize("given", [[b"1.12.2015"] * 3, [[1], [2], [3]], [{"a": 1}] * 3])
@pytest.mark.parametrize("option", ["time", "group"])
def test_a_column_without_order_is_refused(tmp_path, given, option):
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"when": given, "a": [1, 2, 3]})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadRecordError, match=r"'when' of .*numbers, dates or words"):
        read(tmp_path / "t.parquet", **{option: "when"})


def test_an_index_of_row_numbers_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    index = pandas.RangeIndex(4, name="row")
    frame = pandas.DataFrame({"a": [1.0, 2.0, 4.0, 3.0]}, index=index)
    frame.to_parquet(tmp_path / "t.parquet")
    (remark,) = read(tmp_path / "t.parquet").remarks
    assert "the index of the table, 'row', is learned" in remark
    assert not read(tmp_path / "t.parquet", columns=("a",)).remarks


def test_a_table_of_one_group_is_told_of_groups_not_of_axes(tmp_path):
    file = write(tmp_path, "g,a,y\nu,1,0\nu,2,1\nu,3,0\n")
    with pytest.raises(TooFewRecordsError) as error:
        make_task(read(file, group="g", target="y"), TrainingOptions())
    assert "a --group of more values" in str(error.value)
    assert "x[..., None]" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "group", "told"),
    [
        (
            "u,1\nu,2\n",
            None,
            "of the series of 1 step with a target. Give a",
        ),
        ("u,1\nu,2\nv,3\nv,4\nv,5\n", "g", "any of 2 series, the longest of 2 steps"),
    ],
)
def test_series_too_short_for_a_part_are_told_of_steps(tmp_path, rows, group, told):
    file = write(tmp_path, "g,a\n" + rows)
    with pytest.raises(TooFewStepsError) as error:
        make_task(read(file, group=group, columns=("a",)), TrainingOptions())
    assert told in str(error.value)
    assert "x_train" not in str(error.value)


def test_what_becomes_of_groups_is_said(tmp_path):
    rows = "t,g,v\n1,a,1\n2,a,2\n1,b,3\n"
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(rows)
    table = TableRequest(time="t", group="g")
    files = (tmp_path / "one.csv", tmp_path / "two.csv")
    left, twice = open_data(DataRequest(files, table=table)).remarks
    assert left.startswith("2 sequences have no step with an x and a target, and so no")
    assert "'b'" in left
    assert twice.startswith("2 groups stand in several files, the first is 'a'")
    assert not read(
        write(tmp_path, "t,g,v\n1,a,1\n2,a,2\n"), time="t", group="g"
    ).remarks


def test_tables_of_other_columns_are_named_with_them(tmp_path):
    (tmp_path / "one.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "two.csv").write_text("b,a\n1,2\n3,4\n")
    files = (tmp_path / "one.csv", tmp_path / "two.csv")
    with pytest.raises(
        BadRecordError, match=r"two.csv.* b, a, and .*one.csv.* has a, b"
    ):
        open_data(DataRequest(files))
    assert len(open_data(DataRequest(files, table=TableRequest(columns=("a",))))) == 2


def test_whole_numbers_of_a_series_are_taken_for_no_classes(tmp_path):
    data = read(write(tmp_path, "a\n1\n2\n4\n"))
    assert not remarks(data, None)


def test_targets_of_every_row_may_be_split_in_time(tmp_path):
    file = write(tmp_path, "a,y\n" + "1,0\n2,1\n" * 20)
    with pytest.raises(TooFewRecordsError, match="--split-by time cuts each"):
        make_task(read(file, target="y"), TrainingOptions())
    options = TrainingOptions(split_by="time")
    assert len(make_task(read(file, target="y"), options).parts) == 2


def test_a_table_without_rows_does_not_ask_for_text(tmp_path):
    with pytest.raises(EmptyDataError, match=r"no row in it\. Give a file that has"):
        read(write(tmp_path, "a,b\n"))


def test_numbers_too_large_for_float32_keep_what_differs_in_them(tmp_path):
    rows = "".join(f"{1e9 + i % 7},{1e39 * (1 + i % 3)}\n" for i in range(60))
    data = read(write(tmp_path, "a,b\n" + rows))
    x = make_task(data, TrainingOptions()).parts["training"].sequences.x[0]
    assert x.dtype == np.float32
    assert [len(np.unique(column)) for column in x.T] == [7, 3]


def test_decimals_and_a_named_index_of_a_parquet_file_are_columns(tmp_path):
    pytest.importorskip("pyarrow")
    when = pandas.to_datetime(["2015-04-01", "2015-03-01", "2015-02-01", "2015-01-01"])
    a = [Decimal(7), Decimal("1.5"), None, Decimal(3)]
    frame = pandas.DataFrame({"a": a, "when": when}).set_index("when")
    frame.to_parquet(tmp_path / "t.parquet")
    whole = read(tmp_path / "t.parquet", time="when", missing="mask").parts["whole"]
    np.testing.assert_array_equal(whole.x[0][:, 0], [3, 3, 1.5])
    np.testing.assert_array_equal(whole.y[0][:, 0], [3, 1.5, 7])


def test_columns_called_by_numbers_are_called_by_their_digits(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(np.arange(40.0).reshape(20, 2))
    frame.to_parquet(tmp_path / "a.parquet")
    assert open_data(DataRequest((tmp_path / "a.parquet",))).columns == ("0", "1")


def test_no_table_is_told_so(tmp_path):
    write(tmp_path, "a\n1\n2\n")
    (tmp_path / "b.txt").write_text("text")
    with pytest.raises(EmptyDataError, match="no row in it"):
        open_data(DataRequest((tmp_path,), "*.txt"))


def test_columns_that_were_found_are_not_those_that_were_asked_for():
    run = DataRequest(found=("a", "b"))
    record = json.loads(json.dumps(run.to_json()))
    known = DataRequest.from_json(record)
    assert known == run
    assert known.as_found().table.columns == ("a", "b")
    asked = DataRequest((Path("t.csv"),), table=TableRequest(columns=("a",)))
    assert asked.is_that_of(asked.to_json())
    assert not DataRequest((Path("t.csv"),)).is_that_of(asked.to_json())
    old = {k: v for k, v in asked.to_json().items() if k != "found"}
    assert DataRequest((Path("t.csv"),)).is_that_of(old)


def test_a_group_in_several_files_is_found_however_its_number_is_written(tmp_path):
    (tmp_path / "a.csv").write_text("g,v\n01,1\n01,2\n01,3\n")
    (tmp_path / "b.csv").write_text("g,v\n01,1\n01,2\nx,1\nx,2\n")
    files = (tmp_path / "a.csv", tmp_path / "b.csv")
    (told,) = open_data(DataRequest(files, table=TableRequest(group="g"))).remarks
    assert told.startswith("1 group stands in several files")


@pytest.mark.parametrize(
    "word",
    ["BP {}", "{} yr BP", "remaining days {}", "days to go {}", "days left: {}",
     "before Christ {}", "B C {}", "countdown {}", "公元前{}"],
)  # fmt: skip
def test_a_word_that_counts_backwards_is_one_anywhere(tmp_path, word):
    rows = "".join(f"{word.format(i)},{i}\n" for i in (1, 2, 3))
    with pytest.raises(BadRecordError, match="what comes before it is not known"):
        read(write(tmp_path, "t,v\n" + rows), time="t")


def test_steps_with_a_target_alone_are_counted(tmp_path):
    rows = "".join(f"u,{i if i < 3 else ''}\n" for i in range(9))
    data = read(write(tmp_path, "g,a\n" + rows), columns=("a",), missing="mask")
    with pytest.raises(TooFewStepsError, match="series of 2 steps with a target"):
        make_task(data, TrainingOptions())
