"""Recurrences published beside the catalogue: by every oracle, and loops in torch.

Where a source is "found", its equations were compared with the place named; the others
are written as they are remembered.
"""

from functools import cache

import pytest

from bptt import Cell
from tests.catalogue.cases import Case
from tests.catalogue.loops.later import LATER
from tests.catalogue.test_against_loops import WAYS, check_compiled, compare

CELLS = {
    "kda": """
        # Kimi Delta Attention (Kimi Team, 2025): found in descriptions of it
        j = 1, ..., n_head
        unit(u) = u / norm(u)
        q[t, j] = unit(silu(W_q[j] @ x[t])); k[t, j] = unit(silu(W_k[j] @ x[t]))
        v[t, j] = silu(W_v[j] @ x[t])
        alpha[t, j] = exp(-exp(a[j]) * softplus(W_up[j] @ (W_down[j] @ x[t]) + d[j]))
        beta[t, j] = sigmoid(dot(w_b[j], x[t]))
        S[t, j] = ((eye(n_k) - beta[t, j] * outer(k[t, j], k[t, j]))
                   @ diag(alpha[t, j]) @ S[t-1, j]
                   + beta[t, j] * outer(k[t, j], v[t, j]))
        o[t, j] = S[t, j].T @ q[t, j]
        a: n_head
    """,
    "gated_slot": """
        # gated slot attention (Zhang et al., 2024): found in notes on its code
        j = 1, ..., n_head
        q[t, j] = silu(W_q[j] @ x[t]); k[t, j] = silu(W_k[j] @ x[t])
        v[t, j] = silu(W_v[j] @ x[t])
        alpha[t, j] = sigmoid(W_a[j] @ x[t]) ** (1 / 8)
        K[t, j] = diag(alpha[t, j]) @ K[t-1, j] + outer(1 - alpha[t, j], k[t, j])
        V[t, j] = diag(alpha[t, j]) @ V[t-1, j] + outer(1 - alpha[t, j], v[t, j])
        o[t, j] = V[t, j].T @ softmax(K[t, j] @ q[t, j])
    """,
    "longhorn": """
        # Longhorn (Liu et al., 2024, algorithm 1)
        d = 1, ..., n_x
        k[t] = W_k @ x[t]; q[t] = W_q @ x[t]
        beta[t] = sigmoid(W_b @ x[t])
        delta[t] = beta[t] / (1 + beta[t] * dot(k[t], k[t]))
        s[t, d] = ((1 - delta[t, d] * k[t] * k[t]) * s[t-1, d]
                   + delta[t, d] * x[t, d] * k[t])
        y[t, d] = dot(s[t, d], q[t])
    """,
    "hippo": """
        # HiPPO-LegS (Gu, Dao, Ermon, Rudra and Re, 2020, equation 4)
        A: (n_c, n_c) = hippo_legs; B: n_c = hippo_legs
        f: ()
        c[t] = (eye(n_c) + stop_gradient(A) / t) @ c[t-1] + stop_gradient(B) / t * f[t]
    """,
    "mogrifier": """
        # Mogrifier LSTM (Melis, Kocisky and Blunsom, 2020, equations 1 and 2), r = 5
        x_1[t] = 2 * sigmoid(Q_1 @ h[t-1]) * x[t]
        h_2[t] = 2 * sigmoid(R_2 @ x_1[t]) * h[t-1]
        x_3[t] = 2 * sigmoid(Q_3 @ h_2[t]) * x_1[t]
        h_4[t] = 2 * sigmoid(R_4 @ x_3[t]) * h_2[t]
        x_5[t] = 2 * sigmoid(Q_5 @ h_4[t]) * x_3[t]
        gate(W, U, b) = b + W @ h_4[t] + U @ x_5[t]
        f[t] = sigmoid(gate(W_f, U_f, b_f)); i[t] = sigmoid(gate(W_i, U_i, b_i))
        j[t] = tanh(gate(W_j, U_j, b_j)); o[t] = sigmoid(gate(W_o, U_o, b_o))
        c[t] = f[t] * c[t-1] + i[t] * j[t]
        h[t] = o[t] * tanh(c[t])
    """,
    "stack_rnn": """
        # stack RNN (Joulin and Mikolov, 2015, equations 3-6): s[t, 1] is the top
        i = 1, ..., 6
        s: 6
        a[t] = softmax(A @ h[t-1])
        h[t] = sigmoid(U @ x[t] + R @ h[t-1] + P @ s[t-1, 1, ..., 2])
        s[t, i] = (a[t, 1] * where(i == 1, sigmoid(dot(d, h[t])), s[t-1, i-1])
                   + a[t, 2] * s[t-1, i+1])
        A: (2, n_h)
    """,
    "ctc": """
        s = 1, ..., n_s
        Z: (n_s, n_o) = input; skip: n_s = input
        alpha: n_s
        alpha[0, s] = where(s == 1, 0, -1000)
        y[t] = log_softmax(o[t])
        one(s) = where(s > 1, alpha[t-1, s-1], -1000)
        two(s) = where(s > 2, where(skip[s] > 0, alpha[t-1, s-2], -1000), -1000)
        m[t, s] = maximum(alpha[t-1, s], maximum(one(s), two(s)))
        alpha[t, s] = (dot(Z[s], y[t]) + m[t, s] + log(exp(alpha[t-1, s] - m[t, s])
                       + exp(one(s) - m[t, s]) + exp(two(s) - m[t, s])))
        L = -logsumexp(alpha[tau, n_s - 1, ..., n_s])
    """,
    "location": """
        # location-aware attention (Chorowski et al., 2015, equations 8 and 9)
        j = 1, ..., n_src
        l = -1, ..., 1
        m: (n_src, n_m) = input
        F: (3, n_f); alpha: n_src
        f[t, j] = sum(l, F[l] * alpha[t-1, j+l])
        e[t, j] = dot(w, tanh(W @ s[t-1] + V @ m[j] + U @ f[t, j] + b))
        alpha[t, j] = softmax(j, e[t, j])
        g[t] = sum(j, alpha[t, j] * m[j])
        s[t] = tanh(d + R @ s[t-1] + P @ x[t] + Q @ g[t])
    """,
    "handwriting": """
        # handwriting synthesis' window (Graves, 2013, equations 46-51)
        u = 1, ..., n_src
        k = 1, ..., n_k
        c: (n_src, n_c) = input
        kappa: n_k; b_a: n_k; b_b: n_k; b_k: n_k
        h[t] = tanh(b_h + W @ h[t-1] + U @ x[t] + V @ w[t-1])
        a[t, k] = exp(dot(w_a[k], h[t]) + b_a[k])
        beta[t, k] = exp(dot(w_b[k], h[t]) + b_b[k])
        kappa[t, k] = kappa[t-1, k] + exp(dot(w_k[k], h[t]) + b_k[k])
        phi[t, u] = sum(k, a[t, k] * exp(-beta[t, k] * (kappa[t, k] - u) ** 2))
        w[t] = sum(u, phi[t, u] * c[u])
    """,
    "hawkes": """
        # neural Hawkes process (Mei and Eisner, 2017, equations 5 and 6)
        delta: ()
        c_now[t] = c_bar[t-1] + (c[t-1] - c_bar[t-1]) * exp(-d[t-1] * delta[t])
        h[t] = o[t-1] * tanh(c_now[t])
        gate(W, U, b) = sigmoid(b + W[:, k[t]] + U @ h[t])
        i[t] = gate(W_i, U_i, b_i); f[t] = gate(W_f, U_f, b_f)
        o[t] = gate(W_o, U_o, b_o)
        i_bar[t] = gate(V_i, R_i, g_i); f_bar[t] = gate(V_f, R_f, g_f)
        z[t] = tanh(b_z + W_z[:, k[t]] + U_z @ h[t])
        d[t] = softplus(b_d + W_d[:, k[t]] + U_d @ h[t])
        c[t] = f[t] * c_now[t] + i[t] * z[t]
        c_bar[t] = f_bar[t] * c_bar[t-1] + i_bar[t] * z[t]
        lam[t] = softplus(A @ h[t])
        L[t] = nll(lam[t], k[t]) + delta[t] * sum(lam[t])
    """,
    "entnet": """
        # recurrent entity network (Henaff et al., 2017, equations 2-5)
        j = 1, ..., n_slot
        prelu(u) = where(u > 0, u, a * u)
        g[t, j] = sigmoid(dot(s[t], h[t-1, j]) + dot(s[t], w[j]))
        c[t, j] = prelu(U @ h[t-1, j] + V @ w[j] + W @ s[t])
        u[t, j] = h[t-1, j] + g[t, j] * c[t, j]
        h[t, j] = u[t, j] / norm(u[t, j])
        a: ()
    """,
    "pointer_generator": """
        # pointer-generator with coverage (See, Liu and Manning, 2017, equations 1-13);
        # Z has the words of the source, one-hot
        b_ptr: ()
        j = 1, ..., n_src
        m: (n_src, n_m) = input; Z: (n_src, n_o) = input
        s[t] = tanh(b + W @ s[t-1] + U @ x[t] + C @ c[t-1])
        e[t, j] = dot(v, tanh(W_h @ m[j] + W_s @ s[t] + w_c * cov[t-1, j] + b_a))
        a[t, j] = softmax(j, e[t, j])
        c[t] = sum(j, a[t, j] * m[j])
        cov[t, j] = cov[t-1, j] + a[t, j]
        P_vocab[t] = softmax(V_2 @ (V @ [s[t]; c[t]] + b_v) + b_w)
        p_gen[t] = sigmoid(dot(w_h, c[t]) + dot(w_s, s[t]) + dot(w_x, x[t]) + b_ptr)
        P[t] = p_gen[t] * P_vocab[t] + (1 - p_gen[t]) * sum(j, a[t, j] * Z[j])
        L[t] = nll(P[t], y[t]) + sum(j, minimum(a[t, j], cov[t-1, j]))
        P: n_o; P_vocab: n_o
        cov: n_src
    """,
    "neural_stack": """
        # neural stack of 5 places (Grefenstette et al., 2015, equations 1-3): at step t
        # the value v goes to place t
        i, j = 1, ..., 5
        d: (); u: (); s: 5
        V: (5, n_v)
        V[t, i] = where(i == t, v[t], V[t-1, i])
        above[t, i] = sum(j, where(j > i, s[t-1, j], 0))
        s[t, i] = where(i == t, d[t], relu(s[t-1, i] - relu(u[t] - above[t, i])))
        over[t, i] = sum(j, where(j > i, s[t, j], 0))
        r[t] = sum(i, minimum(s[t, i], relu(1 - over[t, i])) * V[t, i])
    """,
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_right_and_compiled(name):
    check_compiled(CELLS[name])


@cache  # a cell keeps its programs: full and ragged batches run one
def made(name):
    return Cell(CELLS[name])


@WAYS
@pytest.mark.parametrize("name", LATER)
def test_values_and_gradients_equal_a_loop_in_torch(name, executor, lengths):
    loop, node = LATER[name]
    compare(Case(name, node, cell=made(name)), loop, node, executor, lengths)


def test_every_cell_here_has_a_loop():
    assert LATER.keys() == CELLS.keys()
