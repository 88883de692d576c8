/* The page's state: the step in view, the numbers, and who wants to know of changes.
   Everything works on what the page already shows; without this script it stands. */
"use strict";
const B = { listeners: [], words: {} };

B.data = JSON.parse(document.getElementById("data").textContent);

B.floats = function (text, bytes) {
  const raw = atob(text);
  const view = new DataView(new ArrayBuffer(raw.length));
  for (let i = 0; i < raw.length; i++) view.setUint8(i, raw.charCodeAt(i));
  const found = bytes === 8 ? new Float64Array(raw.length / 8) : new Float32Array(raw.length / 4);
  for (let i = 0; i < found.length; i++) {
    found[i] = bytes === 8 ? view.getFloat64(i * 8, true) : view.getFloat32(i * 4, true);
  }
  return found;
};

B.numbers = B.floats(B.data.numbers, 4);
B.exact = B.floats(B.data.exact, 8);
B.t = B.data.first;
B.tau = B.data.tau;
B.lang = () => (document.getElementById("lang-zh").checked ? "zh" : "en");
B.word = (id) => B.data.words[id][B.lang()];

B.on = function (listener) { B.listeners.push(listener); };
B.go = function (t) {
  B.t = Math.min(Math.max(t, 1), B.tau);
  for (const listener of B.listeners) listener(B.t);
};

B.all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
B.one = (selector, root) => (root || document).querySelector(selector);

B.make = function (name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "text") element.textContent = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};

B.svg = function (name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

B.say = function (text) {
  const toast = B.one(".toast");
  toast.textContent = text;
  clearTimeout(B.saying);
  B.saying = setTimeout(() => { toast.textContent = ""; }, 2600);
};

/* Preferences are kept where the browser allows it; a file opened from disk may not. */
B.remember = function (key, value) {
  try { localStorage.setItem("bptt-" + key, value); } catch { /* private or from disk */ }
};
B.recall = function (key) {
  try { return localStorage.getItem("bptt-" + key); } catch { return null; }
};
