"""Cells that a person might write, each with something that the library's have not."""

USER_CELLS = {
    "layer norm": """
        h[t] = tanh(g * layer_norm(W @ h[t-1] + U @ x[t]) + b)
        L[t] = mse(V @ h[t], y[t])
        """,
    "tokens": """
        h[t] = tanh(W @ h[t-1] + U[:, x[t]] + b)
        L[t] = nll(softmax(V @ h[t] + c), y[t])
        """,
    "branches": """
        a[t] = W @ h[t-1] + U @ x[t]
        h[t] = where(a[t] > 0, tanh(a[t]), 0.1 * a[t]) + maximum(h[t-1], b)
        L[t] = sum(h[t] ** 2)
        """,
    "stopped": """
        s[t] = sigmoid(k) * s[t-1] + tanh(U @ x[t])
        m[t] = stop_gradient(s[t]) + relu(A @ m[t-1])
        L[t] = mean(m[t] * s[t])
        """,
    "two states, one scalar": """
        alpha: () = 0.9
        v[t] = alpha * v[t-1] + U @ x[t]
        h[t] = softplus(W @ v[t] + h[t-1]) / 4
        L[t] = dot(h[t], v[t]) + abs(alpha)
        """,
    "output fed back": """
        h[t] = tanh(W @ o[t-1] + U @ x[t])
        o[t] = V @ h[t] + c
        L[t] = bce(sigmoid(o[t]), y[t])
        """,
    "fast weights": """
        A: (n_h, n_h)
        A[t] = 0.5 * A[t-1] + outer(h[t-1], h[t-1])
        h[t] = tanh(A[t] @ h[t-1] + U @ x[t])
        """,
    "a matrix made of matrices": """
        h[t] = tanh((W - W.T) @ h[t-1] + U @ (x[t] - x[t-1]))
        L[t] = sqrt(1 + sum(h[t] * h[t])) + sum(W * W) / 10
        """,
    "soft targets": """
        q: n_o
        h[t] = sin(W @ h[t-1]) + cos(U @ x[t]) - exp(-h[t-1] ** 2)
        L[t] = nll(softmax(V @ h[t]), q[t])
        """,
    "a size that is a sum": """
        W: (n_q+2, n_h); b: n_q; h: n_h
        h[t] = tanh(R @ h[t-1] + sum(b) * x[t])
        L[t] = mse(W @ h[t], y[t])
        """,
    "look-ups and roots": """
        h[t] = tanh(minimum(sum(A), W[:, k[t]]) + (where(W > 0, W, 1))[:, k[t]])
        P[t] = outer(h[t-1], B[:, k[t]]) + B
        g[t] = sin(P[t] @ sqrt(2 + cos(x[t]))) + mean(P[t]) * h[t]
        L[t] = bce(sigmoid((a - V) @ g[t]), q[t])
        a: ()
        A: (n_a, n_q)
        x: n_x
        q: n_q
        """,
    "a name with a stroke": """
        x_: n_h
        h_bar[t] = tanh(alpha_2 * x_[t] + W_hh @ h_bar[t-1])
        L[t] = sum(h_bar[t] ** 2)
        alpha_2: ()
        """,
    "log probabilities": """
        h[t] = log_softmax(W @ h[t-1] + U @ x[t])
        L[t] = mean(h[t] * e)
        """,
    "Greek letters and long names": """
        Δ_gate[t] = sigmoid(W_input_to_gate @ x[t] + R_ζ @ σ_state[t-1] + bias_of_gate)
        γ[t] = tanh(A_mix @ x[t] + Σ @ (Δ_gate[t] * σ_state[t-1]) + β)
        σ_state[t] = (1 - Δ_gate[t]) * σ_state[t-1] + Δ_gate[t] * γ[t]
        prediction_out[t] = V_readout @ σ_state[t] + é_out
        L[t] = nll(softmax(prediction_out[t]), y[t])
        """,
}
