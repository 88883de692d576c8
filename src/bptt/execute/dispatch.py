"""Which executor runs a program: kernels by default, NumPy where kernels cannot."""

from __future__ import annotations

import ctypes
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from bptt import errors
from bptt.calculus.program import Program
from bptt.execute import reference
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan, Limit, plan
from bptt.execute.protocol import Call, Values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy as np

    from bptt.execute.compile.describe import Lowering
    from bptt.execute.kernels.executor import Kept
    from bptt.step.shapes import Array

COMPILED, REFERENCE = "llvm", "reference"
EXECUTORS = (COMPILED, REFERENCE)


class FallbackWarning(UserWarning):
    """A cell runs in NumPy, step by step, because kernels have no form for it."""


def run(
    program: Program,
    bindings: Bindings,
    executor: str = COMPILED,
    threads: int | None = None,
    limit: Limit | None = None,
) -> tuple[Program, Values]:
    """Run a program.

    limit: of what is kept of its steps; None keeps all.
    Returns: the program whose roots the values belong to, and the values.
    Raises: UnknownExecutorError, ThreadsError; with a limit CheckpointError and
    MemoryBudgetError.
    """
    if limit is not None:
        call = _begin_stretched(program, bindings, executor, threads, limit, False)
    else:
        call = begin(program, bindings, executor, threads)
    call.finish()
    return call.program, call.values


def begin(
    program: Program,
    bindings: Bindings,
    executor: str = COMPILED,
    threads: int | None = None,
    memory: Sequence[Array] | None = None,
    *,
    is_resumed: bool = False,
    limit: Limit | None = None,
) -> Call:
    """Run a program's first phase: all of it that needs no seed, if it is phased.

    memory: arrays of the shapes that `find_kept` says, in which kernels leave values
    for the second phase; is_resumed: the first phase has filled them in another call;
    limit: of what is kept of the steps of a phased program, instead of these.
    Complex parameters always take the reference executor. A program that cannot be
    compiled takes it too, and says so once.
    Raises: UnknownExecutorError, ThreadsError; with a limit CheckpointError,
    MemoryBudgetError and TruncationError.
    """
    if limit is not None:
        return _begin_stretched(program, bindings, executor, threads, limit, True)
    _check_executor(executor)
    if executor == REFERENCE or bindings.dtype.kind == "c":
        return reference.begin(program, bindings)
    # Imported here so that the core, its derivations and its checks need no LLVM.
    from bptt.execute.compile.expand import NotCompilableError
    from bptt.execute.kernels import quick

    try:
        return quick.begin(
            program, bindings, threads, memory=memory, is_resumed=is_resumed
        )
    except NotCompilableError as reason:
        # Python shows a warning once for each place and text.
        warnings.warn(
            f"this cell runs step by step in NumPy: kernels have no form for {reason}",
            FallbackWarning,
            stacklevel=5,
        )
        return reference.begin(program, bindings)


def run_forward(
    program: Program, bindings: Bindings, threads: int | None = None
) -> tuple[Program, Values] | None:
    """The values of a gradient's program, before any of its gradients.

    By the kernels that compute the gradient: nothing else is compiled, and the values
    have the bits of any other run. None where no kernels run it.
    Raises: ThreadsError.
    """
    from bptt.execute.compile.expand import NotCompilableError
    from bptt.execute.kernels import quick

    if bindings.dtype.kind == "c":
        return None
    try:
        return quick.run_forward(program, bindings, threads)
    except NotCompilableError:
        return None


def plan_steps(
    program: Program, bindings: Bindings, limit: Limit
) -> CheckpointPlan | None:
    """How a call with a limit is run, and nothing is run; None for a truncated one.

    Raises: MemoryBudgetError, CheckpointError.
    """
    call = _begin_stretched(program, bindings, COMPILED, None, limit, False)
    plan: CheckpointPlan | None = getattr(call, "plan", None)
    return plan


def _begin_stretched(
    program: Program, bindings: Bindings, executor: str, threads: int | None,
    limit: Limit, is_phased: bool,
) -> Call:  # fmt: skip
    """A call that keeps some states alone. Raises: CheckpointError.

    is_phased: run the first phase; else nothing is run yet.
    """
    from bptt.execute.compile.expand import NotCompilableError
    from bptt.execute.kernels import phases, stretches, windows

    _check_executor(executor)
    if executor == REFERENCE or bindings.dtype.kind == "c":
        raise errors.CheckpointError(
            "the NumPy reference keeps every value: leave out memory=, checkpoint= and "
            f"truncate=, or use executor={COMPILED!r} with real parameters"
        )
    try:
        if is_phased:
            return phases.PhasedCall(program, bindings, threads, limit)
        kind = stretches.StretchedCall
        if limit.truncate is not None:
            kind = windows.TruncatedCall
        return stretches.begin(program, bindings, threads, limit, kind)
    except NotCompilableError as reason:
        why = (
            f"kernels have no form for {reason}, so this cell runs in NumPy, which "
            "keeps every value"
        )
        error = errors.CheckpointError(f"{why}: leave out memory= and checkpoint=")
        error.why = why
        raise error from None


def _check_executor(executor: str) -> None:
    if executor not in EXECUTORS:
        raise errors.UnknownExecutorError(
            f"executor {executor!r}; use one of "
            f"{errors.list_known(executor, EXECUTORS)}"
        )


def drop_spare() -> None:
    """Give back the memory that kernels keep from call to call, which is all idle.

    For a caller that goes on to other programs, whose memory would come on top.
    """
    from bptt.execute.compile import compiler

    compiler.drop_spare()
    # glibc keeps arrays up to 32 MiB that were freed; another C library has no such
    # function, and Windows no such handle.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def find_kept(
    program: Program, sizes: Mapping[str, int], real_bytes: int, tau: int, n_b: int
) -> Kept | None:
    """What a phased program's first phase leaves for the second; None for NumPy's."""
    from bptt.execute.compile.expand import NotCompilableError
    from bptt.execute.kernels import executor as kernels

    try:
        return kernels.find_kept(program, sizes, real_bytes, tau, n_b)
    except NotCompilableError:
        return None


def lower(
    program: Program, sizes: Mapping[str, int], dtype: np.dtype[Any],
    limit: Limit | None = None, shape: tuple[int, int] = (1, 1),
) -> Lowering:  # fmt: skip
    """The plan by which kernels run a program.

    limit: of what is kept of the steps; shape: tau and n_b.
    Raises: NotLowerableError with the reason if they cannot; MemoryBudgetError.
    """
    from bptt.execute.compile.compiler import compile_program
    from bptt.execute.compile.describe import describe
    from bptt.execute.compile.expand import NotCompilableError
    from bptt.execute.kernels.demand import find_demand
    from bptt.execute.kernels.executor import count_threads, host_target

    try:
        target = host_target()
        executable = compile_program(program, sizes, dtype.itemsize, target)
    except NotCompilableError as reason:
        raise errors.NotLowerableError(
            f"kernels have no form for {reason}; such a cell runs in NumPy"
        ) from None
    if limit is None:
        return describe(executable, str(dtype))
    demand = find_demand(
        program, executable, shape[1], shape[0] * shape[1],
        threads=count_threads(None), is_ragged=False,
    )  # fmt: skip
    return describe(executable, str(dtype), plan(limit, shape[0], demand))
