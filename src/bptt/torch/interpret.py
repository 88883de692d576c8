"""A job by torch's own operations, step by step: any device, any derivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bptt.calculus.program import LOSS, Program
from bptt.calculus.recurrence import Segment
from bptt.call import last_of
from bptt.step.evaluate import aligned_inputs, extra_arguments, static_leaf
from bptt.step.graph import TO_TIMED, Node, name_of, shift_of
from bptt.step.shapes import Array, numbers_of
from bptt.torch.guard import KERNEL_TYPES, is_legible
from bptt.torch.meanings import evaluate
from bptt.torch.plan import Plan
from bptt.torch.reduction import step_weights
from bptt.torch.views import element_of


def interpret(plan: Plan, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What comes out of a job, differentiable as often as torch likes.

    Raises: for a cell's own parameters, what `Plan.bind` raises.
    """
    if plan.stacking is None:  # those of a stack were checked by the layer
        names = [name for part in plan.names for name in part]
        plan.bind([_stand_in(n, t) for n, t in zip(names, tensors, strict=True)])
    device = tensors[0].device.type
    if not torch.amp.is_autocast_available(device):
        return _Values(plan, tensors).run()
    # Under autocast products would be rounded to half precision, step after step.
    with torch.autocast(device, enabled=False):
        return _Values(plan, tensors).run()


def _stand_in(name: str, tensor: Tensor) -> Array:
    """An array of the shape and type, and of whole numbers and weights themselves.

    Where they cannot be read there are ones for weights and lengths, else zeros.
    """
    is_real, is_rest = tensor.is_floating_point(), name in {"weights", "lengths"}
    if is_legible(tensor) and (is_rest or not is_real):
        wide = tensor.detach().to("cpu", torch.float64 if is_real else None)
        values = np.array(wide.tolist())  # also of a subclass, or lazily negated
        return values.reshape(tensor.shape).astype(_element(tensor))
    one = np.full((), is_real or is_rest, _element(tensor))
    return np.broadcast_to(one, tuple(tensor.shape))


def _element(tensor: Tensor) -> np.dtype[Any]:
    if tensor.dtype in KERNEL_TYPES:
        return element_of(tensor.dtype)
    kinds = (tensor.is_floating_point(), tensor.dtype is torch.bool)
    return np.dtype({(True, False): "f4", (False, True): "?"}.get(kinds, "i8"))


