"""Continuous time, oscillators, linear and complex states."""

import cmath

import torch
from torch import sigmoid, tanh
from torch.nn.functional import relu, silu

from tests.catalogue.loops.steps import loop


@loop("y")
def unicornn(p, x, s, back):
    step = p.dt.detach() * (0.5 + 0.5 * tanh(p.c / 2))
    force = tanh(p.b + p.w * s.y + p.V @ x.u) + p.alpha.detach() * s.y
    z = s.z - step * force
    return {"z": z, "y": s.y + step * z}


@loop("h")
def lmu(p, x, s, back):
    n, theta = len(s.m), p.theta.detach()
    A = torch.zeros(n, n, dtype=s.m.dtype)
    B = torch.zeros(n, dtype=s.m.dtype)
    for i in range(n):
        B[i] = (2 * i + 1) * (-1) ** i
        for j in range(n):
            A[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1))
    u = p.e_x @ x.x + p.e_h @ s.h + p.e_m @ s.m
    m = s.m + (A @ s.m + B * u) / theta
    return {"m": m, "h": tanh(p.W_x @ x.x + p.W_h @ s.h + p.W_m @ m)}


@loop("h")
def cfc(p, x, s, back):
    a = tanh(p.b + p.W @ s.h + p.U @ x.x)
    gate = sigmoid(-(p.b_f + p.W_f @ a) * x.delta)
    return {"h": gate * tanh(p.b_g + p.W_g @ a) + (1 - gate) * tanh(p.b_n + p.W_n @ a)}


@loop("h")
def ode_rnn(p, x, s, back):
    ks, at = [], s.h
    for share in (0.5, 0.5, 1.0, 0.0):
        ks.append(tanh(p.d + p.R @ at))
        at = s.h + share * x.delta * ks[-1]
    total = sum(w * k for w, k in zip((1, 2, 2, 1), ks, strict=True))
    return {"h": tanh(p.b + p.W @ (s.h + x.delta / 6 * total) + p.U @ x.x)}


@loop("h")
def minlstm(p, x, s, back):
    f, i = sigmoid(p.b_f + p.U_f @ x.x), sigmoid(p.b_i + p.U_i @ x.x)
    return {"h": (f * s.h + i * (p.b_n + p.U_n @ x.x)) / (f + i)}


@loop("h")
def sru(p, x, s, back):
    f = sigmoid(p.W_f @ x.x + p.v_f * s.c + p.b_f)
    r = sigmoid(p.W_r @ x.x + p.v_r * s.c + p.b_r)
    c = f * s.c + (1 - f) * (p.W @ x.x)
    return {"c": c, "h": r * c + (1 - r) * x.x}


@loop("h")
def qrnn(p, x, s, back):
    window = torch.cat([back("x", 1), x.x])

    def convolve(gate):
        weights = [getattr(p, f"W_{k}{gate}") for k in (1, 2)]
        return torch.cat(weights, 1) @ window

    f = sigmoid(convolve("f"))
    c = f * s.c + (1 - f) * tanh(convolve("z"))
    return {"c": c, "h": sigmoid(convolve("o")) * c}


@loop("y")
def lru(p, x, s, back):
    rate = torch.exp(torch.complex(-torch.exp(p.nu), torch.exp(p.theta)))
    h = torch.complex(s.s, s.z)
    drive = torch.complex(p.B_re @ x.u, p.B_im @ x.u)
    h = rate * h + torch.exp(p.gamma) * drive
    y = (torch.complex(p.C_re, p.C_im) @ h).real + p.D @ x.u
    return {"s": h.real, "z": h.imag, "y": y}


@loop("h")
def rg_lru(p, x, s, back):
    r, i = sigmoid(p.b_a + p.W_a @ x.x), sigmoid(p.b_x + p.W_x @ x.x)
    a = sigmoid(-p.lam) ** (8 * r)
    return {"h": a * s.h + torch.sqrt(1 - a**2) * (i * x.x)}


@loop("y")
def s4d(p, x, s, back):
    states, out = [], []
    for d in range(len(x.u)):
        rate = torch.complex(-torch.exp(p.a[d]), p.w[d])
        grown = torch.exp(torch.exp(p.l[d]) * rate)
        h = grown * torch.complex(s.p[d], s.q[d]) + (grown - 1) / rate * x.u[d]
        read = (torch.complex(p.c_re[d], p.c_im[d]) * h).sum()
        states.append(h)
        out.append(2 * read.real + p.g[d] * x.u[d])
    h = torch.stack(states)
    return {"p": h.real, "q": h.imag, "y": torch.stack(out)}


@loop("o")
def retnet(p, x, s, back):
    turn = torch.polar(torch.ones_like(p.theta), x.t * p.theta)
    real, imaginary, out = [], [], []
    for j in range(len(s.S_re)):
        k = turn * torch.complex(p.W_k[j] @ x.x, p.V_k[j] @ x.x)
        q = turn * torch.complex(p.W_q[j] @ x.x, p.V_q[j] @ x.x)
        v = p.W_v[j] @ x.x
        S = torch.complex(s.S_re[j], s.S_im[j]) * (1 - 2.0 ** (-5 - j))
        S = S + torch.outer(v.to(k.dtype), k)
        real.append(S.real)
        imaginary.append(S.imag)
        out.append((S @ q.conj()).real)
    return {
        "S_re": torch.stack(real), "S_im": torch.stack(imaginary),
        "o": torch.stack(out),
    }  # fmt: skip


