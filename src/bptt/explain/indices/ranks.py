"""How many dimensions a function of the language leaves: 0 a number, 1 a vector.

dot(u, v)    0        outer(u, v)    2        tanh(u)    that of u
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

from bptt.language.print_indices import label_of
from bptt.step.graph import Graph, walk

# What may run along an index, as the language writes it: sum(j, u), softmax(j, u).
ALONG = frozenset((
    "sum", "mean", "max", "min", "prod", "argmax", "argmin", "logsumexp", "softmax",
    "log_softmax", "cumsum",
))  # fmt: skip
_NUMBERS = frozenset((
    "dot", "sum", "mean", "max", "min", "prod", "argmax", "argmin", "logsumexp", "norm",
    "nll", "bce", "mse", "sample",
))  # fmt: skip
_VECTORS = frozenset(("diagonal",))
_MATRICES = frozenset((
    "outer", "diag", "inverse", "expm", "cholesky", "lower_part",
))  # fmt: skip
_NONE = frozenset(("put", "scatter", "fill"))


def rank_of_call(name: str, ranks: Sequence[int]) -> int | None:
    """The rank of a call by those of its arguments; None where it is not known."""
    if name == "fill" and len(ranks) > 1 and not any(ranks):
        return len(ranks) - 1
    if name in _NONE or not ranks:
        return None
    if name in _NUMBERS:
        return 0
    if name in _VECTORS:
        return 1
    if name in _MATRICES:
        return 2
    if name == "stack":
        return ranks[0] + 1
    return ranks[1] if name == "solve" else max(ranks)


def ranks_of_labels(graph: Graph) -> Mapping[str, int]:
    """The rank of every line without a step that has places: log_a[i].

    Found once for a graph: every formula of it is read with them.
    """
    if graph not in _LABELS:
        nodes = walk(graph.definitions.values())
        _LABELS[graph] = {label_of(n): n.rank for n in nodes if label_of(n)}
    return _LABELS[graph]


_LABELS: WeakKeyDictionary[Graph, Mapping[str, int]] = WeakKeyDictionary()
