/* Vanish or explode: the cell run forward and backward again, here, on numbers that the
   reader turns: the length of the sequence, the scale of what comes back, one input, the
   initial state. A world holds what Evaluator and Pass read: places, exact, tau. */
(function () {
  const lab = B.data.lab, given = { places: B.data.places, exact: B.exact, tau: B.tau };
  const count = (shape) => shape.reduce((a, b) => a * b, 1);

  B.within = function (world, run) {
    const kept = { places: B.data.places, exact: B.exact, tau: B.tau };
    try {
      B.data.places = world.places;
      B.exact = world.exact;
      B.tau = world.tau;
      B.weights = world.weights;
      return run();
    } finally {
      B.data.places = kept.places;
      B.exact = kept.exact;
      B.tau = kept.tau;
      B.weights = null;
    }
  };

  const read = (name, t) => {
    const entry = given.places[name], start = entry.v[t];
    return start === undefined ? null : given.exact.subarray(start, start + count(entry.shape));
  };
  /* Beyond the sequence that is shown, inputs and what arrives from outside come again. */
  const shown = (t) => ((t - 1) % given.tau) + 1;

  /* Room for every name at every step, filled with what is given. */
  function prepare(wish) {
    const places = {}, parts = [], weights = [0];
    for (let t = 1; t <= wish.tau; t++) weights.push(isCounted(wish, t) ? weightOf(wish, t) : 0);
    let size = 0;
    const put = (name, key, t, values) => {
      places[name][key][t] = size;
      parts.push([size, values]);
      size += values.length;
    };
    for (const [name, entry] of Object.entries(given.places)) {
      if (name === "L" && !lab.order.includes("L")) continue;
      places[name] = { ...entry, v: {}, g: {}, s: {} };
      const length = count(entry.shape);
      if (entry.isParameter) { put(name, "v", "", scaled(read(name, ""), lab.recurrent.includes(name) ? wish.scale : 1)); continue; }
      for (let t = 1; t <= wish.tau; t++) {
        if (lab.order.includes(name)) put(name, "v", t, new Float64Array(length));
        else put(name, "v", t, input(name, t, wish));
        const seed = entry.s[shown(t)];
        if (seed !== undefined) put(name, "s", t, scaled(given.exact.subarray(seed, seed + length), isCounted(wish, t) ? 1 : 0));
      }
      for (const t of Object.keys(entry.v)) { // with delays the steps 0, -1, ...
        if (+t < 1) put(name, "v", +t, scaled(read(name, t), lab.order.includes(name) ? wish.initial : 1));
      }
    }
    const exact = new Float64Array(size);
    for (const [start, values] of parts) exact.set(values, start);
    return { places, exact, weights, tau: wish.tau };
  }
  const weightOf = (wish, t) => (wish.where === "last" ? 1 : lab.weights[shown(t) - 1]);
  const scaled = (values, factor) => Float64Array.from(values, (v) => v * factor);
  const isCounted = (wish, t) => wish.where === "every" || t === wish.tau;
  function input(name, t, wish) {
    const isReal = given.places[name].index === undefined;
    const values = scaled(read(name, shown(t)), isReal ? wish.inputs : 1);
    if (t === 1 && name === lab.input && wish.first !== null) values[0] = wish.first;
    return values;
  }

  /* The values of every node, step by step, by the cell's own equations. */
  B.runForward = function (wish) {
    const world = prepare(wish);
    B.within(world, () => {
      for (let i = 1; i <= wish.tau; i++) {
        const t = lab.isBackward ? wish.tau + 1 - i : i;
        for (const name of lab.order) {
          const found = new B.Evaluator("columns", null, { t }).value(B.treeOf(lab.equations[name]));
          const entry = world.places[name], length = count(entry.shape);
          const values = found.data.length === length ? found.data : new Float64Array(length).fill(found.data[0]);
          world.exact.set(values, entry.v[t]);
        }
      }
    });
    return world;
  };

  const lossOf = (world) => {
    let total = 0;
    const dot = (a, b, length) => { for (let i = 0; i < length; i++) total += world.exact[a + i] * world.exact[b + i]; };
    for (const name of Object.keys(lab.seeds)) {
      const entry = world.places[name];
      for (let t = 1; t <= world.tau; t++) {
        if (name === lab.loss) total += world.weights[t] * world.exact[entry.v[t]];
        else dot(entry.s[t], entry.v[t], count(entry.shape));
      }
    }
    return total;
  };

  const norm = (values) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
  const SPAN = { span: [0, 1] };

  /* Loss, norms of every state's gradient by step, of every parameter's; a check. */
  B.runAgain = function (wish) {
    const world = B.runForward(wish);
    const found = { world, loss: lossOf(world), states: {}, parameters: {} };
    let along = 0;
    B.within(world, () => {
      const pass = new B.Pass(null);
      for (let t = wish.tau; t >= 1; t--) for (const name of lab.order.slice().reverse()) pass.gradient(name, t, SPAN);
      for (const name of lab.states) {
        found.states[name] = Array.from({ length: wish.tau }, (_, i) => norm(pass.gradient(name, i + 1, SPAN)));
      }
      for (const { name } of lab.parameters) {
        const gradient = pass.gradient(name, "", SPAN);
        found.parameters[name] = gradient;
        if (lab.recurrent.includes(name)) along += gradient.reduce((sum, v, i) => sum + v * world.exact[world.places[name].v[""] + i], 0);
      }
    });
    found.check = { derivative: along / (wish.scale || 1), quotient: quotient(wish) };
    return found;
  };

  /* dL / d scale by a central difference: what the gradients must agree with. */
  function quotient(wish) {
    const step = 1e-5 * Math.max(wish.scale, 0.1);
    const at = (scale) => lossOf(B.runForward({ ...wish, scale }));
    return (at(wish.scale + step) - at(wish.scale - step)) / (2 * step);
  }

  /* ----- the chart: norms on a log scale over t ----- */

  const WIDTH = 640, HEIGHT = 300, LEFT = 62, BOTTOM = 34, TOP = 12, RIGHT = 30;
  const FLOOR = 1e-300;

  function chart(found) {
    const names = Object.keys(found.states), tau = found.world.tau;
    const logs = names.map((name) => found.states[name].map((v) => (v > FLOOR && Number.isFinite(v) ? Math.log10(v) : null)));
    const all = logs.flat().filter((v) => v !== null);
    let [low, high] = [Math.floor(Math.min(0, ...all)), Math.ceil(Math.max(0, ...all))];
    if (high - low < 2) [low, high] = [low - 1, high + 1];
    const x = (t) => LEFT + (tau === 1 ? 0 : ((t - 1) / (tau - 1)) * (WIDTH - LEFT - RIGHT));
    const y = (v) => TOP + ((high - v) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const svg = B.svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart play-chart", role: "img" });
    svg.append(B.svg("title", {}));
    svg.firstChild.textContent = B.word("play-chart");
    const text = (content, attributes) => {
      const element = B.svg("text", attributes);
      element.textContent = content;
      svg.append(element);
    };
    const every = Math.max(1, Math.ceil((high - low) / 6));
    for (let v = low; v <= high; v += every) {
      svg.append(B.svg("line", { class: v === 0 ? "grid one" : "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(v), y2: y(v) }));
      text(decade(v), { x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" });
    }
    const stride = Math.max(1, Math.ceil(tau / 10));
    for (let t = 1; t <= tau; t += stride) text(String(t), { x: x(t), y: HEIGHT - 12, "text-anchor": "middle" });
    text("t", { x: WIDTH - RIGHT + 14, y: HEIGHT - 12 });
    logs.forEach((values, i) => {
      const points = values.map((v, k) => (v === null ? null : `${x(k + 1).toFixed(1)} ${y(v).toFixed(1)}`));
      const line = points.filter(Boolean).join("L");
      if (line) svg.append(B.svg("path", { class: "curve play-" + (i % 3), d: "M" + line }));
      for (const point of points.filter(Boolean)) {
        const [cx, cy] = point.split(" ");
        svg.append(B.svg("circle", { class: "play-" + (i % 3), cx, cy, r: 2.6 }));
      }
    });
    return B.make("div", {}, svg, key(names));
  }

  /* 0.1, 1, 10; 10⁻⁵ further away. */
  const raised = (n) => Array.from(String(n), (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
  const decade = (v) => (Math.abs(v) <= 3 ? String(Number((10 ** v).toPrecision(1))) : "10" + raised(v));

  const normOf = (name, step = "") => B.typed(`\\lVert \\nabla_{${lab.latex[name] ?? name}${step}} L \\rVert`);

  /* The lines and what they are. */
  function key(names) {
    const line = (i) => {
      const svg = B.svg("svg", { width: 30, height: 12, class: "chart sample", "aria-hidden": "true" });
      svg.append(B.svg("path", { d: "M0 6h26", class: "curve play-" + (i % 3) }));
      return svg;
    };
    return B.make("ul", { class: "legend" }, ...names.map((name, i) => B.make("li", {}, line(i), normOf(name, "^{(t)}"))));
  }

  /* ----- what a reader turns ----- */

  const MUCH = 10; // in all, so that a step or two are not called either
  const LOW = 1e-2 ** (1 / 20), HIGH = 1e2 ** (1 / 20); // per step: 20 steps leave a hundredth, or make a hundred
  const root = () => B.one(".play");
  const field = (name) => B.one(`[data-play="${name}"]`, root());
  function wishes() {
    const number = (name, otherwise) => (field(name) ? +field(name).value : otherwise);
    return {
      tau: number("tau"), scale: 2 ** number("scale", 0), inputs: number("inputs", 1),
      first: field("first") ? number("first") : null, initial: number("initial", 1),
      where: B.one('[name="play-where"]:checked', root()).value,
    };
  }

  const fill = (key, fields) => B.word(key).replace(/\{(\w+)\}/g, (_, name) => fields[name] ?? "");
  function sentence(found) {
    const state = lab.states[0], norms = found.states[state];
    const ratio = norms[0] / norms[norms.length - 1], steps = Math.max(1, norms.length - 1);
    const rate = ratio ** (1 / steps);
    const isFar = ratio < 1 / MUCH || ratio > MUCH;
    const key = !Number.isFinite(ratio) ? "none" : !isFar ? "neither" : rate < LOW ? "vanishing" : rate > HIGH ? "exploding" : "neither";
    found.verdict = key;
    return fill("play-" + key, { ratio: B.show(ratio), rate: B.show(rate), tau: norms.length });
  }

  function draw() {
    if (!root()) return;
    const wish = wishes(), found = B.runAgain(wish);
    B.played = { wish, ...found };
    const texts = { tau: wish.tau, scale: "× " + B.show(wish.scale), inputs: "× " + B.show(wish.inputs), first: B.show(wish.first), initial: "× " + B.show(wish.initial) };
    for (const [name, text] of Object.entries(texts)) {
      const place = B.one(`[data-shown="${name}"]`, root());
      if (place) place.textContent = text;
    }
    B.one(".play-figure", root()).replaceChildren(chart(found));
    B.one(".play-verdict", root()).textContent = sentence(B.played);
    const { derivative, quotient } = found.check;
    const size = Math.max(Math.abs(derivative), Math.abs(quotient)) || 1;
    B.one(".play-check", root()).textContent = lab.recurrent.length
      ? fill(lab.isStopped ? "play-stopped" : "play-check", { derivative: B.show(derivative, 5), quotient: B.show(quotient, 5), error: B.show(Math.abs(derivative - quotient) / size, 1) }) : "";
    const rows = [[B.typed("L"), found.loss], ...Object.entries(found.parameters).map(([name, g]) => [normOf(name), norm(g)])];
    B.one(".play-table", root()).replaceChildren(...rows.map(([name, value]) => B.make("span", {}, name, B.make("b", { text: B.show(value) }))));
  }
  B.refreshPlay = draw;

  /* How much longer the gradient is at the first step than at the last. */
  function growth(wish) {
    const world = B.runForward(wish), state = lab.states[0];
    return B.within(world, () => {
      const pass = new B.Pass(null);
      const [first, last] = [1, wish.tau].map((t) => norm(pass.gradient(state, t, SPAN)));
      return last > 0 && Number.isFinite(first) ? first / last : 0;
    });
  }

  /* Of a few dozen settings the one in which the gradient grows most. */
  function explosive(start) {
    let best = start, most = 0;
    for (const tau of [8, 16, 30]) for (const scale of [1, 1.5, 2, 2.5, 3, 3.25, 3.75]) {
      for (const [inputs, initial] of [[0, 0], [0, 0.001], [0.5, 1]]) {
        const first = start.first * inputs;
        const found = growth({ tau, scale: 2 ** scale, inputs, initial, first: lab.input ? first : null, where: "last" });
        if (found > most) [best, most] = [{ ...start, tau, scale, inputs, initial, first, where: "last" }, found];
      }
    }
    return best;
  }
  const PRESETS = {
    shown: (start) => start,
    vanish: (start) => ({ ...start, tau: 30, scale: -1.5, where: "last" }),
    explode: explosive,
  };
  B.preset = function (name) {
    const start = { tau: given.tau, scale: 0, inputs: 1, initial: 1, first: lab.input ? read(lab.input, 1)[0] : 0, where: "every" };
    for (const [key, value] of Object.entries(PRESETS[name](start))) {
      if (key === "where") B.one(`[name="play-where"][value="${value}"]`, root()).checked = true;
      else if (field(key)) field(key).value = value;
    }
    draw();
  };

  B.startPlay = function () {
    if (!root()) return;
    for (const control of B.all("[data-play], [name='play-where']", root())) control.addEventListener("input", draw);
    for (const button of B.all("[data-preset]", root())) button.addEventListener("click", () => B.preset(button.dataset.preset));
    B.preset("shown");
  };
})();
