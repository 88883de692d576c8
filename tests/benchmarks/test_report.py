"""The report's numbers, from rows whose means are known."""

import pytest
from benchmarks.__main__ import make_options, make_parser, parse_shape
from benchmarks.picture import draw
from benchmarks.shapes import SHAPES

from benchmarks import report
from bptt.cells import names


def make_row(cell="elman", shape=(100, 32, 256, 256), **seconds):
    names = {"nn": "torch.nn", "loop": "torch loop", "scan8": "jax unroll 8"}
    seconds = {names.get(name, name): value for name, value in seconds.items()}
    return {
        "cell": cell, "shape": list(shape), "threads": 1, "dtype": "float32",
        "flops": 8e9, "sgemm": 10e9, "seconds": seconds, "first": {"bptt": 1.3},
    }  # fmt: skip


def test_the_better_unroll_is_jax():
    row = make_row(bptt=1, nn=4, loop=5, jax=3, scan8=2)
    assert report.merge_scans(row["seconds"])["jax"] == 2
    assert report.best_rival(row) == ("jax", 2)
    assert report.speed_up(row) == 2
    assert report.speed_up(row, "torch.nn") == 4


def test_the_part_of_the_limit():
    assert report.of_limit(make_row(bptt=1)) == pytest.approx(0.8)


def test_the_limit_is_the_best_rate_that_any_row_saw():
    slow = make_row(bptt=1) | {"sgemm": 5e9}
    other = make_row(bptt=1) | {"sgemm": 20e9, "threads": 2}
    copies = {"cell": "elman", "threads": 1, "copies_percent": 3.0}
    shared = report.share_limit([slow, make_row(bptt=1), other, copies])
    assert [row.get("sgemm") for row in shared] == [10e9, 10e9, 20e9, None]


def test_without_rivals_there_is_no_speed_up():
    row = make_row(bptt=1)
    assert report.speed_up(row) is None
    assert report.table_line(row)[2:5] == ["-", "-", "-"]


def test_geometric_mean():
    assert report.geometric_mean([1, 4]) == pytest.approx(2)
    assert report.geometric_mean([None]) is None


def find(rows, word):
    return [f for _, _, text, f in report.find_targets(rows) if word in text]


def test_targets_are_met_and_missed():
    rows = [make_row(bptt=1, nn=3, jax=2), make_row(bptt=0.9, nn=3, jax=0.8)]
    ((is_met, worst),) = find(rows, "of the limit")
    assert not is_met
    assert worst == pytest.approx(0.8)
    assert find(rows, "nowhere") == [(False, pytest.approx(0.8 / 0.9))]
    # What the first call of 1.3 s takes beyond a later one of 1 and of 0.9 s.
    assert find(rows, "first call") == [(True, pytest.approx(0.4))]
    assert find(rows, "batch 1: >= 2x") == [None]  # no such shape was measured


def test_small_batches_are_not_asked_to_reach_the_limit():
    assert find([make_row(shape=(100, 1, 256, 256), bptt=100)], "of the limit") == [
        None
    ]


def test_the_lstm_is_held_against_torch_nn():
    rows = [make_row("lstm", bptt=1, nn=1.3, jax=0.5)]
    assert find(rows, "geometric mean >= 1.2x torch.nn") == [(True, pytest.approx(1.3))]


def test_copies_beyond_their_time_are_missed():
    copies = {"cell": "elman", "shape": [1], "threads": 1, "copies_percent": 12.0}
    rows = [make_row(bptt=1), copies]
    assert find(rows, "norms of copies") == [(False, 12.0)]


def test_the_report_shows_every_part():
    rows = [make_row(bptt=0.5, nn=1, loop=2, jax=0.8)]
    memory = [{"cell": "gru", "rival": "bptt", "shape": [2, 3], "peak_bytes": 2**21}]
    text = report.write_report(rows, memory, {"cpu": "a machine"})
    assert "cpu a machine" in text
    assert " 100,32,256,256 | 500.000 |    1000.000 |" in text
    assert "1.60" in text
    assert "MISSED" not in text.split("of the limit")[0]
    assert "memory of one gradient, gru 2,3, bptt: 2 MiB" in text


def test_a_table_is_aligned():
    lines = report.format_table(["a", "long"], [["wide one", "1"]]).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_options():
    arguments = make_parser().parse_args(["--quick", "--cells", "lstm"])
    options = make_options(arguments, 2)
    assert options["cells"] == ["lstm"]
    assert len(options["shapes"]) == options["rounds"] == 3
    full = make_options(make_parser().parse_args([]), 1)
    assert full["shapes"] == SHAPES
    assert parse_shape("1,2,3,4") == (1, 2, 3, 4)


def test_the_table_of_all_cells_is_part_of_a_full_run_or_asked_for_alone():
    def ask(*words):
        options = make_options(make_parser().parse_args(words), 1)
        return len(options["cells"]), options["library"]

    assert ask() == (6, list(names()))
    assert ask("--quick") == (6, [])
    assert ask("--library") == (0, list(names()))
    assert ask("--library", "lem", "--quick") == (0, ["lem"])


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,1,1,1"])
def test_a_wrong_shape_is_explained(text, capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--shapes", text])
    assert "tau,n_b,n_x,n_h" in capsys.readouterr().err


def test_the_picture_names_every_rival(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [make_row(bptt=0.5, nn=1, loop=2, jax=0.8), make_row("gru", bptt=0.5)]
    path = tmp_path / "limit.svg"
    assert draw(rows, 1, path)
    assert path.read_text().startswith("<?xml")
