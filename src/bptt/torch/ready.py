"""A small layer's call with everything decided: which number goes where.

What a call costs beside its kernels is looking: at names, shapes, types, and at what is
where in memory. All of that follows from the layer's call, the tensors' shapes and the
gradients that are wanted, so it is found out at the first call of a kind. A later one
fills in addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bptt.calculus.program import Request, gradient_at, gradient_of
from bptt.execute.bindings import Steady
from bptt.execute.compile.sums import View
from bptt.execute.kernels.direct import Direct, Extent, Seat, StepBlock, find_direct
from bptt.execute.kernels.memory import address_of
from bptt.step.evaluate import evaluate
from bptt.step.graph import Node, name_of
from bptt.step.meanings import product_by_rows
from bptt.step.shapes import Array
from bptt.torch.plan import Plan
from bptt.torch.views import Views, array_of, place_of

KEPT = 8  # kinds of calls per plan
# Reads a gradient when the second phase is over.
Read = Callable[["Back"], Tensor]


@dataclass
class Pass:
    """A forward pass, until its way back; params: as they lay then."""

    ready: Ready
    block: StepBlock
    token: object
    params: Mapping[str, Array]
    views: Views


@dataclass
class Back:
    """A way back whose kernels have run: where its numbers are."""

    kept: Pass
    seat: Seat
    totals: Mapping[Node, Array]
    tensors: Sequence[Tensor]
    seeds: dict[str, Array]


class Ready:
    """The calls of a plan with tensors of one kind, run by `direct`.

    Without a request no gradient is to follow.
    """

    def __init__(self, plan: Plan, direct: Direct, request: Request | None) -> None:
        """Raises: LookupError, if kernels do not leave what is to come out."""
        self.plan, self.direct, self.request = plan, direct, request
        self.tensors, inputs, initial, _ = plan.names
        self._x = len(self.tensors)
        self._x_number = {name: n for n, name in direct.recipe.inputs}[inputs[0]]
        self._states = [
            (self._x + 1 + number, direct.states[name])
            for number, name in enumerate(initial)
        ]
        graph = plan.cell.graph
        self._outputs = [self._find(name) for name in plan.call.outputs]
        finals = [
            self._find(name, 0 if name in graph.backward else -1)
            for name in plan.call.finals
        ]
        # As they are, and as the only layer's, with an axis of layers.
        self._finals = {False: finals, True: [spot.with_axis() for spot in finals]}
        self._seeds: list[tuple[str, int, Array]] = []
        if request is None:
            return
        for name, number in direct.recipe.seeds.items():
            shape = (direct.tau, direct.n_b, *direct.numbers(plan.cell.nodes[name]))
            self._seeds.append((name, number, np.zeros(shape, direct.dtype)))
        self._reads = [self._read_parameter(name) for name in self.tensors]
        self._reads.append(self._read_input(inputs[0]))
        self._reads += [self._read_initial(name) for name in initial]

    def _find(self, name: str, step: int | None = None) -> Extent:
        spot = self.direct.find(self.direct.program.roots.get(name), step)
        if spot is None:
            raise LookupError(f"no kernel leaves {name}")
        return spot

    # ----- forward -----

    def evaluate(
        self, tensors: Sequence[Tensor], views: Views, *, is_only: bool = False
    ) -> tuple[Tensor, ...]:
        """What comes out, in memory of its own.

        is_only: last values have an axis of layers, of one.
        """
        seat = self.direct.take()
        self._start(seat, seat.block, tensors, views)
        found = seat.kept.get(is_only)
        if found is None:
            spots = [*self._outputs, *self._finals[is_only]]
            with torch.inference_mode(mode=False):
                found = [self._look(spot, seat, seat.block) for spot in spots]
            seat.kept[is_only] = found
        out = tuple([view.clone() for view in found])
        self.direct.give(seat)
        return out

    def forward(
        self, tensors: Sequence[Tensor], views: Views, *, is_only: bool = False
    ) -> tuple[tuple[Tensor, ...], Pass]:
        """What comes out, sequences in the block that the way back reads."""
        seat, block = self.direct.take(), StepBlock(self.direct.n_bytes)
        params = self._start(seat, block, tensors, views)
        out = [self._look(spot, seat, block) for spot in self._outputs]
        out += [self._look(spot, seat, block).clone() for spot in self._finals[is_only]]
        token = seat.token = object()
        self.direct.give(seat)
        return tuple(out), Pass(self, block, token, params, views)

    def _start(
        self, seat: Seat, block: StepBlock, tensors: Sequence[Tensor], views: Views
    ) -> Mapping[str, Array]:
        """Run the first phase; the parameters that it read."""
        params = self._parameters(tensors, views)
        x = self._enter_input(seat, tensors)
        for number, spot in self._states:
            part = self.direct.look(spot, seat, block)
            part[...] = tensors[number].detach().numpy()
        self.direct.start(seat, block, params)
        del x  # alive until here
        return params

    def _look(self, spot: Extent, seat: Seat, block: StepBlock) -> Tensor:
        return torch.from_numpy(self.direct.look(spot, seat, block))

    def _enter_input(self, seat: Seat, tensors: Sequence[Tensor]) -> Tensor:
        """Its address; what lies there, in one piece, must outlive the kernels."""
        x = tensors[self._x]
        if not x.is_contiguous():
            x = x.detach().contiguous()
        seat.workspace.table[self._x_number] = place_of(x)
        return x

    def _parameters(
        self, tensors: Sequence[Tensor], views: Views
    ) -> Mapping[str, Array]:
        """The cell's parameters, each in one piece."""
        stacking = self.plan.stacking
        assert stacking is not None
        arrays = views.read(tensors[: self._x], self._x)
        params = views.split(stacking, dict(zip(self.tensors, arrays, strict=True)))
        if isinstance(params, Steady):
            return params
        missing = self.plan.missing(self.direct.sizes, self.direct.dtype, params)
        return {n: np.ascontiguousarray(a) for n, a in (params | missing).items()}

    # ----- backward -----

    def go_back(
        self, kept: Pass, tensors: Sequence[Tensor], grads: Sequence[Tensor | None],
        needs: Sequence[bool],
    ) -> tuple[list[Tensor | None], dict[str, Array]] | None:  # fmt: skip
        """Gradients of all tensors, and those that arrived by the name of their node.

        None where one arrived that the pass did not expect.
        """
        direct = self.direct
        arrived = {
            number: grad.detach().numpy()
            for number, grad in enumerate(grads)
            if grad is not None
        }
        seeds = self.plan.call.join_seeds(arrived, direct.tau, direct.n_b)
        assert self.request is not None
        if not self.plan.expects(self.request, seeds):
            return None
        seat = direct.take()
        x = self._enter_input(seat, tensors)
        alive = self._enter_seeds(seat, seeds)
        task = torch._C._current_graph_task_id()  # noqa: SLF001  -1: there is none
        totals = direct.finish(
            seat, kept.block, kept.params, kept.token, task if task >= 0 else None
        )
        del x, alive
        back = Back(kept, seat, totals, tensors, seeds)
        found = [
            read(back) if is_needed else None
            for read, is_needed in zip(self._reads, needs, strict=True)
        ]
        direct.give(seat)
        return found, seeds

    def _enter_seeds(self, seat: Seat, seeds: Mapping[str, Array]) -> list[Array]:
        table, alive = seat.workspace.table, []
        for name, number, zeros in self._seeds:
            array = np.ascontiguousarray(seeds.get(name, zeros))
            alive.append(array)
            table[number] = address_of(array)
        return alive

    def _read_parameter(self, tensor: str) -> Read:
        """Of a tensor that stacks parameters, at one place or put together."""
        program, sums = self.direct.program, self.direct.executable.sums
        assert self.plan.stacking is not None
        names = self.plan.stacking.order[tensor]
        nodes = tuple(program.roots[gradient_of(name)] for name in names)
        known = {node for _, node in self.direct.executable.totals}
        whole = sums.find_stack(nodes)
        if whole is not None:
            return lambda back: self._copy_sum(whole, back)
        if not all(node in sums.views or node in known for node in nodes):
            raise LookupError(f"no sum gives the gradient of {tensor}")

        def read(back: Back) -> Tensor:
            parts = [
                back.totals[node] if node in back.totals
                else self.direct.look_at_sum(sums.views[node], back.seat)
                for node in nodes
            ]  # fmt: skip
            return torch.from_numpy(np.concatenate(parts))

        return read

    def _copy_sum(self, view: View, back: Back) -> Tensor:
        kept = back.seat.kept
        if view not in kept:
            array = self.direct.look_at_sum(view, back.seat)
            with torch.inference_mode(mode=False):
                kept[view] = torch.from_numpy(array)
        whole: Tensor = kept[view]
        return whole.clone() if whole.is_contiguous() else whole.contiguous()

    def _read_input(self, name: str) -> Read:
        if self.request is None or name not in self.request.inputs:
            return _refuse
        spot = self._find(gradient_at(name))
        return lambda back: self._look(spot, back.seat, back.kept.block).clone()

    def _read_initial(self, name: str) -> Read:
        """Of the state before the first step: made here where no kernel leaves it."""
        program = self.direct.program
        step = -1 if name in self.plan.cell.graph.backward else 0
        make = self._value(program.roots[program.carried[name]], step, set())
        return lambda back: torch.from_numpy(np.array(make(back)))

    def _value(self, node: Node, step: int, seen: set[Node]) -> Callable[[Back], Array]:
        """One step of a value, by the operations of `step.evaluate`.

        Raises: LookupError, if it is made of other things than what kernels leave and
        parameters, or of one thing twice, which would be made twice.
        """
        direct = self.direct
        node = direct.executable.plan.canon(node) if node.timed else node
        extent = direct.find(node, step)
        if extent is not None:
            return lambda back: direct.look(extent, back.seat, back.kept.block)
        if node.op == "parameter":
            name = name_of(node)
            return lambda back: back.kept.params[name]
        if node in seen or not node.inputs:
            raise LookupError(f"{node.op} is not a plain value of one step")
        seen.add(node)
        first, *rest = node.inputs
        if node.op == "matvec" and first.op == "transpose" and not first.timed:
            matrix = self._value(first.inputs[0], step, seen)
            rows = self._value(rest[0], step, seen)
            return lambda back: product_by_rows(matrix(back).T, rows(back))
        parts = [self._value(child, step, seen) for child in node.inputs]
        if node.op == "add" and first.rank == rest[0].rank:
            return lambda back: parts[0](back) + parts[1](back)
        numbers = direct.numbers
        return lambda back: evaluate(node, [part(back) for part in parts], numbers)


