"""What is printed while a model trains, on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from bptt.train.data.form import CHARACTERS, LossUnit
from bptt.train.evaluation import Evaluation
from bptt.train.loop import Learned
from bptt.train.meter import Meter, Status
from bptt.train.progress import TrainingProgress, describe, print_line


def status(window, validation=None):
    return Status(window, 40, CHARACTERS, 2.345, validation, 43_210.0, 1.25, 0.5, 3)


def test_without_a_terminal_a_run_prints_ten_lines_without_control_codes():
    stream = io.StringIO()
    with TrainingProgress(Console(file=stream, width=200), status(0)) as progress:
        for window in range(1, 41):
            progress.show(status(window, 2.5 if window > 20 else None))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == (
        " 10 %  2.35 bits/char, 43.2k char/s, ‖∇‖ 1.25, clipped 50%, 3 skipped"
    )
    assert lines[-1] == (
        "100 %  2.35 bits/char, held-out 2.50, 43.2k char/s, ‖∇‖ 1.25, clipped 50%, "
        "3 skipped"
    )


def test_on_a_terminal_one_line_shows_losses_speed_and_time_left():
    stream = io.StringIO()
    console = Console(file=stream, width=120, force_terminal=True, color_system=None)
    with TrainingProgress(console, status(0)) as progress:
        progress.show(status(20, 2.5))
        progress._bar.refresh()
        shown = stream.getvalue()
    assert "2.35 bits/char, held-out 2.50, 43.2k char/s" in shown
    assert " 50%" in shown
    assert "left" in shown


BITS = LossUnit("bits per character", "bits/char", "character", factor=2.0)


def test_the_meter_adds_up_and_smooths_in_the_unit():
    meter = Meter(BITS, 3)
    records = [
        meter.add(Learned(loss, 1.5, 100, is_clipped=clipped), 0.1)
        for loss, clipped in ((2.0, False), (1.5, True))
    ]
    assert [r["characters"] for r in records] == [100, 200]
    assert [r["training_bits_per_character"] for r in records] == [4.0, 3.0]
    assert meter.status.training == pytest.approx(3.5)
    assert (meter.status.window, meter.status.clip_share) == (2, 0.5)


def test_a_skipped_window_counts_but_leaves_the_loss_alone():
    meter = Meter(BITS, 3)
    meter.add(Learned(2.0, 1.5, 100), 0.1)
    record = meter.add(Learned(float("nan"), 1.0, 100, nonfinite="h is inf"), 0.1)
    assert record["skipped"] == "h is inf"
    assert "training_bits_per_character" not in record
    assert (meter.status.training, meter.status.skipped) == (4.0, 1)


def test_the_best_validation_is_remembered_and_the_others_are_counted():
    meter = Meter(BITS, 3)
    meter.windows = 5
    bests = [
        meter.add_validation(Evaluation(v, 9), took=0.0)[1]
        for v in (2.0, 2.5, 2.0, 1.0)
    ]
    assert bests == [True, False, False, True]
    assert (meter.best, meter.best_window, meter.bad_validations) == (1.0, 5, 0)


def test_figures_come_back_and_the_speed_is_that_of_this_process():
    meter = Meter(BITS, 3)
    meter.add(Learned(2.0, 1.5, 100_000, is_clipped=True), 0.1)
    meter.add_validation(Evaluation(2.5, 4, {"accuracy": 0.75}), took=0.0)
    assert meter.best_figures == {"accuracy": 0.75}
    other = Meter(BITS, 3)
    other.load(meter.numbers())
    assert other.status.speed == 0.0
    again, before = other.numbers(), meter.numbers()
    assert again.pop("seconds") > 0
    before.pop("seconds")
    assert again == before


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_line_is_whole_on_a_pipe_wrapped_on_a_terminal_and_never_markup(is_terminal):
    stream = io.StringIO()
    console = Console(file=stream, width=20, force_terminal=is_terminal)
    print_line(console, "[red] one two three four five six", "dim" * is_terminal)
    lines = stream.getvalue().splitlines()
    assert "[red]" in lines[0]
    assert (len(lines) > 1) == is_terminal


@pytest.mark.parametrize(
    ("room", "text"),
    [
        (10, "2.35 bits/char"),
        (32, "2.35 bits/char, held-out 2.50"),
        (60, "2.35 bits/char, held-out 2.50, 43.2k char/s, ‖∇‖ 1.25"),
    ],
)
def test_on_a_narrow_terminal_whole_figures_are_left_out(room, text):
    assert describe(status(20, 2.5), room) == text
