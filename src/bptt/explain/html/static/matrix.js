/* Matrices that follow the slider, and charts that mark the step in view. */
(function () {
  const MINUS = "\u2212";

  /* The same three digits as the page's own (values.py, show_number). */
  B.show = function (value, digits = 3) {
    if ([-1, 0, 1].includes(value)) return String(value + 0).replace("-", MINUS);
    if (Number.isNaN(value)) return "NaN";
    if (!Number.isFinite(value)) return (value < 0 ? MINUS : "") + "∞";
    const size = Math.abs(value);
    let text;
    if (size >= 1e-3 && size < 1e4) {
      text = size.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
    } else {
      text = size.toExponential(digits - 1).replace("e+", "e").replace("e-", "e" + MINUS);
    }
    return (value < 0 ? MINUS : "") + text;
  };

  /* rows x columns of `values` as a table, tinted by sign and share of the largest. */
  B.table = function (rows, columns, values) {
    let top = 0;
    for (const value of values) if (Number.isFinite(value)) top = Math.max(top, Math.abs(value));
    const body = document.createElement("tbody");
    for (let i = 0; i < rows; i++) {
      const row = body.insertRow();
      for (let j = 0; j < columns; j++) {
        const value = values[i * columns + j];
        const cell = row.insertCell();
        cell.textContent = B.show(value);
        if (value && Number.isFinite(value)) {
          cell.className = value > 0 ? "p" : "m";
          cell.style.setProperty("--a", (0.62 * Math.abs(value) / top).toFixed(2));
        }
      }
    }
    return B.make("table", { class: "mx" }, body);
  };

  /* A widget's matrix at step t; how it is stored: values.py, class Values. */
  B.stored = function (key, t) {
    const entry = B.data.values[key];
    if (!entry) return null;
    const [rows, columns, first, count, begin, stride, change] = entry;
    if (t < first || t >= first + count) return null;
    const at = (step) => {
      const start = begin + (step - first) * stride;
      return B.numbers.subarray(start, start + rows * columns);
    };
    if (change === "T") {
      const flipped = new Float32Array(rows * columns);
      at(t).forEach((value, i) => { flipped[(i % columns) * rows + Math.floor(i / columns)] = value; });
      return { rows: columns, columns: rows, values: flipped };
    }
    if (change === "+") {
      const sum = new Float32Array(rows * columns);
      for (let s = t; s < first + count; s++) at(s).forEach((value, i) => { sum[i] += value; });
      return { rows, columns, values: sum };
    }
    return { rows, columns, values: at(t) };
  };

  function redraw(widget, t) {
    const found = B.stored(widget.dataset.v, t);
    B.one("table", widget)?.remove();
    if (found) widget.prepend(B.table(found.rows, found.columns, found.values));
    widget.closest(".values")?.classList.toggle("absent", !found);
    widget.style.display = found ? "" : "none";
  }

  B.on(function (t) {
    for (const widget of B.all(".mxw[data-v]")) redraw(widget, t);
    for (const line of B.all(".cursor")) {
      const x = +line.dataset.x0 + t * +line.dataset.dx;
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    for (const cell of B.all(".heatmap td")) cell.classList.toggle("now", cell.cellIndex === t);
    for (const row of B.all("tr[data-t]")) row.classList.toggle("now", +row.dataset.t === t);
    for (const place of B.all("[data-now]")) place.textContent = t;
  });
})();
