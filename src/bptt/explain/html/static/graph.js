/* The unrolled graph: labels, direction, columns left out, the edges that t lights. */
(function () {
  const pictures = B.all("#graph .canvas svg.graph:not(.rail)");
  const mode = { label: "symbol", backward: false, folded: false, all: false };
  let isShort = true;

  /* A column that was left out: the third one with its step, widths and labels changed. */
  const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const raised = (n) => "⁽" + [...String(n)].map((d) => DIGITS[+d]).join("") + "⁾";
  const lowered = (text) => +[...text].map((d) => DIGITS.indexOf(d)).join("");

  function copyColumn(svg, model, t) {
    const column = model.cloneNode(true), from = +model.dataset.t;
    column.dataset.t = t;
    column.dataset.x = +model.dataset.x + (t - from) * +svg.dataset.pitch;
    delete column.dataset.s;
    for (const arrow of B.all(".e", column)) {
      const width = B.data.widths[svg.dataset.widths || svg.id][arrow.dataset.k];
      B.one("path:not(.hit)", arrow).setAttribute("stroke-width", width[t - 1]);
    }
    const move = (label) => label.replace(/⁽([⁰¹²³⁴⁵⁶⁷⁸⁹]+)⁾/g, (_, n) => raised(lowered(n) + t - from)).replace(`t = ${from}`, `t = ${t}`);
    const walker = document.createTreeWalker(column, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) walker.currentNode.data = move(walker.currentNode.data);
    for (const step of B.all(".n tspan.sup", column)) step.textContent = `(${t})`;
    return column;
  }

  function complete(svg) {
    const columns = B.all(".col", svg);
    if (columns.length === B.tau) return;
    let after = columns[2];
    for (let t = 4; t < +columns[3].dataset.t; t++) {
      const column = copyColumn(svg, columns[2], t);
      after.after(column);
      after = column;
    }
    draw();
    light(B.t);
  }

  function place() {
    for (const svg of pictures) {
      if (!isShort) complete(svg);
      placeOne(svg, isShort);
    }
  }

  function placeOne(svg, isShort) {
    const width = +(isShort ? svg.dataset.short : svg.dataset.full);
    const shift = width - +svg.dataset.short;
    let last = 0;
    for (const column of B.all(".col", svg)) {
      const x = isShort ? column.dataset.s : column.dataset.x;
      column.style.display = x === undefined ? "none" : "";
      if (x === undefined) continue;
      column.setAttribute("transform", `translate(${x} 0)`);
      last = +x;
    }
    for (const lane of B.all(".lane", svg)) {
      lane.setAttribute("x2", lane.dataset.end ? width - 56 : last + +lane.dataset.x);
    }
    const total = B.one(".n.total", svg);
    const y = /translate\(\S+ (\S+)\)/.exec(total.getAttribute("transform"))[1];
    total.setAttribute("transform", `translate(${+svg.dataset.short - 40 + shift} ${y})`);
    const gap = B.one(".gap", svg);
    if (gap) gap.style.display = isShort ? "" : "none";
    svg.setAttribute("width", width);
    svg.setAttribute("viewBox", `0 0 ${width} ${svg.getAttribute("height")}`);
    fitWidth(svg);
  }

  /* A picture that is a little too wide is drawn a little smaller, so that L is in sight. */
  const SMALLEST = 0.85;
  function fitWidth(svg) {
    const canvas = svg.closest(".canvas"), rail = B.one("svg.rail", canvas);
    const share = canvas.clientWidth / (+svg.getAttribute("width") + +rail.getAttribute("width"));
    const zoom = share < 1 && share >= SMALLEST ? Math.floor(share * 1000) / 1000 : 1;
    for (const part of [svg, rail]) part.style.zoom = zoom;
  }
  addEventListener("resize", () => B.all(".canvas:not([hidden]) > svg.graph:not(.rail)").forEach(fitWidth));

  /* A picture with every column, whatever the others show. */
  B.wholeGraph = function (svg) {
    complete(svg);
    placeOne(svg, false);
  };

  /* A heat map of the Jacobian, or of what arrives at a parameter, beside the arrow. */
  const HEAT_HIGH = 12; // as high as a line of letters
  const step = (arrow) => +arrow.closest(".col").dataset.t;
  const isParameter = (card) => !/^[^>]*\[/.test(card);

  const turned = (shape) => shape.split("×(").length > 1 || shape.split("×").length > 2 ? `(${shape})ᵀ` : shape.split("×").reverse().join("×");

  function annotate(arrow) {
    const card = arrow.dataset.k;
    for (const old of B.all(".heat, text.s", arrow)) old.remove();
    const label = B.one("text", arrow);
    if (!label || mode.label === "symbol") return;
    if (mode.label === "shape") {
      const text = B.svg("text", { class: "s " + label.getAttribute("class").split(" ")[1], x: label.getAttribute("x"), y: label.getAttribute("y") });
      const shape = B.data.shapes[card] || "";
      text.textContent = mode.backward ? turned(shape) : shape;
      return void arrow.append(text);
    }
    const found = B.stored((isParameter(card) ? "G:" : "J:") + card, step(arrow));
    if (!found) return;
    let { rows, columns, values } = found;
    if (mode.backward && !isParameter(card)) {
      const [n, m] = [rows, columns];
      values = Float32Array.from(values, (_, i) => found.values[(i % n) * m + Math.floor(i / n)]);
      [rows, columns] = [m, n];
    }
    const size = Math.min(6, HEAT_HIGH / rows, +label.dataset.w / columns);
    const top = Math.max(...values.map(Math.abs)) || 1;
    const width = columns * size, high = rows * size;
    const anchor = label.getAttribute("class").split(" ")[1];
    const x = +label.getAttribute("x") - (anchor === "l" ? width : anchor === "m" ? width / 2 : 0);
    const y = +label.getAttribute("y") + 2 - high;
    const heat = B.svg("g", { class: "heat", transform: `translate(${x} ${y})` });
    heat.append(B.svg("rect", { x: -1, y: -1, width: width + 2, height: high + 2, rx: 2, fill: "var(--sheet)", stroke: "var(--line-strong)", "stroke-width": 0.6 }));
    values.forEach((value, i) => {
      const color = value < 0 ? "--minus" : "--plus";
      heat.append(B.svg("rect", {
        x: (i % columns) * size, y: Math.floor(i / columns) * size, width: size, height: size,
        fill: `rgba(var(${color}), ${(0.95 * Math.abs(value) / top).toFixed(2)})`,
      }));
      if (value < 0 && size >= 5) {
        heat.append(B.svg("path", { d: `M${(i % columns) * size + 1.4} ${(Math.floor(i / columns) + 0.5) * size}h${size - 2.8}`, stroke: "var(--ink)", "stroke-width": 0.8 }));
      }
    });
    arrow.append(heat);
  }

  function draw() {
    for (const svg of pictures) {
      svg.classList.toggle("backward", mode.backward);
      svg.classList.toggle("quiet", !mode.all);
      svg.dataset.label = mode.label;
      const isHere = svg.id === (mode.folded ? "graph-folded" : "graph-full");
      svg.closest(".canvas").hidden = !isHere;
      if (isHere) B.all(".e", svg).forEach(annotate);
      if (isHere) fitWidth(svg);
    }
    for (const button of B.all("[data-set]")) {
      const [key, value] = button.dataset.set.split("=");
      button.setAttribute("aria-pressed", String(mode[key]) === value);
    }
    for (const part of B.all("[data-direction]")) {
      part.hidden = part.dataset.direction !== (mode.backward ? "backward" : "forward");
    }
  }

  /* At step t the recursion uses: everything into what step t reads, seen from the
     gradient of step t; its nodes' outgoing arrows, and those of the parameters. */
  function light(t) {
    for (const svg of pictures) {
      for (const column of B.all(".col", svg)) column.classList.toggle("now", +column.dataset.t === t);
      for (const arrow of B.all(".e", svg)) {
        const lag = /\[t([+-]\d+)\]/.exec(arrow.dataset.k);
        const from = step(arrow) + (lag ? +lag[1] : 0);
        arrow.classList.toggle("later", lag !== null);
        arrow.classList.toggle("lit", from === t && !arrow.classList.contains("cut"));
      }
      for (const node of B.all(".n.node", svg)) {
        node.classList.toggle("lit", +node.closest(".col").dataset.t === t);
      }
    }
  }

  /* Columns out of sight are scrolled into it, the page itself is not moved. */
  function follow(t) {
    for (const svg of pictures) {
      const canvas = svg.closest(".canvas"), column = B.one(`.col[data-t="${t}"]`, svg);
      if (canvas.hidden || !column || canvas.scrollWidth <= canvas.clientWidth) continue;
      const x = +/translate\((\S+)/.exec(column.getAttribute("transform"))[1];
      const isSeen = x - 110 > canvas.scrollLeft && x + 60 < canvas.scrollLeft + canvas.clientWidth;
      if (!isSeen) canvas.scrollLeft = x - canvas.clientWidth / 2;
    }
  }

  B.choose = function (kind, t, scroll) {
    for (const arrow of B.all(".e")) {
      arrow.classList.toggle("chosen", arrow.dataset.k === kind && step(arrow) === t);
    }
    if (t) B.go(t);
    /* A parameter's arrow across folded nodes has the card of its direct edge. */
    const cards = B.all("[data-edge]");
    const source = kind.split(">")[0] + ">";
    const found = cards.find((card) => card.dataset.edge === kind)
      ?? cards.find((card) => card.dataset.edge.startsWith(source));
    for (const card of found ? [found] : []) {
      card.open = true;
      B.typeset(card);
      if (scroll) card.scrollIntoView({ block: "center" });
      if (scroll) B.one("summary", card).focus({ preventScroll: true });
    }
  };

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-set]");
    if (button) {
      const [key, value] = button.dataset.set.split("=");
      mode[key] = value === "true" ? true : value === "false" ? false : value;
      draw();
      follow(B.t);
    }
    if (event.target.closest("[data-expand]")) {
      isShort = !isShort;
      place();
      for (const word of B.all("button[data-expand]")) word.setAttribute("aria-pressed", !isShort);
    }
    const arrow = event.target.closest("svg .e");
    if (arrow) B.choose(arrow.dataset.k, step(arrow), true);
    const row = event.target.closest("tr[data-kind]");
    if (row) B.choose(row.dataset.kind, 0, true);
  });

  /* Backward a label is its transpose, (...)ᵀ where the picture has no shorter one. */
  function turnLabels(svg) {
    for (const label of B.all(".e > text.f", svg)) {
      if (label.nextElementSibling?.classList.contains("b")) continue;
      const back = label.cloneNode(true);
      back.classList.replace("f", "b");
      back.prepend("(");
      back.append(")ᵀ");
      label.after(back);
    }
  }

  B.startGraph = function () {
    for (const svg of pictures) {
      turnLabels(svg);
      for (const arrow of B.all(".e", svg)) {
        const path = B.one("path", arrow);
        arrow.prepend(B.svg("path", { d: path.getAttribute("d"), class: "hit" }));
        const [source, target] = arrow.dataset.k.replace("~", "").split(">");
        const title = B.svg("title", {});
        title.textContent = `${source} → ${target}[t], t = ${step(arrow)}`;
        arrow.prepend(title);
      }
    }
    mode.all = pictures.length > 0 && pictures[0].dataset.busy === undefined;

    draw();
    B.on(light);
    B.on(follow);
  };
})();
