"""Opinions on what a run was given: losses, masks, inputs, zeros, windows, types."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bptt.flow.case import (
    REACHED,
    SAME,
    SHIFTED,
    Case,
    diagnosis,
    remedy,
)
from bptt.flow.findings import Diagnosis, Remedy
from bptt.step.shapes import Array


def _underflow(case: Case) -> Iterator[Diagnosis]:
    found = case.findings.underflow
    if found is not None:
        yield diagnosis(
            "underflow", "fault", remedy("dtype=float64", "remedy.wider-underflow"),
            remedy("", "remedy.scale-loss"), node=found.name, t=found.t, row=found.row,
            steps=found.steps, exact=f"{found.exact:.1e}",
            dtype=case.findings.subject.dtype,
        )  # fmt: skip


def _no_gradient(case: Case) -> Iterator[Diagnosis]:
    norms = case.findings.gradient_norms
    if norms and not any(norms.values()):
        yield diagnosis("no-gradient", "fault", remedy("", "remedy.some-loss"))


def _zero_weights(case: Case) -> Iterator[Diagnosis]:
    """Matrices that are 0 stop what would pass through them, or never remember."""
    names = case.zero_matrices
    if not names:
        return
    norms = case.findings.gradient_norms
    starved = tuple(n for n, size in norms.items() if size == 0 and n not in names)
    memory = [n for n in case.facts.recurrent if n in names]
    remedies = [
        remedy(f"{name}=initial", "remedy.initial", name=name) for name in names[:3]
    ]
    yield diagnosis(
        "zero-weights", "fault", *remedies, names=", ".join(names),
        starved=", ".join(starved) or "-", memory=", ".join(memory) or "-",
        count=len(names),
    )  # fmt: skip


def _inputs(case: Case) -> Iterator[Diagnosis]:
    bindings = case.bindings
    unread = set(case.facts.unread_inputs())
    targets = _targets(case)
    for name, array in bindings.inputs.items():
        # Noise at its mean is 0, as it should be.
        if name in targets or case.source.inputs[name].draw is not None:
            continue
        if array.dtype.kind == "f" and not array[case.useful].any():
            yield diagnosis("zero-input", "caution", remedy("", "remedy.look-at-data"),
                            name=name)  # fmt: skip
            continue
        if name in unread:
            advice = remedy("", "remedy.read-input", name=name)
            yield diagnosis("unread-input", "fault", advice, name=name)
        elif not case.reads.get(name, True):
            zero = [n for n in case.facts.of_input if n in case.zero_matrices]
            if zero:
                remedies = [remedy(f"{n}=initial", "remedy.initial", name=n)
                            for n in zero]  # fmt: skip
                yield diagnosis("unread-input", "fault", *remedies, name=name)


def _targets(case: Case) -> set[str]:
    """Inputs that only the loss reads: what is to be predicted."""
    graph = case.facts.cut.graph
    if graph.loss is None:
        return set()
    whole = set(graph.inputs)
    only = case.facts.inputs_of([n for n in graph.definitions if n != graph.loss])
    return whole - only - set(case.facts.unread_inputs())


def _losses(case: Case) -> Iterator[Diagnosis]:
    """Where losses enter: rows without one, steps after the last one."""
    enters = _enters(case)
    if not enters.any():
        return
    lengths = case.useful.sum(axis=0)
    silent = np.flatnonzero(~enters.any(axis=0))
    if len(silent):
        yield diagnosis("silent-rows", "caution", remedy("", "remedy.look-at-mask"),
                        rows=case.rows_of(silent), count=len(silent),
                        n_b=len(lengths))  # fmt: skip
    rows = np.flatnonzero(enters.any(axis=0))
    steps = np.arange(len(enters))[:, None]
    last = np.where(enters, steps, -1).max(axis=0)[rows] + 1
    unused = (lengths[rows] - last) / lengths[rows]
    is_forward = not case.facts.cut.graph.backward
    if is_forward and np.median(unused) > 0.1:
        yield diagnosis(
            "loss-stops", "caution", remedy(_all_losses(case), "remedy.all-losses"),
            last=int(np.median(last)), tau=int(np.median(lengths[rows])),
            share=100 * float(np.median(unused)),
        )  # fmt: skip
    yield from _sparse(case, enters, lengths, last, rows)


def _sparse(
    case: Case, enters: Array, lengths: Array, last: Array, rows: Array
) -> Iterator[Diagnosis]:
    """A loss at few steps, farther from the first step than gradients reach."""
    few = enters[:, rows].sum(axis=0) <= 0.1 * lengths[rows]
    steps = np.arange(len(enters))[:, None]
    first = np.where(enters, steps, len(enters)).min(axis=0)[rows]
    reach = case.findings.reach(REACHED)[rows]
    is_far = few & (reach < first) & (first > 1)
    if is_far.mean() > 0.5 and not case.facts.cut.graph.backward:
        unreached = float(np.median((first - reach)[is_far]))
        yield diagnosis(
            "far-loss", "caution", remedy(_all_losses(case), "remedy.more-losses"),
            reach=float(np.median(reach[is_far])), unreached=unreached,
            tau=int(np.median(lengths)), share=REACHED,
        )  # fmt: skip


def _all_losses(case: Case) -> str:
    """The action that lets every step count; "" where the equations or seeds decide."""
    graph = case.source
    return "" if graph.loss is None or graph.ends_in_loss else "weights=all"


def _enters(case: Case) -> Array:
    b = case.bindings
    found = np.zeros((b.tau, b.n_b), bool)
    if case.facts.cut.graph.loss is not None:
        found |= np.broadcast_to(b.weight, found.shape) != 0
    for seed in b.seeds.values():
        found |= (seed.reshape(b.tau, b.n_b, -1) != 0).any(axis=2)
    return np.asarray(found & case.useful)


def _window(case: Case) -> Iterator[Diagnosis]:
    """What a window of truncation loses, of every parameter."""
    window, rows = case.window, case.findings.truncations
    if window is None or not rows or window >= case.bindings.tau:
        return  # of a run that is no longer than its window nothing is cut
    at = [row for row in rows if row.k <= window][-1]
    if not at.each:
        return
    worst, cosine = at.worst, at.each[at.worst][0]
    enough = next(r.k for r in rows if min(c for c, _ in r.each.values()) >= SAME)
    remedies: tuple[Remedy, ...] = ()
    if cosine < SAME:
        remedies = (remedy(f"window={enough}", "remedy.window", k=enough, same=SAME),)
    severity = "fault" if cosine < SHIFTED else "caution" if cosine < SAME else "note"
    yield diagnosis("window", severity, *remedies, window=window, k=at.k, worst=worst,
                    cosine=cosine, pooled=f"{at.cosine:.4f}",
                    limit=SHIFTED)  # fmt: skip


def _clipping(case: Case) -> Iterator[Diagnosis]:
    found = case.findings.clipping
    if found is None:
        return
    median = float(np.median(found.norms))
    remedies: tuple[Remedy, ...] = ()
    if found.share > 0.5 and median > 0:
        larger = float(np.quantile(found.norms, 0.9))
        remedies = (remedy(f"clip={larger:.2g}", "remedy.clip-higher", clip=larger),)
    severity = "caution" if found.share > 0.5 or found.cosine < SHIFTED else "note"
    yield diagnosis(
        "clipping", severity, *remedies, threshold=found.threshold,
        share=100 * found.share, cosine=found.cosine, median=median,
        n_b=len(found.norms),
    )  # fmt: skip


def _cancellation(case: Case) -> Iterator[Diagnosis]:
    left = {n: v for n, v in case.findings.cancellation.items() if v < 0.01}
    worst = min(left, key=lambda n: left[n], default="")
    if worst and case.findings.gradient_norms.get(worst, 0) > 0:
        yield diagnosis("cancellation", "note", name=worst, left=left[worst],
                        names=", ".join(left))  # fmt: skip


DATA_RULES = (
    _underflow, _no_gradient, _zero_weights, _inputs, _losses, _window, _clipping,
    _cancellation,
)  # fmt: skip
