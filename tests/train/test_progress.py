"""What is printed while a model trains, on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from bptt.train.loop import Step
from bptt.train.meter import Meter, Status
from bptt.train.progress import TrainingProgress


def status(window, validation=None):
    return Status(window, 40, 2.345, validation, 43_210.0)


def test_without_a_terminal_a_run_prints_ten_lines_without_control_codes():
    stream = io.StringIO()
    with TrainingProgress(Console(file=stream, width=200), 40) as progress:
        for window in range(1, 41):
            progress.show(status(window, 2.5 if window > 20 else None))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == " 10 %  2.35 bits/char, 43.2k char/s"
    assert lines[-1] == "100 %  2.35 bits/char, held-out 2.50, 43.2k char/s"


def test_on_a_terminal_one_line_shows_losses_speed_and_time_left():
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, color_system=None)
    with TrainingProgress(console, 40) as progress:
        progress.show(status(20, 2.5))
        progress._bar.refresh()
        shown = stream.getvalue()
    assert "2.35 bits/char, held-out 2.50, 43.2k char/s" in shown
    assert " 50%" in shown
    assert "left" in shown


def test_the_meter_adds_up_and_smooths():
    meter = Meter()
    records = [
        meter.add(Step(n, 2, 100, bits, 1.5, 0.1)) for n, bits in ((1, 4.0), (2, 3.0))
    ]
    assert [r["characters"] for r in records] == [100, 200]
    assert [r["training_bits_per_character"] for r in records] == [4.0, 3.0]
    assert meter.status.training == pytest.approx(3.98)
    assert meter.status.window == 2
    meter.add_validation(2.0, took=0.0)
    assert meter.status.validation == 2.0
