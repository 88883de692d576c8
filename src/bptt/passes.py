"""A forward pass, and backward passes that continue from it.

What automatic differentiation in another library needs: it asks for values first, and
brings the gradients that arrive at them later. The kernels' buffers stay between the
two, so nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bptt.calculus.program import Program, Request
from bptt.execute import dispatch
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import Limit
from bptt.execute.protocol import Call
from bptt.results import Gradient, Run
from bptt.step.shapes import Array


class ForwardPass:
    """The values of a cell, and what is needed to go back from them.

    run: the values; bindings: the arrays they were computed from.

    >>> import numpy as np, bptt
    >>> from bptt.execute.bindings import bind
    >>> from bptt.calculus.program import Request
    >>> cell = bptt.cells.elman
    >>> request = Request(seeds=("h",), values=("h",), is_phased=True)
    >>> params = cell.init(n_x=3, n_h=4)
    >>> bindings = bind(cell.graph, params, {"x": np.ones((5, 2, 3))})
    >>> forward = ForwardPass(cell.gradient_program(request), bindings, request)
    >>> forward.run["h"].shape
    (5, 2, 4)
    >>> forward.backward({"h": np.ones((5, 2, 4))})["W"].shape
    (4, 4)
    """

    def __init__(
        self,
        program: Program,
        bindings: Bindings,
        request: Request,
        executor: str = dispatch.COMPILED,
        threads: int | None = None,
        memory: Sequence[Array] | None = None,
        *,
        is_resumed: bool = False,
        limit: Limit | None = None,
    ) -> None:
        """Run the first phase of a phased program; the bindings hold no seeds.

        memory, is_resumed, limit: see `dispatch.begin`; what is resumed has run
        already. Raises: the errors of `dispatch.begin`.
        """
        self.bindings, self.request = bindings, request
        self._begin: Callable[[], Call] = lambda: dispatch.begin(
            program, bindings, executor, threads, limit=limit
        )
        call = dispatch.begin(
            program, bindings, executor, threads, memory, is_resumed=is_resumed,
            limit=limit,
        )  # fmt: skip
        # `list.pop` is atomic: of two threads that go back at once, one gets it.
        self._calls = [call]
        self.run = Run(call.program, bindings, call.values)

    def backward(
        self, seeds: Mapping[str, Array], bindings: Bindings | None = None
    ) -> Gradient:
        """The gradient of the sum over seeds of <seed, node>.

        seeds: one for each name in the request, (tau, n_b, *shape), of the parameters'
        element type; for the loss of a step, (tau, n_b). A backward pass overwrites
        what it continued from, so the second one of the same forward pass computes
        that again, in buffers of its own. bindings: the same arrays where they lie now,
        for a caller that does not keep them at one place.
        """
        call = self._calls.pop() if self._calls else self._begin()
        call.finish(seeds, bindings)
        return Gradient(
            call.program, bindings or self.bindings, call.values, self.request,
            lambda: self.run,
        )  # fmt: skip
