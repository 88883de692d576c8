/* Numbers, script and KaTeX come compressed; where a browser cannot unpack them, the page
   stays as it is: MathML, everything open. */
"use strict";
const B = {};

B.bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/* Five signs for four bytes, see assets.py; the last group may be shorter. */
B.bytes85 = function (text) {
  const signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";
  const value = new Uint8Array(128), rest = text.length % 5;
  Array.from(signs).forEach((sign, i) => { value[sign.charCodeAt(0)] = i; });
  const found = new Uint8Array(4 * Math.floor(text.length / 5) + Math.max(rest - 1, 0));
  for (let from = 0, to = 0; from < text.length; from += 5) {
    let group = 0;
    for (let i = from; i < from + 5; i++) group = group * 85 + (i < text.length ? value[text.charCodeAt(i)] : 84);
    for (let size = 2 ** 24; size >= 1; size /= 256) found[to++] = Math.floor(group / size);
  }
  return found;
};

B.unpack = function (id) {
  const packed = new Blob([B.bytes85(document.getElementById(id).textContent)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text();
};

B.run = async function (id) {
  const script = document.createElement("script");
  script.textContent = await B.unpack(id);
  document.head.append(script);
};

B.open = async function (...scripts) {
  if (!("DecompressionStream" in window)) return;
  B.data = JSON.parse(await B.unpack("data-gz"));
  for (const id of scripts) await B.run(id);
};
