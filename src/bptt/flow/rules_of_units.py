"""Opinions on units: those that are dead, and those that all do the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bptt.flow.case import MANY, Case, diagnosis, remedy
from bptt.flow.findings import Diagnosis, Remedy
from bptt.step.shapes import Array

SMALL = 0.1  # a bias that is tried where it is enough
# A product rounds a unit's sum by its place in a tile, which differs between
# processors: units that do the same were seen up to 4 roundings of the
# largest value so far apart (four cells, 2 to 37 units, 300 steps).
ALIKE = 100


def dead_units(case: Case) -> Iterator[Diagnosis]:
    """Units that have no slope at any step of any row."""
    for name in case.rectified:
        dead = case.dead_units(name)
        if not dead.any():
            continue
        remedies = _revive(case, name, dead)
        share = float(dead.mean())
        severity = "fault" if share >= MANY else "caution" if share >= 0.1 else "note"
        yield diagnosis(
            "dead-units", severity, *remedies, node=name, count=int(dead.sum()),
            units=dead.size, share=100 * share,
            first=case.rows_of(np.flatnonzero(dead)),
        )  # fmt: skip


def _revive(case: Case, name: str, dead: Array) -> list[Remedy]:
    """A bias that gives dead units a slope at some step."""
    bias = case.facts.bias_of(name)
    if not bias or case.maps is None:
        return []
    rows = case.maps.argument(name)
    highest = rows.reshape(len(rows), -1).max(axis=0)
    now = np.broadcast_to(case.bindings.parameters[bias], case.values[name].shape[2:])
    least = float((now.ravel() - highest)[dead].max())
    if least < SMALL:
        return [remedy(f"{bias}={SMALL:g}", "remedy.revive", name=bias)]
    # One bias for all would also move the units that hold the dead ones down.
    return [remedy(f"revive={SMALL:g}", "remedy.revive-dead", name=bias, node=name,
                   least=least)]  # fmt: skip


def same_units(case: Case) -> Iterator[Diagnosis]:
    """Units that do the same, and get the same gradient: they never part."""
    for name in case.source.times.written(case.facts.cut.states):
        rows = case.values[name][case.useful]
        units = rows.reshape(len(rows), -1)
        grads = case.findings.state_gradients[name][case.useful]
        both = [units, grads.reshape(len(grads), -1)[::-1]]
        if name in case.source.backward:
            both = [rows[::-1] for rows in both]
        if units.shape[1] > 1 and all(map(_are_alike, both)) and any(map(np.any, both)):
            what = (*case.square, *case.facts.recurrent)[0:1]
            more = case.facts.of_input[0:1]
            remedies = [
                remedy(f"{n}=initial", "remedy.break-symmetry", name=n)
                for n in (*more, *what)
            ]
            yield diagnosis("same-units", "fault", *remedies, node=name,
                            units=units.shape[1])  # fmt: skip
            return


def _are_alike(rows: Array) -> bool:
    """Whether units, one a column, have the same values up to rounding.

    rows: in the order in which they are computed, since what was rounded is carried on.
    """
    largest = np.maximum.accumulate(np.abs(rows).max(axis=1))
    apart = np.ptp(rows, axis=1)
    return bool((apart <= ALIKE * np.finfo(rows.dtype).eps * largest).all())
