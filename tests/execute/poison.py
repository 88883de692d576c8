"""Workspaces full of NaN, so that reading what nobody wrote in this call shows."""

import numpy as np

from bptt.execute.kernels import executor


def poison(workspace):
    """NaN wherever a call has to write before it reads.

    The first and the last step of a padded buffer are boundary values: they are set
    when the workspace is made, and those a caller may give once more at every call.
    """
    for buffer, layout in zip(workspace.buffers, workspace.layout.buffers, strict=True):
        written = buffer[1:-1] if layout.is_padded else buffer
        written[...] = np.nan
    scratch = (*workspace.packed.values(), *workspace.results)
    for array in (*scratch, *workspace._aligned.values(), *workspace._work):
        array[...] = np.nan


def poison_workspaces(monkeypatch):
    """Poison every workspace that is lent until the monkeypatch is undone."""
    borrow = executor.borrow

    def lend(*arguments):
        loan = borrow(*arguments)
        poison(loan.workspace)
        return loan

    monkeypatch.setattr(executor, "borrow", lend)
