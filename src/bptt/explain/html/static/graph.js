/* The unrolled graph: labels, direction, columns left out, the edges that t lights. */
(function () {
  const pictures = B.all("svg.graph");
  const mode = { label: "symbol", backward: false, folded: false, all: false };
  let isShort = true;

  function place() {
    for (const svg of pictures) {
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
    }
  }

  /* A heat map of the Jacobian, or of what arrives at a parameter, beside the arrow. */
  function thumbnail(arrow) {
    const label = B.one(".lb", arrow);
    B.one(".heat", label)?.remove();
    if (mode.label !== "number") return;
    const found = B.stored((arrow.dataset.j || "J:") + arrow.dataset.k, arrow.dataset.t);
    if (!found) return;
    const { rows, columns, values } = found;
    const size = Math.min(6, 34 / Math.max(rows, columns));
    const top = Math.max(...values.map(Math.abs)) || 1;
    const width = columns * size, high = rows * size;
    const x = label.classList.contains("l") ? -width : label.classList.contains("m") ? -width / 2 : 0;
    const heat = B.svg("g", { class: "heat", transform: `translate(${x} ${-high / 2 - 2})` });
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
    label.append(heat);
  }

  function draw() {
    for (const svg of pictures) {
      svg.classList.toggle("by-shape", mode.label === "shape");
      svg.classList.toggle("by-number", mode.label === "number");
      svg.classList.toggle("backward", mode.backward);
      svg.classList.toggle("quiet", !mode.all);
      const isHere = svg.id === (mode.folded ? "graph-folded" : "graph-full");
      svg.closest(".canvas").hidden = !isHere;
      if (isHere) B.all(".e", svg).forEach(thumbnail);
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
        const lag = /\[t-(\d+)\]/.exec(arrow.dataset.k);
        const from = +arrow.dataset.t - (lag ? +lag[1] : 0);
        arrow.classList.toggle("lit", from === t && !arrow.classList.contains("cut"));
      }
      for (const node of B.all(".n.node", svg)) {
        node.classList.toggle("lit", node.dataset.n.endsWith("@" + t));
      }
    }
  }

  B.choose = function (kind, t, scroll) {
    for (const arrow of B.all(".e")) {
      arrow.classList.toggle("chosen", arrow.dataset.k === kind && +arrow.dataset.t === t);
    }
    if (t) B.go(t);
    for (const card of B.all("[data-edge]")) {
      if (card.dataset.edge !== kind) continue;
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
    }
    if (event.target.closest("[data-expand]")) {
      isShort = !isShort;
      place();
      for (const word of B.all("button[data-expand]")) word.setAttribute("aria-pressed", !isShort);
    }
    const arrow = event.target.closest("svg .e");
    if (arrow) B.choose(arrow.dataset.c || arrow.dataset.k, +arrow.dataset.t, true);
    const row = event.target.closest("tr[data-kind]");
    if (row) B.choose(row.dataset.kind, 0, true);
  });

  B.startGraph = function () {
    mode.all = pictures.length > 0 && pictures[0].dataset.busy === undefined;

    draw();
    B.on(light);
  };
})();
