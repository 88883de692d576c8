/* A formula as algebra/expr.py has it, { k: its kind, c: its parts }, and written as
   notation/plain.py writes it, so that what the box suggests can be typed into it. */
(function () {
  const isName = (name) => Object.hasOwn(B.data.places, name);
  const make = (k, c, more, span) => ({ k, c, span: span || null, ...more });
  const put = (x, i, part) => ({ ...x, key: undefined, c: x.c.map((old, j) => (j === i ? part : old)) });
  const rebuild = (x, rule) => rule({ ...x, key: undefined, c: x.c.map((part) => rebuild(part, rule)) });
  const walk = (x) => [x, ...x.c.flatMap(walk)];
  const ONE = make("number", [], { value: 1 });

  /* ----- from the tree of formula.js ----- */

  const dim = (part) => (part.op === "number" ? part.value : part.name);
  const valueOf = ({ name, time }, span) => make("value", [], { name, time }, span);
  function indexed(of, index, span) {
    if (!index?.length) return of;
    const letters = index.map((part) => (part.op === "letter" ? part.letter : null));
    return make("element", [of, ...index.filter((part) => part.op !== "letter").map(from)], { letters }, span);
  }
  const end = (place, span) => indexed(valueOf(place, span), place.index, span);
  const isScale = (name) => name === "w" && !Object.hasOwn(B.data.symbols, "w");

  function times(left, right, span, k) {
    const parts = [from(left), from(right)];
    if (k === "hadamard" && parts.some(isScalar)) k = "product";
    return make(k, [...(parts[0].k === k ? parts[0].c : [parts[0]]), parts[1]], {}, span);
  }
  function terms({ op, left, right, span }) {
    const last = op === "sub" ? make("negative", [from(right)], {}, right.span) : from(right);
    const isOpen = ["add", "sub"].includes(left.op) && left.span[0] === left.left.span[0];
    return [...(isOpen ? terms(left) : [from(left)]), last];
  }
  const one = (k) => (x) => make(k, [from(x.of)], {}, x.span);
  const two = (k) => (x) => make(k, [from(x.left), from(x.right)], {}, x.span);
  const plus = (x) => make("sum", terms(x), {}, x.span);
  const matrix = (x) => times(x.left, x.right, x.span, "product");
  const compare = (f) => (x) => make("applied", [from(x.left), from(x.right)], { f }, x.span);
  /* tanh'(x) by y = tanh(x) and x: SLOPES of algebra/rules.py. */
  const two_ = make("number", [], { value: 2 });
  const minus = (a, b) => make("sum", [a, make("negative", [b])]), over = (a, b) => make("quotient", [a, b]);
  const apply = (f, ...c) => make("applied", c, { f });
  const SLOPES = {
    "tanh'": (y) => minus(ONE, make("power", [y, two_])), "sigmoid'": (y) => make("hadamard", [y, minus(ONE, y)]),
    "relu'": (y, x) => apply("greater", x, make("number", [], { value: 0 })), "softplus'": (y, x) => apply("sigmoid", x),
    "exp'": (y) => y, "log'": (y, x) => over(ONE, x), "sqrt'": (y) => over(ONE, make("product", [two_, y])),
    "sin'": (y, x) => apply("cos", x), "cos'": (y, x) => make("negative", [apply("sin", x)]),
    "abs'": (y, x) => apply("sign", x), "expm1'": (y, x) => apply("exp", x),
  };
  function called({ name, parts, span }) {
    const c = parts.map(from), slope = Object.hasOwn(SLOPES, name) ? SLOPES[name] : null;
    return slope ? { ...slope(make("applied", c, { f: name.slice(0, -1) }, span), c[0]), span } : make("applied", c, { f: name }, span);
  }
  const CALLS = {
    diag: ({ parts, span }) => make("diag", [from(parts[0])], {}, span),
    eye: ({ parts, span }) => make("sized", [], { f: "eye", dims: parts.map(dim) }, span),
    ones: ({ parts, span }) => make("sized", [], { f: "ones", dims: parts.map(dim) }, span),
    zeros: ({ parts, span }) => make("sized", [], { f: "zeros", dims: parts.map(dim) }, span),
    one_hot: ({ parts, span }) => make("unit", [from(parts[0])], { dim: dim(parts[1]) }, span),
    outer: ({ parts, span }) => make("product", [from(parts[0]), make("transpose", [from(parts[1])])], {}, span),
    dot({ parts, span }) {
      const [a, b] = parts.map(from);
      return make("product", [[a, b].every((x) => isColumn(x) && !isScalar(x)) ? make("transpose", [a]) : a, b], {}, span);
    },
    layer_norm: ({ parts, span }) => make("applied", [from(parts[0])], { f: "layer_norm", data: parts[1]?.value }, span),
  };
  const sizeNamed = (count) => Object.keys(B.data.sizes).find((name) => B.data.sizes[name] === count) ?? count;
  const FROM = {
    number: (x) => make("number", [], { value: x.value }, x.span),
    value(x) {
      if (isScale(x.name)) return make("weight", [], { time: x.time }, x.span);
      if (!x.time && !x.index?.length && !isName(x.name)) return make("size", [], { dim: x.name }, x.span);
      return end(x, x.span);
    },
    gradient: (x) => indexed(make("nabla", [valueOf(x, x.span)], {}, x.span), x.index, x.span),
    incoming: (x) => make("incoming", [valueOf(x, x.span)], {}, x.span),
    part: (x) => indexed(from(x.of), x.index, x.span),
    delta: (x) => make("delta", x.second.op === "letter" ? [] : [from(x.second)], { first: x.first, second: x.second.letter }, x.span),
    jacobian: (x) => make("jacobian", [end(x.target, x.span), end(x.source, x.span)], { total: x.total }, x.span),
    neg: one("negative"), transpose: one("transpose"), add: plus, sub: plus,
    mul: (x) => times(x.left, x.right, x.span, "hadamard"), matmul: matrix, beside: matrix,
    div: two("quotient"), pow: two("power"), greater: compare("greater"), greater_equal: compare("greater_equal"),
    sigma: (x) => make("sigma", [from(x.body)], { index: x.index, lower: x.lower, upper: x.upper }, x.span),
    isum: (x) => make("sigma", [from(x.body)], { index: x.index, dim: x.dim ?? sizeNamed(B.countOf(x.body, x.index)) }, x.span),
    product: (x) => make("steps", [from(x.body)], { index: x.index, lower: x.lower, upper: x.upper, isDescending: x.isDescending }, x.span),
    call: (x) => (Object.hasOwn(CALLS, x.name) ? CALLS[x.name](x) : called(x)),
  };
  function from(tree) { return FROM[tree.op](tree); }

  /* ----- what is a scalar, whatever the cell (is_scalar_form), and in this one ----- */

  const LEAVES = new Set(["number", "size", "weight", "delta", "element"]);
  function isScalarForm(x) {
    if (x.k === "jacobian") return x.c.every((part) => part.k === "element");
    return LEAVES.has(x.k) || (["negative", "sum", "product", "quotient"].includes(x.k) && x.c.every(isScalarForm));
  }
  const isShapeless = ({ name }) => !isName(name) || !B.data.places[name].shape.length;
  function isScalar(x) {
    if (LEAVES.has(x.k)) return true;
    if (x.k === "value") return isShapeless(x);
    if (["sized", "unit", "diag", "steps"].includes(x.k)) return false;
    return (x.k === "applied" && ["sum", "mean", "dot", "logsumexp"].includes(x.f)) || x.c.every(isScalar);
  }

  function isColumn(x) {
    if (["value", "nabla", "incoming"].includes(x.k)) return B.data.places[(x.c[0] || x).name]?.shape.length < 2;
    if (x.k === "product") return isColumn(x.c.at(-1));
    return x.k === "unit" || x.f === "ones" || (!["transpose", "diag", "sized", "steps"].includes(x.k) && x.c.every((part) => isScalar(part) || isColumn(part)));
  }

  /* ----- to text ----- */

  const [SUM, TERM, POWER, ATOM] = [0, 1, 2, 3];
  const step = ({ base, offset }) => (!base ? String(offset) : offset ? `${base}${offset < 0 ? "" : "+"}${offset}` : base);
  function reference(x) {
    const [value, ...rest] = x.k === "element" ? x.c : [x];
    const inside = value.time ? [step(value.time)] : [];
    if (x.k === "element") inside.push(...scripts(x.letters, rest));
    return inside.length ? `${value.name}[${inside.join(",")}]` : value.name;
  }
  function scripts(letters, values) {
    const rest = values.slice();
    return letters.map((letter) => letter ?? reference(rest.shift()));
  }
  const WRITE = {
    number: (x) => [String(x.value), x.value >= 0 ? ATOM : SUM],
    size: (x) => [x.dim, ATOM],
    value: (x) => [reference(x), ATOM],
    nabla: (x) => [`grad_${reference(x.c[0])}`, ATOM],
    incoming: (x) => [`incoming(${reference(x.c[0])})`, ATOM],
    weight: (x) => [`w[${step(x.time)}]`, ATOM],
    sized: (x) => [`${x.f}(${x.dims.join(", ")})`, ATOM],
    unit: (x) => [`one_hot(${reference(x.c[0])}, ${x.dim})`, ATOM],
    delta: (x) => [`delta(${x.first}, ${x.second ?? reference(x.c[0])})`, ATOM],
    element(x) {
      const [of, ...rest] = x.c;
      if (of.k === "value") return [reference(x), ATOM];
      if (of.k === "nabla") return [`grad_${reference({ ...x, c: [of.c[0], ...rest] })}`, ATOM];
      return [`${write(of, ATOM)}[${scripts(x.letters, rest).join(",")}]`, ATOM];
    },
    jacobian: (x) => [`${x.total ? "total" : "partial"}(${x.c.map(reference).join(", ")})`, ATOM],
    transpose: (x) => [`${write(x.c[0], ATOM)}.T`, ATOM],
    diag: (x) => [`diag(${write(x.c[0])})`, ATOM],
    product(x) {
      let text = write(x.c[0], POWER), isAll = isScalarForm(x.c[0]);
      for (const factor of x.c.slice(1)) {
        const isOne = isScalarForm(factor);
        text += (isAll || isOne ? " * " : " @ ") + write(factor, POWER);
        isAll = isAll && isOne;
      }
      return [text, TERM];
    },
    hadamard: (x) => [x.c.map((part) => write(part, POWER)).join(" * "), TERM],
    quotient: (x) => [`${write(x.c[0], TERM)} / ${write(x.c[1], POWER)}`, TERM],
    power: (x) => [`${write(x.c[0], ATOM)}**${write(x.c[1], ATOM)}`, POWER],
    sum(x) {
      const [first, ...rest] = x.c;
      let text = write(first, first.k === "negative" || !rest.length ? SUM : TERM);
      for (const term of rest) text += term.k === "negative" ? ` - ${write(term.c[0], TERM)}` : ` + ${write(term, TERM)}`;
      return [text, SUM];
    },
    negative: (x) => [`-${write(x.c[0], TERM)}`, SUM],
    applied(x) {
      const parts = x.c.map((part) => write(part));
      if (x.f.startsWith("greater")) return [`(${parts[0]} ${x.f === "greater" ? ">" : ">="} ${parts[1]})`, ATOM];
      return [`${x.f}(${[...parts, ...(x.data === undefined ? [] : [`eps=${x.data}`])].join(", ")})`, ATOM];
    },
    sigma: (x) => [`sum(${x.index}, ${x.lower ? `${step(x.lower)}, ${step(x.upper)}` : x.dim}, ${write(x.c[0])})`, ATOM],
    steps: (x) => [`prod(${x.index}, ${step(x.lower)}, ${step(x.upper)}, ${write(x.c[0])})`, ATOM],
  };
  function write(x, level = SUM) {
    const [text, own] = WRITE[x.k](x);
    return own >= level ? text : `(${text})`;
  }
  const key = (x) => (x.key ??= write(x));
  const same = (a, b) => key(a) === key(b);

  /* ----- ways to build ----- */

  function product(...factors) {
    let isNegative = false;
    const opened = [];
    for (const factor of factors) {
      if (factor.k === "negative") isNegative = !isNegative;
      const inner = factor.k === "negative" ? factor.c[0] : factor;
      if (inner.k === "product") opened.push(...inner.c);
      else if (!same(inner, ONE) && inner.f !== "eye") opened.push(inner);
    }
    const unit = factors.find(({ f }) => f === "eye") || ONE;
    const found = opened.length > 1 ? make("product", opened) : opened[0] || unit;
    return isNegative ? make("negative", [found]) : found;
  }
  function total(...terms_) {
    const opened = terms_.flatMap((term) => (term.k === "sum" ? term.c : [term]));
    return opened.length === 1 ? opened[0] : make("sum", opened);
  }
  function negative(x) {
    if (x.k === "negative") return x.c[0];
    return x.k === "sum" ? make("sum", x.c.map(negative)) : make("negative", [x]);
  }
  function transpose(x) {
    if (x.k === "transpose") return x.c[0];
    if (["diag", "number", "weight", "size"].includes(x.k) || x.f === "eye") return x;
    if (x.k === "product") return make("product", x.c.map(transpose).reverse());
    if (["sum", "negative"].includes(x.k)) return make(x.k, x.c.map(transpose));
    if (x.k === "quotient" && ["number", "size"].includes(x.c[1].k)) return make("quotient", [transpose(x.c[0]), x.c[1]]);
    return make("transpose", [x]);
  }
  const moved = (time, by) => ({ base: time.base, offset: time.offset + by });
  /* t is replaced by another step; a bound t of a sum stays. */
  function atStep(x, time) {
    if (["sigma", "steps"].includes(x.k) && x.index === "t") return x;
    const found = { ...x, key: undefined, c: x.c.map((part) => atStep(part, time)) };
    for (const name of ["time", "lower", "upper"]) if (x[name]?.base === "t") found[name] = moved(time, x[name].offset);
    return found;
  }

  B.expr = { make, put, rebuild, walk, from, write, key, same, product, total, negative, transpose, moved, atStep };
})();
