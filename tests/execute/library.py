"""The cells of the library with their variants, and arrays that fit them."""

import numpy as np

from bptt import Cell, cells

# Reductions over a row, a scalar per row, and an index beside a real input.
ROWS = Cell("""
h: (n_h)
m: ()
d: (n_h)
V: (n_o, n_h)
a[t] = layer_norm(W @ h[t-1] + U @ x[t]) * g + b
m[t] = mean(h[t-1]) + 0.5 * m[t-1]
h[t] = tanh(a[t]) * softmax(h[t-1]) + m[t] * d
L[t] = nll(softmax(e + V @ h[t]), y[t]) + 0.1 * m[t] ** 2
""")


# Those whose every variant is compiled; the others differ from them in equations alone.
IN_ALL_VARIANTS = ("book", "elman", "gru", "gru_reset_before", "lstm")


def library():
    """name -> cell: every cell of the library; some read out, and reading tokens."""
    found = {"rows": ROWS}
    others = (name for name in cells.names() if name not in IN_ALL_VARIANTS)
    for name in (*IN_ALL_VARIANTS, *others):
        cell = cells.get(name)
        found[name] = cell
        if name not in IN_ALL_VARIANTS:
            continue
        found[f"{name} of tokens"] = cell.with_tokens()
        if cell.graph.loss is None:
            found[f"{name} read out"] = cell.with_readout()
            found[f"{name} of tokens read out"] = cell.with_tokens().with_readout()
    return found


LIBRARY_NAMES = tuple(library())
VARIANT_NAMES = tuple(
    name for name in LIBRARY_NAMES if name.split()[0] in ("rows", *IN_ALL_VARIANTS)
)


def sizes_of(cell, n_x=3, n_h=5, n_o=4):
    """A number for every dimension of the cell."""
    given = {"n_x": n_x, "n_h": n_h}
    return {dim: given.get(dim, n_o) for dim in cell.dims}


def make_case(cell, sizes, tau, n_b, dtype=np.float64, seed=0):
    """Keyword arguments of a gradient: params, inputs, initial, seeds."""
    rng = np.random.default_rng(seed)

    def normal(shape, *lead, scale=1.0):
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in shape)
        return (scale * rng.standard_normal((*lead, *shape))).astype(dtype)

    # A sum over n columns keeps its size when its weights shrink with the root of n.
    params = {
        name: normal(shape, scale=1.5 / np.sqrt(sizes[shape[-1]]))
        if shape
        else np.asarray(rng.uniform(0.1, 0.9), dtype)  # a time step, a rate
        for name, shape in cell.parameters.items()
    }
    inputs = {}
    for name, spec in cell.graph.inputs.items():
        if spec.index is None:
            inputs[name] = normal(spec.shape, tau, n_b)
        else:
            inputs[name] = rng.integers(0, sizes[spec.index], (tau, n_b))
    nodes = {name: cell.graph.definitions[name].shape for name in cell.nodes}
    initial = {name: normal(nodes[name], n_b) for name in cell.states if name in nodes}
    seeds = {}
    if cell.graph.loss is None:
        seeds = {name: normal(nodes[name], tau, n_b) for name in list(nodes)[-1:]}
    return {"params": params, "inputs": inputs, "initial": initial, "seeds": seeds}
