/* A formula that a script writes; a symbol under the pointer is shown everywhere. */
(function () {
  /* LaTeX as an element; as it is written where KaTeX is not there yet. */
  B.typed = function (tex, isDisplay) {
    const place = B.make("span", { class: "eq" });
    if ("katex" in window) katex.render((isDisplay ? "\\displaystyle " : "") + tex, place, B.katexOptions);
    else place.textContent = B.plainLatex(tex);
    return place;
  };

  B.typesetLater = function () {
    B.typesetInView();
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
