"""Workspaces full of NaN, so that reading what nobody wrote in this call shows."""

import numpy as np

from bptt.execute.kernels import executor
from bptt.execute.kernels.memory import StepMemory, Workspace, clear_edges


def poison(workspace):
    """NaN wherever a call has to write before it reads.

    The first and the last step of a padded buffer are boundary values: they are set
    when the workspace is made, and those a caller may give once more at every call.
    """
    if isinstance(workspace, StepMemory):
        for buffer in workspace.buffers:
            if buffer is not None:
                buffer[...] = np.nan
        clear_edges(workspace.executable, workspace.buffers)
        return
    workspace.restore()
    workspace.place()
    layouts = workspace._executable.layout.buffers
    for buffer, layout in zip(workspace.buffers, layouts, strict=True):
        written = buffer[1:-1] if layout.is_padded else buffer
        written[...] = np.nan
    for number, buffer in workspace._late.items():
        written = buffer[1:-1] if layouts[number].is_padded else buffer
        written[...] = np.nan
    scratch = (*workspace.packed.values(), *workspace.results)
    for array in (*scratch, *workspace._aligned.values(), *workspace._work):
        array[...] = np.nan


def poison_workspaces(monkeypatch):
    """Poison every workspace that is lent until the monkeypatch is undone."""
    borrow, adopt = executor.borrow, Workspace.adopt

    def lend(*arguments):
        loan = borrow(*arguments)
        poison(loan.workspace)
        return loan

    def adopt_poisoned(self, memory, *, is_new):
        if is_new:  # the memory of a caller who keeps the values
            for array in memory:
                array[...] = np.nan
        adopt(self, memory, is_new=is_new)

    monkeypatch.setattr(executor, "borrow", lend)
    monkeypatch.setattr(Workspace, "adopt", adopt_poisoned)
