/* The page's state: the step in view, the numbers, and who wants to know of changes.
   Everything works on what the page already shows; without this script it stands. */
Object.assign(B, { listeners: [], words: {} });

/* What needs this script to be seen comes with its numbers; a part may hold others. */
for (let place; (place = document.querySelector("[data-part]"));) {
  place.outerHTML = B.data.parts[place.dataset.part];
}

/* The upper three bytes of float32 each; see values.py. */
B.shortFloats = function (text) {
  const raw = B.bytes(text), all = new Uint8Array((raw.length / 3) * 4);
  for (let i = 0, j = 0; i < raw.length; i++) {
    if (j % 4 === 0) j++;
    all[j++] = raw[i];
  }
  const view = new DataView(all.buffer);
  return Float32Array.from({ length: all.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
};

B.floats = function (text) {
  const view = new DataView(B.bytes(text).buffer);
  return Float64Array.from({ length: view.byteLength / 8 }, (_, i) => view.getFloat64(8 * i, true));
};

B.numbers = B.shortFloats(B.data.numbers);
B.exact = B.floats(B.data.exact);
B.t = B.data.first;
B.tau = B.data.tau;

B.on = function (listener) { B.listeners.push(listener); };
B.go = function (t) {
  B.t = Math.min(Math.max(t, 1), B.tau);
  for (const listener of B.listeners) listener(B.t);
};

/* A name with what stands below it there: b_f. */
B.named = function (element, name) {
  const [base, ...below] = name.split("_");
  const lowered = below.length ? [B.make("sub", { text: below.join("_") })] : [];
  return B.make(element, {}, base, ...lowered);
};

B.svg = function (name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
