"""Whether the gradients of a run fit into its --memory, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bptt.cell import Cell
from bptt.errors import MemoryBudgetError
from bptt.execute.checkpoints import read_limit
from bptt.step.shapes import Array
from bptt.train.data.task import TrainingTask
from bptt.train.data.windows import plan_epoch, weights_of
from bptt.train.errors import OptionError
from bptt.train.gaps import inputs_of
from bptt.train.gradient_norms import first_window
from bptt.train.network import states_of
from bptt.train.options import TrainingOptions
from bptt.train.processes import Processes

Arrays = Mapping[str, Array]


def refuse_small_budget(
    cell: Cell,
    parameters: Arrays,
    task: TrainingTask,
    options: TrainingOptions,
    processes: Processes,
) -> None:
    """Plan the gradient of the largest window, and that of the report on norms.

    Raises: OptionError with the bytes in which both can be found.
    """
    if options.memory is None:
        return
    limit = read_limit(options.memory, None)
    assert limit is not None
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
    if least:
        expected = f"at least {max(least):,} bytes, the least that works here"
        raise OptionError("--memory", options.memory, expected)


def _largest(
    cell: Cell, parameters: Arrays, task: TrainingTask, processes: Processes
) -> dict[str, Any]:
    """Inputs, weights and lengths of the window with most rows, and of these steps."""
    dataset = task.parts["training"]
    window = max(
        plan_epoch(dataset, 0, task.truncation),
        key=lambda one: (len(one.rows), one.stop - one.start),
    )
    # As many as the largest share has, so that all processes say the same.
    rows = window.rows[: -(-len(window.rows) // processes.size)]
    block = dataset.read(rows, window.start, window.stop)
    inputs = cell.draw(parameters, inputs_of(cell, block), mean=True)
    weights = weights_of(block, window.scored)
    return {"inputs": inputs, "weights": weights, "lengths": block.lengths}
