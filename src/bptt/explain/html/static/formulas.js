/* A page that only reads: what reading.js gives, and nothing else to run. */
B.ready = B.open("katex-gz").then(function () {
  if (!B.data) return;
  for (const part of B.all("details[data-closed]")) part.open = false;
  B.startSwitches(B.showLanguage);
  B.showLanguage();
  B.startCopying();
  if ("katex" in window) B.typesetInView();
});
