"""Schedules of torch by name: when they move, what they remember."""

import numpy as np
import pytest

from bptt.train.checkpoint import LAST, Checkpoint, read_checkpoint, write_checkpoint
from bptt.train.errors import OptionError, SchedulerError
from bptt.train.optimiser import Optimiser
from bptt.train.options import TrainingOptions
from bptt.train.schedule import (
    EPOCH,
    VALIDATION,
    WINDOW,
    make_schedule,
    scheduler_names,
)

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
GRADIENTS = {"b": np.array([1.0, -2.0], np.float32)}

# What a scheduler needs that does not follow from the run.
NEEDED = {
    "steplr": {"step_size": 2},
    "multisteplr": {"milestones": (1.0, 3.0)},
    "exponentiallr": {"gamma": 0.5},
    "cycliclr": {"base_lr": 0.01, "cycle_momentum": False, "step_size_up": 2},
    "cosineannealingwarmrestarts": {"T_0": 2},
}


def make(name, given=None, epochs=4, step=None, rate=0.1):
    parameters = {"b": np.zeros(2, np.float32)}
    optimiser = Optimiser("sgd", parameters, rate, {"momentum": 0.9})
    options = TrainingOptions(
        schedule=name,
        scheduler_options=NEEDED.get(name.lower(), {}) if given is None else given,
        scheduler_step=step,
        epochs=epochs,
        learning_rate=rate,
    )
    return make_schedule(options, optimiser, n_windows=12), optimiser


def walk(schedule, optimiser, windows):
    """The rate of each window; three windows are an epoch, which ends in a validation
    whose loss gets no better.
    """
    rates = []
    for window in windows:
        schedule.before(window)
        rates.append(optimiser.learning_rate)
        optimiser.step(GRADIENTS)
        schedule.after(WINDOW)
        if window % 3 == 2:
            schedule.after(EPOCH)
            schedule.after(VALIDATION, 1.0)
    return rates


def test_a_scheduler_moves_once_per_epoch_unless_told():
    rates = walk(*make("StepLR"), range(12))
    assert rates == pytest.approx([0.1] * 6 + [0.01] * 6)
    rates = walk(*make("StepLR", step="window"), range(6))
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_a_plateau_is_seen_in_the_validation_loss():
    given = {"patience": 1, "factor": 0.5}
    rates = walk(*make("reducelronplateau", given), range(12))
    assert rates == pytest.approx([0.1] * 9 + [0.05] * 3)


def test_one_cycle_knows_the_number_of_windows_and_the_highest_rate():
    rates = walk(*make("OneCycleLR"), range(12))
    assert max(rates) == pytest.approx(0.1, rel=0.01)  # the top is between two windows
    assert rates[-1] < rates[0] < 0.01


@pytest.mark.filterwarnings("ignore:.*epoch parameter in `scheduler.step.*")
@pytest.mark.parametrize("name", scheduler_names())
def test_every_scheduler_goes_on_from_its_state_bit_for_bit(name, tmp_path):
    schedule, optimiser = make(name)
    walk(schedule, optimiser, range(5))
    state = {"optimiser": optimiser.state(), "schedule": schedule.state()}
    write_checkpoint(tmp_path, LAST, Checkpoint({}, state))
    expected = walk(schedule, optimiser, range(5, 12))
    loaded = read_checkpoint(tmp_path, LAST)
    again, other = make(name)
    other.load(loaded.optimiser["optimiser"])
    again.load(loaded.optimiser["schedule"])
    assert walk(again, other, range(5, 12)) == expected


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("up", {}, "--schedule up: torch.optim.lr_scheduler has no scheduler of this"),
        ("LambdaLR", {}, "needs functions or other schedulers"),
        ("steplr", {"size": 2}, "has no option 'size'; it has"),
        ("steplr", {}, "refuses {}"),
    ],
)
def test_a_mistake_is_restated_with_the_likely_fix(name, given, message):
    with pytest.raises(SchedulerError) as caught:
        make(name, given)
    assert message in str(caught.value)


def test_a_step_that_is_none_is_named():
    with pytest.raises(OptionError, match="--scheduler-step day: expected one of wind"):
        make("exponentiallr", step="day")
