"""The style sheet that all pages share: colours, charts, and the frame of a report."""

from __future__ import annotations

# Colours of Okabe and Ito (2008), told apart by eyes of every kind; curves differ in
# their dashes, too.
_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07a00", "#2f8fc4", "#7f7f7f",
          "#a6761d")  # fmt: skip
_DARK = ("#56b4e9", "#f08c3c", "#3ec79c", "#e29bc3", "#e6b23c", "#8accf2", "#a8a8a8",
         "#cfa45c")  # fmt: skip
_DASHES = ("none", "none", "5 3", "2 2", "8 3 2 3", "6 3", "2 2", "8 3 2 3")


def _colours(chosen: tuple[str, ...]) -> str:
    return " ".join(f"--s{k}: {colour};" for k, colour in enumerate(chosen))


_SERIES = "".join(
    f".curve.s{k} {{ stroke: var(--s{k}); stroke-dasharray: {dash}; }} "
    f".dot.s{k} {{ fill: var(--s{k}); }}\n"
    for k, dash in enumerate(_DASHES)
)
# Needs of the page: --soft, --line, --line-strong, --lit.
CHART = f"""
:root {{ {_colours(_LIGHT)} --pale: #cfdcf0; }}
@media (prefers-color-scheme: dark) {{
  :root {{ {_colours(_DARK)} --pale: #2c3a52; }}
}}
svg.chart {{ display: block; width: 100%; height: auto; }}
svg.chart text {{ font: 11.5px system-ui, sans-serif; fill: var(--soft); }}
svg.chart .in {{ text-anchor: middle; }} svg.chart .up {{ text-anchor: end; }}
svg.chart .grid {{ stroke: var(--line); }}
svg.chart .axis {{ stroke: var(--line-strong); }}
svg.chart .limit {{ stroke: var(--soft); stroke-dasharray: 2 3; }}
svg.chart .cursor {{ stroke: var(--lit); stroke-width: 1.5; stroke-dasharray: 4 3; }}
.curve {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
{_SERIES}.curve.faint {{ stroke: var(--s0); stroke-width: 1.2; opacity: .45; }}
.curve.limit {{ stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 5 4; }}
.curve.aged {{
  stroke: color-mix(in oklab, var(--s0) calc(var(--age) * 100%), var(--pale));
}}
.curve.aged:hover {{ stroke: var(--s1); stroke-width: 3; }}
"""

# The frame of a report: one column of sections, figures side by side where they fit.
REPORT = """
:root {
  color-scheme: light dark;
  --ink: #1d2433; --soft: #5b6478; --paper: #fbfaf7; --sheet: #ffffff;
  --line: #e4e2dc; --line-strong: #8a8f9c; --lit: #c2410c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8ee; --soft: #9aa3b5; --paper: #14171d; --sheet: #1b1f27;
    --line: #2c323d; --line-strong: #7c8494; --lit: #ffa366;
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
.verdict { font-size: 1.15rem; border-left: 4px solid var(--s1); padding-left: 1rem;
  color: var(--ink); }
.verdict.healthy { border-left-color: var(--s2); }
.verdict.caution { border-left-color: var(--s4); }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 0; padding: 0; }
.figures li {
  list-style: none; background: var(--sheet); border: 1px solid var(--line);
  border-radius: 10px; padding: .7rem 1.1rem; min-width: 8.5rem;
}
.figures b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: .85rem; }
.grid-2 { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.grid-3 { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); }
@media (max-width: 34rem) {  /* a picture of 560 across on 316: numbers to read */
  .grid-2 svg.chart { overflow: visible; }
  .grid-2 svg.chart text { font-size: 16.5px; }
}
figure {
  margin: 0; background: var(--sheet); border: 1px solid var(--line);
  border-radius: 10px; padding: .7rem .8rem .5rem;
}
figcaption { font-size: .88rem; color: var(--soft); }
figcaption > b { display: block; color: var(--ink); }
figcaption sub, figcaption sup { line-height: 0; }
.key { display: flex; gap: .3rem 1.2rem; flex-wrap: wrap; font-size: .85rem;
  color: var(--soft); margin: .2rem 0 .6rem; align-items: center; }
.key svg { width: 26px; height: 8px; margin-right: .4rem; }
.key .ramp { width: 6rem; height: 8px;
  background: linear-gradient(90deg, var(--pale), var(--s0)); }
pre { background: var(--sheet); border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem; margin: .3rem 0 1rem; overflow-x: auto; font-size: .82rem;
  line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; }
.samples { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fit,
  minmax(min(20rem, 100%), 1fr)); }
.samples h3 { font-size: .88rem; margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; }
td, th { text-align: left; padding: .22rem 1.4rem .22rem 0; vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
input[name=language] { position: absolute; opacity: 0; }
label { display: inline-block; font-size: .85rem; color: var(--soft); cursor: pointer;
  padding: .15rem .7rem; border: 1px solid var(--line); border-radius: 99px;
  margin: 0 .4rem 1.2rem 0; }
input:checked + label { color: var(--ink); border-color: var(--line-strong); }
input:focus-visible + label { outline: 2px solid var(--lit); outline-offset: 2px; }
.show-en:not(:checked) ~ .in-en, .show-zh:not(:checked) ~ .in-zh { display: none; }
.cards { display: grid; gap: .8rem; margin-bottom: 1.6rem; }
.cards article { background: var(--sheet); border: 1px solid var(--line);
  border-left: 4px solid var(--line-strong); border-radius: 10px;
  padding: .7rem 1rem; }
.cards .fault { border-left-color: var(--s1); }
.cards .caution { border-left-color: var(--s4); }
.cards p { margin: 0; max-width: 60rem; color: var(--ink); }
.cards ul { margin: .4rem 0 0; padding-left: 1.1rem; color: var(--soft);
  max-width: 60rem; }
.cards code { color: var(--ink); overflow-wrap: anywhere; }
.mark { font-size: .78rem; color: var(--soft); }
details { margin-top: .6rem; } summary { cursor: pointer; color: var(--soft); }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
"""
