// Typesets the formulas of a page, also after the search or a link changed it.
document$.subscribe(() => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.replace(/^\\[([]|\\[)\]]$/g, "");
    katex.render(text, element, { displayMode: element.tagName === "DIV" });
  }
});
