"""Recurrences that are in no catalogue: by every oracle, and beside loops in torch."""

from functools import cache

import pytest

from bptt import Cell
from tests.catalogue.cases import Case
from tests.catalogue.loops.beyond import BEYOND
from tests.catalogue.test_against_loops import WAYS, check_compiled, compare

CELLS = {
    "hgrn2": """
        j = 1, ..., n_head
        f[t, j] = sigmoid(W_f[j] @ x[t])
        S[t, j] = diag(f[t, j]) @ S[t-1, j] + outer(1 - f[t, j], W_i[j] @ x[t])
        o[t, j] = S[t, j].T @ (W_o[j] @ x[t])
    """,
    "rwkv6": """
        j = 1, ..., n_head
        lerp(mu) = x[t] + (x[t-1] - x[t]) * mu
        r[t, j] = W_r[j] @ lerp(mu_r)
        k[t, j] = W_k[j] @ lerp(mu_k)
        v[t, j] = W_v[j] @ lerp(mu_v)
        w[t, j] = exp(-exp(b[j] + B[j] @ tanh(A[j] @ lerp(mu_w))))
        y[t, j] = (S[t-1, j] + outer(u[j] * k[t, j], v[t, j])).T @ r[t, j]
        S[t, j] = diag(w[t, j]) @ S[t-1, j] + outer(k[t, j], v[t, j])
    """,
    "deltaproduct": """
        l = 1, ..., 2
        unit(u) = u / norm(u)
        q[t] = unit(W_q @ x[t])
        k[t, l] = unit(silu(W_k[l] @ x[t]))
        v[t, l] = silu(W_v[l] @ x[t])
        beta[t, l] = 2 * sigmoid(dot(w_b[l], x[t]))
        S[t, 0] = S[t-1, 2]
        S[t, l] = (S[t, l-1] @ (eye(n_k) - beta[t, l] * outer(k[t, l], k[t, l]))
            + beta[t, l] * outer(v[t, l], k[t, l]))
        o[t] = S[t, 2] @ q[t]
    """,
    "titans": """
        k[t] = W_k @ x[t]; v[t] = W_v @ x[t]; q[t] = W_q @ x[t]
        alpha[t] = sigmoid(dot(w_a, x[t]))
        eta[t] = sigmoid(dot(w_e, x[t]))
        theta[t] = sigmoid(dot(w_t, x[t]))
        G[t] = 2 * outer(M[t-1] @ k[t] - v[t], k[t])
        S[t] = eta[t] * S[t-1] - theta[t] * G[t]
        M[t] = (1 - alpha[t]) * M[t-1] + S[t]
        y[t] = M[t] @ q[t]
    """,
    "coverage": """
        j = 1, ..., n_src
        m: (n_src, n_m) = input
        cov: n_src
        e[t, j] = dot(v, tanh(W_s @ s[t-1] + W_m @ m[j] + w_c * cov[t-1, j] + b))
        a[t, j] = softmax(j, e[t, j])
        cov[t, j] = cov[t-1, j] + a[t, j]
        c[t] = sum(j, a[t, j] * m[j])
        s[t] = tanh(W @ s[t-1] + U @ x[t] + C @ c[t])
        L[t] = sum(j, minimum(a[t, j], cov[t-1, j]))
    """,
    "act_fixed": """
        n = 1, ..., 4
        s[t, 0] = s[t-1, 4]
        s[t, n] = tanh(W @ s[t, n-1] + U @ x[t] + w_f * where(n == 1, 1, 0))
        p[t, n] = sigmoid(dot(w_h, s[t, n]) + b_h)
        q[t, 0] = 1
        q[t, n] = q[t, n-1] * (1 - p[t, n])
        y[t] = sum(n, s[t, n] * p[t, n] * where(n == 1, 1, q[t, wrap(n-1)]))
    """,
    "grid_conv": """
        i = 1, ..., 3
        j = 1, ..., 4
        a, b = -1, ..., 1
        x: (3, 4); h: (3, 4); W: (3, 3); U: (3, 3)
        h[t, i, j] = (tanh(sum(a, sum(b, W[a, b] * h[t-1, i+a, j+b]
            + U[a, b] * x[t, i+a, j+b]))))
    """,
    "lif_refractory": """
        alpha: () = 0.9
        v[t] = (where(r[t-1] > 0, 0, alpha * v[t-1] * (1 - z[t-1]) + W @ x[t]
            + R @ z[t-1]))
        z[t] = with_derivative(v[t] > 1, 0.3 * relu(1 - abs(v[t] - 1)))
        r[t] = where(z[t] > 0, 2, relu(r[t-1] - 1))
    """,
    "clockwork2": """
        i, j = 1, ..., 3
        active[t, i] = t % 2 ** (i - 1) == 0
        a[t, i] = tanh(sum(j, where(j >= i, W[i, j] @ h[t-1, j], 0)) + U[i] @ x[t])
        W: (3, 3, n_h, n_h)
        h[t, i] = where(active[t, i] > 0, a[t, i], h[t-1, i])
    """,
    "dnc_alloc": """
        i, j = 1, ..., 4
        u: 4; w: 4
        u[t, i] = u[t-1, i] + w[t-1, i] - u[t-1, i] * w[t-1, i]
        a[t, i] = (1 - u[t, i]) * prod(j, where(u[t, j] < u[t, i], u[t, j], 1))
        w[t, i] = softmax(i, a[t, i] * dot(v, x[t]))
    """,
    "vq": """
        i = 1, ..., n_code
        d[t, i] = norm(W @ x[t] - E[i]) ** 2
        k[t] = argmin(d[t])
        q[t] = E.T[:, k[t]]
        E: (n_code, n_q)
        z[t] = with_derivative(q[t], W @ x[t])
    """,
    "mamba2": """
        j = 1, ..., n_head
        a: n_head; d: n_head; g: n_head
        z[t] = silu(W_z @ x[t])
        B[t] = W_B @ x[t]
        C[t] = W_C @ x[t]
        dt[t, j] = softplus(dot(w_dt[j], x[t]) + d[j])
        u[t, j] = W_u[j] @ x[t]
        S[t, j] = (exp(-dt[t, j] * exp(a[j])) * S[t-1, j]
            + dt[t, j] * outer(u[t, j], B[t]))
        y[t, j] = S[t, j] @ C[t] + g[j] * u[t, j]
    """,
    "chosen_columns": """
        j = 1, ..., n_head
        E: (n_head, n_h, n_k); b: (n_head, n_k)
        h[t, j] = tanh(W[j] @ h[t-1, j] + E[j][:, k[t]] + b[j, k[t]])
    """,
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_no_catalogue_is_right_and_compiled(name):
    check_compiled(CELLS[name])


@cache  # a cell keeps its programs: full and ragged batches run one
def made(name):
    return Cell(CELLS[name])


@WAYS
@pytest.mark.parametrize("name", BEYOND)
def test_values_and_gradients_equal_a_loop_in_torch(name, executor, lengths):
    loop, node = BEYOND[name]
    cell = made(name.removesuffix("_code"))
    compare(Case(name, node, cell=cell), loop, node, executor, lengths)


def test_every_cell_here_has_a_loop():
    assert {name.removesuffix("_code") for name in BEYOND} == set(CELLS)
