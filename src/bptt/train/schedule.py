"""The learning rate of each window."""

import inspect
from collections.abc import Mapping
from math import cos, pi
from typing import Any, Protocol

from bptt.errors import list_known
from bptt.train.assignments import OptionValue
from bptt.train.door.likeness import refuse_unlike
from bptt.train.errors import SchedulerError
from bptt.train.optimiser import Optimiser, import_torch
from bptt.train.options import SCHEDULES, STEPS, TrainingOptions

WARM_UP = 0.02  # of all windows
FLOOR = 0.05  # of the highest rate, at the end

WINDOW, EPOCH, VALIDATION = STEPS
# When torch's schedulers are meant to move; the others move once per epoch.
STEP_OF = {"onecyclelr": WINDOW, "cycliclr": WINDOW, "reducelronplateau": VALIDATION}
NEED_OBJECTS = ("lambdalr", "multiplicativelr", "sequentiallr", "chainedscheduler")


class RateSchedule(Protocol):
    """What sets the learning rate of an optimiser as training goes on."""

    def before(self, window: int) -> None:
        """Set the rate of window 0, 1, ... of the run."""
        ...

    def after(self, event: str, loss: float | None = None) -> None:
        """Hear that a window, an epoch or a validation is over; loss: of the latter."""
        ...

    def state(self) -> dict[str, Any]:
        """What it remembers."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave. Raises: Refusal if it is of another kind."""
        ...


def make_schedule(
    options: TrainingOptions, optimiser: Optimiser, n_windows: int
) -> RateSchedule:
    """The schedule that the options name, for a run of n_windows windows.

    Raises: SchedulerError.
    """
    if options.schedule in SCHEDULES:
        return _Factors(options.schedule, optimiser, n_windows)
    return _Scheduler(options, optimiser, n_windows)


def rate_factor(schedule: str, window: int, n_windows: int) -> float:
    """Factor of the learning rate in window 0, 1, ... of n_windows.

    "cosine" rises linearly over the first 2 % and falls along half a cosine to 5 %;
    "constant" is 1 throughout.
    """
    if schedule == "constant":
        return 1.0
    done = (window + 1) / n_windows
    if done <= WARM_UP:
        return done / WARM_UP
    fall = (done - WARM_UP) / (1 - WARM_UP)
    return FLOOR + (1 - FLOOR) * (1 + cos(pi * fall)) / 2


class _Factors:
    """A rate that is a function of the window alone: it remembers nothing."""

    def __init__(self, name: str, optimiser: Optimiser, n_windows: int) -> None:
        self._name, self._optimiser, self._n_windows = name, optimiser, n_windows

    def before(self, window: int) -> None:
        factor = rate_factor(self._name, window, self._n_windows)
        self._optimiser.set_rate_factor(factor)

    def after(self, event: str, loss: float | None = None) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        pass


class _Scheduler:
    """A scheduler of torch.optim.lr_scheduler."""

    def __init__(
        self, options: TrainingOptions, optimiser: Optimiser, n_windows: int
    ) -> None:
        kind = _find(options.schedule)
        step = options.scheduler_step or STEP_OF.get(options.schedule.lower(), EPOCH)
        moves = {
            WINDOW: n_windows,
            EPOCH: options.epochs,
            VALIDATION: options.epochs * options.validations,
        }[step]
        self._step = step
        self._takes_loss = "metrics" in inspect.signature(kind.step).parameters
        self._scheduler = _build(kind, optimiser, options, moves)

    def before(self, window: int) -> None:
        pass

    def after(self, event: str, loss: float | None = None) -> None:
        if event != self._step:
            return
        if self._takes_loss:
            self._scheduler.step(loss)
        else:
            self._scheduler.step()

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._scheduler.state_dict()
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        refuse_unlike(state, self.state(), "schedule")
        self._scheduler.load_state_dict(dict(state))


def scheduler_names() -> tuple[str, ...]:
    """The schedulers of torch that can be used, in lower case."""
    return tuple(sorted(_usable()))


def _usable() -> dict[str, Any]:
    module = import_torch().optim.lr_scheduler
    kinds = {
        name.lower(): kind
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, module.LRScheduler)
        and not name.startswith("_")
    }
    return {n: k for n, k in kinds.items() if n not in ("lrscheduler", *NEED_OBJECTS)}


def _find(name: str) -> Any:
    usable = _usable()
    if name.lower() not in usable:
        reason = (
            "needs functions or other schedulers, which no option can name"
            if name.lower() in NEED_OBJECTS
            else "torch.optim.lr_scheduler has no scheduler of this name"
        )
        known = list_known(name, (*SCHEDULES, *sorted(usable)))
        raise SchedulerError(name, f"{reason}. Choose one of: {known}")
    return usable[name.lower()]


def _build(
    kind: Any, optimiser: Optimiser, options: TrainingOptions, moves: int
) -> Any:
    """Build a scheduler; what follows from the run need not be given."""
    signature = inspect.signature(kind).parameters
    known = sorted(set(signature) - {"optimizer"})
    given: dict[str, OptionValue | str | list[float]] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.scheduler_options.items()
    }
    unknown = sorted(set(given) - set(known))
    if unknown:
        reason = f"has no option {unknown[0]!r}; it has {list_known(unknown[0], known)}"
        raise SchedulerError(kind.__name__, reason)
    rate = options.learning_rate
    follows: dict[str, float] = {"T_max": moves, "total_steps": moves, "max_lr": rate}
    for name, value in follows.items():
        if name in signature and name not in given and "epochs" not in given:
            given[name] = value
    try:
        return kind(optimiser.torch_optimiser, **given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SchedulerError(kind.__name__, f"refuses {given}: {error}") from error
