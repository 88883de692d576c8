"""`bptt doctor`: what is installed, what the kernels see, and a test of them."""

import os
import platform
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bptt import cells
from bptt.cli.failure import PACKAGES, version_of
from bptt.cli.output import say
from bptt.execute.codegen.disk import VARIABLE, find_store
from bptt.execute.dispatch import COMPILED, REFERENCE
from bptt.version import __version__

SHAPE = {"tau": 20, "n_b": 5, "n_x": 7, "n_h": 19}
# One thread's sums in float64: gradients of the LSTM at SHAPE differ by 1e-15 of their
# largest entry between the executors; a wrong kernel differs in the first digits.
TOLERANCE = 1e-12
FAILED = 1


def doctor() -> None:
    """Say what this machine has, and test the kernels on it for two seconds."""
    facts = [*_software(), *_machine()]
    found, is_right = _self_test()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, value in (*facts, ("self-test", found)):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    line = "; ".join(f"{name} {value}" for name, value in (*facts, ("test", found)))
    console.print("\nFor an issue, one line:", style="dim")
    say(line)
    if not is_right:
        raise typer.Exit(FAILED)


def _software() -> list[tuple[str, str]]:
    return [
        ("bptt", __version__),
        ("Python", platform.python_version()),
        *((name, version_of(name) or "not installed") for name in PACKAGES),
    ]


def _machine() -> list[tuple[str, str]]:
    # Imported here: it loads LLVM, which the start of no other command needs.
    from bptt.execute.codegen.target import get_host_target  # noqa: PLC0415

    target = get_host_target()
    products = "fused multiply-add" if target.has_fma else "no fused multiply-add"
    width = f"vectors of {8 * target.vector_bytes} bits, {products}"
    return [
        ("system", platform.platform(terse=True)),
        ("CPU", f"{target.cpu}, {width}"),
        ("threads", _threads()),
        ("cache", _cache()),
    ]


def _threads() -> str:
    """How many a call takes, of how many CPUs, and what was set."""
    from bptt.execute.kernels.executor import (  # noqa: PLC0415
        THREADS_VARIABLE,
        count_threads,
    )

    names = (THREADS_VARIABLE, "OMP_NUM_THREADS")
    found = [f", {name}={os.environ[name]}" for name in names if os.environ.get(name)]
    return f"{count_threads(None)} of {os.cpu_count()} CPUs{''.join(found)}"


def _cache() -> str:
    """Where compiled cells are kept, and how many."""
    store = find_store()
    if store is None:
        return f"off ({VARIABLE})"
    files = store.files()
    size = sum(n_bytes for _, n_bytes, _ in files)
    folder = store.folder
    with suppress(RuntimeError, ValueError):  # a user's name is no one else's matter
        folder = Path("~", folder.relative_to(Path.home()))
    kept = "" if store.keeps() else "; NOTHING CAN BE KEPT THERE"
    return f"{len(files)} files, {size / 1e6:.1f} MB, {folder}{kept}"


def _self_test() -> tuple[str, bool]:
    """The LSTM's gradient by the kernels against the reference, in float64."""
    cell, tau, n_b = cells.lstm, SHAPE["tau"], SHAPE["n_b"]
    params = cell.init(seed=0, n_x=SHAPE["n_x"], n_h=SHAPE["n_h"])
    generator = np.random.default_rng(0)
    inputs = {"x": generator.normal(size=(tau, n_b, SHAPE["n_x"]))}
    seeds = {"h": generator.normal(size=(tau, n_b, SHAPE["n_h"]))}
    first = time.perf_counter()
    ours = cell.gradient(params, inputs, seeds=seeds, executor=COMPILED)
    seconds = time.perf_counter() - first
    exact = cell.gradient(params, inputs, seeds=seeds, executor=REFERENCE)
    worst = max(
        float(np.abs(ours[name] - exact[name]).max() / np.abs(exact[name]).max())
        for name in params
    )
    is_right = worst <= TOLERANCE
    said = (
        f"{'passed' if is_right else 'FAILED'}: the LSTM's gradient differs by "
        f"{worst:.1e} of its largest entry between kernels and reference; "
        f"{seconds:.1f} s with compilation"
    )
    return said, is_right
