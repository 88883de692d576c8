/* Multiply in series, add in parallel: every path from a parameter to L, walked from L,
   factor by factor, and added into the box of its parameter until that is the gradient.
   Above MANY paths those between the same two steps go together. */
(function () {
  const MANY = 300, lab = B.data.lab;
  const isNode = (name) => lab.order.includes(name);
  const key = (name, t) => `${name}@${t}`;
  const from = new Map();
  for (const edge of lab.edges) from.set(edge.source, [...(from.get(edge.source) || []), edge]);
  const plus = (a, b) => (a ? a.map((v, i) => v + b[i]) : b);

  /* ----- the paths: {seed, end, start, steps: [{edge, at}]}, steps from the parameter ----- */

  const onwards = (name, t) => (from.get(name) || []).map((edge) => ({ edge, at: t + edge.lag }))
    .filter(({ at }) => at >= 1 && at <= B.tau);

  function countPaths(name) {
    const known = new Map();
    const count = (node, t) => {
      const at = key(node, t);
      if (!known.has(at)) {
        known.set(at, (Object.hasOwn(lab.seeds, node) ? 1 : 0)
          + onwards(node, t).reduce((sum, { edge, at: next }) => sum + count(edge.target, next), 0));
      }
      return known.get(at);
    };
    let total = 0;
    for (let s = 1; s <= B.tau; s++) for (const edge of from.get(name) || []) total += count(edge.target, s);
    return total;
  }

  function walkAll(name) {
    const found = [];
    const walk = (node, t, start, steps) => {
      if (Object.hasOwn(lab.seeds, node)) found.push({ seed: node, end: t, start, steps });
      for (const { edge, at } of onwards(node, t)) walk(edge.target, at, start, [...steps, { edge, at }]);
    };
    for (let s = 1; s <= B.tau; s++) {
      for (const edge of from.get(name) || []) walk(edge.target, s, s, [{ edge, at: s }]);
    }
    return found;
  }

  /* {start, end}: all the ways from the copy of step `start` to the loss of step `end`. */
  function bundles(name) {
    const found = [];
    for (let s = 1; s <= B.tau; s++) for (let t = 1; t <= B.tau; t++) {
      const value = bundleValue(name, s, t);
      if (value.some((v) => v !== 0)) found.push({ start: s, end: t, value, steps: null });
    }
    return found;
  }

  function bundleValue(name, s, t) {
    const pass = new B.Pass(null);
    pass.only = t;
    return pass.gradient(name, s, { span: [0, 1] });
  }

  B.bundlesOf = bundles;
  B.pathsOf = function (name) {
    const all = countPaths(name) > MANY ? bundles(name) : walkAll(name);
    const lag = (path) => Math.abs(path.end - path.start);
    return all.sort((a, b) => lag(a) - lag(b) || a.start - b.start || (a.steps?.length ?? 0) - (b.steps?.length ?? 0));
  };

  /* ----- the product along a path, from L to the parameter ----- */

  B.alongPath = function (path, name) {
    if (!path.steps) {
      return [{ name: "L", t: "", value: Float64Array.of(1) }, { name, t: path.start, value: path.value, path }];
    }
    const isLoss = lab.loss === path.seed;
    let value = B.seedAt(path.seed, path.end);
    const found = isLoss ? [{ name: "L", t: "", value: Float64Array.of(1) }] : [];
    found.push({ name: path.seed, t: path.end, value, card: isLoss ? `${path.seed}[t]>L` : null, at: path.end });
    for (const { edge, at } of path.steps.slice().reverse()) {
      value = B.pull(edge, at, value);
      const isParameter = !isNode(edge.source);
      const lagged = edge.lag ? `[t${edge.lag > 0 ? "-" : "+"}${Math.abs(edge.lag)}]` : "[t]";
      found.push({
        name: edge.source, t: at - edge.lag, value, at,
        card: `${edge.source}${isParameter ? "" : lagged}>${edge.target}`,
      });
    }
    return found;
  };

  /* ----- what is shown ----- */

  const state = { name: null, paths: [], at: 0, shown: 1, box: null };
  B.walk = state;
  const shapeOf = (name) => {
    const shape = B.data.places[name]?.shape ?? [];
    return [shape[0] ?? 1, shape[1] ?? 1];
  };
  const latexName = (name) => (name === "L" ? "L" : lab.latex[name] ?? name);
  const stepped = (tex, t) => tex.replace(/\(t([+-]\d+)?\)/g, (_, lag) => `(${t + Number(lag || 0)})`)
    .replace(/w_\{t\}|w_t/g, `w_{${t}}`);
  const raised = (t) => (t === "" ? "" : `^{(${t})}`);

  function productTex(stops, count) {
    const first = stops[0];
    let tex = first.name === "L" && first.t === "" ? "1" : stepped(lab.incoming[first.name], first.t);
    for (const stop of stops.slice(1, count)) {
      if (stop.path) return `\\frac{\\mathrm{d} L^{(${stop.path.end})}}{\\mathrm{d} ${latexName(stop.name)}^{(${stop.t})}}`;
      const factor = lab.turned[stop.card];
      if (factor === undefined) continue;
      const own = stepped(factor, stop.at);
      const isOne = own === "1" || /^I_|^I$/.test(B.plainLatex(own));
      if (own.includes(lab.given)) tex = own.split(lab.given).join(tex === "1" ? "1" : `\\left(${tex}\\right)`);
      else if (!isOne) tex = tex === "1" ? own : `${wrapped(own)}\\, ${wrapped(tex)}`;
    }
    return tex;
  }
  /* Brackets around a sum at the top level. */
  function wrapped(tex) {
    let depth = 0;
    for (let i = 0; i < tex.length; i++) {
      if ("{(".includes(tex[i])) depth++;
      if ("})".includes(tex[i])) depth--;
      if (depth === 0 && "+-".includes(tex[i])) return `\\left(${tex}\\right)`;
    }
    return tex;
  }

  function station(stop) {
    const [rows, columns] = shapeOf(stop.name);
    const isBox = B.data.places[stop.name]?.isParameter;
    const name = B.typed(`\\{${latexName(stop.name)}${raised(stop.t)}\\}`);
    return B.make("span", { class: "station" + (isBox ? " box" : "") }, B.table(rows, columns, stop.value), name);
  }

  function exact() { return new B.Pass(null).gradient(state.name, "", { span: [0, 1] }); }

  /* {W}: the sum of the paths that are finished, and what is left to the gradient. */
  function boxed() {
    const done = state.at + (isFinished() ? 1 : 0);
    let sum = new Float64Array(shapeOf(state.name).reduce((a, b) => a * b, 1));
    for (const path of state.paths.slice(0, done)) sum = plus(sum, B.alongPath(path, state.name).at(-1).value);
    const whole = exact(), top = Math.max(...whole.map(Math.abs)) || 1;
    const left = Math.max(...whole.map((v, i) => Math.abs(v - sum[i])));
    return { sum, whole, done, error: left / top };
  }
  const stops = () => B.alongPath(state.paths[state.at], state.name);
  const isFinished = () => state.paths.length > 0 && state.shown >= stops().length;

  function light(picture, found) {
    for (const part of B.all(".on", picture)) part.classList.remove("on");
    const path = state.paths[state.at];
    const arrow = (card, t) => B.one(`.col[data-t="${t}"] .e[data-k="${CSS.escape(card)}"]`, picture)?.classList.add("on");
    const node = (name, t) => {
      if (t === "") return;
      const inside = t >= 1 ? `.col[data-t="${t}"] ` : "";
      B.one(`${inside}.n[data-sym="${CSS.escape(name)}"]`, picture)?.classList.add("on");
    };
    if (!path.steps) {
      for (let t = path.start; t <= path.end; t++) for (const e of B.all(`.col[data-t="${t}"] .e:not(.cut)`, picture)) e.classList.add("on");
    }
    for (const stop of found) {
      if (stop.card) arrow(stop.card, stop.at);
      node(stop.name, stop.t);
    }
    B.one(".n.total", picture)?.classList.add("on");
    for (const box of B.all(".rail .n", picture)) box.classList.toggle("on", box.dataset.sym === state.name);
  }

  /* The column where the path begins comes into sight. */
  function scroll(root, t) {
    const column = B.one(`.col[data-t="${t}"]`, root), canvas = B.one(".canvas", root);
    if (!column || canvas.scrollWidth <= canvas.clientWidth) return;
    const x = +/translate\((\S+)/.exec(column.getAttribute("transform"))[1];
    canvas.scrollLeft = x - canvas.clientWidth / 2;
  }

  function draw() {
    const root = B.one(".walk");
    if (!state.paths.length) return;
    const all = stops(), found = all.slice(0, state.shown);
    light(root, all);
    scroll(root, state.paths[state.at].end);
    for (const e of B.all(".e.next, .e.passed", root)) e.classList.remove("next", "passed");
    for (const stop of found) {
      if (stop.card) B.one(`.col[data-t="${stop.at}"] .e[data-k="${CSS.escape(stop.card)}"]`, root)?.classList.add("passed");
    }
    B.one(".walk-count", root).textContent = `${state.at + 1} / ${state.paths.length}`;
    B.one(".walk-product", root).replaceChildren(B.typed(productTex(all, state.shown), true));
    const line = found.flatMap((stop, i) => (i ? [B.make("span", { class: "op", text: "→" }), station(stop)] : [station(stop)]));
    B.one(".walk-numbers", root).replaceChildren(...line);
    const box = boxed(), [rows, columns] = shapeOf(state.name);
    state.box = box;
    const isWhole = box.done === state.paths.length;
    const name = latexName(state.name);
    B.one(".walk-box", root).replaceChildren(
      B.typed(`\\{${name}\\} =`), B.table(rows, columns, box.sum),
      B.make("span", { class: "op", text: isWhole ? "=" : "≠" }),
      B.typed(`\\nabla_{${name}} L =`), B.table(rows, columns, box.whole));
    const note = B.one(".walk-note", root);
    note.className = "walk-note " + (isWhole ? "mark" : "note");
    const fields = { done: box.done, count: state.paths.length, error: B.show(box.error, 1) };
    note.textContent = B.word(isWhole ? "walk-whole" : "walk-part").replace(/\{(\w+)\}/g, (_, k) => fields[k]);
  }

  /* ----- what a reader does ----- */

  function choose(name) {
    Object.assign(state, { name, paths: B.pathsOf(name), at: 0, shown: 1 });
    for (const button of B.all("[data-walk]")) button.setAttribute("aria-pressed", button.dataset.walk === name);
    draw();
  }
  const moves = {
    factor() {
      if (!isFinished()) state.shown++;
      else if (state.at + 1 < state.paths.length) Object.assign(state, { at: state.at + 1, shown: 1 });
    },
    path() {
      if (!isFinished()) state.shown = stops().length;
      else if (state.at + 1 < state.paths.length) { state.at++; state.shown = stops().length; }
    },
    all() { state.at = state.paths.length - 1; state.shown = stops().length; },
    again() { Object.assign(state, { at: 0, shown: 1 }); },
  };
  B.stepWalk = function (move) { moves[move](); draw(); };

  B.startWalk = function () {
    const root = B.one(".walk"), picture = B.one("#graph-full");
    if (!root || !picture) return;
    const canvas = picture.closest(".canvas").cloneNode(true);
    const svg = B.one("svg:not(.rail)", canvas);
    canvas.hidden = false;
    svg.id = "graph-walk";
    svg.dataset.widths = "graph-full";
    svg.classList.remove("quiet");
    svg.classList.add("backward");
    for (const head of B.all("marker", svg)) head.id = head.id.replace("full", "walk");
    B.one("figure", root).append(canvas);
    if (B.wholeGraph) B.wholeGraph(svg);
    for (const button of B.all("[data-walk]", root)) button.addEventListener("click", () => choose(button.dataset.walk));
    for (const button of B.all("[data-move]", root)) button.addEventListener("click", () => B.stepWalk(button.dataset.move));
    choose(B.one("[data-walk]", root).dataset.walk);
  };
  B.chooseWalk = choose;
  B.refreshWalk = draw;
})();
