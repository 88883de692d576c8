"""How many matrices a step stores, as `lower` says: the state, and its gradient.

The bytes per step are a polynomial of the sizes. Four plans, with either size larger or
not, tell the factor of their product, and so the number of matrices.
"""

import pytest

from tests.catalogue.cases import SIZES, load

REAL = 4  # float32

# (cell, the matrix's sizes, matrices of that shape for each head)
MATRICES = [
    ("linear_attention", ("n_o", "n_g"), 2),
    ("deltanet", ("n_o", "n_k"), 2),
    ("gated_deltanet", ("n_v", "n_k"), 2),
    # That of W_y is summed over rows at once: no outer product is kept for a step.
    ("gated_deltanet", ("n_y", "n_v"), 0),
    ("mlstm", ("n_h", "n_n"), 2),
    ("ttt_linear", ("n_z", "n_q"), 2),
    # The third is the gradient of A at a step, which is no product of two vectors.
    ("s6", ("n_x", "n_B"), 3),
]


@pytest.mark.parametrize(("name", "dims", "count"), MATRICES)
def test_a_step_stores_the_state_and_its_gradient(name, dims, count):
    cell = load(name)
    sizes = dict(zip(cell.dims, SIZES, strict=False))
    n_heads = sizes.get("n_head", 1)

    def stored(more_rows, more_columns):
        rows, columns = (sizes[dim] for dim in dims)
        changed = {dims[0]: rows + more_rows, dims[1]: columns + more_columns}
        return cell.lower(**sizes | changed).bytes_per_step

    mixed = stored(3, 5) - stored(3, 0) - stored(0, 5) + stored(0, 0)
    assert mixed == count * n_heads * REAL * 3 * 5
