"""Whether a run can keep to its --memory or --checkpoint, before a folder is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.cell import Cell
from bptt.errors import CheckpointError, MemoryBudgetError
from bptt.execute.checkpoints import read_limit
from bptt.step.shapes import Array
from bptt.train.data.task import TrainingTask
from bptt.train.data.windows import Dataset, Rows, weights_of
from bptt.train.errors import IgnoredOptionError, OptionError
from bptt.train.gaps import inputs_of
from bptt.train.gradient_norms import first_window
from bptt.train.network import states_of
from bptt.train.options import TrainingOptions
from bptt.train.processes import Processes

Arrays = Mapping[str, Array]


def refuse_limit(
    cell: Cell,
    parameters: Arrays,
    task: TrainingTask,
    options: TrainingOptions,
    processes: Processes,
) -> None:
    """Plan the gradient of the largest window, and that of the report on norms.

    Raises: OptionError with the bytes in which both can be found; IgnoredOptionError
    where NumPy runs the cell, which keeps every value.
    """
    limit = read_limit(options.limit.get("memory"), options.limit.get("checkpoint"))
    if limit is None:
        return
    dataset = task.parts["training"]
    asked = (
        (_largest(cell, parameters, task, processes), ()),
        (first_window(cell, parameters, dataset, task.truncation), states_of(cell)),
    )
    least = []
    for arrays, nodes in asked:
        try:
            cell.plan_gradient(cell.bind(parameters, **arrays), nodes, limit)
        except MemoryBudgetError as error:
            least.append(error.least or 0)
        except CheckpointError as error:
            flag = "--checkpoint" if options.memory is None else "--memory"
            raise IgnoredOptionError(flag, error.why or str(error)) from None
    if least:
        expected = f"at least {max(least):,} bytes, the least that works here"
        raise OptionError("--memory", options.memory, expected)


def _largest(
    cell: Cell, parameters: Arrays, task: TrainingTask, processes: Processes
) -> dict[str, Any]:
    """Inputs, weights and lengths as large as a window of any epoch can be.

    An epoch may put any rows together: a full group of the longest, of which one ends
    earlier if any two of the data differ, for that takes memory of its own.
    """
    dataset, k2 = task.parts["training"], task.truncation.k2
    groups = dataset.groups(0)
    rows, lengths = _longest_first(dataset, np.sort(np.concatenate(groups)))
    # As many as the largest share has, so that all processes say the same.
    n = -(-max(map(len, groups)) // processes.size)
    stop = min(int(lengths[0]), k2 or int(lengths[0]))
    block = dataset.read(rows[:n], 0, stop)
    ends = np.minimum(lengths[:n], stop)
    if lengths[-1] < lengths[0]:
        ends[1:][-1:] = np.minimum(ends[1:][-1:], max(1, stop - 1))
    inputs = cell.draw(parameters, inputs_of(cell, block), mean=True)
    given = ends if (ends < stop).any() else None
    return {"inputs": inputs, "weights": weights_of(block, stop), "lengths": given}


def _longest_first(dataset: Dataset, rows: Rows) -> tuple[Rows, Rows]:
    """Rows in the order of their lengths, and these."""
    lengths = np.array([dataset.length_of(row) for row in rows[:, None]])
    order = np.argsort(-lengths, kind="stable")
    return rows[order], lengths[order]
