"""The style sheet of the page: light and dark, on screen and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1d2433; --soft: #5b6478; --paper: #fbfaf7; --card: #ffffff; --edge: #e4e2dc;
  --main: #1f5fbf; --second: #c2571a; --faint: #9db7dd; --limit: #8a8f9c;
  --pale: #cfdcf0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8ee; --soft: #9aa3b5; --paper: #14171d; --card: #1b1f27;
    --edge: #2c323d; --main: #7fb0ff; --second: #ff9d66; --faint: #3f5a86;
    --limit: #7c8494; --pale: #2c3a52;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 76rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 2.6rem 0 .3rem; }
p { margin: .2rem 0 .9rem; color: var(--soft); max-width: 46rem; }
header p { font-size: 1rem; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 0; padding: 0; }
.figures li {
  list-style: none; background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; padding: .7rem 1.1rem; min-width: 8.5rem;
}
.figures b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: .85rem; }
.grid-2 { display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr));
  gap: 1rem; }
.grid-3 { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr));
  gap: .8rem; }
figure {
  margin: 0; background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; padding: .7rem .8rem .5rem;
}
figcaption { font-size: .88rem; font-weight: 600; }
figcaption sub, figcaption sup { line-height: 0; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.grid-3 svg text { font-size: 12px; }
.tick.y { text-anchor: end; } .tick.x { text-anchor: middle; }
.label { text-anchor: end; }
.grid { stroke: var(--edge); stroke-width: 1; } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.line.main { stroke: var(--main); stroke-width: 2.2; }
.line.second { stroke: var(--second); stroke-width: 2.2; }
.line.faint { stroke: var(--faint); stroke-width: 1.2; }
.line.limit { stroke: var(--limit); stroke-width: 1.2; stroke-dasharray: 5 4; }
.line.aged {
  stroke: color-mix(in oklab, var(--main) calc(var(--age) * 100%), var(--pale));
}
.line.aged:hover { stroke: var(--second); stroke-width: 3; }
circle.second { fill: var(--second); } circle.main { fill: var(--main); }
.key { display: flex; gap: 1.2rem; flex-wrap: wrap; font-size: .85rem;
  color: var(--soft); margin: .2rem 0 .6rem; align-items: center; }
.key i { display: inline-block; width: 1.4rem; height: 3px; margin-right: .45rem;
  vertical-align: middle; border-radius: 2px; }
.key .ramp { width: 6rem; height: 8px;
  background: linear-gradient(90deg, var(--pale), var(--main)); }
pre { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: .8rem 1rem; margin: .3rem 0 1rem; overflow-x: auto; font-size: .82rem;
  line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; }
.samples { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fit,
  minmax(20rem, 1fr)); }
.samples h3 { font-size: .88rem; margin: 0; }
table { border-collapse: collapse; font-size: .88rem; }
td, th { text-align: left; padding: .22rem 1.4rem .22rem 0; vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
details { margin-top: .6rem; } summary { cursor: pointer; color: var(--soft); }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
@media (max-width: 32rem) { .grid-2 { grid-template-columns: 1fr; } }
"""
