/* A page that only reads: formulas by KaTeX, "copy LaTeX", and what was last chosen. */
(function () {
  const options = { throwOnError: true, output: "htmlAndMathml", strict: "ignore",
    trust: (context) => ["\\htmlData", "\\htmlClass"].includes(context.command),
    macros: { "\\s": "\\htmlData{sym=#1}{#2}", "\\q": "\\htmlClass{arrow-#1}{#2}" } };
  const all = (selector, root) => [...(root || document).querySelectorAll(selector)];
  const lang = () => (document.getElementById("lang-zh").checked ? "zh" : "en");

  /* LaTeX without the marks that colour it: \s{name}{symbol}, \q{when}{factors}. */
  function plain(marked) {
    const start = /\\[sq]\{/;
    for (let at = marked.search(start); at >= 0; at = marked.search(start)) {
      const body = marked.indexOf("}{", at) + 2;
      let depth = 1, end = body;
      for (; depth; end++) depth += marked[end] === "{" ? 1 : marked[end] === "}" ? -1 : 0;
      marked = marked.slice(0, at) + marked.slice(body, end - 1) + marked.slice(end);
    }
    return marked;
  }

  function typeset(root) {
    for (const place of all("[data-e]:not([data-done])", root)) {
      const size = "side" in place.dataset ? "\\displaystyle " : "";
      katex.render(size + B.data.tex[place.dataset.e], place, options);
      place.dataset.done = "1";
    }
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      area.style = "position:fixed;opacity:0";
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    B.copied = text;
    const toast = document.querySelector(".toast");
    toast.textContent = B.data.words.copied[lang()];
    clearTimeout(B.saying);
    B.saying = setTimeout(() => { toast.textContent = ""; }, 2600);
  }

  function addTools() {
    for (const chain of all(".chain")) {
      if (all("[data-side]", chain).length < 2) continue;
      const tools = document.createElement("span");
      tools.className = "tools";
      for (const language of ["en", "zh"]) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", lang: language });
        button.textContent = B.data.words.copy[language];
        button.dataset.copy = "";
        tools.append(button);
      }
      chain.querySelector(".range").append(tools);
    }
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const sides = all("[data-side]", button.closest(".chain"));
    copy(sides.map((side) => plain(B.data.tex[side.dataset.e])).join(" = "));
  });

  function keep(name, write) {
    try {
      return write ? localStorage.setItem("bptt-" + name, write) : localStorage.getItem("bptt-" + name);
    } catch { return null; }
  }
  function language() {
    document.documentElement.lang = lang() === "zh" ? "zh-CN" : "en";
    document.title = B.data.title[lang()];
  }
  function switches() {
    for (const name of ["lang", "theme"]) {
      const kept = keep(name);
      if (kept && document.getElementById(kept)) document.getElementById(kept).checked = true;
      for (const choice of all(`input[name="${name}"]`)) {
        choice.addEventListener("change", function () {
          keep(name, choice.id);
          language();
        });
      }
    }
    language();
  }

  /* What comes into view is typeset: the page opens fast. */
  function later() {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        typeset(entry.target);
        seen.unobserve(entry.target);
      }
    }, { rootMargin: "900px" });
    for (const part of all("section.panel > *, .card")) seen.observe(part);
    addEventListener("beforeprint", () => typeset(document));
    document.addEventListener("toggle", (event) => event.target.open && typeset(event.target), true);
  }

  B.ready = B.open("katex-gz").then(function () {
    if (!B.data) return;
    for (const part of all("details[data-closed]")) part.open = false;
    switches();
    addTools();
    if ("katex" in window) later();
  });
})();
