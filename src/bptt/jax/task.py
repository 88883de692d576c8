"""What one call from XLA computes, written down so that a compiled program can hold it.

A task is text in the compiled program: the cell's equations and which arrays the call
passes. So a program that JAX serialises, or takes from its cache in another process,
still computes what it says.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bptt.calculus.program import Program, Request, gradient_program
from bptt.call import CellCall, Given
from bptt.step.graph import Graph


@dataclass(frozen=True)
class Task:
    """A forward pass, or the backward pass of one.

    call: the cell and the names of what goes in and out; L is a node like others, JAX
    sums it. After the call's own operands come: the divisor of a mean, if
    `has_divisor`; for a backward pass then what the forward pass kept, if anything, and
    the gradients of those results that `seeded` names. Results of a forward pass: the
    call's own, then, if `keeps`, the kept buffers and their stamp; of a backward pass:
    the gradients of the operands in `wrt`.

    wrt: numbers of operands; seeded: numbers of results; kept: how many buffers;
    members: which operands, of a batch of calls, have one array for each of them on
    their first axis, as all results have; check_finite: refuse NaN; watched: the number
    of a watch and the name of the layer there, if one looks at the states' gradients.
    """

    call: CellCall
    threads: int | None = None
    check_finite: bool = False
    has_divisor: bool = False
    keeps: bool = False
    kept: int = 0
    wrt: tuple[int, ...] = ()
    is_backward: bool = False
    seeded: tuple[int, ...] = ()
    members: tuple[bool, ...] = ()
    watched: tuple[int, str] | None = None

    def encode(self) -> str:
        """The task as text, read back by `decode`."""
        return json.dumps(asdict(self))

    @functools.cached_property
    def graph(self) -> Graph:
        """The cell without its total, all of it at every step."""
        return self.call.graph.at_every_step()

    @functools.cached_property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """The kind and name of every operand of a forward pass."""
        tensors, inputs, initial, rest = self.call.names
        kinds = ("parameter", "input", "initial", "rest")
        found = [
            (kind, name)
            for kind, names in zip(kinds, (tensors, inputs, initial, rest), strict=True)
            for name in names
        ]
        return (*found, *[("rest", "divisor")] * self.has_divisor)

    @functools.cached_property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """The kind and name of every operand whose gradient is wanted."""
        return tuple(self.kinds[number] for number in self.wrt)

    @property
    def watched_states(self) -> tuple[str, ...]:
        """The states whose gradients somebody looks at."""
        states = [n for n in self.graph.states if n in self.graph.definitions]
        return tuple(states) if self.watched else ()

    @property
    def n_kept(self) -> int:
        """How many arrays a forward pass keeps: the buffers and their stamp."""
        return self.kept + 1 if self.keeps and self.kept else 0

    def split(self, operands: Sequence[Any]) -> Operands:
        """The operands by name."""
        end = len(self.kinds)
        given = self.call.split(operands[: end - self.has_divisor])
        divisor = operands[end - 1] if self.has_divisor else None
        n_kept = self.n_kept if self.is_backward else 0
        kept, seeds = operands[end : end + n_kept], operands[end + n_kept :]
        return Operands(
            given, divisor, kept, dict(zip(self.seeded, seeds, strict=True))
        )

    def result_shapes(self, shapes: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The shapes of a forward pass's results, from the operands' shapes."""
        return self.call.result_shapes(shapes[: len(self.kinds)])

    # ----- programs -----

    @property
    def waited_for(self) -> tuple[str, ...]:
        """The nodes at which a kept forward pass expects gradients.

        Which results will get one is not known yet; a guess that is wrong costs a
        second forward pass, and one that is too wide the reading of zeros.
        """
        return self.call.outputs or self.call.finals

    def request(self, seeds: Collection[str], *, is_phased: bool) -> Request:
        """What a program of this task's gradients is to give."""
        wanted = self.wanted
        return Request(
            nodes=self.watched_states,
            inputs=tuple(name for kind, name in wanted if kind == "input"),
            initial=any(kind == "initial" for kind, _ in wanted),
            seeds=tuple(sorted(seeds)),
            values=self.call.outputs if is_phased else (),
            is_phased=is_phased,
        )

    @property
    def phased_program(self) -> tuple[Program, Request]:
        """The program whose first phase is the forward pass."""
        return program_of(self.call, self.request(self.waited_for, is_phased=True))


@dataclass(frozen=True)
class Operands:
    """A call's operands: by name, and the seeds by the number of the result."""

    given: Given
    divisor: Any
    kept: Sequence[Any]
    seeds: dict[int, Any]


@functools.lru_cache(maxsize=256)
def program_of(call: CellCall, request: Request) -> tuple[Program, Request]:
    """The program of a request, kept."""
    return gradient_program(call.graph.at_every_step(), request), request


@functools.lru_cache(maxsize=256)
def decode(text: str) -> Task:
    """The task that `encode` wrote."""
    fields: dict[str, Any] = json.loads(text)
    call = CellCall(**_tuples(fields.pop("call")))
    return Task(call, **_tuples(fields))


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
