"""One case through everything bptt offers, compared with the oracle."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

import bptt
from bptt.execute.dispatch import FallbackWarning
from bptt.execute.kernels import executor
from tests.execute.poison import poison
from tests.fuzz.case import Case
from tests.fuzz.oracle import Answer, answer

# Relative to the largest element of the array, and to the largest of the whole case:
# about 1e7 and 1e5 roundings of the element type.
TOLERANCE = {"float64": (2e-9, 2e-11), "float32": (1e-2, 1e-3)}
# What a relative change of this size of every leaf does bounds what rounding may do.
JITTER = 1e-11
KINK = {"float64": 1e-8, "float32": 2e-4}
LARGEST = 1e5
AXES = ("node", "input", "value", "initial", "final")


@dataclass(frozen=True)
class Fault:
    """Something that went wrong: where, and what."""

    stage: str
    what: str
    detail: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """Faults of one kind have one cause, as far as can be seen from outside."""
        return self.stage, self.what

    def __str__(self) -> str:
        return f"{self.stage}: {self.what}\n{self.detail}".rstrip()


@dataclass
class Outcome:
    """What a trial found.

    skipped: why values were not compared; fallbacks: why kernels did not run.
    """

    faults: list[Fault] = field(default_factory=list)
    skipped: str = ""
    ran: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)


Stage = Callable[[bptt.Cell, Case, Answer, Outcome], None]


def attempt(case: Case, stages: Mapping[str, Stage]) -> Outcome:
    """Run the stages; a cell that cannot be read is a fault of its own."""
    out = Outcome()
    with warnings.catch_warnings(record=True) as said, np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=FallbackWarning)
        with _caught("read", out):
            cell = read(case)
        if out.faults:
            return out
        with _caught("oracle", out):
            known = answer(case)
        if out.faults:
            return out
        out.skipped = unusable(case, known)
        for name, stage in stages.items():
            with _caught(name, out), poisoned():
                stage(cell, case, known, out)
            out.ran.append(name)
    out.fallbacks = sorted({str(warning.message) for warning in said})
    return out


def read(case: Case) -> bptt.Cell:
    """The cell; where a dimension is not settled without them, with declarations."""
    try:
        return bptt.Cell(case.text)
    except bptt.errors.CellError:
        every = frozenset(case.kinds) - set(case.counts)
        if case.declared == every:
            raise
        return bptt.Cell(case.but(declared=every).text)


def unusable(case: Case, known: Answer) -> str:
    """Why values of a case prove nothing: too large, near a kink, sensitive."""
    arrays = [*known.gradients().values(), *known.values.values()]
    sizes = [np.abs(array).max(initial=0.0) for array in arrays]
    largest = max(sizes, default=0.0)
    if not all(size <= LARGEST for size in sizes):  # NaN is not
        return "too large"
    if known.kink < KINK[case.dtype]:
        return "near a kink"
    moved = answer(case, JITTER).gradients()
    for name, array in known.gradients().items():
        gap = np.abs(moved[name] - array).max(initial=0.0)
        if gap > 100 * JITTER * (1 + largest):
            return "sensitive"
    return ""


@contextmanager
def _caught(stage: str, out: Outcome) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "/bptt/" in f.filename] or frames[-1:]
        last = ours[-1]
        place = f"{last.filename.rpartition('/bptt/')[2]}:{last.name}"
        out.faults.append(Fault(
            stage, f"{type(error).__name__} in {place}", f"{error}"[:600],
        ))  # fmt: skip


@contextmanager
def poisoned() -> Iterator[None]:
    """Every workspace full of NaN before a call, and as many threads as are asked."""

    def borrow(pool: Any, shape: Any, make: Any) -> Any:
        loan = _borrow(pool, shape, make)
        poison(loan.workspace)
        return loan

    _borrow = executor.borrow
    with (
        mock.patch.object(executor, "borrow", borrow),
        mock.patch.object(executor, "choose_threads", lambda work, asked: asked),
    ):
        yield


# ----- arguments and comparison -----


def call_arguments(case: Case) -> tuple[dict, dict, dict]:
    """Parameters, inputs and options as `Cell.gradient` takes them."""
    dtype = np.dtype(case.dtype)
    axis = slice(None) if case.n_b else 0

    def cast(array: np.ndarray) -> np.ndarray:
        return array.astype(dtype) if array.dtype.kind == "f" else array

    params = {name: cast(array) for name, array in case.params().items()}
    inputs = {n: cast(a)[axis] if n in case.statics else cast(a)[:, axis]
              for n, a in case.inputs().items()}  # fmt: skip
    weights = case.weight()
    options = {
        "initial": {
            n: cast(a)[axis] if case.depth(n) == 1 else cast(a)[:, axis]
            for n, a in case.initial().items()
        },
        "weights": None if weights is None else cast(weights),
        "lengths": None if case.lengths is None else np.array(case.lengths),
        "reduction": case.reduction,
    }
    if not case.n_b and weights is not None and weights.ndim == 2:
        options["weights"] = cast(weights)[:, 0]
    return params, inputs, options


def has_rows_first(case: Case, what: str, name: str) -> bool:
    """Whether the first axis of an array is the batch, not time or a distance."""
    if what in ("initial", "final"):
        return case.depth(name) == 1
    return name in (*case.statics, *case.lasts) and name not in case.defined


class Comparer:
    """Compares arrays with the oracle's and notes what is off."""

    def __init__(self, stage: str, case: Case, known: Answer, out: Outcome) -> None:
        self.stage, self.case, self.known, self.out = stage, case, known, out
        sizes = [np.abs(a).max(initial=0.0) for a in known.gradients().values()]
        self.scale = 1 + max(sizes, default=0.0)

    def same(self, what: str, name: str, found: Any, expected: Any) -> None:
        """One array, within the tolerance; shapes always, values if they mean much."""
        found, expected = np.asarray(found), np.asarray(expected)
        if not self.case.n_b and what in AXES:
            is_first = has_rows_first(self.case, what, name)
            expected = expected[0] if is_first else expected[:, 0]
        if found.shape != expected.shape:
            detail = f"{name}: shape {found.shape}, expected {expected.shape}"
            self.out.faults.append(Fault(self.stage, f"shape of {what}", detail))
            return
        if self.out.skipped or not expected.size:
            return
        own, whole = TOLERANCE[self.case.dtype]
        bound = own * np.abs(expected).max() + whole * self.scale
        gap = np.abs(found - expected).max()
        if not gap <= bound:
            detail = f"{name}: off by {gap:.3g}, allowed {bound:.3g}\n"
            detail += f"found {_few(found)}\nexpected {_few(expected)}"
            ragged = ", ragged" if self.case.lengths else ""
            self.out.faults.append(
                Fault(self.stage, f"value of {what}{ragged}", detail)
            )

    def each(self, what: str, found: Mapping[str, Any], expected: Mapping, names=None):
        """All arrays of a table, those named."""
        for name in expected if names is None else names:
            self.same(what, name, found[name], expected[name])


def _few(array: np.ndarray) -> str:
    return np.array2string(array.ravel()[:8], precision=6)
