/* Cards: open and close, the three forms, the stepper's light. */
(function () {
  B.startCopying();

  document.addEventListener("click", function (event) {
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
