"""What a call gives back: a run's values, and a gradient with its copies.

Index 0 of every sequence is t = 1. A call without a batch axis gets results without
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bptt import errors
from bptt.asked import Asked
from bptt.bias import compare
from bptt.calculus.program import (
    LOSS,
    Program,
    Request,
    gradient_at,
    gradient_of,
)
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan
from bptt.execute.protocol import Values
from bptt.execute.rows import join_delays, starts_of
from bptt.execute.tokens import give_out
from bptt.step.evaluate import evaluate
from bptt.step.graph import TO_STATIC, Node
from bptt.step.shapes import Array


class Run(Mapping[str, Array]):
    """The values of a cell's nodes, by name: `run["h"]` is (tau, n_b, n_h).

    loss: the total loss, weighted and summed as the reduction says (nats for nll and
    bce), None for a cell without one; final: every state after the last step, to hand
    to the next call's `initial`. In a ragged batch that is each row's own last step,
    and a node is zero after it.
    """

    def __init__(self, program: Program, bindings: Bindings, values: Values) -> None:
        """Results are read from the executor's values when they are asked for."""
        self._program = program
        self._bindings = bindings
        self._values = values
        self._names = tuple(
            n for n in program.outputs if n in program.graph.definitions
        )

    @property
    def loss(self) -> float | complex | None:
        """The total loss."""
        return _total_loss(self._program, self._values)

    def _final_rows(self) -> dict[str, Array]:
        """`final`, with one value for every definition that holds a step."""
        graph = self._program.graph
        final = {}
        for name in graph.handed_on:
            last = 0 if name in graph.backward else -1
            if name in graph.inputs:
                row = self._bindings.input_at(name, last)
            else:
                row = give_out(graph, name, self._values.at(name, last))
            final[name] = np.array(row if self._bindings.is_batched else row[0])
        return final

    @property
    def final(self) -> dict[str, Array]:
        """The states after their last step, (n_b, *shape) each: 1 for backward ones.

        Of one that is read several steps away, d, all those steps: (d, n_b, *shape).
        """
        starts = starts_of(self._program.graph)
        return join_delays(starts, self._final_rows(), np.stack)

    def __getitem__(self, name: str) -> Array:
        """The node's value at every step, (tau, n_b, *shape), or once per row."""
        if name not in self._names:
            raise errors.UnknownNodeError(
                f"{name} is not among this run's nodes: "
                f"{errors.list_known(name, self._names)}"
            )
        if name in self._program.graph.times.once:
            row = self._values.at(name, -1)
            return np.array(row if self._bindings.is_batched else row[0])
        value = self._values[self._program.roots[name]]
        return value if self._bindings.is_batched else value[:, 0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        b = self._bindings
        loss = "" if self.loss is None else f", loss={self.loss:.6g}"
        return f"<Run tau={b.tau} n_b={b.n_b}{loss}: {', '.join(self._names)}>"


def _total_loss(program: Program, values: Values) -> float | complex | None:
    if program.graph.loss is None:
        return None
    value: float | complex = values[program.roots[LOSS]].item()
    return value


class Gradient(Mapping[str, Array]):
    """The gradient of a total loss: `grad["W"]` is ∇_W L with the shape of W.

    loss: the total loss; nodes: ∇_{h^(t)} L by node, (tau, n_b, n_h), for the nodes
    asked for; copies: ∇_{W^(t)} L by parameter; inputs: ∇_{x^(t)} L; initial: ∇_{h^(0)}
    L, (n_b, n_h); run: the forward values.
    """

    def __init__(
        self,
        program: Program,
        bindings: Bindings,
        values: Values,
        request: Request,
        forward: Callable[[], Run],
        exact: Callable[[], Gradient] | None = None,
    ) -> None:
        """Results are read from the executor's values when they are asked for."""
        self._program = program
        self._bindings = bindings
        self._values = values
        self._forward, self._exact = forward, exact
        self._run: Run | None = None
        self._request = request

    def renew(self, bindings: Bindings) -> None:
        """Go on with what a repeated run left in the same memory, of these arrays."""
        self._bindings, self._run = bindings, None

    @property
    def loss(self) -> float | complex | None:
        """The total loss, None for a cell without one."""
        # Read late: a pass that goes on from buffers alone has none, nor a need.
        return _total_loss(self._program, self._values)

    @property
    def schedule(self) -> CheckpointPlan | None:
        """How its steps were run, where not all of them were kept; print it."""
        return self._values.schedule

    @property
    def losses(self) -> Array:
        """L^(t) at every step, before its weight: (tau, n_b), zero in the padding."""
        loss = self._program.graph.loss
        if loss is None:
            raise errors.NoLossError("the cell has no loss L[t]")
        root = self._program.roots[loss]
        pieces = self._values.map_steps((root,), lambda found, _: found[root].copy())
        value = np.concatenate(pieces)
        return value if self._bindings.is_batched else value[:, 0]

    def bias(self) -> dict[str, tuple[float, float]]:
        """By parameter (‖g - ∇L‖ / ‖∇L‖, cosine): what truncation loses of ∇L."""
        return compare(self, self if self._exact is None else self._exact())

    # Made when asked for: a gradient that held them would hold itself, and its buffers
    # would wait for the garbage collector instead of going to the next call.

    @property
    def nodes(self) -> Mapping[str, Array]:
        """∇_{h^(t)} L by node, (tau, n_b, *shape), for the nodes asked for."""
        return Asked("node", "nodes", self._request.nodes, self._at)

    @property
    def inputs(self) -> Mapping[str, Array]:
        """∇_{x^(t)} L by input, (tau, n_b, *shape), if asked for."""
        return Asked("input", "inputs", self._request.inputs, self._at)

    @property
    def initial(self) -> Mapping[str, Array]:
        """∇_{h^(0)} L by state, (n_b, *shape), if asked for.

        Of one that is read several steps away, d, of all of them: (d, n_b, *shape).
        """
        delays = starts_of(self._program.graph).delays
        held = {holder for delay in delays for holder in delay.holders}
        names = tuple(name for name in self._started if name not in held)
        deep = {delay.name: delay.in_time for delay in delays}

        def read(name: str) -> Array:
            rows = [self._initial(step) for step in deep.get(name, (name,))]
            return np.stack(rows) if name in deep else rows[0]

        return Asked("initial state", "initial", names, read)

    @property
    def _started(self) -> tuple[str, ...]:
        graph = self._program.graph
        return tuple(
            name
            for name in graph.states
            if self._request.initial
            and (name in graph.definitions or graph.inputs[name].index is None)
        )

    @property
    def copies(self) -> Mapping[str, Copies]:
        """∇_{W^(t)} L by parameter."""
        names = tuple(self._program.graph.parameters)
        grams: dict[Node, Array] = {}
        return Asked("parameter", "", names, lambda name: self._copies(name, grams))

    def __getitem__(self, name: str) -> Array:
        """∇_θ L, the shape of the parameter θ."""
        if name not in self._program.graph.parameters:
            names = self._program.graph.parameters
            raise errors.UnknownNodeError(
                f"{name} is not a parameter; the gradient of a node is "
                f"grad.nodes[{name!r}], on request: gradient(..., nodes=({name!r},)). "
                f"The parameters are: {errors.list_known(name, names)}"
            )
        root = self._program.roots.get(gradient_of(name))
        parameter = self._bindings.parameters[name]
        if root is None:
            return np.zeros_like(parameter)
        value = self._values[root]
        if value.shape != parameter.shape:
            return np.broadcast_to(value, parameter.shape)
        value = np.asarray(value).view()  # NumPy makes a number of a sum of no rows
        value.flags.writeable = False
        return value

    def stack(self, names: Sequence[str]) -> Array:
        """The gradients of several parameters, one under the other, in a new array."""
        roots = self._program.roots
        nodes = tuple([roots[n] for n in map(gradient_of, names) if n in roots])
        whole = self._values.read_stack(nodes) if len(nodes) == len(names) else None
        if whole is not None:
            return np.array(whole)
        return np.concatenate([self[name] for name in names])

    def __iter__(self) -> Iterator[str]:
        return iter(self._program.graph.parameters)

    def __len__(self) -> int:
        return len(self._program.graph.parameters)

    @property
    def run(self) -> Run:
        """The forward values of the same call; computed once more when first asked."""
        if self._run is None:
            self._run = self._forward()
        return self._run

    @property
    def final(self) -> dict[str, Array]:
        """The states after the last step, as `Run.final`; no second forward pass."""
        return Run(self._program, self._bindings, self._values).final

    def _at(self, name: str) -> Array:
        root = self._program.roots.get(gradient_at(name))
        graph, b = self._program.graph, self._bindings
        if root is not None:
            value = self._values[root]
        else:
            spec = graph.inputs.get(name)
            shape = graph.definitions[name].shape if spec is None else spec.shape
            value = np.zeros((b.tau, b.n_b, *b.numbers(shape)), b.dtype)
        if name in graph.times.once or name in graph.times.row_inputs:
            value = np.asarray(value.sum(axis=0))  # one value per row, of any step
            return np.asarray(value if b.is_batched else value[0])
        return value if b.is_batched else value[:, 0]

    def _initial(self, name: str) -> Array:
        carry = self._program.carried.get(name)
        if carry is None:  # L does not depend on it
            b, graph = self._bindings, self._program.graph
            spec = graph.definitions.get(name) or graph.inputs[name]
            row = np.zeros((b.n_b, *b.numbers(spec.shape)), b.dtype)
        else:
            row = self._values.at(
                carry, -1 if name in self._program.graph.backward else 0
            )
        return np.array(row if self._bindings.is_batched else row[0])

    def _copies(self, name: str, grams: dict[Node, Array]) -> Copies:
        root = self._program.roots.get(gradient_of(name))
        return Copies(name, root, self._bindings, self._values, grams)

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f" loss={self.loss:.6g}:"
        return f"<Gradient{loss} {', '.join(self)}>"


class Copies:
    """∇_{W^(t)} L for every t: what the use of W at step t alone contributes.

    W^(t) is a copy of W used only at step t (Goodfellow et al., before 10.24); the sum
    over t is ∇_W L. No array of tau matrices is stored: a contribution is held as its
    two factors, the gradient at the product and the vector that was multiplied, and is
    made when it is read.
    """

    def __init__(
        self, name: str, root: Node | None, bindings: Bindings, values: Values,
        grams: dict[Node, Array],
    ) -> None:  # fmt: skip
        """`root` is the static expression of the gradient in its totals over time.

        grams: products of a factor with itself, shared by parameters that share it.
        """
        self._name = name
        self._grams = grams
        self._root = root
        self._bindings = bindings
        self._values = values
        static = [] if root is None else _static_nodes(root)
        self._totals = [node for node in static if node.op in TO_STATIC]
        self._static = _over(self._totals, static)
        self._shape = bindings.parameters[name].shape

    def __len__(self) -> int:
        return self._bindings.tau

    def __getitem__(self, t: int) -> Array:
        """The contribution of step t + 1, the shape of the parameter."""
        if not -len(self) <= t < len(self):
            raise IndexError(f"copy {t} of {self._name}: there are {len(self)} steps")
        if self._root is None:
            return np.zeros(self._shape, self._bindings.dtype)
        return self._copy(self._values.__getitem__, t)

    def _copy(self, read: Callable[[Node], Array], t: int) -> Array:
        """One contribution; read: a total's factor at steps of which t is one."""
        assert self._root is not None
        now = {node: self._slice(node, read, t) for node in self._totals}
        for node in self._static:
            now[node] = self._evaluate(node, now)
        whole = now[self._root] if self._root in now else self._values[self._root]
        return np.broadcast_to(whole, self._shape)

    def __iter__(self) -> Iterator[Array]:
        return (self[t] for t in range(len(self)))

    def _slice(self, node: Node, read: Callable[[Node], Array], t: int) -> Array:
        """A total over time and batch, restricted to one step."""
        arguments = [read(child)[t] for child in node.inputs]
        return evaluate(node, arguments, self._bindings.numbers)

    def _evaluate(self, node: Node, now: Mapping[Node, Array]) -> Array:
        arguments = [
            now[child] if child in now else self._values[child] for child in node.inputs
        ]
        return evaluate(node, arguments, self._bindings.numbers)

    def total(self) -> Array:
        """The sum over t, equal to `grad[name]` up to rounding."""
        result = np.zeros(self._shape, self._bindings.dtype)
        for copy in self:
            result = result + copy
        return result

    def stack(self) -> Array:
        """All contributions as one array, (tau, *shape)."""
        return np.stack(list(self))

    def norms(self) -> Array:
        """‖∇_{W^(t)} L‖, the Frobenius norm for every t, (tau,).

        For one product, ‖G^T X‖^2 = sum of (G G^T) * (X X^T): n_b x n_b matrices
        instead of the parameter's own shape, where that is less work. Where not all
        steps are kept, the norms are found stretch after stretch.
        """
        if self._root is None:
            return np.zeros(len(self), self._bindings.real_dtype)
        nodes = tuple(child for node in self._totals for child in node.inputs)
        return np.concatenate(self._values.map_steps(nodes, self._norms_of))

    def _norms_of(self, factors: Mapping[Node, Array], is_whole: bool) -> Array:
        """The norms of some consecutive steps, from the totals' factors there."""
        root = self._root
        while root is not None and root.op == "transpose":
            root = root.inputs[0]
        grams = self._grams if is_whole else {}
        if root in self._totals and self._bindings.dtype.kind != "c":
            values = [factors[child] for child in root.inputs]
            if root.op == "total_outer":
                return self._norms_of_products(root, values[0], values[1], grams)
            if root.op == "total" and values[0].shape[2:] == self._shape != ():
                # The sum over rows as a product: three times as quick as `sum`.
                ones = np.ones((1, values[0].shape[1]), values[0].dtype)
                sums = np.matmul(ones, values[0].reshape(*values[0].shape[:2], -1))
                return np.asarray(np.linalg.norm(sums[:, 0], axis=1))
        count = len(next(iter(factors.values())))
        copies = (self._copy(factors.__getitem__, t) for t in range(count))
        return np.array([np.linalg.norm(copy) for copy in copies])

    def _norms_of_products(
        self, root: Node, g: Array, x: Array, grams: dict[Node, Array]
    ) -> Array:
        n_b, n, m = g.shape[1], g.shape[2], x.shape[2]
        if n_b * (n + m) >= n * m:
            pairs = zip(g, x, strict=True)
            return np.array([np.linalg.norm(a.T @ b) for a, b in pairs])
        one, other = (
            self._gram(node, value, grams)
            for node, value in zip(root.inputs, (g, x), strict=True)
        )
        squares = np.einsum("tij,tij->t", one, other)
        # Rounding may leave a tiny negative sum where the norm is zero.
        return np.asarray(np.sqrt(np.maximum(squares, 0)))

    def _gram(self, node: Node, value: Array, grams: dict[Node, Array]) -> Array:
        """value @ value^T at every step, (tau, n_b, n_b)."""
        if node not in grams:
            columns = value.swapaxes(1, 2)
            gram = np.empty((*value.shape[:2], value.shape[1]), value.dtype)
            # In two halves: for a matrix times its own transpose NumPy calls BLAS's
            # syrk, which takes 1.7 times as long at (32, 256).
            half = value.shape[1] // 2
            np.matmul(value[:, :half], columns, out=gram[:, :half])
            np.matmul(value[:, half:], columns, out=gram[:, half:])
            grams[node] = gram
        return grams[node]

    def __repr__(self) -> str:
        return f"<Copies of {self._name} {self._shape}, t = 1..{len(self)}>"


def _over(totals: Sequence[Node], static: Sequence[Node]) -> list[Node]:
    """The static nodes that depend on totals over time, inputs first."""
    found = dict.fromkeys(totals)
    for node in static:
        if any(child in found for child in node.inputs):
            found.setdefault(node)
    return [node for node in found if node.op not in TO_STATIC]


def _static_nodes(root: Node) -> list[Node]:
    """Nodes from the totals up to the root, inputs first; nothing timed."""
    found: dict[Node, None] = {}
    work = [(root, False)]
    while work:
        node, is_ready = work.pop()
        if is_ready:
            found[node] = None
        elif node not in found and not node.timed:
            work.append((node, True))
            if node.op not in TO_STATIC:  # what was summed over time lies below
                work += [(child, False) for child in reversed(node.inputs)]
    return list(found)
