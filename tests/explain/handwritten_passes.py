"""Backward passes by hand, in NumPy, with one line of them replaced by another.

Each cell's rules are written down by a person, one step at a time, over columns. A rule
is text, evaluated by a table of operators, so that a wrong line can stand in for a
right one; nothing of `bptt.explain` is used. A gradient or value of step tau + 1 is 0.
"""

import ast
import operator
import random
import re

import numpy as np

# Per cell: the rules of the nodes in the order of a backward pass, then what one step
# gives to each parameter. `arrives[t]` is the gradient from outside.
BOOK = (
    {
        "L": "1.0",
        "y_hat": "-e(y[t]) / dot(e(y[t]), y_hat[t]) * grad_L[t]",
        "o": "grad_L[t] * (y_hat[t] - e(y[t]))",
        "h": "W.T @ grad_a[t+1] + V.T @ grad_o[t]",
        "a": "diag(1 - h[t]**2) @ grad_h[t]",
    },
    {
        "b": "grad_a[t]", "W": "grad_a[t] @ h[t-1].T", "U": "grad_a[t] @ x[t].T",
        "c": "grad_o[t]", "V": "grad_o[t] @ h[t].T",
    },
)  # fmt: skip
LSTM = (
    {
        "h": "arrives[t] + W_i.T @ (i[t+1] * (1 - i[t+1]) * grad_i[t+1])"
        " + W_f.T @ (f[t+1] * (1 - f[t+1]) * grad_f[t+1])"
        " + W_g.T @ ((1 - g[t+1]**2) * grad_g[t+1])"
        " + W_q.T @ (q[t+1] * (1 - q[t+1]) * grad_q[t+1])",
        "s": "f[t+1] * grad_s[t+1] + q[t] * (1 - tanh(s[t])**2) * grad_h[t]",
        "q": "tanh(s[t]) * grad_h[t]",
        "g": "i[t] * grad_s[t]",
        "f": "s[t-1] * grad_s[t]",
        "i": "g[t] * grad_s[t]",
    },
    {
        f"{p}_{gate}": f"({slope} * grad_{gate}[t]){read}"
        for gate, slope in (
            ("i", "i[t] * (1 - i[t])"), ("f", "f[t] * (1 - f[t])"),
            ("g", "(1 - g[t]**2)"), ("q", "q[t] * (1 - q[t])"),
        )
        for p, read in (("b", ""), ("W", " @ h[t-1].T"), ("U", " @ x[t].T"))
    },
)  # fmt: skip
GRU = (
    {
        "h": "arrives[t] + z[t+1] * grad_h[t+1]"
        " + W_z.T @ (z[t+1] * (1 - z[t+1]) * grad_z[t+1])"
        " + W_r.T @ (r[t+1] * (1 - r[t+1]) * grad_r[t+1])"
        " + W_n.T @ (r[t+1] * (1 - n[t+1]**2) * grad_n[t+1])",
        "n": "(1 - z[t]) * grad_h[t]",
        "r": "(d_n + W_n @ h[t-1]) * (1 - n[t]**2) * grad_n[t]",
        "z": "(h[t-1] - n[t]) * grad_h[t]",
    },
    {
        "b_z": "z[t] * (1 - z[t]) * grad_z[t]",
        "W_z": "(z[t] * (1 - z[t]) * grad_z[t]) @ h[t-1].T",
        "U_z": "(z[t] * (1 - z[t]) * grad_z[t]) @ x[t].T",
        "b_r": "r[t] * (1 - r[t]) * grad_r[t]",
        "W_r": "(r[t] * (1 - r[t]) * grad_r[t]) @ h[t-1].T",
        "U_r": "(r[t] * (1 - r[t]) * grad_r[t]) @ x[t].T",
        "b_n": "(1 - n[t]**2) * grad_n[t]",
        "U_n": "((1 - n[t]**2) * grad_n[t]) @ x[t].T",
        "d_n": "r[t] * (1 - n[t]**2) * grad_n[t]",
        "W_n": "(r[t] * (1 - n[t]**2) * grad_n[t]) @ h[t-1].T",
    },
)
USERS_TEXT = """
u[t] = P @ v[t-1] + Q @ x[t]
v[t] = tanh(u[t]) + k * v[t-1]
L[t] = sum(v[t] ** 2)
"""
USERS = (
    {
        "L": "1.0",
        "v": "2 * v[t] * grad_L[t] + P.T @ grad_u[t+1] + k * grad_v[t+1]",
        "u": "(1 - tanh(u[t])**2) * grad_v[t]",
    },
    {
        "P": "grad_u[t] @ v[t-1].T", "Q": "grad_u[t] @ x[t].T",
        "k": "v[t-1] * grad_v[t]",
    },
)  # fmt: skip
PASSES = {"book": BOOK, "lstm": LSTM, "gru": GRU, "users": USERS}


class Steps:
    """An array by step; 0 beyond tau, and nothing before the first step."""

    def __init__(self, tau, size, values=None):
        self.tau, self.zero = tau, np.zeros((size, 1))
        self.values = {} if values is None else values

    def __getitem__(self, t):
        return self.zero if t > self.tau else self.values[t]


