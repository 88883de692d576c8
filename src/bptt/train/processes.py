"""Several processes that train one model together, or one alone.

Every process computes the gradient of its rows of each window; the sums over processes
are the same in all of them, and so are the steps and the parameters. `torchrun` starts
the processes and says who they are in RANK and WORLD_SIZE.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.windows import Rows
from bptt.train.errors import SeveralProcessesError
from bptt.train.optimiser import import_torch
from bptt.train.options import TrainingOptions

JOINING_SECONDS = 120.0


@dataclass(frozen=True)
class Share:
    """What one process has of a group of rows.

    rows: never empty; places: where they lie in the group. A process that is left
    without a row computes the group's first one, and `counts` is False: its losses
    weigh nothing, but it takes part in every sum.
    """

    rows: Rows
    places: Rows
    counts: bool = True


class Processes:
    """One process alone: nothing is shared out, and every sum is what it was."""

    rank = 0
    size = 1
    is_restarted = False

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def share(self, rows: Rows) -> Share:
        """The rows of this process; together the processes have each row once."""
        return Share(rows, np.arange(len(rows)))

    def add(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The sum over all processes of arrays that have the same shapes in each."""
        return dict(arrays)

    def gather_rows(
        self, share: Share, mine: Mapping[str, Array], n_rows: int
    ) -> dict[str, Array]:
        """Arrays of a group's n_rows rows from those of each process's share."""
        return dict(mine)

    def first_says(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays that the first process has; same shapes and types in each."""
        return dict(arrays)

    def wait(self) -> None:
        """Wait until every process is here."""

    def close(self) -> None:
        """Part."""


ALONE = Processes()


class _Group(Processes):
    """Processes that torchrun started; always gloo, for the arrays are NumPy's."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._torch = import_torch()
        self._group = self._torch.distributed
        restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        self.is_restarted = restarts > 0
        store, self.rank, self.size = next(self._group.rendezvous("env://"))
        # The store outlives a restart and an earlier run of this process; without a
        # prefix the processes would find the addresses of groups that are gone.
        life = self._group.PrefixStore(f"bptt-{restarts}", store)
        number = life.add(f"joined-{self.rank}", 1)
        store = self._group.PrefixStore(f"group-{number}", life)
        # On a busy machine one may start long after the other.
        here = [f"here-{number}-{rank}" for rank in range(self.size)]
        life.set(here[self.rank], "")
        joining = timedelta(seconds=max(silence, JOINING_SECONDS))
        self._together(life.wait, here, joining)
        limit = timedelta(seconds=silence)
        self._together(
            self._group.init_process_group,
            "gloo",
            store=store,
            rank=self.rank,
            world_size=self.size,
            timeout=limit,
        )

    def share(self, rows: Rows) -> Share:
        places = np.array_split(np.arange(len(rows)), self.size)[self.rank]
        if not len(places):
            return Share(rows[:1], np.arange(1), counts=False)
        return Share(rows[places], places)

    def add(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        if not arrays:
            return {}
        flat = np.concatenate([np.ravel(array) for array in arrays.values()])
        self._together(self._group.all_reduce, self._torch.from_numpy(flat))
        summed = {}
        start = 0
        for name, array in arrays.items():
            size = np.size(array)
            summed[name] = flat[start : start + size].reshape(np.shape(array))
            start += size
        return summed

    def gather_rows(
        self, share: Share, mine: Mapping[str, Array], n_rows: int
    ) -> dict[str, Array]:
        whole = {}
        for name, array in mine.items():
            whole[name] = np.zeros((n_rows, *array.shape[1:]), array.dtype)
            if share.counts:
                whole[name][share.places] = array
        return self.add(whole)

    def first_says(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        said = {name: np.array(array, order="C") for name, array in arrays.items()}
        for array in said.values():
            self._together(self._group.broadcast, self._torch.from_numpy(array), 0)
        return said

    def wait(self) -> None:
        self._together(self._group.barrier)

    def close(self) -> None:
        self._group.destroy_process_group()

    def _together(self, call: Callable[..., Any], *given: Any, **named: Any) -> None:
        """Do what all processes must; one that is silent or gone ends the run."""
        try:
            call(*given, **named)
        except RuntimeError as error:  # gloo has no other class for any of it
            reason = str(error).lower()
            is_silent = "timed out" in reason or "timeout" in reason
            found = (
                f"for {self._silence:g} s no word came" if is_silent else "one ended"
            )
            raise SeveralProcessesError(
                f"process {self.rank} waits for the others, and {found}",
                "One of them hangs, died or cannot be reached: look at what it "
                "printed. The run goes on from its last checkpoint with --resume; "
                "where a window takes long, --process-timeout gives it more "
                "seconds.",
            ) from error


def join_processes(silence: float = TrainingOptions.process_timeout) -> Processes:
    """Join those that torchrun started with this process, or be alone.

    silence: seconds to wait for another process before the run ends with a message.
    Raises: SeveralProcessesError if one does not come.
    """
    return _Group(silence) if has_several_processes() else ALONE


def has_several_processes() -> bool:
    """Whether torchrun started more than this process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first_process() -> bool:
    """Whether this process is the one that prints."""
    return int(os.environ.get("RANK", "0")) == 0
