/* Backward passes by the cell's own rules, edge by edge, with one rule replaced; and the
   derivatives between two nodes. The same as formula/backward.py: a gradient is computed
   when it is asked for, and beyond tau a replaced rule finds 0. */
(function () {
  const lab = B.data.lab, trees = new Map();
  const tree = (text) => {
    if (!trees.has(text)) trees.set(text, B.parseFormula(text).right);
    return trees.get(text);
  };
  B.treeOf = tree;
  const sizeOf = (name) => B.data.places[name].shape.reduce((a, b) => a * b, 1);
  const isNode = (name) => lab.order.includes(name);
  const pulls = new Map(), reads = new Map();
  for (const edge of lab.edges) {
    pulls.set(edge.source, [...(pulls.get(edge.source) || []), edge]);
    reads.set(edge.target, [...(reads.get(edge.target) || []), edge]);
  }
  const isBackward = lab.edges.some((edge) => edge.lag < 0);
  const add = (a, b) => a.map((v, i) => v + b[i]);

  /* own: { name, time, letters, formula, reading } or null. */
  class Pass {
    constructor(own) { Object.assign(this, { own, found: new Map(), open: new Set() }); }

    isBeyond(name, t) {
      if (this.own === null || !isNode(this.own.name) || typeof t !== "number" || (t >= 1 && t <= B.tau)) return false;
      return (t > B.tau || isBackward) && B.data.places[name].v[t] === undefined;
    }

    gradient(name, t, node) {
      if (name === "L" && t === "") return Float64Array.of(1);
      if (this.isBeyond(name, t)) return new Float64Array(sizeOf(name));
      const key = `${name}@${t}`;
      if (!this.found.has(key)) {
        if (this.open.has(key)) throw new B.FormulaError("lab-not-yet", { name, t }, node.span);
        this.check(name, t, node);
        this.open.add(key);
        this.found.set(key, this.rule(name, t, node));
      }
      return this.found.get(key);
    }

    check(name, t, node) {
      const entry = B.data.places[name];
      if (entry.isParameter ? t === "" || (t >= 1 && t <= B.tau) : t !== "" && entry.v[t] !== undefined) return;
      throw new B.FormulaError(t === "" ? "lab-needs-step" : "lab-no-step", { name, t, tau: B.tau }, node.span);
    }

    rule(name, t, node) {
      const own = this.own?.name === name ? this.own : null;
      if (own && own.time === null && t === "") return this.replaced(own, {});
      if (t === "") {
        let total = new Float64Array(sizeOf(name));
        for (let s = 1; s <= B.tau; s++) total = add(total, this.gradient(name, s, node));
        return total;
      }
      if (own && own.time !== null) {
        const { base, offset } = own.time, isFixed = base === "" || base === "tau";
        const local = isFixed ? (base ? B.tau : 0) + offset : t - offset;
        if (isFixed ? local === t : local >= 1) return this.replaced(own, isFixed ? {} : { [base]: local });
      }
      let total = new Float64Array(sizeOf(name));
      const basis = this.basis;
      if (basis && basis.name === name && basis.t === t) return basis.data;
      for (const edge of pulls.get(name) || []) {
        const at = t + edge.lag;
        if (basis && !basis.isTotal && at !== basis.t) continue;
        if (at >= 1 && at <= B.tau) total = add(total, this.evaluated(edge.formula, at, node));
      }
      const isSeeded = !basis && (this.only === undefined || this.only === t);
      if (isSeeded && Object.hasOwn(lab.seeds, name) && t >= 1 && t <= B.tau) {
        const isWeighted = B.weights && name === lab.loss;
        total = add(total, isWeighted ? Float64Array.of(B.weights[t]) : this.evaluated(lab.seeds[name], t, node));
      }
      return total;
    }

    /* One of the page's own formulas; what is wrong in it is the reader's doing. */
    evaluated(text, t, node) {
      try {
        return new B.Evaluator("columns", this, { t }).value(tree(text)).data;
      } catch (error) {
        if (error instanceof B.FormulaError) error.span = this.own?.formula.span ?? node.span;
        throw error;
      }
    }

    replaced(own, steps) {
      const size = sizeOf(own.name), shape = B.data.places[own.name].shape;
      if (own.letters.length) {
        const width = own.letters.length === 2 ? shape[1] : 1;
        return Float64Array.from({ length: size }, (_, k) => {
          const at = own.letters.length === 2 ? [Math.floor(k / width), k % width] : [k];
          const letters = Object.fromEntries(own.letters.map((letter, i) => [letter, at[i]]));
          return new B.Evaluator(own.reading, this, steps, letters).value(own.formula).data[0];
        });
      }
      const value = new B.Evaluator(own.reading, this, steps).value(own.formula);
      if (own.reading === "columns" && value.data.length === 1 && size > 1 && (value.isEmpty || B.isScalarForm(own.formula))) return new Float64Array(size).fill(value.data[0]);
      const wanted = { shape: shape.length === 2 ? shape : [size, 1], data: new Float64Array(size) };
      if (!B.compare(value, wanted).fits) {
        throw new B.FormulaError("lab-result", { name: own.name, found: value.shape.join("×") || "1", wanted: wanted.shape.join("×") }, own.formula.span);
      }
      return value.data;
    }
  }
  B.Pass = Pass;

  /* What one edge gives its source, when `data` is the gradient of its target at t. */
  B.pull = function (edge, t, data) {
    const given = { gradient: () => data, isBeyond: () => false };
    return new B.Evaluator("columns", given, { t }).value(tree(edge.formula)).data;
  };
  B.seedAt = (name, t) => new B.Evaluator("columns", null, { t }).value(tree(lab.seeds[name])).data;

  /* ----- ∂y/∂x, dy/dx: pulled back from every element of y at once ----- */

  B.jacobian = function (evaluator, node) {
    const { target, source } = node;
    for (const end of [target, source]) {
      if (!Object.hasOwn(B.data.places, end.name)) evaluator.fail("lab-unknown", { name: end.name, known: Object.keys(B.data.places).join(", ") }, node);
    }
    const t = evaluator.at(target.time || { base: "", offset: NaN }, node), s = source.time ? evaluator.at(source.time, node) : "";
    if (!(t >= 1)) evaluator.fail(target.time ? "lab-no-step" : "lab-needs-step", { name: target.name, t, tau: B.tau }, node);
    const rows = sizeOf(target.name), columns = sizeOf(source.name), [a, b] = [B.data.places[target.name].shape, B.data.places[source.name].shape];
    let found;
    if ((source.name === "L" && s === "") || evaluator.pass?.isBeyond(target.name, t) || evaluator.pass?.isBeyond(source.name, s)) found = Array.from({ length: rows }, () => new Float64Array(columns));
    else {
      for (const [end, step] of [[target, t], [source, s]]) {
        const entry = B.data.places[end.name];
        const isThere = entry.isParameter ? step === "" || (step >= 1 && step <= B.tau) : entry.v[step] !== undefined;
        if (!isThere) evaluator.fail("lab-no-step", { name: end.name, t: step, tau: B.tau }, node);
      }
      found = Array.from({ length: rows }, (_, i) => pulled(target.name, t, source.name, s, i, node.total));
    }
    const flat = (end, shape) => end.index.map((part) => evaluator.index(part)).reduce((sum, k, i) => sum * (i ? shape[1] : 1) + k, 0);
    if (target.index.length) found = [found[flat(target, a)]];
    if (source.index.length) found = found.map((row) => Float64Array.of(row[flat(source, b)]));
    const data = Float64Array.from(found.flatMap((row) => Array.from(row)));
    const [isOne, isCell] = [found.length === 1, found[0].length === 1];
    if (isOne && b.length === 2 && !source.index.length) return { shape: b, data };
    if ((a.length === 2 && !target.index.length) || (b.length === 2 && !source.index.length)) evaluator.fail("lab-three", {}, node);
    return { shape: isOne && isCell ? [] : [found.length, found[0].length], data };
  };

  /* What one element of y gives back to x: a pass that begins there and not at L. */
  function pulled(target, t, source, s, i, isTotal) {
    const data = Float64Array.from({ length: sizeOf(target) }, (_, k) => +(k === i));
    if (target === source && t === s) return data;
    const isHit = (edge) => edge.source === source && (B.data.places[source].isParameter ? s === "" || s === t : s === t - edge.lag);
    const direct = isTotal ? [] : (reads.get(target) || []).filter(isHit);
    if (direct.length) {
      return direct.map((edge) => B.pull(edge, t, data)).reduce(add);
    }
    const pass = new Pass(null);
    pass.basis = { name: target, t, data, isTotal };
    return pass.gradient(source, s, { span: [0, 1] });
  }
})();
