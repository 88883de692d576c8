/* What every page is read with: formulas by KaTeX, "copy LaTeX", what was last chosen. */
"use strict";
(function () {
  B.all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  B.one = (selector, root) => (root || document).querySelector(selector);
  B.lang = () => (document.getElementById("lang-zh").checked ? "zh" : "en");
  B.word = (id) => B.data.words[id][B.lang()];

  B.make = function (name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "text") element.textContent = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  B.say = function (text) {
    const toast = B.one(".toast");
    toast.textContent = text;
    clearTimeout(B.saying);
    B.saying = setTimeout(() => { toast.textContent = ""; }, 2600);
  };

  /* ----- formulas ----- */

  B.katexOptions = {
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

  /* The sign behind a formula stays on its last line: it may be broken before that. */
  function free(place) {
    const line = B.one(".katex-html", place), parts = [...line.children].slice(0, -1);
    if (parts.length) line.prepend(B.make("span", { class: "free" }, ...parts));
  }

  B.typeset = function (root) {
    if (!("katex" in window)) return;
    for (const place of B.all("[data-e]:not([data-done])", root)) {
      const size = "side" in place.dataset ? "\\displaystyle " : "";
      katex.render(size + B.data.tex[place.dataset.e], place, B.katexOptions);
      if (place.parentElement.localName === "n-b") free(place);
      place.dataset.done = "1";
    }
  };

  /* What comes into view or is opened is typeset: the page opens fast. */
  B.typesetInView = function () {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        B.typeset(entry.target);
        seen.unobserve(entry.target);
      }
    }, { rootMargin: "900px" });
    for (const part of B.all("section.panel > *, .card")) seen.observe(part);
    document.addEventListener("toggle", (event) => event.target.open && B.typeset(event.target), true);
    addEventListener("beforeprint", () => B.typeset(document));
  };

  /* ----- LaTeX to the clipboard ----- */

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

  B.startCopying = function () {
    for (const about of B.all(".chain > .range")) {
      if (!B.one("[data-side]", about.parentElement)) continue;
      const tools = B.make("span", { class: "tools" });
      for (const lang of ["en", "zh"]) {
        tools.append(B.make("button", { type: "button", "data-copy": "", lang, text: B.data.words.copy[lang] }));
      }
      about.append(tools);
    }
    document.addEventListener("click", function (event) {
      const button = event.target.closest("[data-copy]");
      if (button) B.copy(B.latexOf(button.closest(".chain")));
    });
  };

  /* ----- language and theme ----- */

  /* Preferences are kept where the browser allows it; a file opened from disk may not. */
  function remember(key, value) {
    try { localStorage.setItem("bptt-" + key, value); } catch { /* private or from disk */ }
  }
  function recall(key) {
    try { return localStorage.getItem("bptt-" + key); } catch { return null; }
  }

  B.showLanguage = function () {
    document.documentElement.lang = B.lang() === "zh" ? "zh-CN" : "en";
    document.title = B.data.title[B.lang()];
  };

  /* showLanguage: what a new language changes. */
  B.startSwitches = function (showLanguage) {
    for (const name of ["lang", "theme"]) {
      const kept = recall(name);
      if (kept && document.getElementById(kept)) document.getElementById(kept).checked = true;
      for (const choice of B.all(`input[name="${name}"]`)) {
        choice.addEventListener("change", function () {
          remember(name, choice.id);
          if (name === "lang") showLanguage();
        });
      }
    }
  };
})();
