"""The text of every message about a cell: its place, its problem and its fix."""

import re
from pathlib import Path

import pytest

from bptt import Cell, errors
from bptt.language.functions import derived
from bptt.step.ops import OPS

# class, text, line number, what the carets underline, in the problem, in the fix
CASES = [
    # --- not an expression ---
    ("CellSyntax", "h[t] = tanh(x[t]", 1, "(", "'(' was never closed", "one equation"),
    ("CellSyntax", "h[t] = x[t] +\t@ 3", 1, "@", "invalid syntax", "one equation"),
    ("Declaration", "P: (n, n)\nP = Q @ Q.T\nh[t] = tanh(P @ h[t-1] + x[t])", 1,
     "P: (n, n)", "P is a name for an expression of parameters",
     "declare the parameters"),
    ("CellSyntax", "h[t] = tanh(W x[t])", 1, "x", "nothing stands between W and x[t]",
     "`W @ x[t]`"),
    ("CellSyntax", "h[t] = 0.5 h[t-1] + x[t]", 1, "h", "between 0.5 and h[t-1]",
     "`0.5 * h[t-1]`"),
    ("CellSyntax", "h[t] = W' @ x[t]", 1, "'", "a transpose is written `.T`", "`A.T`"),
    ("CellSyntax", f"h[t] = {'tanh(' * 300}x[t]{')' * 300}", 1, "(",
     "too many nested parentheses", "give its inner parts a name"),
    ("UnsupportedSyntax", "h[t] = x[t][0]", 1, "x[t][0]", "is not a node",
     "`sum(x[t][1, ..., 1])`, counted from 1"),
    ("CellSyntax", "h_t = \\tanh(W h)", 1, "t", "line continuation", "`name[t] ="),
    ("CellSyntax", "h[t] = 'abc", 1, "'", "unterminated string", "one equation"),
    ("CellSyntax", "h[t] = x[t]\n o[t] = x[t]", 2, "o", "unexpected indent", "margin"),
    ("CellSyntax", "h[t] = x[t]\0", 1, "\ufffd", "the character U+0000", "UTF-8"),
    ("CellSyntax", "# ok\nh[t] = \ud800", 2, "\ufffd", "character U+D800", "remove it"),
    ("CellSyntax", "h[t] = 1" + "0" * 5000 + " * x[t]", 1, "1", "too many digits",
     "308"),
    ("CellSyntax", "h[t] = " + "(" * 300 + "x[t]", 1, "(", "nested paren", "equation"),
    ("CellSyntax", "a[t] = x[t]\nh[t] = " + "-" * 9000 + "x[t]", 2, "h", "too deeply",
     "give its inner parts a name"),
    ("CellSyntax", "h[t] = x[t]" + " + b" * 150, 1, None, "more than 100 operations",
     "give the inner parts a name"),
    ("ReservedName", "h[t] = lambda * h[t-1] + x[t]", 1, "lambda",
     "a word of the grammar", "lambda_1 or λ"),
    ("ReservedName", "h: (seed)\nh[t] = x[t]", 1, "seed", "another argument", "n_seed"),
    ("ReservedName", "W: (n_h, self)\nh[t] = W @ x[t]", 1, "self", "another argument",
     "n_self"),
    ("ReservedName", "lambda[t] = x[t]", 1, "lambda", "cannot name", "lambda_1"),
    ("ReservedName", "h[t] = x[t]\nin[t] = h[t]", 2, "in", "cannot name", "in_1"),
    ("UnsupportedSyntax", "h[t] = tanh(W @ [h[t-1]; ])", 1, "[h[t-1]; ]", "not part",
     "[h[t-1]; x[t]]"),
    ("CellSyntax", "h[t] = |x[t]|", 1, "|", "written as a call", "abs(x[t])"),
    ("CellSyntax", "h[t] = W · x[t]", 1, "·", "not a sign", "`@`"),
    ("CellSyntax", "h[t] = x[t] − b", 1, "−", "not a sign", "`-`"),
    ("CellSyntax", "h[t] = tanh(x(t) y)", 1, "x", "square brackets", "x[t]"),
    ("CellSyntax", "h[t] = W @ h_{t-1}", 1, "h", "square brackets", "h[t-1]"),
    ("CellSize", "h[t] = x[t]" + " + x[t]" * 200_000, None, None,
     "1,400,011 characters; a cell has 1,000,000", "one equation with vectors"),
    ("CellSize", "h[t] = x[t]" + "\n# more" * 10_001, None, None, "10,001 lines",
     "the file you meant"),
    ("CellSyntax", "h^(t) = tanh(W @ h^(t-1))", 1, "h", "square brackets", "h[t]"),
    ("CellSyntax", "h[t] = tanh(W h^{(t-2)})", 1, "h", "square brackets", "h[t-2]"),
    ("CellSyntax", "h[t] = W @ x[t]\nW: n_h x n_x", 2, "n", "stand in brackets",
     "W: (n_h, n_x)"),
    ("CellSyntax", "h[t] = W @ x[t]\nW: n_h by 3", 2, "n", "stand in brackets",
     "W: (n_h, 3)"),
    ("CellSyntax", "a[t, j] = v[j] * x[t], j = 1..4", 1, "j", "declared by itself",
     "`j = 1, ..., 4`"),
    ("CellSyntax", "a[t, j] = v[j] * x[t], for j in 1:n_v", 1, "j", "by itself",
     "`j = 1, ..., n_v`"),
    # --- Python, but not the language ---
    ("UnsupportedSyntax", "h[t] = x[t]\nL = sum(h[T])", 2, "T", "a step is written",
     "h[tau] for the last step"),
    ("UnsupportedSyntax", "h[t] = x[t]\nL = sum(h[-1])", 2, "-1", "a step is written",
     "h[tau] for the last step"),
    ("BareState", "h[t] = x[t]\nL = sum(h)", 2, "h", "no step here", "sum(t, h[t])"),
    ("UnknownOperation", "h[t] = np.tanh(x[t])", 1, "np.tanh", "not an operation",
     "`tanh(u)`"),
    ("UnknownOperation", "h[t] = torch.nn.functional.relu(x[t])", 1,
     "torch.nn.functional.relu", "not an operation", "`relu(u)`"),
    ("UnknownOperation", "h[t] = x[t]\nL[t] = h[t].sum()", 2, "h[t].sum",
     "not an operation", "`sum(h[t])`"),
    ("UnknownOperation", "h[t] = np.matmul(W, x[t])", 1, "np.matmul", "not an operat",
     "`A @ u`"),
    ("UnknownOperation", "h[t] = h[t-1] + x[t]\nh[0] = zeros(5)", 2, "zeros", "not an",
     "`h[0] = 0`"),
    ("UnknownOperation", "h[t] = x[t] + randn(5)", 1, "randn", "not an operation",
     "`e: n_h = normal(0.1)`"),
    ("UnknownOperation", "h[t] = sigm(x[t])", 1, "sigm", "not an", "`sigmoid(u)`"),
    ("UnknownOperation", "h[t] = LN(x[t])", 1, "LN", "not an", "`layer_norm(u)`"),
    ("ReservedName", "n_h = 5\nh[t] = tanh(W @ h[t-1])", 1, "n_h", "a dimension of",
     "`cell.init(n_h=5)`"),
    ("ReservedName", "h: k\nk = 3\nh[t] = W @ h[t-1]", 2, "k", "no equation says",
     "instead of k"),
    ("CellSyntax", "h[t] = Wᵀ @ x[t]", 1, "ᵀ", "not a letter", "`.T`"),
    ("CellSyntax", "hₜ = tanh(x[t])", 1, "ₜ", "not a letter", "`[t]`"),
    ("CellSyntax", "h[t] = tanh(W x[t]); j = 1, ..., 4", 1, "x", "nothing stands",
     "`W @ x[t]`"),
    ("Rank", "A: (n_h, n_x)\nh[t] = tanh([A, x[t]])", 2, "[A, x[t]]", "differs in",
     "vectors, or matrices"),
    ("Rank", "h[t] = tanh([W\n  , U] @ x[t])", 1, "[W", "side by side", "`[W; U]`"),
    ("UnknownOperation", "h[t] = (x[t] * b).sum()", 1, "(x[t] * b).sum", "not an",
     "`sum(u)`"),
    ("Rank", "h[t] = tanh(W * h[t-1])", 1, "W * h[t-1]", "ranks differ",
     "`W @ h[t-1]`"),
    ("UnsupportedSyntax", "h[t] = tanh(W[h[t-1], x[t]] + b)", 1, "W[h[t-1], x[t]]",
     "no part", "`W @ [h[t-1]; x[t]]`"),
    ("CellSyntax", "h[t] = S[t]ᵀ @ x[t]", 1, "ᵀ", "not a letter", "`.T`"),
    ("CellSyntax", "h[t] = ‖x[t]‖ * b", 1, "‖", "not a sign", "`norm(u)`"),
    ("ArgumentCount", "m: (n, n_m) = input\nh[t] = sum(j, a[t, j] * m[j])", 2,
     "sum(j, a[t, j] * m[j])", "takes 1 argument", "`j = 1, ..., n_j`"),
    ("UnsizedState", "i = 1, ..., 4\nM: (4, n_h)\nM[t, i] = 0.5 * M[t-1, i]", 3,
     "M[t-1, i]", "no real input has the dimension n_h", "`M: (4, 3)`"),
    ("Rank", "h[t] = tanh([W, U] @ [h[t-1]; x[t]])", 1, "[W, U]", "side by side",
     "W times the first"),
    ("UnsupportedSyntax", "h[t] = f'{x}'", 1, "f'{x}'", "`f'{x}'` is not part",
     "a value"),
    ("UnsupportedSyntax", "h[t] = 'a'", 1, "'a'", "not part of the cell",
     "real number"),
    ("UnsupportedSyntax", "h[t] = 1j * x[t]", 1, "1j", "not part of the",
     "real number"),
    ("UnsupportedSyntax", "h[t] = True", 1, "True", "`True` is not part",
     "real number"),
    ("UnsupportedSyntax", "h[t] = ...", 1, "...", "`...` is not part", "real number"),
    ("UnsupportedSyntax", "h[t] = x.__class__.mro", 1, "x.__class__.mro",
     ".mro is not part of the cell language; only .T is", "call an operation"),
    ("UnsupportedSyntax", "h[t] = [x for x in y]", 1, "[x for x in y]", "not part",
     "sum(u)"),
    ("UnsupportedSyntax", "h[t] = (y := 3)", 1, "y := 3", "not part", "of its own"),
    ("UnsupportedSyntax", "h[t] = tanh(*x)", 1, "*x", "`*x` is not part", "every arg"),
    ("UnsupportedSyntax", "h[t] = x[t] if x[t] > 0 else 0", 1,
     "x[t] if x[t] > 0 else 0",
     "not part of the cell language", "where(condition, u, v)"),
    ("UnsupportedSyntax", "h[t] = x[t] and b", 1, "x[t] and b", "not part",
     "product of"),
    ("UnsupportedSyntax", "h[t] = not x[t]", 1, "not x[t]", "not part", "opposite of"),
    ("UnsupportedSyntax", "h[t] = +x[t]", 1, "+x[t]", "not part", "leave the plus out"),
    ("UnsupportedSyntax", "h[t] = x[t] ^ 2", 1, "x[t] ^ 2", "not part",
     "** is the power"),
    ("UnsupportedSyntax", "h[t] = x[t] // 2", 1, "x[t] // 2", "not part",
     "floor(u / v)"),
    ("InnerStep", "l = 1, ..., 2\ns[t, l] = tanh(s[t, l-1] + x[t])\nh[t] = s[t, 2]", 2,
     "s[t, l-1]", "without a start", "s[t, 0]"),
    ("UnsupportedSyntax", "h[t] = sum(x[t] for i in j)", 1, "(x[t] for i in j)",
     "not part", "all elements"),
    ("UnknownOperation", "h[t] = cumprod(x[t])", 1, "cumprod", "is not an operation",
     "p[t] = p[t-1] * x[t]"),
    ("UnknownOperation", "h[t] = W @ concat(h[t-1], x[t])", 1, "concat",
     "is not an operation", "put together as `[h[t-1]; x[t]]`"),
    ("Rank", "h[t] = softmax(W) @ x[t]", 1, "softmax(W)", "softmax takes a vector",
     "a column, softmax(A[:, x[t]]), or a product, softmax(A @ u[t])"),
    ("BareInput", "h[t] = tanh(W @ h[t-1] + R @ x)\no[t] = V @ y[t]", 1, "x",
     "x has no step here", "x[t] for an input; a parameter is declared: `x: n`"),
    ("UnsupportedSyntax", "h[t] = (yield x)", 1, "yield x", "`yield x` is not",
     "use +"),
    ("UnsupportedSyntax", "h[t] = 0 < x[t] < 1", 1, "0 < x[t] < 1",
     "a comparison is one",
     "where(a[t] > 0, a[t], 0)"),
    ("UnsupportedSyntax", "h[t] = x[t] is 1", 1, "x[t] is 1", "one of >, >=", "where("),
    ("UnsupportedSyntax", "h[t] = 1e999 * x[t]", 1, "1e999", "too large for", "1e308"),
    ("UnsupportedSyntax", "h[t] += x[t]", 1, "h[t] += x[t]", "a line is an",
     "one of the"),
    ("UnsupportedSyntax", "h[t] = a[t] = x[t]", 1, "h[t] = a[t] = x[t]", "a line is",
     ""),
    ("UnsupportedSyntax", "for i in x: pass", 1, "for i in x: pass", "a line is an",
     "rem"),
    ("UnsupportedSyntax", "import os\nh[t] = x[t]", 1, "import os", "a line is an",
     "rem"),
    ("UnsupportedSyntax", "tanh(x[t])", 1, "tanh(x[t])", "a line is an equation",
     "`name[t] = tanh(x[t])`"),
    ("OutOfTime", "h = tanh(x[t])", 1, "x[t]", "x has a step here, but h has none",
     "h[t] = ..., or x[tau]"),
    ("OutOfTime", "h[t] = x[t] * h[tau]", 1, "h[tau]",
     "h[tau] is known after the last step", "h[t], or read h[tau]"),
    ("OutOfTime", "h[t] = x[t]\no = sum(t, h[t])\ng[t] = h[t] * o", 3, "o",
     "o is known after the last step", "without [t]"),
    ("OutOfTime", "h[t] = sum(t, x[t])", 1, "sum(t, x[t])", "sum over t is known",
     "without [t]"),
    ("OutOfTime", "h[t] = x[t]\no = h[tau] * t", 2, "t", "t has a step here",
     "o[t] = ..."),
    ("OutOfTime", "h[t] = x[t]\no = softmax(t, h[t])", 2, "softmax(t, h[t])",
     "a value for every step", "sum(t, softmax(t, e[t]) * h[t])"),
    ("OutOfTime", "h[0] = x[t]\nh[t] = tanh(h[t-1])", 1, "x[t]",
     "a start is made of parameters and of inputs without time", "s: n_s = input"),
    ("OutOfTime", "h[tau+1] = b\nh[t] = tanh(W @ h[t-1] + x[t])", 2, "h[t-1]",
     "h[0] would be its start", "h[0] = ..."),
    ("UndefinedName", "h[0] = b\ng[t] = x[t]", 1, "h[0]", "is a start, but no line",
     "h[t] = ..."),
    ("UseBeforeDefinition", "h[t] = A @ x[t]\nA = B - B.T", 1, "A",
     "A is read here, but its equation stands below", "up"),
    ("DuplicateDefinition", "A = B\nA = B.T\nh[t] = A @ x[t]", 2, "A",
     "A is defined twice; the first time on line 1", "A_2"),
    ("EmptyCell", "A = B - B.T", 1, "A", "of parameters alone", "at least one"),
    ("UnsupportedSyntax", "h[t], a[t] = x[t]", 1, "h[t], a[t]", "is not a node",
     "element"),
    ("UnsupportedSyntax", "h[t-1] = x[t]", 1, "h[t-1]", "defines a node at step t, not",
     "h[t] = ..."),
    ("UnsupportedSyntax", "h[3] = 0", 1, "3", "`h[3]`: a step is written t, t-1, t+1",
     "`initial={'h': ...}`"),
    ("UnsupportedSyntax", "h[t] = x[s]", 1, "s", "a step is written t, t-1, t+1 or tau",
     "x[t], or declare the index"),
    ("UnsupportedSyntax", "h[t] = x[t][0:3]", 1, "x[t][0:3]", "is not a node",
     "`x[t][1, ..., 3]`, counted from 1"),
    ("UnsupportedSyntax", "h[t] = tanh(x[t])[2]", 1, "tanh(x[t])[2]", "is not a node",
     "`sum(tanh(x[t])[2, ..., 2])`"),
    ("UnsupportedSyntax", "h[t] = x[t, 2]", 1, "x[t, 2]", "`x[t, 2]` reads no part",
     "`sum(x[t, 2, ..., 2])`, counted from 1"),
    ("UnsupportedSyntax", "h[t] = tanh(b[2])", 1, "2", "`b[2]`: a step is written",
     "`sum(b[2, ..., 2])`"),
    ("UnsupportedSyntax", "h[t, j] = x[t]", 1, "t, j", "a step is written",
     "declare the index, `j = 1, ..., n_j`"),
    ("Rank", "m[t] = 0.9 * m[t-1] + outer(x[t], v[t])", 1,
     "0.9 * m[t-1] + outer(x[t], v[t])", "is a matrix (n_x, n_v)",
     "a matrix is called M, or declared, `m: (n_x, n_v)`"),
    ("UnsupportedSyntax", "h[t] = W[0, :]", 1, "W[0, :]", "a look-up reads a column",
     "`u[2, ..., 4]`"),
    ("UnsupportedSyntax", "h[t] = W[:, 3]", 1, "3", "from an integer input",
     "U[:, x[t]]"),
    # --- operations ---
    ("UnknownOperation", "h[t] = tanhh(x[t])", 1, "tanhh",
     "`tanhh` is not an operation",
     "tanh? the operations are abs,"),
    ("UnknownOperation", "h[t] = __import__('os').system('x')", 1,
     "__import__('os').system", "`__import__('os').system` is not an operation", "abs"),
    ("UnknownOperation", "h[t] = (lambda x: x)(x[t])", 1, "lambda x: x", "is not an",
     "abs"),
    ("UnknownOperation", "h[t] = total(x[t])", 1, "total", "`total` is not an op",
     "abs"),
    ("UnknownOperation", "h[t] = tanh(\n  b\n  + foo(x[t])\n)", 3, "foo", "`foo` is",
     ""),
    ("UnknownOperation", "a[t] = x[t]\r\nh[t] = foo(a[t])\r\n", 2, "foo", "`foo` is",
     ""),
    ("UnknownOperation", "a[t] = x[t]\rh[t] = foo(a[t])", 2, "foo", "`foo` is not", ""),
    ("UnknownOperation", "a[t] = x[t]; h[t] = foo(a[t])", 1, "foo", "`foo` is not", ""),
    ("UnknownOperation", "hé[t] = é[t] + foo(é[t])", 1, "foo", "`foo` is not", "abs"),
    ("UnknownOperation", "ĥ[t] = τanh(x[t])", 1, "τanh", "`τanh` is not", "tanh? the"),
    ("UnknownOperation", "h[t] =\tx[t] +\tfoo(x[t])", 1, "foo", "`foo` is not", "abs"),
    ("UnknownOperation", "    a[t] = x[t]\n    h[t] = foo(a[t])", 2, "foo", "`foo`",
     "abs"),
    ("ArgumentCount", "h[t] = tanh(x[t], b)", 1, "tanh(x[t], b)",
     "tanh takes 1 argument, got 2", "tanh(u)"),
    ("ArgumentCount", "h[t] = maximum(x[t])", 1, "maximum(x[t])",
     "maximum takes 2 arguments, got 1", "maximum(u, v)"),
    ("ArgumentCount", "h[t] = tanh()", 1, "tanh()", "takes 1 argument, got 0",
     "tanh(u)"),
    ("ArgumentCount", "h[t] = tanh(x=x[t])", 1, "x=x[t]", "tanh does not take `x=x[t]`",
     "leave it out"),
    ("ArgumentCount", "h[t] = tanh(x[t], **k)", 1, "**k", "tanh does not take `**k`",
     "leave it out"),
    ("ArgumentCount", "h[t] = layer_norm(x[t], epsilon=3)", 1, "epsilon=3",
     "layer_norm does not take `epsilon=3`", "eps=1e-5"),
    ("ArgumentCount", "h[t] = layer_norm(x[t], eps=1, eps=2)", 1, "eps=2",
     "layer_norm does not take `eps=2` as well", "leave it out"),
    ("ArgumentCount", "h[t] = layer_norm(x[t], eps=-1)", 1, "eps=-1",
     "eps is a positive number", "eps=1e-5"),
    ("ArgumentCount", "h[t] = layer_norm(x[t], eps=e)", 1, "eps=e", "positive", "1e-5"),
    # --- names and time ---
    ("UndefinedName", "h[t] = W @ g[t-1]", 1, "g[t-1]", "no line defines g[t]",
     "or check the spelling; the definitions are: h"),
    ("UseBeforeDefinition", "h[t] = tanh(a[t])\na[t] = W @ h[t-1]", 1, "a[t]",
     "a[t] is read here but defined on line 2",
     "move the definition up, or read a[t-1]"),
    ("UseBeforeDefinition", "h[t] = h[t] + x[t]", 1, "h[t]", "defined on line 1",
     "h[t-1]"),
    ("DuplicateDefinition", "h[t] = x[t]\nh[t] = b", 2, "h[t]",
     "h is defined twice; the first time on line 1", "h_2"),
    ("DuplicateDefinition", "W: (n, m)\n\nW: (n, m)\nh[t] = W @ x[t]", 3, "W: (n, m)",
     "W is declared twice; the first time on line 1", "W_2"),
    ("FutureStep", "h[t] = tanh(h[t+513])", 1, "h[t+513]", "more than 512 steps away",
     "a longer step"),
    ("UndefinedName", "h[t] = W @ g[t+1]", 1, "g[t+1]", "g[t+1] is read, but no line",
     "or check the spelling; the definitions are: h"),
    ("TwoDirections", "h[t] = x[t] + h[t-1] * h[t+1]", 1, "h[t+1]",
     "h waits for a later step here, and through h[t-1] in the equation of h",
     "two loops that do not read each other"),
    ("TwoDirections", "h[t] = x[t] + g[t+1]\ng[t] = tanh(h[t-1])", 1, "g[t+1]",
     "h waits for a later step here, and through h[t-1] in the equation of g",
     "two loops that do not read each other"),
    ("DistantStep", "h[t] = x[t-99999999999999999999]", 1, "x[t-99999999999999999999]",
     "`x[t-99999999999999999999]` reads more than 512 steps away", "a longer step"),
    ("BareState", "h[t] = tanh(W @ h + U @ x[t])", 1, "h", "h varies in time",
     "h[t-1]"),
    ("BareState", "h[t] = x + x[t]", 1, "x", "x varies in time elsewhere", "x[t] or x"),
    ("ReservedName", "tanh[t] = x[t]", 1, "tanh[t]", "tanh is an operation", "tanh_1"),
    ("ReservedName", "tau: ()\nh[t] = x[t]", 1, "tau", "the language's own name",
     "tau_1"),
    ("ReservedName", "h[t] = n_b * x[t]", 1, "n_b", "n_b is not a value",
     "read a node"),
    ("ReservedName", "h[t] = x[t] + t[t]", 1, "t", "t is not a value", "read a node"),
    ("ReservedName", "h[t] = sin[t]", 1, "sin", "is an operation: call it", "read a"),
    ("ReservedName", "h[t] = tanh", 1, "tanh", "tanh is an operation: call it",
     "read a"),
    ("ReservedName", "h[t] = L * x[t]", 1, "L", "L is the loss of a step", "L_1"),
    ("ReservedName", "h[t] = L[t] * x[t]", 1, "L[t]", "no equation defines it", "L_1"),
    # --- shapes ---
    ("Rank", "h[t] = x[t].T", 1, "x[t].T",
     "x[t] is a vector (n_x): only a matrix has a",
     "dot(u, v) for u^T v"),
    ("Rank", "h[t] = W + x[t]", 1, "W + x[t]",
     "W is a matrix (n_W, n_W_columns), x[t] is a vector (n_x): their ranks differ",
     "make them one shape"),
    ("Rank", "h[t] = (x[t] +\n  W)", 1, "x[t] +", "W is a matrix",
     "make them one shape"),
    ("Rank", "L[t] = sum(sum(x[t]))", 1, "sum(sum(x[t]))",
     "sum(x[t]) is a scalar (): a sum is over", "leave it out"),
    ("Rank", "L[t] = dot(W, x[t])", 1, "dot(W, x[t])", "dot takes two vectors",
     "sum(A * B)"),
    ("Rank", "h[t] = softmax(W)", 1, "softmax(W)", "softmax takes a vector",
     "softmax(A @ u[t])"),
    ("ReservedName", "h(t) = tanh(x[t])", 1, "h(t)", "t is the language's own name",
     "a step is written in square brackets: h[t]"),
    ("Rank", "L[t] = nll(sum(x[t]), y[t])", 1, "nll(sum(x[t]), y[t])",
     "nll takes a vector of probabilities", "nll(softmax(o[t]), y[t])"),
    ("Rank", "h[t] = b[:, x[t]]", 1, "b[:, x[t]]",
     "a column of a matrix, not of a vector",
     "start the name with a capital"),
    ("Rank", "s: ()\ns[t] = s[t-1] + x[t]", 2, "s[t]",
     "s is declared as a scalar (), but its equation gives a vector (n_x)",
     "declare it: `s: (n_x)`"),
    ("Rank", "h[t] = x[t] + s[t-1]\ns[t] = sum(h[t])", 2, "s[t]",
     "s is read above as a vector (n_h), but its equation gives a scalar ()", "s: ()"),
    ("ProductShape", "h[t] = h[t-1] @ W", 1, "h[t-1] @ W",
     "vectors are columns, so the matrix stands on the left", "W @ h[t-1], or W.T @"),
    ("ProductShape", "a: ()\nh[t] = a @ x[t]", 2, "a @ x[t]",
     "a is a scalar () and x[t] a vector (n_x): @ multiplies matrices", "a * x[t]"),
    ("ProductShape", "h[t] = x[t] @ x[t]", 1, "x[t] @ x[t]",
     "two columns have no product",
     "dot(x[t], x[t]) for a number, outer(x[t], x[t]) for a matrix"),
    ("ProductShape", "h[t] = tanh(w @ x[t])", 1, "w @ x[t]",
     "two columns have no product",
     "a matrix has a capital, W, or a declaration, `w: (n, m)`"),
    ("ProductShape", "W: (n_a, n_c)\nx: n_d\nh[t] = W @ x[t]", 3, "W @ x[t]",
     "the inner sizes differ, n_c and n_d", "correct the declaration"),
    ("ProductShape", "W: (n_d, n_c)\nx: n_d\nh[t] = W @ x[t]", 3, "W @ x[t]",
     "the inner sizes differ, n_c and n_d", "W.T @ x[t], or correct the declaration"),
    ("DimensionClash", "a: 3\nb: 4\nh[t] = a + b + x[t]", 3, "a + b",
     "one dimension would need two sizes, 3 and 4", "declare the two with one name"),
    ("DimensionClash", "h: 3\nx: 4\nh[t] = tanh(x[t])", 3, "h[t]",
     "h is declared as a vector (3), but its equation gives a vector (4)",
     "declare it"),
    ("DimensionClash", "A: (2, 3)\nB: (2, 4)\nh[t] = A[:, x[t]] + B[:, x[t]]", 3,
     "x[t]",
     "x would count two dimensions: 3 and 4", "use two inputs"),
    ("LossShape", "h[t] = x[t]\nL[t] = h[t]", 2, "L[t]",
     "a scalar, but this is a vector",
     "sum(...), mean(...), or a loss such as nll(softmax(o[t]), y[t])"),
    ("UnsizedState", "h[t] = h[t-1]\nL[t] = nll(softmax(h[t]), y[t])", 1,
     "h[t-1]",
     "no real input has the dimension", "a fixed size, `h: 3`"),
    ("UnsizedState", "s[t] = s[t-1] + sum(x[t])", 1, "s[t-1]",
     "no real input has the dimension n_s", "declare a scalar, `s: ()`"),
    # --- declarations and indices ---
    ("Declaration", "Q: (n, m)\nh[t] = x[t]", 1, "Q: (n, m)",
     "Q is declared, but no equation reads or defines it", "remove the declaration"),
    ("Declaration", "W: (a, b, c)\nh[t] = W @ x[t]", 1, "(a, b, c)", "3 dimensions",
     "time and batch are not part of a shape"),
    ("Declaration", "W: (0, n)\nh[t] = W @ x[t]", 1, "0", "a dimension is a name",
     "(n_h"),
    ("Declaration", f"W: ({2**31}, n)\nh[t] = W @ x[t]", 1, str(2**31), "from 1 to 214",
     ""),
    ("Declaration", "W: (n_b, n)\nh[t] = W @ x[t]", 1, "n_b", "a dimension is",
     "batch"),
    ("Declaration", "W: 'n'\nh[t] = W @ x[t]", 1, "'n'", "a dimension is a name",
     "W: (n"),
    ("Declaration", "h[t]: n_h\nh[t] = x[t]", 1, "h[t]", "without `[t]`", "b: n_h = 1"),
    ("Declaration", "W: (n, m) = foo\nh[t] = W @ x[t]", 1, "W: (n, m) = foo",
     "foo is not a rule for initial values", "glorot, hippo_legs, hippo_legt"),
    ("Declaration", "W: (n, m) = normal(1, 2, 3)\nh[t] = W @ x[t]", 1,
     "W: (n, m) = normal(1, 2, 3)", "normal does not take 3 numbers", "= normal`"),
    ("Declaration", "W: (n, m) = [1]\nh[t] = W @ x[t]", 1, "[1]", "a number is needed",
     "0.1"),
    ("Declaration", "W: (n, m) = normal(s=1)\nh[t] = W @ x[t]", 1, "normal(s=1)",
     "a number, a rule, or a rule with numbers", "normal(0.1)"),
    ("Declaration", "h: n_x = 3\nh[t] = x[t]", 1, "h: n_x = 3",
     "h is neither a parameter nor a real input", "an initial state is an argument"),
    ("Declaration", "x: n_x = 3\nh[t] = x[t]", 1, "x: n_x = 3",
     "constant is not a distribution, and x is an input",
     "given, or one of bernoulli, dropout, normal, uniform, variational_dropout"),
    ("Declaration", "x: n_x = dropout\nh[t] = x[t]", 1, "x: n_x = dropout",
     "dropout does not take 0 numbers", "`x: ... = dropout`"),
    ("Declaration", "h: 3\nW: (n_h, n_x)\nh[t] = tanh(b)\no[t] = W @ x[t]", 2,
     "W: (n_h, n_x)", "n_h is the dimension of h, which has another size",
     "another name"),
    ("IndexKind", "o[t] = W[:, y[t]] + y[t]", 1, "y[t]",
     "an integer index on line 1 and",
     "use two inputs with two names"),
    ("IndexKind", "i[t] = 2 * x[t]\nh[t] = W[:, i[t]]", 1, "i[t]", "picks a column, so",
     "or an integer input that no line defines"),
    ("IndexKind", "x: n_x\nh[t] = W[:, x[t]]", 1, "x: n_x", "integer index on line 2",
     "remove this declaration"),
    # --- indices; more in test_indices.py ---
    ("IndexDeclaration", "j = 2, ..., n_head\nh[t] = x[t]", 1, "j = 2, ..., n_head",
     "an index up to n_head begins at 1", "`j = 1, ..., n_head`"),
    ("IndexUse", "j = 1, ..., 3\no[t] = V @ h[t, j]", 2, "V @ h[t, j]",
     "j is on the right only: o[t] is not one for every j", "sum(j, ...)"),
    # --- functions ---
    ("FunctionDefinition", "f(2 * u) = u\nh[t] = f(x[t])", 1, "2 * u",
     "`2 * u` is not the name of a parameter", "names between the brackets"),
    ("FunctionDefinition", "f(u, v=w) = u\nh[t] = f(x[t])", 1, "v=w", "`v=w` is not",
     "`f(u, alpha=1)`"),
    ("FunctionDefinition", "f(u, u) = u\nh[t] = f(x[t])", 1, "f(u, u)",
     "u stands twice between the brackets of f", "every parameter once"),
    ("FunctionDefinition", "f() = b\nh[t] = f()", 1, "f()", "no parameter stands",
     "is an equation, `f[t] = ...`"),
    ("FunctionDefinition", "f(u) =\nh[t] = f(x[t])", 1, "f(u)", "no expression after",
     "one expression"),
    ("RecursiveFunction", "f(u) = 1 + f(u)\nh[t] = f(x[t])", 1, "f(u)",
     "f calls itself", "h[t-1]"),
    ("RecursiveFunction", "f(u) = g(u)\ng(u) = f(u)\nh[t] = x[t]", 2, "f(u)",
     "f calls itself, by way of g", "replaced by its body"),
    ("DuplicateDefinition", "f(u) = u\nf(v) = v\nh[t] = f(x[t])", 2, "f(v)",
     "f is defined twice; the first time on line 1", "f_2"),
    ("ReservedName", "tanh(u) = u\nh[t] = tanh(x[t])", 1, "tanh(u)",
     "tanh is an operation", "tanh_1"),
    ("ReservedName", "f(t) = 2 * t\nh[t] = f(x[t])", 1, "f(t)",
     "t is the language's own name", "t_1"),
    ("ArgumentCount", "f(u, v) = u * v\nh[t] = f(x[t])", 2, "f(x[t])",
     "f takes 2 arguments, got 1", "f(u, v)"),
    ("ArgumentCount", "f(u, v=2) = u * v\nh[t] = f(x[t], 3, v=4)", 2, "v=4",
     "f does not take `v=4` as well", "f(u, v)"),
    ("ArgumentCount", "h[t] = elu(x[t], beta=4)", 1, "beta=4",
     "elu does not take `beta=4`", "elu(u, alpha)"),
    ("UnsupportedSyntax", "f(u) = u[t-1]\nh[t] = f(2 * x[t])", 1, "u",
     "u stands for an expression here", "pass a name alone"),
    ("UnknownOperation", "f(u) = tanhh(u)\nh[t] = x[t]", 1, "tanhh",
     "`tanhh` is not an operation", "tanh? "),
    ("UnknownOperation", "h[t] = gele(x[t])", 1, "gele", "is not an op", "gelu? "),
    ("CellSyntax", "f_0(u) = u + u\n" + "".join(
        f"f_{i}(u) = f_{i-1}(u) + f_{i-1}(u)\n" for i in range(1, 16)
    ) + "h[t] = f_15(x[t])", 4, None, "more than 20000 calls", "a name"),
    # --- nothing ---
    ("EmptyCell", "", None, None, "the text holds no equation", "h[t] = tanh(b + W @"),
    ("EmptyCell", "# only a comment\n", None, None, "no equation",
     "write at least one"),
    ("CellSyntax", None, None, None, "a cell is text, got NoneType", "pass a string"),
]  # fmt: skip