@loop("o")
def deltanet(p, x, s, back):
    states, out = [], []
    for j in range(len(s.S)):
        q, k = silu(p.W_q[j] @ x.x), silu(p.W_k[j] @ x.x)
        q, k = q / q.norm(), k / k.norm()
        v, beta = p.W_v[j] @ x.x, sigmoid(p.w_b[j] @ x.x)
        S = s.S[j] + beta * torch.outer(v - s.S[j] @ k, k)
        states.append(S)
        out.append(S @ q)
    return {"S": torch.stack(states), "o": torch.stack(out)}


@loop("o")
def rwkv4(p, x, s, back):
    last = back("x", 1)
    r, k, v = (
        getattr(p, f"W_{n}") @ torch.lerp(last, x.x, getattr(p, f"mu_{n}"))
        for n in "rkv"
    )
    # Sums of exponentials without a running maximum: the values here are small.
    a, b = torch.exp(s.p) * s.a, torch.exp(s.p) * s.b
    bonus = torch.exp(p.u + k)
    wkv = (a + bonus * v) / (b + bonus)
    top = torch.maximum(s.p - torch.exp(p.w), k)
    fade = torch.exp(-torch.exp(p.w))
    return {
        "p": top, "a": (fade * a + torch.exp(k) * v) / torch.exp(top),
        "b": (fade * b + torch.exp(k)) / torch.exp(top),
        "o": p.W_o @ (sigmoid(r) * wkv),
    }  # fmt: skip


@loop("p")
def unitary(p, x, s, back):
    n = len(s.p)
    turn = cmath.exp(-2j * cmath.pi / n)
    powers = [[turn ** (i * j) for j in range(n)] for i in range(n)]
    F = torch.tensor(powers, dtype=torch.complex128) / n**0.5

    def reflect(v, z):
        return z - 2 * v * (v.conj() @ z) / (v.conj() @ v)

    z = torch.polar(torch.ones_like(p.d_1), p.d_1) * torch.complex(s.p, s.q)
    z = reflect(torch.complex(p.v_1, p.w_1), F @ z)
    z = p.P.detach().to(z.dtype) @ z
    z = F.conj().T @ (torch.polar(torch.ones_like(p.d_2), p.d_2) * z)
    z = reflect(torch.complex(p.v_2, p.w_2), z)
    z = torch.polar(torch.ones_like(p.d_3), p.d_3) * z
    z = z + torch.complex(p.V_re @ x.x, p.V_im @ x.x)
    h = relu(z.abs() + p.b) * z / z.abs()
    return {"p": h.real, "q": h.imag}


@loop("r")
def rate_ei(p, x, s, back):
    W = relu(p.W) @ torch.diag(p.d.detach())
    a = p.alpha.detach()
    state = (1 - a) * s.s + a * (p.b + W @ s.r + p.U @ x.x)
    return {"s": state, "r": relu(state)}


@loop("r")
def stp(p, x, s, back):
    dt, a = p.dt.detach(), p.alpha.detach()
    left = s.x + dt * ((1 - s.x) / p.tau_x - s.u * s.x * s.r)
    used = s.u + dt * ((p.base - s.u) / p.tau_u + p.base * (1 - s.u) * s.r)
    drive = p.W @ (used * left * s.r) + p.U @ x.i + p.b
    return {"x": left, "u": used, "r": relu((1 - a) * s.r + a * drive)}


class _Spike(torch.autograd.Function):
    """1 for u > 0; backward the slope that a function gives."""

    @staticmethod
    def forward(ctx, u, slope):
        ctx.save_for_backward(slope(u))
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0], None


@loop("z")
def lif(p, x, s, back):
    i = p.alpha * s.i + p.U @ x.x + p.W @ s.z
    v = p.beta * s.v * (1 - s.z.detach()) + i
    return {
        "i": i,
        "v": v,
        "z": _Spike.apply(v - 1, lambda u: (1 + 10 * u.abs()) ** -2),
    }


@loop("z")
def alif(p, x, s, back):
    v = p.alpha * s.v + p.U @ x.x + p.W @ s.z - (s.theta * s.z).detach()
    theta = 1 + p.beta.detach() * s.a
    z = _Spike.apply(v - theta, lambda u: 0.3 * relu(1 - u.abs()))
    return {"v": v, "theta": theta, "a": p.rho * s.a + s.z, "z": z}


@loop("h")
def ltc(p, x, s, back):
    states, dt = [s.h[-1]], p.dt.detach()
    for _ in range(6):
        f = sigmoid(p.b + p.W @ states[-1] + p.U @ x.x)
        states.append((states[-1] + dt * f * p.a) / (1 + dt * (p.rate + f)))
    return {"h": torch.stack(states[1:])}


def _modrelu(z, b):
    return torch.sign(z) * relu(z.abs() + b)


@loop("h")
def exprnn(p, x, s, back):
    W = torch.matrix_exp(p.A - p.A.T)
    return {"h": _modrelu(W @ s.h + p.U @ x.x, p.b)}


@loop("h")
def scornn(p, x, s, back):
    skew, one = p.A - p.A.T, torch.eye(len(p.d), dtype=p.d.dtype)
    W = torch.linalg.inv(one + skew) @ (one - skew) * p.d.detach()
    return {"h": _modrelu(W @ s.h + p.U @ x.x, p.b)}