class _Values:
    """The value of every node of a forward program, by node."""

    def __init__(self, plan: Plan, tensors: Sequence[Tensor]) -> None:
        self._plan = plan
        self._program: Program = plan.cell.forward_program(plan.call.outputs)
        given = plan.call.split(tensors)
        inputs, self._initial = given.inputs, given.initial
        params = plan.split(given.tensors)
        like = next(iter(params.values()), next(iter(inputs.values())))
        self._like = like
        graph = plan.cell.graph
        name, first = next(iter(inputs.items()))
        self._is_batched = first.ndim == len(graph.inputs[name].shape) + 2
        self._inputs = {n: self._sequence(n, t) for n, t in inputs.items()}
        self._lead = tuple(next(iter(self._inputs.values())).shape[:2])
        self._lengths = given.lengths
        if self._lengths is not None:
            self._lengths = self._lengths.to(like.device, torch.int64).reshape(-1)
            # What padding holds cannot matter, not even a NaN.
            self._inputs = {n: self._repeat_last(t) for n, t in self._inputs.items()}
        self._sizes = self._find_sizes(params)
        self._parameters = {
            n: params[n] if n in params else self._zeros(shape)
            for n, shape in plan.cell.parameters.items()
        }
        self._weight = self._make_weight(given.weights)
        self._values: dict[Node, Tensor] = {}
        self._steps: dict[str, list[Tensor]] = {}

    # ----- what was given -----

    def _sequence(self, name: str, tensor: Tensor) -> Tensor:
        tensor = tensor if self._is_batched else tensor[:, None]
        is_index = self._plan.cell.graph.inputs[name].index is not None
        return tensor.long() if is_index else tensor.to(self._like.dtype)

    def _find_sizes(self, params: Mapping[str, Tensor]) -> dict[str, int]:
        shapes = {name: tensor.shape for name, tensor in params.items()}
        sizes = self._plan.call.parameter_sizes(shapes)
        for name, tensor in self._inputs.items():
            shape = self._plan.cell.graph.inputs[name].shape
            sizes |= {str(d): s for d, s in zip(shape, tensor.shape[2:], strict=True)}
        return sizes

    def _numbers(self, shape: tuple[Any, ...]) -> tuple[int, ...]:
        return numbers_of(shape, self._sizes)

    def _zeros(self, shape: tuple[Any, ...], *lead: int) -> Tensor:
        return self._like.new_zeros((*lead, *self._numbers(shape)))

    def _make_weight(self, given: Tensor | None) -> Tensor:
        """w_t, as `weighting` makes it of the given weights."""
        return step_weights(
            self._plan.call.reduction, given, self._lengths,
            self._like.new_ones(self._lead), is_batched=self._is_batched,
            ends_in_loss=self._plan.call.graph.ends_in_loss,
        )  # fmt: skip

    def _is_useful(self, rank: int) -> Tensor:
        """True where a row has not ended, (tau, n_b, 1, ...)."""
        steps = torch.arange(self._lead[0], device=self._like.device)[:, None]
        return (steps < self._lengths)[(...,) + (None,) * rank]

    def _useful(self, sequence: Tensor) -> Tensor:
        """A sequence with zeros where a row has ended."""
        if self._lengths is None:
            return sequence
        zero = torch.zeros((), dtype=sequence.dtype, device=sequence.device)
        return torch.where(self._is_useful(sequence.ndim - 2), sequence, zero)

    def _repeat_last(self, sequence: Tensor) -> Tensor:
        """A sequence whose rows, when they have ended, repeat their last step.

        In zeros an equation may have no value, `k / norm(k)`, or no derivative, and the
        zero gradient that arrives there would become NaN.
        """
        if self._lengths is None:
            return sequence
        steps = torch.arange(self._lead[0], device=sequence.device)[:, None]
        rows = torch.arange(self._lead[1], device=sequence.device)
        return sequence[torch.minimum(steps, self._lengths - 1), rows]

    def _last(self, name: str) -> Tensor:
        """A state after each row's own last step."""
        sequence = self[self._program.roots[name]]
        rows = torch.arange(self._lead[1], device=self._like.device)
        return sequence[last_of(self._plan.cell.graph, name, self._lengths, rows)]

    # ----- the order -----

    def run(self) -> tuple[Tensor, ...]:
        """Evaluate every segment in order, and collect."""
        for segment in self._program.segments:
            if segment.direction == 0:
                self._run_batched(segment)
            else:
                self._run_loop(segment)
        roots, plan = self._program.roots, self._plan
        out = [self._useful(self[roots[name]]) for name in plan.call.outputs]
        out += [self._last(name) for name in plan.call.finals]
        if not self._is_batched:
            n = plan.n_sequences
            out = [*(v[:, 0] for v in out[:n]), *(v[0] for v in out[n:])]
        if plan.loss is not None:
            out.append(self[roots[LOSS]])
        return tuple(out)

    def __getitem__(self, node: Node) -> Tensor:
        if node not in self._values:
            self._values[node] = self._leaf(node)
        return self._values[node]

    def _run_batched(self, segment: Segment) -> None:
        for node in segment.nodes:
            if node.inputs:
                arguments = [self[child] for child in node.inputs]
                self._values[node] = self._evaluate(node, arguments, self._lead)

    def _run_loop(self, segment: Segment) -> None:
        nodes = [node for node in segment.nodes if node.inputs]
        inside = set(segment.nodes)
        children = dict.fromkeys(child for node in nodes for child in node.inputs)
        reads = [child for child in children if child not in inside]
        shifts = {n: shift_of(n) for n in segment.nodes if n.op == "shift"}
        sources = {name: self._program.sources[name] for name, _ in shifts.values()}
        before = {name: self._beyond(name) for name in sources}
        steps: dict[Node, list[Tensor]] = {node: [] for node in nodes}
        for t in range(self._lead[0])[:: segment.direction]:
            now = {n: self[n][t] if n.timed else self[n] for n in reads}
            now |= {n: before[name] for n, (name, _) in shifts.items()}
            for node in nodes:
                arguments = [now[child] for child in node.inputs]
                now[node] = self._evaluate(node, arguments, self._lead[1:])
                steps[node].append(now[node])
            before = {
                name: self._carry(name, now[node], before[name], t)
                for name, node in sources.items()
            }
        for node, kept in steps.items():
            self._values[node] = torch.stack(kept[:: segment.direction])

    def _carry(self, name: str, value: Tensor, before: Tensor, t: int) -> Tensor:
        """The value for a loop's next step: a row repeats its last one in padding."""
        if self._lengths is None:
            return value
        is_backward = name in self._plan.cell.graph.backward
        step = t if is_backward else min(t + 1, self._lead[0] - 1)
        return torch.where(self._is_useful(value.ndim - 1)[step], value, before)

    def _beyond(self, name: str) -> Tensor:
        """The value at t = 0, or at t = tau + 1 where it is read backward."""
        shape = self._program.sources[name].shape
        given = self._initial.get(name)
        if given is None:
            return self._zeros(shape, self._lead[1])
        given = given.to(self._like.dtype)
        return given.expand(self._lead[1], *self._numbers(shape))

    # ----- one node -----

    def _leaf(self, node: Node) -> Tensor:
        if node.op == "constant":
            assert isinstance(node.data, float)
            return self._like.new_tensor(node.data)
        if node.op == "size":
            return self._like.new_tensor(float(self._numbers((node.data,))[0]))
        if node.op in ("index", "eye"):
            number = static_leaf(node, self._numbers, np.float64)
            return self._like.new_tensor(number)
        if node.op == "shift":
            name, lag = shift_of(node)
            sequence = self[self._program.sources[name]]
            beyond = self._beyond(name).to(sequence.dtype)[None]
            if lag < 0:
                return self._repeat_last(torch.cat([beyond, sequence[:-1]]))
            if self._lengths is not None:
                useful = self._is_useful(sequence.ndim - 2)
                sequence = torch.where(useful, sequence, beyond)
            return self._repeat_last(torch.cat([sequence[1:], beyond]))
        if node.op == "weight":
            return self._weight
        tables = {"parameter": self._parameters, "input": self._inputs}
        return tables[node.op][name_of(node)]

    def _evaluate(
        self, node: Node, arguments: list[Tensor], lead: tuple[int, ...]
    ) -> Tensor:
        arguments = aligned_inputs(node, arguments)
        extra = extra_arguments(node, self._numbers)
        value = evaluate(node.op, arguments, extra)
        if not value.is_floating_point():  # made of an index alone
            value = value.to(self._like.dtype)
        if node.op in TO_TIMED and not node.inputs[0].timed:
            value = value.expand(*lead, *self._numbers(node.axes))
        return value
