"""What an operation takes, and what to write instead where a rank is wrong."""

from __future__ import annotations

OPS_RANKS = {
    "transpose": "only a matrix has a transpose",
    "softmax": "softmax takes a vector",
    "log_softmax": "log_softmax takes a vector",
    "layer_norm": "layer_norm takes a vector",
    "sum": "a sum is over the elements of a vector or matrix",
    "mean": "a mean is over the elements of a vector or matrix",
    "dot": "dot takes two vectors",
    "outer": "outer takes two vectors",
    "nll": "nll takes a vector of probabilities and a class or a vector of targets",
}
OF_ONE_VECTOR = frozenset({"softmax", "log_softmax", "layer_norm"})
OF_ONE_VECTOR_FIX = (
    "of a matrix, say of which vector: a column, {op}(A[:, x[t]]), or a product, "
    "{op}(A @ u[t])"
)
RANK_FIXES = {
    "transpose": "dot(u, v) for u^T v, outer(u, v) for u v^T",
    "nll": "nll(softmax(o[t]), y[t])",
    "dot": "sum(...) of an elementwise product for matrices",
    "outer": "make both vectors; @ multiplies a matrix",
    "sum": "leave it out: the value is one number already",
    "mean": "leave it out: the value is one number already",
    "softmax": "give it a vector, for example V @ h[t]",
    "log_softmax": "give it a vector, for example V @ h[t]",
    "layer_norm": "give it a vector, for example W @ h[t-1]",
}