def underlined(message):
    """The characters of the quoted line that stand over the carets."""
    _, line, carets, *_ = message.split("\n")
    start = carets.index("^")
    assert set(carets[start:]) == {"^"}
    assert [c == "\t" for c in carets[:start]] == [c == "\t" for c in line[:start]]
    return line[start : len(carets)]


@pytest.mark.parametrize(("kind", "text", "number", "piece", "problem", "fix"), CASES)
def test_a_message_points_at_the_mistake(kind, text, number, piece, problem, fix):
    with pytest.raises(errors.CellError) as caught:
        Cell(text)
    message = str(caught.value)
    assert type(caught.value).__name__ == kind + "Error"
    assert problem in caught.value.problem
    assert fix in caught.value.fix
    assert message.endswith(f"Likely fix: {caught.value.fix}")
    message.encode()
    if number is None:
        assert "of the cell:" not in message
    else:
        assert message.startswith(f"line {number} of the cell:\n    ")
        assert piece is None or underlined(message) == piece


def test_every_class_of_mistake_has_a_message_here():
    kinds = {kind + "Error" for kind, *_ in CASES}
    assert kinds == {kind.__name__ for kind in errors.CellError.__subclasses__()}


def message_of(text):
    with pytest.raises(errors.CellError) as caught:
        Cell(text)
    return str(caught.value)


