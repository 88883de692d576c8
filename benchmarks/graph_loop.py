"""Any cell as a loop of torch operations, made from its step graph: a rival for each.

What does not wait for time is computed for all steps at once, as a careful user would
write it; a loop runs step by step under torch's autograd.
"""

import numpy as np

from bptt.calculus.program import LOSS, forward_program
from bptt.step.graph import name_of, shift_of


def _meanings():
    """Operations of the library's cells in torch, features on the last axis."""
    import torch
    from torch.nn import functional

    def layer_norm(x, eps):
        return functional.layer_norm(x, x.shape[-1:], eps=eps)

    def nll_logits(o, index):
        return torch.logsumexp(o, -1) - torch.gather(o, -1, index[..., None])[..., 0]

    return {
        "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
        "neg": torch.neg, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
        "relu": torch.relu, "softplus": functional.softplus, "exp": torch.exp,
        "sqrt": torch.sqrt, "maximum": torch.maximum, "layer_norm": layer_norm,
        "softmax": lambda x: torch.softmax(x, -1), "nll_logits": nll_logits,
        "matvec": lambda a, x: x @ a.mT, "matmul": torch.matmul,
        "transpose": lambda a: a.mT, "stop_gradient": lambda x: x.detach(),
        "named": lambda x, *_: x, "total": lambda x, *_: x.sum(),
    }  # fmt: skip


class GraphLoop:
    """A cell's forward program by torch operations."""

    def __init__(self, cell, output, sizes):
        """`output` is what is wanted: a node, or the total loss."""
        self._sizes = sizes
        self._program = forward_program(cell.graph, () if output == LOSS else (output,))
        self._output = self._program.roots[output]
        self._meanings = _meanings()

    def run(self, params, inputs, weight):
        """The output from tensors: (tau, n_b, n) of a node, a number of the loss."""
        leaves = {"parameter": params, "input": inputs}
        values = {}

        def get(node):
            if node in values:
                return values[node]
            if node.op == "constant":
                return weight.new_tensor(node.data)
            return weight if node.op == "weight" else leaves[node.op][name_of(node)]

        for segment in self._program.segments:
            if segment.direction:
                self._loop(segment, get, values, weight)
                continue
            for node in segment.nodes:
                if node.inputs:
                    values[node] = self._call(node, [get(c) for c in node.inputs])
        return get(self._output)

    def _call(self, node, arguments):
        extra = () if node.data is None else (node.data,)
        return self._meanings[node.op](*arguments, *extra)

    def _loop(self, segment, get, values, like):
        import torch

        nodes = [node for node in segment.nodes if node.inputs]
        reads = {child for node in nodes for child in node.inputs} - {*segment.nodes}
        shifts = {n: shift_of(n)[0] for n in segment.nodes if n.op == "shift"}
        sources = {name: self._program.sources[name] for name in shifts.values()}
        fixed = {node: get(node) for node in reads}
        sliced = {n: v.unbind(0) for n, v in fixed.items() if n.timed}
        before = {
            name: like.new_zeros((like.shape[1], *(self._sizes[d] for d in node.shape)))
            for name, node in sources.items()
        }
        kept = {node: [] for node in nodes}
        for t in range(len(like))[:: segment.direction]:
            now = {n: sliced[n][t] if n in sliced else v for n, v in fixed.items()}
            now |= {node: before[name] for node, name in shifts.items()}
            for node in nodes:
                now[node] = self._call(node, [now[c] for c in node.inputs])
                kept[node].append(now[node])
            before = {name: now[node] for name, node in sources.items()}
        for node, rows in kept.items():
            values[node] = torch.stack(rows[:: segment.direction])


def make_graph_loop(cell, sizes, params, inputs, seeds):
    """-> (run, read): every parameter's gradient by torch on the loop, as NumPy."""
    import torch

    output = LOSS if cell.graph.loss else next(iter(seeds))
    loop = GraphLoop(cell, output, sizes)
    leaves = {
        n: torch.from_numpy(np.array(a)).requires_grad_() for n, a in params.items()
    }
    given = {name: torch.from_numpy(np.asarray(a)) for name, a in inputs.items()}
    weight = next(iter(leaves.values())).new_ones(next(iter(inputs.values())).shape[:2])
    seed = None if output == LOSS else torch.from_numpy(seeds[output])

    def run():
        result = loop.run(leaves, given, weight)
        found = torch.autograd.grad(
            result, list(leaves.values()), seed, allow_unused=True
        )
        return dict(zip(leaves, found, strict=True))

    def read(found):
        return {
            name: np.zeros_like(params[name]) if grad is None else grad.numpy()
            for name, grad in found.items()
        }

    return run, read
