/* Slides: arrow keys, space, a click at either side, and the address tell which. */
(function () {
  const all = [...document.querySelectorAll(".slide")];
  const where = document.getElementById("where");
  let now = 0;

  function go(to) {
    now = Math.max(0, Math.min(all.length - 1, to));
    all.forEach((slide, i) => slide.classList.toggle("now", i === now));
    where.textContent = `${now + 1} / ${all.length}`;
    history.replaceState(null, "", `#${now + 1}`);
    B.typeset(all[now]);
    scrollTo(0, 0);
  }

  const steps = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
  addEventListener("keydown", function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const root = document.documentElement;
    if (event.key in steps) go(now + steps[event.key]);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(all.length - 1);
    else if (event.key === "l") root.lang = root.lang === "en" ? "zh-CN" : "en";
    else return;
    event.preventDefault();
  });
  addEventListener("click", function (event) {
    if (!String(getSelection())) go(now + (event.clientX < innerWidth / 3 ? -1 : 1));
  });
  addEventListener("hashchange", () => go(+location.hash.slice(1) - 1 || 0));
  addEventListener("beforeprint", () => B.typeset(document));
  go(+location.hash.slice(1) - 1 || 0);

  B.open("katex-gz").then(() => B.typeset(all[now]));
})();