def test_a_whole_message_reads_well():
    assert message_of(
        "# recurrent\na[t] = b + W @ h[t-1] + U @ x[t]\nh[t] = tanh(a[t])\n"
        "o[t] = h[t] @ V"
    ) == (
        "line 4 of the cell:\n"
        "    o[t] = h[t] @ V\n"
        "           ^^^^^^^^\n"
        "h[t] is a vector (n_h) and V a matrix (n_V, n_V_columns): vectors are "
        "columns, so the matrix stands on the left\n"
        "Shapes known so far: b (n_h), W (n_h, n_h), h (n_h), U (n_h, n_x), x (n_x), "
        "a (n_h), V (n_V, n_V_columns)\n"
        "Likely fix: V @ h[t], or V.T @ h[t]"
    )


def test_carets_stand_under_wide_and_combining_characters():
    # Two columns per Chinese character; the combining acute accent takes none.
    message = message_of("状态[t] = x\u0301[t] + foo(x\u0301[t])")
    assert message.split("\n")[2] == "    " + " " * (2 * 2 + 3 + 3 + 4 + 3) + "^^^"


def test_a_message_about_a_body_shows_the_calls_that_led_there():
    assert message_of(
        "gate(W, u) = sigmoid(W @ u)\n"
        "both(u) = gate(A, u) + gate(b, u)\n"
        "h[t] = both(h[t-1]) + x[t]"
    ) == (
        "line 1 of the cell:\n"
        "    gate(W, u) = sigmoid(W @ u)\n"
        "                         ^^^^^\n"
        "called on line 2:\n"
        "    both(u) = gate(A, u) + gate(b, u)\n"
        "                           ^^^^^^^^^^\n"
        "called on line 3:\n"
        "    h[t] = both(h[t-1]) + x[t]\n"
        "           ^^^^^^^^^^^^\n"
        "b is a vector (dim_b) and h[t-1] a vector (n_h): two columns have no product\n"
        "Shapes known so far: A (n_A, n_h), h (n_h), b (dim_b)\n"
        "Likely fix: a matrix has a capital, B, or a declaration, `b: (n, m)`; "
        "dot(b, h[t-1]) for a number"
    )


