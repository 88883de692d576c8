"""A job on NumPy arrays: values, and gradients that continue from them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bptt import errors
from bptt.calculus.program import Request
from bptt.cell import Cell
from bptt.execute import dispatch
from bptt.execute.bindings import Bindings, bind
from bptt.execute.packing import pack_lengths
from bptt.passes import ForwardPass
from bptt.results import Gradient, Run
from bptt.step.shapes import Array
from bptt.torch.job import Job
from bptt.weights import TORCH, Stacking


@functools.cache
def cell_of(text: str) -> Cell:
    """The cell of a text; one object for all layers that share it."""
    return Cell(text)


@functools.cache
def plan_of(key: str) -> Plan:
    """The plan of a job's key; one object, which holds its compiled programs."""
    return Plan(Job.from_key(key))


class Plan:
    """Runs a job.

    loss: the name of the loss of a step, or None; n_sequences: how many of what comes
    out are sequences.
    """

    def __init__(self, job: Job) -> None:
        """Nothing is compiled before the first run."""
        self.job = job
        self.cell = cell_of(job.text)
        self.loss = self.cell.graph.loss
        self._shapes = self.cell.parameters
        self._known_sizes: dict[object, dict[str, int]] = {}
        self.n_sequences = len(job.outputs)
        self.stacking: Stacking | None = TORCH[job.stacking] if job.stacking else None
        # What gradients have arrived at so far. A backward pass that brings another
        # runs forward again once, and every forward pass after it is ready for it.
        self._seeded = frozenset(job.outputs if self.loss is None else (self.loss,))
        self._zeros: dict[object, dict[str, Array]] = {}

    # ----- tensors by name -----

    def name(self, items: Sequence[Any]) -> tuple[dict[str, Any], ...]:
        """Parameters, inputs, initial values and the rest of a job's tensors."""
        job, start, found = self.job, 0, []
        rest = ("weights",) * job.has_weights + ("lengths",) * job.has_lengths
        for names in (job.parameters, job.inputs, job.initial, rest):
            part = items[start : start + len(names)]
            found.append(dict(zip(names, part, strict=True)))
            start += len(names)
        return tuple(found)

    def split(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The cell's parameters; a stack without biases lacks those."""
        return self.stacking.split(tensors) if self.stacking else dict(tensors)

    def sizes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The named dimensions that the parameters tell; one size each, or refused."""
        sizes: dict[str, Any] = {}
        for name, array in params.items():
            for dim, size in zip(self._shapes[name], array.shape, strict=True):
                if sizes.setdefault(str(dim), size) != size:
                    raise errors.SizeError(
                        f"parameter {name} has shape {tuple(array.shape)}, but {dim} "
                        f"is {sizes[str(dim)]} in the parameters before it"
                    )
        return sizes

    # ----- values -----

    def bind(self, arrays: Sequence[Array]) -> Bindings:
        """The arrays as an executor wants them.

        Those of a stack were checked by the layer, which lets NaN pass as torch does.
        Raises: for others, a subclass of `errors.ArgumentError`.
        """
        tensors, inputs, initial, rest = self.name(arrays)
        if self.stacking is None:
            return bind(
                self.cell.graph, tensors, inputs, initial or None, None,
                self.job.reduction, **rest,
            )  # fmt: skip
        params = self.stacking.split(tensors)
        key = tuple(array.shape for array in tensors.values())
        sizes = self._known_sizes.get(key)
        if sizes is None:
            sizes = self._known_sizes[key] = self.sizes(params)
        (x,) = inputs.values()
        tau, n_b = x.shape[:2]
        params |= self._missing(sizes, x.dtype, params)
        packing = pack_lengths(rest.get("lengths"), tau, n_b, is_batched=True)
        if packing is not None:
            inputs = {name: packing.pack(array) for name, array in inputs.items()}
        shape = (tau, n_b) if packing is None else (packing.n_rows,)
        return Bindings(
            x.dtype, tau, n_b, True, sizes, params, inputs, initial,
            _no_weight(shape, x.dtype), {}, packing,
        )  # fmt: skip

    def _missing(
        self, sizes: Mapping[str, int], dtype: Any, params: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Zeros for the biases of a stack that has none."""
        if len(params) == len(self._shapes):
            return {}
        key = (*sizes.items(), dtype)
        if key not in self._zeros:
            self._zeros[key] = {
                name: np.zeros(tuple(sizes[str(dim)] for dim in shape), dtype)
                for name, shape in self._shapes.items()
                if name not in params
            }
        return self._zeros[key]

    def run(self, arrays: Sequence[Array], threads: int) -> list[Array]:
        """What comes out, without a gradient to follow."""
        bindings = self.bind(arrays)
        program = self.cell.forward_program(self.job.outputs)
        program, values = dispatch.run(program, bindings, threads=threads)
        return self.collect(Run(program, bindings, values), bindings)

    def collect(self, run: Run, bindings: Bindings) -> list[Array]:
        """What comes out of a run: sequences in its own memory, last values copied."""
        final = run.final if self.job.finals else {}
        out = [run[name] for name in self.job.outputs]
        out += [final[name] for name in self.job.finals]
        if self.loss is not None:
            out.append(np.asarray(run.loss, bindings.dtype))
        return out

    # ----- gradients -----

    def forward(
        self,
        arrays: Sequence[Array],
        needs: Sequence[bool],
        threads: int,
        nodes: tuple[str, ...] = (),
    ) -> ForwardPass:
        """Run forward for gradients of the tensors that need one.

        nodes: also the gradients on these nodes.
        """
        asked = zip(self.job.inputs, needs[len(self.job.parameters) :], strict=False)
        request = Request(
            nodes,
            tuple(name for name, is_needed in asked if is_needed),
            True,  # read from what is stored anyway: one program less to compile
            tuple(sorted(self._seeded)),
            values=self.job.outputs,
            is_phased=True,
        )
        program = self.cell.gradient_program(request)
        return ForwardPass(program, self.bind(arrays), request, threads=threads)

    def seeds(
        self, bindings: Bindings, grads: Sequence[Array | None]
    ) -> dict[str, Array]:
        """Gradients that arrived at what came out, as gradients on nodes at all steps.

        That of a last value joins the last step of its state's sequence; that of the
        total loss scales the weight of every step's loss.
        """
        given = {
            name: _rows(grad, bindings.is_batched, 1)
            for name, grad in zip(self.job.outputs, grads, strict=False)
            if grad is not None
        }
        for name, grad in zip(self.job.finals, grads[self.n_sequences :], strict=False):
            if grad is not None:
                last = _rows(grad, bindings.is_batched, 0)
                if name in given:
                    given[name] = np.array(given[name])
                else:
                    given[name] = self._zero(bindings, name)
                given[name][self._last(bindings, name)] += last
        if self.loss is not None and grads[-1] is not None:
            weighted = bindings.weight * grads[-1]
            if bindings.packing is not None:
                weighted = bindings.packing.unpack(weighted)
            given[self.loss] = weighted + given.get(self.loss, 0)
        return given

    def _last(self, bindings: Bindings, name: str) -> Any:
        """Where in a padded sequence a state's last value is."""
        if name in self.cell.graph.backward:
            return 0
        if bindings.packing is None:
            return -1
        return bindings.packing.lengths - 1, np.arange(bindings.n_b)

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

    def is_ready(self, forward: ForwardPass, seeds: Mapping[str, Array]) -> bool:
        """Whether a forward pass expected these seeds; if not, later ones will."""
        self._seeded |= seeds.keys()
        return seeds.keys() <= set(forward.request.seeds)

    def gradients(self, gradient: Gradient, needs: Sequence[bool]) -> list[Any]:
        """Per tensor its gradient, or None for those that need none."""
        job, asked = self.job, iter(needs)
        found = [
            self._parameter(gradient, n) if next(asked) else None
            for n in job.parameters
        ]
        found += [gradient.inputs[n] if next(asked) else None for n in job.inputs]
        found += [gradient.initial[n] if next(asked) else None for n in job.initial]
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
