/* The value of a formula's tree over the numbers of this page, in one of two readings:

     columns   every vector is a column, every shape is checked: the book's layout
     numpy     vectors have one axis, as in NumPy: `@` and `*` then accept more, and a
               wrong formula may run without an error

   A value is { shape, data }: shape [] a scalar, [n] a vector (numpy only), [n, m]. */
(function () {
  const FormulaError = B.FormulaError;
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  const make = (shape, data) => ({ shape, data });
  const scalar = (value) => make([], Float64Array.of(value));
  const isScalar = (x) => size(x.shape) === 1 && x.shape.every((n) => n === 1);
  const shown = (x) => (x.shape.length ? x.shape.join("×") : "1");
  const sum = (list) => list.reduce((a, b) => a + b, 0);

  const FUNCTIONS = {
    tanh: Math.tanh, exp: Math.exp, log: Math.log, sqrt: Math.sqrt, sin: Math.sin,
    cos: Math.cos, abs: Math.abs, sign: Math.sign,
    stop_gradient: (a) => a,
    sigmoid: (a) => 1 / (1 + Math.exp(-a)), relu: (a) => Math.max(a, 0),
    floor: Math.floor, expm1: Math.expm1,
    round: (a) => { const n = Math.round(a); return n - a === 0.5 && n % 2 ? n - 1 : n; },
    softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    "tanh'": (a) => 1 - Math.tanh(a) ** 2, "relu'": (a) => +(a > 0), "exp'": Math.exp,
    "sigmoid'": (a) => 1 / (1 + Math.exp(-a)) / (1 + Math.exp(a)), "log'": (a) => 1 / a,
    "softplus'": (a) => 1 / (1 + Math.exp(-a)), "sqrt'": (a) => 0.5 / Math.sqrt(a),
    "sin'": Math.cos, "cos'": (a) => -Math.sin(a), "abs'": Math.sign, "expm1'": Math.exp,
  };

  class Evaluator {
    /* pass: gives gradients, and what stands beyond tau; see pass.js. */
    constructor(reading, pass, steps, letters) {
      Object.assign(this, { reading, pass, steps: { tau: B.tau, ...steps }, letters: letters || {} });
    }

    at(time, node) {
      if (time.base && this.steps[time.base] === undefined) this.fail("lab-free-step", { step: time.base }, node);
      return (time.base ? this.steps[time.base] : 0) + time.offset;
    }
    inside(changes) {
      return new Evaluator(this.reading, this.pass, { ...this.steps, ...changes.steps }, { ...this.letters, ...changes.letters });
    }

    fail(id, fields, node) { throw new FormulaError(id, fields, node.span); }

    value(node) {
      const rule = this[node.op];
      return rule.call(this, node);
    }

    number(node) { return scalar(node.value); }

    lookup(node, which) {
      const entry = Object.hasOwn(B.data.places, node.name) ? B.data.places[node.name] : null;
      if (!entry) {
        if (Object.hasOwn(B.data.sizes, node.name)) return scalar(B.data.sizes[node.name]);
        if (node.name === "tau") return scalar(B.tau);
        this.fail("lab-unknown", { name: node.name, known: Object.keys(B.data.places).join(", ") }, node);
      }
      const t = node.time ? this.at(node.time, node) : "";
      if (which === "g") return this.shaped(entry, this.pass.gradient(node.name, t, node));
      if (which === "v" && this.pass?.isBeyond(node.name, t)) return this.shaped(entry, new Float64Array(size(entry.shape)));
      const start = entry[which][entry[which][t] === undefined && entry.isParameter ? "" : t];
      if (start === undefined) {
        this.fail(node.time ? "lab-no-step" : "lab-needs-step", { name: node.name, t, tau: B.tau }, node);
      }
      const count = size(entry.shape);
      return this.shaped(entry, B.exact.slice(start, start + count));
    }

    shaped(entry, data) {
      const isColumn = this.reading === "columns" && entry.shape.length === 1;
      return make(isColumn ? [data.length, 1] : entry.shape, data);
    }

    valueOf(node) { return this.element(node, this.lookup(node, "v")); }
    gradient(node) { return this.element(node, this.lookup(node, "g")); }

    /* y_hat[t, y[t]]: one element, counted from 0 */
    element(node, x) {
      if (!node.index?.length) return x;
      const at = node.index.map((part) => this.index(part));
      const needed = size(x.shape) === 1 ? 0 : x.shape.length === 1 || x.shape[1] === 1 ? 1 : 2;
      if (at.length !== needed) this.fail("lab-element", { shape: shown(x), needed, found: at.length }, node);
      at.forEach((index, i) => {
        if (index < 0 || index >= x.shape[i]) this.fail("lab-index-range", { index, size: x.shape[i] }, node);
      });
      const flat = at.length === 2 ? at[0] * x.shape[1] + at[1] : at[0];
      return scalar(x.data[flat]);
    }

    index(part) {
      if (part.op !== "letter") return this.value(part).data[0];
      if (this.letters[part.letter] === undefined) this.fail("lab-index", { found: part.letter }, part);
      return this.letters[part.letter];
    }
    letter(node) { return this.fail("lab-index", { found: node.letter }, node); }
    part(node) { return this.element(node, this.value(node.of)); }
    delta(node) {
      const second = this.index(node.second);
      return scalar(+(this.index({ op: "letter", letter: node.first, span: node.span }) === second));
    }
    incoming(node) { return this.lookup(node, "s"); }
    jacobian(node) { return B.jacobian(this, node); }

    neg(node) { const x = this.value(node.of); return make(x.shape, x.data.map((v) => -v)); }

    transpose(node) {
      const x = this.value(node.of);
      if (x.shape.length < 2) return x;
      const [n, m] = x.shape, data = new Float64Array(n * m);
      for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) data[j * n + i] = x.data[i * m + j];
      return make([m, n], data);
    }

    /* Element by element. Columns: equal shapes, or a scalar; NumPy: its broadcasting. */
    each(node, f) {
      const a = this.value(node.left), b = this.value(node.right);
      if (isScalar(b) && !isScalar(a)) return make(a.shape, a.data.map((v) => f(v, b.data[0])));
      if (isScalar(a)) return make(b.shape, b.data.map((v) => f(a.data[0], v)));
      if (String(a.shape) === String(b.shape)) return make(a.shape, a.data.map((v, i) => f(v, b.data[i])));
      const sign = { add: "+", sub: "−", mul: "*", div: "/", pow: "**", greater: ">", greater_equal: "≥" }[node.op];
      if (this.reading === "columns") this.fail("lab-elementwise", { sign, a: shown(a), b: shown(b) }, node);
      return broadcast(a, b, f) || this.fail("lab-elementwise", { sign, a: shown(a), b: shown(b) }, node);
    }
    add(node) { return this.each(node, (a, b) => a + b); }
    sub(node) { return this.each(node, (a, b) => a - b); }
    mul(node) { return this.each(node, (a, b) => a * b); }
    div(node) { return this.each(node, (a, b) => a / b); }
    pow(node) { return this.each(node, (a, b) => a ** b); }
    greater(node) { return this.each(node, (a, b) => +(a > b)); }
    greater_equal(node) { return this.each(node, (a, b) => +(a >= b)); }

    matmul(node) {
      const a = this.value(node.left), b = this.value(node.right);
      return this.product(a, b, node);
    }
    beside(node) { return this.matmul(node); }

    product(a, b, node) {
      if (isScalar(a) || isScalar(b)) {
        const [one, other] = isScalar(a) ? [a, b] : [b, a];
        return make(other.shape, other.data.map((v) => one.data[0] * v));
      }
      const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
      const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
      if (left.length !== 2 || right.length !== 2 || left[1] !== right[0]) {
        this.fail("lab-product", { a: shown(a), b: shown(b), inner: left[left.length - 1], other: right[0] }, node);
      }
      const [n, k] = left, m = right[1], data = new Float64Array(n * m);
      for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) {
        let total = 0;
        for (let l = 0; l < k; l++) total += a.data[i * k + l] * b.data[l * m + j];
        data[i * m + j] = total;
      }
      return make([...(a.shape.length === 1 ? [] : [n]), ...(b.shape.length === 1 ? [] : [m])], data);
    }

    sigma(node) {
      const from = this.at(node.lower, node), to = this.at(node.upper, node);
      if (from < 0 || to > B.tau + 1) this.fail("lab-leaves", { first: from, last: to, tau: B.tau }, node);
      let total = null;
      for (let t = from; t <= to; t++) {
        const part = this.inside({ steps: { [node.index]: t } }).value(node.body);
        total = total === null ? part : make(part.shape, part.data.map((v, i) => v + total.data[i]));
      }
      return total || { ...scalar(0), isEmpty: true };
    }

    isum(node) {
      let total = null;
      const count = node.dim === null ? countOf(node.body, node.index) : B.data.sizes[node.dim] ?? node.dim;
      if (!count) this.fail("lab-no-index", {}, node);
      for (let i = 0; i < count; i++) {
        const part = this.inside({ letters: { [node.index]: i } }).value(node.body);
        total = total === null ? part : make(part.shape, part.data.map((v, k) => v + total.data[k]));
      }
      return total;
    }

    /* Down where the lower bound is the later step; of no factors it is I. */
    product_(node) {
      const from = this.at(node.lower, node), to = this.at(node.upper, node), by = node.isDescending ? -1 : 1;
      let total = null;
      for (let t = from; by > 0 ? t <= to : t >= to; t += by) {
        if (t < 0 || t > B.tau + 1) this.fail("lab-leaves", { first: from, last: to, tau: B.tau }, node);
        const factor = this.inside({ steps: { [node.index]: t } }).value(node.body);
        total = total === null ? factor : this.product(total, factor, node);
      }
      if (total) return total;
      const [n] = this.inside({ steps: { [node.index]: B.tau } }).value(node.body).shape;
      return make([n, n], Float64Array.from({ length: n * n }, (_, i) => +(i % (n + 1) === 0)));
    }

    call(node) {
      if (Object.hasOwn(SPECIAL, node.name)) {
        return SPECIAL[node.name].call(this, node, node.parts.map((part) => this.value(part)));
      }
      const f = Object.hasOwn(FUNCTIONS, node.name) ? FUNCTIONS[node.name] : null;
      if (!f) this.fail("lab-function", { name: node.name, known: [...Object.keys(FUNCTIONS), ...Object.keys(SPECIAL)].join(", ") }, node);
      const x = this.value(node.parts[0]);
      return make(x.shape, x.data.map(f));
    }
  }
  Evaluator.prototype.value_ = Evaluator.prototype.value;
  Evaluator.prototype.value = function (node) {
    if (node.op === "value") return this.valueOf(node);
    return node.op === "product" ? this.product_(node) : this.value_(node);
  };

  /* How many elements an index runs over, from where it is used. */
  function countOf(node, letter) {
    if (!node || typeof node !== "object") return 0;
    const at = (node.index?.findIndex?.((part) => part.letter === letter)) ?? -1;
    const name = node.name ?? node.of?.name;
    if (at >= 0 && Object.hasOwn(B.data.places, name)) return B.data.places[name].shape[at];
    for (const part of Object.values(node)) {
      const found = Array.isArray(part) ? part.map((p) => countOf(p, letter)).find(Boolean) : countOf(part, letter);
      if (found) return found;
    }
    return 0;
  }

  function broadcast(a, b, f) {
    const rank = Math.max(a.shape.length, b.shape.length);
    const pad = (shape) => [...Array(rank - shape.length).fill(1), ...shape];
    const one = pad(a.shape), two = pad(b.shape);
    const shape = one.map((n, i) => (n === two[i] || two[i] === 1 ? n : n === 1 ? two[i] : NaN));
    if (shape.some(Number.isNaN)) return null;
    const data = new Float64Array(size(shape));
    for (let at = 0; at < data.length; at++) {
      let rest = at, i = 0, j = 0, stepA = 1, stepB = 1;
      for (let axis = rank - 1; axis >= 0; axis--) {
        const index = rest % shape[axis];
        rest = Math.floor(rest / shape[axis]);
        if (one[axis] > 1) i += index * stepA;
        if (two[axis] > 1) j += index * stepB;
        stepA *= one[axis];
        stepB *= two[axis];
      }
      data[at] = f(a.data[i], b.data[j]);
    }
    return make(shape, data);
  }

  const column = (reading, data) => make(reading === "numpy" ? [data.length] : [data.length, 1], data);
  const SPECIAL = {
    diag(node, [x]) {
      const n = x.data.length;
      if (x.shape.length === 2 && x.shape[1] !== 1) {
        if (this.reading === "columns") this.fail("lab-vector", { name: "diag", a: shown(x) }, node);
        return make([x.shape[0]], x.data.filter((_, i) => i % (x.shape[1] + 1) === 0));
      }
      const data = new Float64Array(n * n);
      x.data.forEach((v, i) => { data[i * n + i] = v; });
      return make([n, n], data);
    },
    softmax(node, [x]) {
      const top = Math.max(...x.data), raised = x.data.map((v) => Math.exp(v - top));
      return make(x.shape, raised.map((v) => v / sum(raised)));
    },
    outer(node, [a, b]) {
      const n = a.data.length, m = b.data.length, data = new Float64Array(n * m);
      for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) data[i * m + j] = a.data[i] * b.data[j];
      return make([n, m], data);
    },
    dot(node, [a, b]) {
      const isColumn = (x) => x.data.length > 1 && (x.shape.length === 1 || x.shape[1] === 1);
      if (!isColumn(a) || !isColumn(b)) return this.product(a, b, node);
      if (a.data.length !== b.data.length) this.fail("lab-product", { a: shown(a), b: shown(b), inner: a.data.length, other: b.data.length }, node);
      return scalar(sum(a.data.map((v, i) => v * b.data[i])));
    },
    sum(node, [x]) { return scalar(sum(x.data)); },
    mean(node, [x]) { return scalar(sum(x.data) / x.data.length); },
    one_hot(node, [index, n]) {
      const data = new Float64Array(n.data[0]);
      data[index.data[0]] = 1;
      return column(this.reading, data);
    },
    eye(node, [n]) {
      const count = n.data[0];
      return make([count, count], Float64Array.from({ length: count * count }, (_, i) => (i % (count + 1) ? 0 : 1)));
    },
    ones(node, [n]) { return column(this.reading, new Float64Array(n.data[0]).fill(1)); },
    zeros(node, [n, m]) {
      if (m.data[0] === 1) return column(this.reading, new Float64Array(n.data[0]));
      return make([n.data[0], m.data[0]], new Float64Array(n.data[0] * m.data[0]));
    },
    lookup(node, [m, index]) {
      const [n, k] = m.shape;
      return column(this.reading, Float64Array.from({ length: n }, (_, i) => m.data[i * k + index.data[0]]));
    },
    maximum(node) { return this.each({ ...node, op: "maximum", left: node.parts[0], right: node.parts[1] }, Math.max); },
    minimum(node) { return this.each({ ...node, op: "minimum", left: node.parts[0], right: node.parts[1] }, Math.min); },
    where(node, [c, a, b]) {
      const pick = (x, i) => x.data[x.data.length === 1 ? 0 : i];
      const shape = [c, a, b].reduce((x, y) => (y.data.length > x.data.length ? y : x)).shape;
      return make(shape, Float64Array.from({ length: size(shape) }, (_, i) => (pick(c, i) ? pick(a, i) : pick(b, i))));
    },
    log_softmax(node, [x]) {
      const top = Math.max(...x.data), log = Math.log(sum(x.data.map((v) => Math.exp(v - top))));
      return make(x.shape, x.data.map((v) => v - top - log));
    },
    logsumexp(node, [x]) {
      const top = Math.max(...x.data);
      return scalar(top + Math.log(sum(x.data.map((v) => Math.exp(v - top)))));
    },
    max(node, [x]) { return scalar(Math.max(...x.data)); },
    cumsum(node, [x]) {
      let total = 0;
      return make(x.shape, x.data.map((v) => (total += v)));
    },
    lower_part(node, [x]) {
      const m = x.shape[1];
      return make(x.shape, x.data.map((v, i) => (i % m > Math.floor(i / m) ? 0 : v)));
    },
    with_derivative(node, [x]) { return x; },
    layer_norm(node, [x, eps]) {
      const mean = sum(x.data) / x.data.length;
      const variance = sum(x.data.map((v) => (v - mean) ** 2)) / x.data.length;
      return make(x.shape, x.data.map((v) => (v - mean) / Math.sqrt(variance + eps.data[0])));
    },
    ones_like(node, [x]) { return make(x.shape, x.data.map(() => 1)); },
  };

  B.Evaluator = Evaluator;
  B.countOf = countOf;

  /* The same numbers, whatever the layout; a different count is a different shape. */
  B.compare = function (found, right) {
    if (found.data.length !== right.data.length || !sameShape(found, right)) return { fits: false, found, right };
    let gap = 0, top = 0, dot = 0, a = 0, b = 0;
    found.data.forEach((v, i) => {
      const w = right.data[i];
      gap += (v - w) ** 2;
      dot += v * w;
      a += v * v;
      b += w * w;
      top = Math.max(top, Math.abs(w));
    });
    return { fits: true, error: Math.sqrt(gap / (b || 1)), cosine: dot / (Math.sqrt(a * b) || 1) };
  };
  function sameShape(a, b) {
    const whole = (x) => (x.shape.length === 2 && x.shape[1] === 1 ? [x.shape[0]] : x.shape).filter((n, i, all) => all.length > 1 || n > 1);
    return String(whole(a)) === String(whole(b));
  }
})();