def test_a_long_line_is_cut_around_its_carets():
    message = message_of("h[t] = " + "x[t] + " * 60 + "foo(x[t])" + " + x[t]" * 30)
    line, carets = message.split("\n")[1:3]
    assert line.startswith("    …")
    assert line.endswith("…")
    assert len(line) < 110
    assert line[carets.index("^") : len(carets)] == "foo"


def test_what_would_steer_a_terminal_is_not_printed():
    message = message_of("h[t] = '\x1b[31m' + x[t]")
    assert "\x1b" not in message
    assert "`'\ufffd[31m'` is not part of the cell language" in message


def test_shapes_known_so_far_name_every_dimension_seen():
    message = message_of("h[t] = tanh(W @ h[t-1] + U @ x[t])\nL[t] = mse(h[t], U)")
    assert (
        "Shapes known so far: W (n_h, n_h), h (n_h), U (n_h, n_x), x (n_x)\n" in message
    )


def _page(name):
    return (Path(__file__).parents[2] / "docs" / name).read_text("utf-8")


def test_the_language_is_read_in_ten_minutes():
    """250 words a minute, code among them; signs and rules of tables are no words."""
    words = [w for w in _page("language.md").split() if re.search(r"\w", w)]
    assert len(words) <= 2500


def test_the_short_table_names_operations_alone():
    table = _page("language.md").partition("| kind | names |")[2].partition("\n\n")[0]
    names = set(re.findall(r"`([a-z_ ]{4,})`", table))
    short = {name for row in names for name in row.split()}
    assert len(short) > 30
    code = re.findall(
        r"`([^`]+)`", re.sub(r"```.*?```", "", _page("operations.md"), flags=re.DOTALL)
    )
    assert short <= set(re.findall(r"\w+", " ".join(code)))


def test_the_documentation_names_every_operation():
    page = _page("operations.md")
    written = {n for n, op in OPS.items() if op.written == "call"} - {"nll_soft"}
    helpers = {"equal", "not_equal", "positive_root", "held"}
    others = {"eye", "diag", "fill", "stack", "argmin"}  # read in ways of their own
    for name in written | (derived().keys() - helpers) | others:
        assert re.search(rf"\b{name}\b", page), name
