/* Switches, the slider, keys; then the first drawing. */
(function () {
  const slider = B.one("#t");
  const output = B.one("#t-now");

  B.on(function (t) {
    slider.value = t;
    slider.setAttribute("aria-valuetext", `t = ${t}, τ = ${B.tau}`);
    output.textContent = `t = ${t}`;
  });
  slider.addEventListener("input", () => B.go(+slider.value));

  let playing = null;
  function stop() {
    clearInterval(playing);
    playing = null;
    B.one("#play").setAttribute("aria-pressed", "false");
  }
  B.one("#play").addEventListener("click", function () {
    if (playing) return stop();
    this.setAttribute("aria-pressed", "true");
    B.go(B.tau);
    playing = setInterval(() => (B.t === 1 ? stop() : B.go(B.t - 1)), 1100);
  });
  B.one("#earlier").addEventListener("click", () => B.go(B.t - 1));
  B.one("#later").addEventListener("click", () => B.go(B.t + 1));

  /* The recursion runs against time: the left arrow key goes to t - 1. */
  document.addEventListener("keydown", function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (event.key === "ArrowLeft") B.go(B.t - 1);
    else if (event.key === "ArrowRight") B.go(B.t + 1);
    else return;
    event.preventDefault();
  });

  function language() {
    B.showLanguage();
    for (const canvas of B.all(".canvas")) {
      const says = canvas.dataset[B.lang() === "zh" ? "saysZh" : "saysEn"];
      canvas.setAttribute("aria-label", says);
      B.one("title", canvas).textContent = says;
    }
    B.refreshLab?.();
    B.refreshWalk?.();
    B.refreshPlay?.();
  }
  B.startSwitches(language);

  const links = new Map(B.all("nav.contents a").map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.classList.remove("here");
      links.get(entry.target.id)?.classList.add("here");
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const panel of B.all("section.panel")) seen.observe(panel);

  /* On paper everything is open, and a picture is as wide as the page. */
  let closed = [];
  window.addEventListener("beforeprint", function () {
    closed = B.all("details:not([open])");
    for (const part of closed) part.open = true;
    for (const canvas of B.all("#graph .canvas:not([hidden])")) {
      canvas.style.zoom = Math.min(1, 660 / canvas.scrollWidth);
    }
  });
  window.addEventListener("afterprint", function () {
    for (const part of closed) part.open = false;
    for (const canvas of B.all(".canvas")) canvas.style.zoom = "";
  });

  document.documentElement.classList.add("js");
  for (const part of B.all("details[data-closed]")) part.open = false;
  B.startGraph();
  B.startLab();
  B.startWalk();
  B.startPlay();
  language();
  B.go(B.t);
  /* What was closed stood above the place that the address names. */
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
})();
