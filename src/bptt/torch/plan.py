"""A call of a cell on NumPy arrays: values, and gradients that continue from them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bptt.calculus.program import Program, Request
from bptt.call import CellCall, decode
from bptt.cell import Cell
from bptt.execute import dispatch
from bptt.execute.bindings import Bindings, bind
from bptt.execute.packing import pack_lengths
from bptt.execute.rows import take_apart
from bptt.passes import ForwardPass
from bptt.results import Gradient, Run
from bptt.step.shapes import Array
from bptt.torch.views import Views
from bptt.weights import Stacking

if TYPE_CHECKING:
    from bptt.execute.kernels.executor import Kept

# Shapes and an element type -> arrays.
Place = Callable[[Sequence[tuple[int, ...]], Any], list[Array]]


@functools.cache
def cell_of(text: str) -> Cell:
    """The cell of a text; one object for all layers that share it."""
    cell = Cell(text)
    cell.graph = cell.graph.at_every_step()
    return cell


@functools.cache
def plan_of(key: str) -> Plan:
    """The plan of a job's key; one object, which holds its compiled programs."""
    return Plan(decode(key))


class Plan:
    """Runs a call.

    names: of what goes in, see `CellCall.names`; loss: the name of the loss of a step,
    or None; n_sequences: how many of what comes out are sequences.
    """

    def __init__(self, call: CellCall) -> None:
        """Nothing is compiled before the first run."""
        self.call, self.names = call, call.names
        self.cell = cell_of(call.text)
        self.loss = self.cell.graph.loss
        self._shapes = self.cell.parameters
        self._known_sizes: dict[object, dict[str, int]] = {}
        self.n_sequences = len(call.outputs)
        self.stacking: Stacking | None = call.stacks
        self.limit = call.limit
        # What gradients have arrived at so far. A backward pass that brings another
        # runs forward again once, and every forward pass after it is ready for it.
        self._seeded = frozenset(call.outputs if self.loss is None else (self.loss,))
        self._zeros: dict[object, dict[str, Array]] = {}
        self.ready: dict[object, Any] = {}  # kinds of small calls, see `ready`

    @property
    def arrived_at(self) -> frozenset[str]:
        """Where gradients have arrived so far."""
        return self._seeded

    # ----- tensors by name -----

    def split(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The cell's parameters; a stack without biases lacks those."""
        return self.stacking.split(tensors) if self.stacking else dict(tensors)

    # ----- values -----

    def bind(self, arrays: Sequence[Array], views: Views | None = None) -> Bindings:
        """The arrays as an executor wants them.

        Those of a stack were checked by the layer, which lets NaN pass as torch does.
        views: where they were read, to keep what is cut out of them.
        Raises: for others, a subclass of `errors.ArgumentError`.
        """
        given = self.call.split(arrays)
        inputs, initial = given.inputs, given.initial
        if self.stacking is None:
            return bind(
                self.cell.graph, given.tensors, inputs, initial or None, None,
                self.call.reduction, given.weights, lengths=given.lengths,
            )  # fmt: skip
        if views is None:
            params = self.stacking.split(given.tensors)
        else:
            params = views.split(self.stacking, given.tensors)
        key = tuple(array.shape for array in params.values())
        sizes = self._known_sizes.get(key)
        if sizes is None:
            shapes = dict(zip(params, key, strict=True))
            sizes = self._known_sizes[key] = self.call.parameter_sizes(shapes)
        (x,) = inputs.values()
        tau, n_b = x.shape[:2]
        if len(params) < len(self._shapes):
            params = params | self.missing(sizes, x.dtype, params)
        packing = pack_lengths(given.lengths, tau, n_b, is_batched=True)
        if packing is not None:
            inputs = {name: packing.pack(array) for name, array in inputs.items()}
        shape = (tau, n_b) if packing is None else (packing.n_rows,)
        return Bindings(
            x.dtype, tau, n_b, True, sizes, params, inputs, initial,
            _no_weight(shape, x.dtype), {}, packing,
        )  # fmt: skip

    def missing(
        self, sizes: Mapping[str, int], dtype: Any, params: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Zeros for the biases of a stack that has none."""
        key = (*sizes.items(), dtype)
        if key not in self._zeros:
            self._zeros[key] = {
                name: np.zeros(tuple(sizes[str(dim)] for dim in shape), dtype)
                for name, shape in self._shapes.items()
                if name not in params
            }
        return self._zeros[key]

    def run(
        self, arrays: Sequence[Array], threads: int, views: Views | None = None
    ) -> list[Array]:
        """What comes out, without a gradient to follow."""
        if self.limit is not None:
            forward = self.forward(arrays, [False] * len(arrays), threads)
            return self.collect(forward.run, forward.bindings)
        bindings = self.bind(arrays, views)
        program = self.cell.forward_program(self.call.outputs)
        program, values = dispatch.run(program, bindings, threads=threads)
        return self.collect(Run(program, bindings, values), bindings)

    def collect(self, run: Run, bindings: Bindings) -> list[Array]:
        """What comes out of a run: sequences in its own memory, last values copied."""
        final = take_apart(self.cell.graph, run.final if self.call.finals else {})
        out = [run[name] for name in self.call.outputs]
        # A token of an earlier step, too: results of a call have one element type.
        out += [np.asarray(final[n], bindings.dtype) for n in self.call.finals]
        if self.loss is not None:
            out.append(np.asarray(run.loss, bindings.dtype))
        return out

    # ----- gradients -----

    def forward(
        self,
        arrays: Sequence[Array],
        needs: Sequence[int],
        threads: int,
        nodes: tuple[str, ...] = (),
        place: Place | None = None,
        views: Views | None = None,
    ) -> ForwardPass:
        """Run forward for gradients of the tensors that need one.

        nodes: also the gradients on these nodes; place: makes the arrays that are to
        hold what the way back needs, from their shapes and element type.
        """
        request = self.request(needs, nodes)
        program = self.cell.gradient_program(request)
        bindings = self.bind(arrays, views)
        kept = self._find_kept(program, bindings) if place else None
        memory = place(kept.shapes, bindings.dtype) if place and kept else None
        return ForwardPass(
            program, bindings, request, threads=threads, memory=memory, limit=self.limit
        )

    def request(self, needs: Sequence[int], nodes: tuple[str, ...] = ()) -> Request:
        """What is asked for where gradients of these tensors are."""
        tensors, inputs, _, _ = self.names
        asked = zip(inputs, needs[len(tensors) :], strict=False)
        return Request(
            nodes,
            tuple(name for name, is_needed in asked if is_needed),
            True,  # read from what is stored anyway: one program less to compile
            tuple(sorted(self._seeded)),
            values=self.call.outputs,
            is_phased=True,
        )

    def resume(
        self, request: Request, arrays: Sequence[Array], memory: list[Array],
        threads: int,
    ) -> ForwardPass | None:  # fmt: skip
        """A forward pass that left its buffers in memory; None if they do not fit."""
        program, bindings = self.cell.gradient_program(request), self.bind(arrays)
        kept = self._find_kept(program, bindings)
        found = [(array.shape, array.dtype) for array in memory]
        if not kept or found != [(shape, bindings.dtype) for shape in kept.shapes]:
            return None
        return ForwardPass(
            program, bindings, request, threads=threads, memory=memory, is_resumed=True
        )

    def _find_kept(self, program: Program, b: Bindings) -> Kept | None:
        return dispatch.find_kept(program, b.sizes, b.dtype.itemsize, b.tau, b.n_b)

    def seeds(
        self, bindings: Bindings, grads: Sequence[Array | None]
    ) -> dict[str, Array]:
        """Gradients that arrived at what came out, as gradients on nodes at all steps.

        That of a last value joins the last step of its state's sequence; that of the
        total loss scales the weight of every step's loss.
        """
        arrived = {
            number: _rows(grad, bindings.is_batched, number < self.n_sequences)
            for number, grad in enumerate(grads)
            if grad is not None
        }
        packing = bindings.packing
        given = self.call.join_seeds(
            arrived, bindings.tau, bindings.n_b,
            None if packing is None else packing.lengths,
        )  # fmt: skip
        if self.loss is not None and grads[-1] is not None:
            weighted = bindings.weight * grads[-1]
            if packing is not None:
                weighted = packing.unpack(weighted)
            given[self.loss] = weighted + given.get(self.loss, 0)
        return given

    def _zero(self, bindings: Bindings, name: str) -> Array:
        shape = bindings.numbers(self.cell.nodes[name])
        return np.zeros((bindings.tau, bindings.n_b, *shape), bindings.dtype)

    def backward(self, forward: ForwardPass, seeds: Mapping[str, Array]) -> Gradient:
        """The gradient of a forward pass; `is_ready` says whether it fits the seeds."""
        seeds = dict(seeds)
        for name in forward.request.seeds:
            if name not in seeds:
                seeds[name] = self._zero(forward.bindings, name)
        return forward.backward(seeds)

    def expects(self, request: Request, seeds: Mapping[str, Array]) -> bool:
        """Whether a forward pass expected these seeds; if not, later ones will."""
        self._seeded = self._seeded.union(seeds)
        return seeds.keys() <= set(request.seeds)

    def gradients(self, gradient: Gradient, needs: Sequence[int]) -> list[Any]:
        """Per tensor its gradient, or None for those that need none."""
        tensors, inputs, initial, _ = self.names
        asked = iter(needs)
        found = [self._parameter(gradient, n) if next(asked) else None for n in tensors]
        found += [gradient.inputs[n] if next(asked) else None for n in inputs]
        rows = take_apart(self.cell.graph, gradient.initial)
        found += [rows[n] if next(asked) else None for n in initial]
        return found + [None for _ in asked]

    def _parameter(self, gradient: Gradient, name: str) -> Array:
        if self.stacking is None:
            return np.array(gradient[name])
        return gradient.stack(self.stacking.order[name])


@functools.lru_cache(maxsize=64)
def _no_weight(shape: tuple[int, ...], dtype: Any) -> Array:
    """Weights of a loss that the cell does not have."""
    return np.broadcast_to(np.asarray(1, dtype), shape)


def _rows(array: Array, is_batched: bool, axis: int) -> Array:
    return array if is_batched else np.expand_dims(array, axis)
