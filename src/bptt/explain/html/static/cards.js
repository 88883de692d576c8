/* Cards: open and close, the three forms, the stepper's light, LaTeX to the clipboard. */
(function () {
  B.copy = async function (text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // A file opened from disk has no clipboard interface in some browsers.
      const area = B.make("textarea", { style: "position:fixed;opacity:0" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    B.copied = text;
    B.say(B.word("copied"));
  };

  B.latexOf = function (chain) {
    const sides = B.all("[data-side]", chain).map((side) => B.plainLatex(B.data.tex[side.dataset.e]));
    if (sides.length < 2) return sides.join("");
    const rows = sides.slice(1).map((side, i) => (i ? "" : sides[0]) + " &= " + side);
    return rows.length === 1 ? rows[0].replace(" &= ", " = ")
      : "\\begin{aligned}\n" + rows.join(" \\\\\n") + "\n\\end{aligned}";
  };

  for (const about of B.all(".chain > .range")) {
    const tools = B.make("span", { class: "tools" });
    for (const lang of ["en", "zh"]) {
      tools.append(B.make("button", { type: "button", "data-copy": "", lang, text: B.data.words.copy[lang] }));
    }
    about.append(tools);
  }

  document.addEventListener("click", function (event) {
    const copy = event.target.closest("[data-copy]");
    if (copy) B.copy(B.latexOf(copy.closest(".chain")));
    const form = event.target.closest("[data-form]");
    if (form) {
      const isOn = form.getAttribute("aria-pressed") !== "true";
      form.setAttribute("aria-pressed", isOn);
      document.body.classList.toggle("no-" + form.dataset.form, !isOn);
    }
    const all = event.target.closest("[data-open]");
    if (all) {
      const isOpen = all.dataset.open === "true";
      for (const part of B.all("details", all.closest("section"))) part.open = isOpen;
      B.typeset(all.closest("section"));
    }
  });

  document.addEventListener("toggle", function (event) {
    if (event.target.open) B.typeset(event.target);
  }, true);

  /* The cards of the recursion at t: "last" at tau, "inner" below it. */
  B.on(function (t) {
    for (const card of B.all(".card[data-boundary]")) {
      const where = card.dataset.boundary;
      card.classList.toggle("lit", where === (t === B.tau ? "last" : "inner"));
    }
  });

  /* A card under the pointer lights its edges. */
  document.addEventListener("pointerover", function (event) {
    const card = event.target.closest?.(".card[data-lights]");
    for (const arrow of B.all(".e.hinted")) arrow.classList.remove("hinted", "chosen");
    if (!card) return;
    const kinds = card.dataset.lights.split(" ");
    for (const arrow of B.all("svg .e")) {
      if (kinds.includes(arrow.dataset.k)) arrow.classList.add("hinted", "chosen");
    }
  });
})();