def run(name, point, target="", text=""):
    """Every gradient of a pass in which `text` stands for the rule of `target`."""
    nodes, parameters = PASSES[name]
    names, grads = namespace(nodes, point)
    for t in range(point.tau, 0, -1):
        for node, rule in nodes.items():
            value = evaluate(text if node == target else rule, names, t)
            grads[node].values[t] = value + grads[node].zero
    found = {}
    for parameter, rule in parameters.items():
        chosen = text if parameter == target else rule
        found[parameter] = sum(
            evaluate(chosen, names, t) for t in range(1, point.tau + 1)
        )
    if target in nodes:
        steps = [grads[target][t] for t in range(1, point.tau + 1)]
        found[target] = np.concatenate(steps)
    return found


def namespace(nodes, point):
    tau, scope = point.tau, point.scope
    classes = max((len(point.value("y_hat", 1)) if "y_hat" in nodes else 1), 1)
    names = {"diag": lambda v: np.diag(v[:, 0]), "tanh": np.tanh, "tau": tau,
             "e": lambda k: np.eye(classes)[:, [int(k)]],
             "one_hot": lambda k, n: np.eye(classes)[:, [int(k)]], "n_o": classes,
             "dot": lambda a, b: float(a[:, 0] @ b[:, 0])}  # fmt: skip
    grads = {}
    for name in scope.names:
        if scope.kind(name) == "parameter":
            names[name] = point.value(name, None)
            continue
        first = 0 if name in scope.graph.states else 1
        values = {t: point.value(name, t) for t in range(first, tau + 1)}
        size = len(values[1])
        if name == "y" and "y_hat" in nodes:
            values = {t: int(value[0, 0]) for t, value in values.items()}
        names[name] = Steps(tau, size, values)
        grads[name] = names[f"grad_{name}"] = Steps(tau, size)
    for seeds in point.seeds.values():
        values = {t: seeds[t - 1][:, None] for t in range(1, tau + 1)}
        names["arrives"] = Steps(tau, 1, values)
        names["incoming"] = lambda column: column
    return names, grads


OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow, ast.MatMult: operator.matmul,
}  # fmt: skip


def evaluate(text, names, t):
    """A line of a test's own: names, numbers, operators, calls and steps."""
    known = names | {"t": t}

    def value(node):
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return known[node.id]
            case ast.UnaryOp(op=ast.USub()):
                return -value(node.operand)
            case ast.BinOp():
                return OPERATORS[type(node.op)](value(node.left), value(node.right))
            case ast.Attribute(attr="T"):
                return value(node.value).T
            case ast.Subscript():
                return value(node.value)[value(node.slice)]
            case ast.Call():
                return value(node.func)(*map(value, node.args))
        raise ValueError(f"{ast.unparse(node)} is no part of a rule")

    return value(ast.parse(text.strip(), mode="eval").body)


def in_notation(name, target, text):
    """The line as an equation that a reader would write."""
    nodes, _ = PASSES[name]
    state = "h" if name in ("lstm", "gru") else ""
    text = text.replace("arrives[t]", f"incoming({state}[t])")
    text = re.sub(r"e\(y\[t\]\)", "one_hot(y[t], n_o)", text)
    if target in nodes:
        return f"grad_{target}[t] = {text}"
    return f"grad_{target} = sum(t, 1, tau, {text})"


def wrong_lines(name, count, seed=0):
    """(target, text) of wrong rules: a right one with one or two things changed."""
    nodes, parameters = PASSES[name]
    rng = random.Random(f"{name}{seed}")  # noqa: S311
    rules = {k: v for k, v in (nodes | parameters).items() if k != "y_hat"}
    found = []
    while len(found) < count:
        target = rng.choice(list(rules))
        text = rules[target]
        for _ in range(rng.choice((1, 1, 2))):
            text = rng.choice(CHANGES)(text, rng)
        if text != rules[target]:
            found.append((target, text))
    return found


def _later(text, rng):
    return _one(r"\[t\]", "[t+1]", text, rng, unless=("grad_", "x", "y", "arrives"))


def _same_step(text, rng):
    return _one(r"\[t\+1\]", "[t]", text, rng, unless=("grad_",))


def _turned(text, rng):
    return _one(r"(W|P|W_\w)\.T @", r"\1 @", text, rng)


def _scaled(text, rng):
    return f"{rng.choice(('0.5', '2', '-1', '0.1'))} * ({text})"


def _cubed(text, rng):
    return _one(r"1 - (\w+\[[^]]*\])\*\*2", r"1 - \1**3", text, rng)


def _without(text, rng):
    terms = text.split(" + ")
    if len(terms) < 2 or any(term.count("(") != term.count(")") for term in terms):
        return text
    terms.pop(rng.randrange(len(terms)))
    return " + ".join(terms)


def _signed(text, rng):
    return _one(r" \+ ", " - ", text, rng)


def _bent(text, rng):
    return _one(r"\(1 - (\w)\[", r"(2 - \1[", text, rng)


CHANGES = (_later, _same_step, _turned, _scaled, _cubed, _without, _signed, _bent)


def _one(pattern, new, text, rng, unless=()):
    """One match replaced, of those that no name in `unless` stands before."""
    before = re.compile(rf"({'|'.join(unless) or '$^'})\w*$")
    matches = [
        match
        for match in re.finditer(pattern, text)
        if not before.search(text[: match.start()])
    ]
    if not matches:
        return text
    match = rng.choice(matches)
    return text[: match.start()] + match.expand(new) + text[match.end() :]
