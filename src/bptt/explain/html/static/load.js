/* Numbers, script and KaTeX come compressed; where a browser cannot unpack them, the page
   stays as it is: MathML, everything open. */
"use strict";
const B = {};

B.bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

B.unpack = function (id) {
  const packed = new Blob([B.bytes(document.getElementById(id).textContent)]).stream();
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
