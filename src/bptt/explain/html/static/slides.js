/* Slides: arrow keys, space, a click at either side, and the address tell which. */
(function () {
  const all = [...document.querySelectorAll(".slide")];
  const where = document.getElementById("where");
  const options = { throwOnError: true, output: "htmlAndMathml", strict: "ignore",
    trust: (context) => ["\\htmlData", "\\htmlClass"].includes(context.command),
    macros: { "\\s": "\\htmlData{sym=#1}{#2}", "\\q": "\\htmlClass{arrow-#1}{#2}" } };
  let now = 0;

  function typeset(root) {
    if (!("katex" in window)) return;
    for (const place of root.querySelectorAll("[data-e]")) {
      const size = "side" in place.dataset ? "\\displaystyle " : "";
      katex.render(size + B.data.tex[place.dataset.e], place, options);
      place.removeAttribute("data-e");
    }
  }

  function go(to) {
    now = Math.max(0, Math.min(all.length - 1, to));
    all.forEach((slide, i) => slide.classList.toggle("now", i === now));
    where.textContent = `${now + 1} / ${all.length}`;
    history.replaceState(null, "", `#${now + 1}`);
    typeset(all[now]);
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
  addEventListener("beforeprint", () => all.forEach(typeset));
  go(+location.hash.slice(1) - 1 || 0);

  B.open("katex-gz").then(() => typeset(all[now]));
})();
