/* Try to break it: a formula of the reader's, or a known mistake, run on these numbers. */
(function () {
  const lab = B.data.lab;
  const trees = new Map();
  const tree = (text) => {
    if (!trees.has(text)) trees.set(text, B.parseFormula(text).right);
    return trees.get(text);
  };
  const fill = (id, fields) => B.word(id).replace(/\{(\w+)\}/g, (_, key) => fields[key] ?? "");
  const bound = (time) => (time.base ? B.tau : 0) + time.offset;

  /* What the reader's formula defines: a node's gradient, or a parameter's. */
  function target(left) {
    if (!left) return lab.target;
    if (left.op !== "gradient") throw new B.FormulaError("lab-left", {}, left.span);
    return left.name;
  }

  /* One backward pass by the page's own formulas, with one of them replaced. */
  B.runPass = function (name, own, reading) {
    const gradients = new Map();
    const right = new B.Evaluator("columns", gradients), theirs = new B.Evaluator(reading, gradients);
    for (let t = B.tau; t >= 1; t--) {
      right.steps = { t, tau: B.tau };
      theirs.steps = { t, tau: B.tau };
      for (const node of lab.nodes) {
        const value = node.name === name ? replaced(node, own, theirs, right, t) : formula(node, right, t);
        if (value) gradients.set(`${node.name}@${t}`, value);
      }
    }
    right.steps = { tau: B.tau };
    theirs.steps = { tau: B.tau };
    return lab.parameters.map((parameter) => ({
      name: parameter.name,
      value: parameter.name === name ? theirs.value(own) : right.value(tree(parameter.formula)),
    })).concat(lab.nodes.filter((node) => node.name === name).map((node) => ({
      name: node.name, value: stacked(node.name, gradients),
    })));
  };

  function formula(node, evaluator, t) {
    const found = node.cases.find((c) => bound(c.first) <= t && t <= bound(c.last));
    return found ? evaluator.value(tree(found.formula)) : null;
  }

  /* At tau a formula that reads t+1 says nothing: the page's own one stands in. */
  function replaced(node, own, theirs, right, t) {
    let value;
    try {
      value = theirs.value(own);
    } catch (error) {
      if (error.id !== "lab-no-step" || t < B.tau) throw error;
      return formula(node, right, t);
    }
    const shape = B.data.places[node.name].shape, size = shape.reduce((a, b) => a * b, 1);
    if (value.data.length !== size) {
      throw new B.FormulaError("lab-result", { name: node.name, found: value.shape.join("×") || "1", wanted: `${size}×1` }, own.span);
    }
    return { shape: shape.length === 2 ? shape : [size, 1], data: value.data };
  }

  function stacked(name, gradients) {
    const parts = [];
    for (let t = 1; t <= B.tau; t++) parts.push(...gradients.get(`${name}@${t}`).data);
    return { shape: [parts.length], data: Float64Array.from(parts) };
  }

  function exact(name) {
    const entry = B.data.places[name], parts = [];
    const count = entry.shape.reduce((a, b) => a * b, 1);
    const steps = "" in entry.g ? [""] : Array.from({ length: B.tau }, (_, i) => i + 1);
    for (const t of steps) parts.push(...B.exact.slice(entry.g[t], entry.g[t] + count));
    return { shape: steps.length === 1 && steps[0] === "" ? entry.shape : [parts.length], data: Float64Array.from(parts) };
  }

  function attempt(left, own, reading) {
    try {
      const rows = B.runPass(target(left), own, reading).map((row) => {
        const found = B.compare(row.value, exact(row.name));
        if (!found.fits) {
          throw new B.FormulaError("lab-result", {
            name: row.name, found: row.value.shape.join("×") || "1", wanted: exact(row.name).shape.join("×"),
          }, own.span);
        }
        return { name: row.name, ...found };
      });
      return { rows };
    } catch (error) {
      if (!(error instanceof B.FormulaError)) throw error;
      return { error };
    }
  }

  B.judge = function (text) {
    let parsed;
    try {
      parsed = B.parseFormula(text);
      target(parsed.left);
    } catch (error) {
      if (!(error instanceof B.FormulaError)) throw error;
      return { columns: { error }, numpy: null };
    }
    const columns = attempt(parsed.left, parsed.right, "columns");
    const isShape = columns.error && ["lab-product", "lab-elementwise", "lab-vector", "lab-result"].includes(columns.error.id);
    return { columns, numpy: isShape ? attempt(parsed.left, parsed.right, "numpy") : null };
  };

  function quoted(text, span) {
    const wide = Math.max(1, span[1] - span[0]);
    return B.make("pre", { text: text.replace(/\n/g, " ") + "\n" + " ".repeat(span[0]) + "^".repeat(wide) });
  }

  function table(rows) {
    const head = B.make("tr", {}, ...["lab-gradient", "lab-error", "lab-cosine"].map((id) => B.make("th", { text: B.word(id), scope: "col" })));
    const body = rows.map((row) => {
      const isWrong = !(row.error < 1e-9);
      return B.make("tr", { class: isWrong ? "bad" : "good" },
        B.make("td", { text: (B.data.places[row.name].mark) }),
        B.make("td", { class: "num", text: B.show(row.error, isWrong ? 2 : 1) }),
        B.make("td", { class: "num", text: Math.abs(1 - row.cosine) < 1e-12 ? "1" : B.show(row.cosine, 4) }));
    });
    return B.make("table", {}, B.make("thead", {}, head), B.make("tbody", {}, ...body));
  }

  function show(text) {
    const place = B.one(".lab .result");
    const { columns, numpy } = B.judge(text);
    const parts = [];
    const isRight = columns.rows && columns.rows.every((row) => row.error < 1e-9);
    if (columns.error) {
      parts.push(B.make("p", { text: fill(columns.error.id, columns.error.fields) }), quoted(text, columns.error.span));
    } else {
      parts.push(B.make("p", { text: B.word(isRight ? "lab-right" : "lab-wrong") }), table(columns.rows));
    }
    if (numpy) {
      parts.push(B.make("p", { text: B.word(numpy.rows ? "lab-trap" : "lab-no-trap") }));
      if (numpy.rows) parts.push(table(numpy.rows));
    }
    place.className = "result " + (isRight ? "good" : "bad");
    place.replaceChildren(...parts);
  }

  B.startLab = function () {
    if (!lab || !lab.nodes.length) return;
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
