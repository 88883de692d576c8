"""Which way each loop runs: a state read at t-1 runs forward, one read at t+1 backward.

A name waits for those it reads at t and for those it reads at another step; a loop is a
set of names that wait for each other, and it can wait in one direction only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bptt import errors
from bptt.errors import Span
from bptt.step.components import components

Read = tuple[str, int, Span]
Reads = Mapping[str, list[Read]]


def check_directions(reads: Reads) -> None:
    """Refuse what would have to wait for an earlier and for a later step.

    reads: what each equation reads. Raises: TwoDirectionsError.
    """
    loops = _loops(reads)
    for name, found in reads.items():
        for other, lag, span in found:
            if lag == 1 and other in loops[name]:
                # In the equations' order: the message is the same each time.
                loop = [n for n in reads if n in loops[name]]
                _check_loop(name, span, loop, reads)


def _loops(reads: Reads) -> dict[str, frozenset[str]]:
    """For each name, all names that wait for each other with it, itself included."""

    def inputs(name: str) -> list[str]:
        return [other for other, _, _ in reads[name] if other in reads]

    parts = map(frozenset, components(reads, inputs))
    return {name: part for part in parts for name in part}


def _check_loop(name: str, span: Span, loop: Sequence[str], reads: Reads) -> None:
    for member in loop:
        for other, lag, _ in reads[member]:
            if lag == -1 and other in loop:
                raise errors.TwoDirectionsError(
                    span,
                    f"{name} waits for a later step here, and through {other}[t-1] in "
                    f"the equation of {member} for an earlier one",
                    fix="two loops that do not read each other, one with t-1 and one "
                    "with t+1, and an equation that reads both at t",
                )