def _refuse(back: Back) -> Tensor:
    raise AssertionError("nobody asked for it")


def find_ready(
    plan: Plan, tensors: Sequence[Tensor], needs: Sequence[bool] | None, views: Views
) -> Ready | None:
    """The calls of a kind, made when the first of them comes; None where they are not.

    needs: which tensors a gradient is asked for; None for no way back at all.
    """
    key, known = _kind_of(plan, tensors, needs), plan.ready
    if key not in known:
        while len(known) >= KEPT:
            known.pop(next(iter(known)), None)
        known[key] = _make(plan, tensors, needs, views)
    found: Ready | None = known.get(key)
    return found


def known_ready(
    plan: Plan, tensors: Sequence[Tensor], needs: Sequence[bool] | None
) -> Ready | None:
    """The same if there was such a call, whose shapes were found right."""
    found: Ready | None = plan.ready.get(_kind_of(plan, tensors, needs))
    return found


def _kind_of(
    plan: Plan, tensors: Sequence[Tensor], needs: Sequence[bool] | None
) -> tuple[Any, ...]:
    return (
        needs, plan.arrived_at, torch.get_num_threads(), tensors[0].dtype,
        *[tensor.shape for tensor in tensors],
    )  # fmt: skip


def _make(
    plan: Plan, tensors: Sequence[Tensor], needs: Sequence[bool] | None, views: Views
) -> Ready | None:
    if plan.stacking is None or plan.limit is not None or plan.names[3]:
        return None
    arrays = list(map(array_of, tensors))
    bindings = plan.bind(arrays, views)
    request = None if needs is None else plan.request(needs)
    if request is None:
        program = plan.cell.forward_program(plan.call.outputs)
    else:
        program = plan.cell.gradient_program(request)
    direct = find_direct(program, bindings, torch.get_num_threads())
    if direct is None:
        return None
    try:
        return Ready(plan, direct, request)
    except LookupError:
        return None
