/* Try to break it: a formula of the reader's, or a known mistake, run on these numbers. */
(function () {
  const lab = B.data.lab;
  const said = ({ id, fields }) => fill(id, fields);
  const fill = (id, fields) => B.word(id).replace(/\{\{|\}\}|\{(\w+)\}/g, (found, key) => (key ? fields[key] ?? "" : found[0]));

  /* What the reader's formula defines: the gradient of a node, parameter or element. */
  function target(left) {
    if (!left) return { name: lab.target, time: { base: "t", offset: 0 }, letters: [] };
    const inner = left.op === "part" ? left.of : left;
    if (inner.op !== "gradient") return null;
    const index = [...inner.index, ...(left.op === "part" ? left.index : [])];
    if (!Object.hasOwn(B.data.places, inner.name)) {
      throw new B.FormulaError("lab-unknown", { name: inner.name, known: Object.keys(B.data.places).join(", ") }, inner.span);
    }
    if (index.some((part) => part.op !== "letter")) return null;
    const isWhole = inner.time === null;
    if (isWhole && inner.name === "L") return null;
    if (isWhole && !B.data.places[inner.name].isParameter) throw new B.FormulaError("lab-needs-step", { name: inner.name }, inner.span);
    return { name: inner.name, time: inner.time, letters: index.map((part) => part.letter) };
  }

  const node = (name, base) => ({ op: "gradient", name, time: base ? { base, offset: 0 } : null, index: [], span: [0, 1] });

  /* One backward pass with a rule replaced: every parameter's gradient, and its own. */
  B.runPass = function (own) {
    const pass = new B.Pass(own), exact = new B.Pass(null);
    const rows = lab.parameters.map(({ name }) => ({ name, steps: [""] }));
    if (own && !B.data.places[own.name].isParameter) {
      const isStart = own.time.base === "" && own.time.offset === 0;
      rows.push({ name: own.name, steps: isStart ? [0] : Array.from({ length: B.tau }, (_, i) => i + 1) });
    }
    for (let t = B.tau; t >= 1; t--) for (const name of lab.order.slice().reverse()) pass.gradient(name, t, node(name, "t"));
    const all = (from, { name, steps }) => {
      const parts = steps.map((t) => from.gradient(name, t, own ? own.formula : node(name, "t")));
      return { shape: [parts.length * parts[0].length], data: Float64Array.from(parts.flatMap((part) => Array.from(part))) };
    };
    return rows.map((row) => ({ name: row.name, ...B.compare(all(pass, row), all(exact, row)) }));
  };

  const childrenOf = (tree) => Object.values(tree).flat().filter((part) => part && typeof part === "object");

  /* The step letters that no sum binds. */
  function freeSteps(sides) {
    const found = new Set();
    const look = (tree, bound) => {
      if (tree.base !== undefined) return tree.base && !bound.has(tree.base) ? found.add(tree.base) : null;
      const inner = ["sigma", "product"].includes(tree.op) ? new Set([...bound, tree.index]) : bound;
      for (const part of childrenOf(tree)) look(part, inner);
    };
    for (const side of sides) look(side, new Set(["tau"]));
    return Array.from(found).sort().reverse();
  }

  /* The indices of the left side, each with how many values it has. */
  function freeLetters(left) {
    const found = new Map();
    const look = (tree) => {
      (Array.isArray(tree.index) ? tree.index : []).forEach((part, i) => {
        const name = tree.name ?? tree.of?.name;
        if (part.op === "letter" && Object.hasOwn(B.data.places, name)) found.set(part.letter, B.data.places[name].shape[i]);
      });
      childrenOf(tree).forEach(look);
    };
    look(left);
    return Array.from(found);
  }

  const hasDelta = (tree) => tree.op === "delta" || childrenOf(tree).some(hasDelta); // it names no dimension

  function choices(ranges) {
    return ranges.reduce((all, [name, first, last]) => all.flatMap((chosen) => Array.from(
      { length: last - first + 1 }, (_, i) => ({ ...chosen, [name]: first + i }))), [{}]);
  }

  /* A number stands for every element, as in NumPy. */
  function filled(value, like, tree) {
    if (value.data.length !== 1 || !(value.isEmpty || B.isScalarForm(tree))) return value;
    return { shape: like.shape, data: like.data.map(() => value.data[0]) };
  }

  /* Whether a product has less than no factor: from h^(t) back to h^(s) where t < s. */
  function runsBack(tree, steps) {
    const at = ({ base, offset }) => (base ? { tau: B.tau, ...steps }[base] : 0) + offset;
    if (tree.op === "product") {
      const gap = (at(tree.upper) - at(tree.lower)) * (tree.isDescending ? -1 : 1);
      if (gap < -1) return true;
    }
    return childrenOf(tree).some((part) => runsBack(part, steps));
  }

  const TOLERANCE = 1e-10; // of one comparison, as check_equation's

  /* Both sides at every step where both are defined, with the exact gradients; isQuick:
     no further than to the first difference. covered: the steps that were compared. */
  B.compared = function (left, right, pass, isQuick) {
    const found = { a: [], b: [] }, covered = new Set(), letters = freeLetters(hasDelta(left) ? { left, right } : left);
    const free = freeSteps([left, right]), all = choices([...free.map((step) => [step, 1, B.tau]), ...letters.map(([letter, count]) => [letter, 0, count - 1])]);
    let undefined_ = null, isEqual = true;
    for (const chosen of all) {
      const indices = Object.fromEntries(letters.map(([letter]) => [letter, chosen[letter]])), steps = { ...chosen };
      for (const [letter] of letters) delete steps[letter];
      try {
        if (runsBack(left, steps) || runsBack(right, steps)) continue;
        const values = [right, left].map((side) => new B.Evaluator("columns", pass, steps, indices).value(side));
        const b = values[1], a = filled(values[0], b, right);
        const { fits, error } = B.compare(a, b);
        if (!fits) throw new B.FormulaError("lab-sides", { a: a.shape.join("×") || "1", b: b.shape.join("×") || "1" }, right.span);
        found.a.push(...a.data);
        found.b.push(...b.data);
        covered.add(chosen[free[0]] ?? 0);
        isEqual = isEqual && error <= TOLERANCE;
        if (isQuick && !isEqual) break;
      } catch (error) {
        if (!(error instanceof B.FormulaError) || !["lab-no-step", "lab-leaves"].includes(error.id)) throw error;
        undefined_ = error;
      }
    }
    if (!found.a.length) throw undefined_;
    const whole = (data) => ({ shape: [data.length], data: Float64Array.from(data) });
    return { rows: [{ name: "=", ...B.compare(whole(found.a), whole(found.b)) }], isEqual, covered: Array.from(covered), letter: free[0] || "" };
  };

  function attempt(left, formula, reading) {
    try {
      const own = target(left);
      if (own) return { rows: B.runPass({ ...own, formula, reading }) };
      return { rows: B.compared(left, formula, new B.Pass(null)).rows };
    } catch (error) {
      if (!(error instanceof B.FormulaError)) throw error;
      return { error };
    }
  }

  const bare = (tree) => JSON.stringify(tree, (key, value) => (key === "span" ? undefined : value));
  const isWrong = (row) => !(row.error < 1e-9);

  const usual = { ...node(lab.target, "t"), span: [0, 0] };
  function judgeSide(left, right) {
    if (left && bare(left) === bare(right)) return { columns: { error: new B.FormulaError("lab-circular", {}, right.span) }, numpy: null };
    const sides = [left || usual, right], columns = attempt(left, right, "columns");
    const isShape = columns.error && ["lab-product", "lab-elementwise", "lab-vector", "lab-result"].includes(columns.error.id);
    return { columns, numpy: isShape ? attempt(left, right, "numpy") : null, sides };
  }

  const hasI = (tree) => tree.isUnsized || childrenOf(tree).some(hasI);

  /* An I without a size has the first one that fits. */
  B.judge = function (text) {
    const sizes = Object.keys(B.data.sizes);
    let first = null;
    for (const size of sizes.length ? sizes : [""]) {
      B.sizeOfI = size;
      const { verdict, isOpen } = judgeOnce(text);
      if (!isOpen || !verdict.columns.error) return verdict;
      first = first || verdict;
    }
    return first;
  };

  function judgeOnce(text) {
    let sides;
    try {
      sides = B.parseFormula(text).sides;
    } catch (error) {
      if (!(error instanceof B.FormulaError)) throw error;
      return { verdict: { columns: { error }, numpy: null }, isOpen: false };
    }
    const left = sides.length > 1 ? sides[0] : null;
    const others = sides.length > 1 ? sides.slice(1).filter((side) => bare(side) !== bare(left)) : sides;
    const found = (others.length ? others : sides.slice(1)).map((side) => judgeSide(left, side));
    const verdict = found.find(({ columns }) => columns.error || columns.rows.some(isWrong)) || found[0];
    return { verdict, isOpen: sides.some(hasI) };
  }

  function quoted(text, span) {
    const wide = Math.max(1, span[1] - span[0]);
    return B.make("pre", { text: text.replace(/\n/g, " ") + "\n" + " ".repeat(span[0]) + "^".repeat(wide) });
  }

  function table(rows) {
    const head = B.make("tr", {}, ...["lab-gradient", "lab-error", "lab-cosine"].map((id) => B.make("th", { text: B.word(id), scope: "col" })));
    const body = rows.map((row) => {
      return B.make("tr", { class: isWrong(row) ? "bad" : "good" },
        B.named("td", row.name === "=" ? "=" : B.data.places[row.name].mark),
        B.make("td", { class: "n", text: Number.isFinite(row.error) ? B.show(row.error, isWrong(row) ? 2 : 1) : B.word("lab-not-finite") }),
        B.make("td", { class: "n", text: !Number.isFinite(row.cosine) ? "" : Math.abs(1 - row.cosine) < 1e-12 ? "1" : B.show(row.cosine, 4) }));
    });
    return B.make("table", {}, B.make("thead", {}, head), B.make("tbody", {}, ...body));
  }

  /* What the likely fix is, as check_equation says it; null where the formula is right,
     is not read, or says nothing. */
  B.diagnosisOf = function (text, { columns, sides }) {
    if (!sides || (columns.rows && !columns.rows.some(isWrong))) return null;
    return B.diagnosis(...sides);
  };

  function advised(text, { span, advice, suggestion, hints }) {
    const known = suggestion && fill("formula.known", { equation: suggestion });
    const lines = [advice && fill("formula.fix", { advice: said(advice) }), known, ...hints.map(said)].filter(Boolean);
    return [...(span ? [quoted(text, span)] : []), ...lines.map((line) => B.make("p", { text: line }))];
  }

  /* In slices of time, so that the reader can type on; a later search ends this one. */
  let search = 0;
  function seek(text, verdict, place) {
    const mine = ++search, steps = B.diagnosisOf(text, verdict);
    if (!steps) return Promise.resolve();
    return new Promise((resolve) => {
      const go = () => {
        if (mine !== search) return resolve();
        for (const end = performance.now() + 12; performance.now() < end;) {
          const { done, value } = steps.next();
          if (!done) continue;
          place.append(...advised(text, value));
          return resolve();
        }
        return setTimeout(go);
      };
      setTimeout(go);
    });
  }

  function show(text) {
    const place = B.one(".lab .result"), verdict = B.judge(text), { columns, numpy } = verdict;
    const parts = [], advice = B.make("div", { class: "advice" });
    const isRight = columns.rows && !columns.rows.some(isWrong);
    if (columns.error) {
      parts.push(B.make("p", { text: fill(columns.error.id, columns.error.fields) }), quoted(text, columns.error.span));
    } else {
      parts.push(B.make("p", { text: B.word(isRight ? "lab-right" : "lab-wrong") }), table(columns.rows));
    }
    parts.push(advice);
    if (numpy) {
      const isTrap = numpy.rows && numpy.rows.some(isWrong);
      const isShapeless = numpy.error?.id === "lab-result", { fields } = numpy.error || {};
      const id = isTrap ? "lab-trap" : numpy.rows ? "lab-flat-right" : isShapeless ? "formula.flat-shape" : "lab-no-trap";
      parts.push(B.make("p", { text: fill(id, fields || {}) }));
      if (numpy.rows) parts.push(table(numpy.rows));
    }
    place.className = "result " + (isRight ? "good" : "bad");
    place.replaceChildren(...parts);
    B.sought = seek(text, verdict, advice);
  }

  B.startLab = function () {
    if (!lab || !lab.order.length) return;
    const area = B.one(".lab textarea");
    area.value = lab.right;
    area.addEventListener("input", () => {
      for (const button of B.all(".lab .choices button")) button.setAttribute("aria-pressed", "false");
      show(area.value);
    });
    for (const button of B.all(".lab .choices button")) {
      button.addEventListener("click", () => {
        for (const other of B.all(".lab .choices button")) other.setAttribute("aria-pressed", other === button);
        area.value = button.dataset.formula;
        show(area.value);
      });
    }
    show(area.value);
    B.refreshLab = () => show(area.value);
  };
})();
