/* Equations by KaTeX in place of MathML; a symbol under the pointer is shown everywhere. */
(function () {
  const options = B.katexOptions = {
    throwOnError: true, output: "htmlAndMathml", strict: "ignore",
    trust: (context) => ["\\htmlData", "\\htmlClass"].includes(context.command),
    macros: { "\\s": "\\htmlData{sym=#1}{#2}", "\\q": "\\htmlClass{arrow-#1}{#2}" },
  };

  /* LaTeX without the marks that tell symbols apart on this page. */
  B.plainLatex = function (marked) {
    const start = /\\[sq]\{/;
    for (let at = marked.search(start); at >= 0; at = marked.search(start)) {
      const body = marked.indexOf("}{", at) + 2;
      let depth = 1, end = body;
      for (; depth; end++) depth += marked[end] === "{" ? 1 : marked[end] === "}" ? -1 : 0;
      marked = marked.slice(0, at) + marked.slice(body, end - 1) + marked.slice(end);
    }
    return marked;
  };

  /* LaTeX as an element; as it is written where KaTeX is not there yet. */
  B.typed = function (tex, isDisplay) {
    const place = B.make("span", { class: "eq" });
    if ("katex" in window) katex.render((isDisplay ? "\\displaystyle " : "") + tex, place, options);
    else place.textContent = B.plainLatex(tex);
    return place;
  };

  B.typeset = function (root) {
    if (!("katex" in window)) return;
    for (const place of B.all("[data-e]", root)) {
      if (place.dataset.done) continue;
      const size = "side" in place.dataset ? "\\displaystyle " : "";
      katex.render(size + B.data.tex[place.dataset.e], place, options);
      place.dataset.done = "1";
    }
  };

  /* Cards in a closed group are typeset when they come into view: the page opens fast. */
  B.typesetLater = function () {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        B.typeset(entry.target);
        seen.unobserve(entry.target);
      }
    }, { rootMargin: "900px" });
    for (const part of B.all("section.panel > *, .card")) seen.observe(part);
    B.refreshWalk();
    B.refreshPlay();
  };

  const tip = B.make("div", { class: "tip", role: "tooltip", hidden: "" });
  document.body.append(tip);

  function light(name) {
    for (const old of B.all(".same")) old.classList.remove("same");
    if (!name) return;
    for (const place of B.all(`[data-sym="${CSS.escape(name)}"]`)) place.classList.add("same");
  }

  function describe(name, place) {
    const entry = B.data.symbols[name];
    tip.hidden = !entry;
    if (!entry) return;
    tip.textContent = entry[B.lang()];
    const box = place.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(box.left + scrollX, innerWidth - 340)) + "px";
    tip.style.top = box.bottom + scrollY + 8 + "px";
  }

  document.addEventListener("pointerover", function (event) {
    const place = event.target.closest?.("[data-sym]");
    light(place?.dataset.sym);
    if (place) describe(place.dataset.sym, place);
    else tip.hidden = true;
  });
  document.addEventListener("focusin", function (event) {
    const place = event.target.closest?.("[data-sym]");
    light(place?.dataset.sym);
    if (!place) tip.hidden = true;
  });
})();
