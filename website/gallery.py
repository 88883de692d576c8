"""The gallery of cells: equations typeset, drawn, measured.

    python website/gallery.py      # writes docs/gallery.md and docs/gallery

Rates are those of benchmarks/results/results.json; pictures are figures of
`bptt explain --figure unrolled`.
"""

import json
from dataclasses import replace
from pathlib import Path

from bptt import cells
from bptt.cli.cells import first_sentence, split_text
from bptt.explain import model as m
from bptt.explain.explanation import BackwardLoopError
from bptt.explain.notation.latex import to_latex
from bptt.explain.prepare import IndexedCellError
from bptt.explain.render.formulas import stacked

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/gallery.md"
PICTURES = ROOT / "docs/gallery"
RESULTS = ROOT / "benchmarks/results/results.json"
TAU = 2
HEAD = """# Gallery of cells

Every cell of the library: its equations, two steps of it with the Jacobian on every
arrow, and the time of forward and backward as it was measured ([how](benchmarks.md)).
`bptt cells NAME` shows its text and its shapes; [The library of cells](cells.md) has
them all on one page as text.
"""


def explained(name):
    """A cell's explanation over two steps, without the ledger of its check."""
    found = cells.get(name).explain(name=name, tau=TAU)
    return replace(found, with_ledger=False)


def equations(found):
    """Its equations as LaTeX; of a cell with indices nothing."""
    chains = [
        block.chain
        for panel in found.document.panels if panel.id == "cell"
        for block in panel.blocks if isinstance(block, m.Equations)
    ]  # fmt: skip
    return stacked([
        " &= ".join(to_latex(link.expr) for link in chain.links) for chain in chains
    ])  # fmt: skip


def picture(found):
    """Two steps as SVG; None where no picture shows the cell."""
    try:
        return found.figure("unrolled").svg()
    except (BackwardLoopError, IndexedCellError):
        return None


def measured(name):
    """One sentence on its speed, or nothing where it was not measured."""
    report = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = (r for r in report["library"] if r["threads"] == 1)
    row = next((r for r in rows if r["library"] == name), None)
    if row is None:
        return ""
    steps, rows, inputs, units = row["shape"]
    times = {who: f"{1e3 * t:.3g} ms" for who, t in row["times"].items()}
    others = ", ".join(f"{who} {t}" for who, t in times.items() if who != "bptt")
    rate = row["flops"] / row["times"]["bptt"] / row["sgemm"]
    return (
        f"Measured: **{times['bptt']}**" + (f", {others}" if others else "")
        + f" ({steps} steps, {rows} rows, {inputs} inputs, {units} units; float32, "
        f"one thread, {report['machine']['cpu']}); {rate:.2f} of the rate of the "
        "matrix product alone."
    )  # fmt: skip


def section(name, found, *, has_picture):
    """One cell's part of the page."""
    comment, text = split_text(cells.text(name))
    parts = [f"## {name}", f"{first_sentence(comment)}."]
    shown = equations(found)
    parts.append(f"$$\n{shown}\n$$" if "&=" in shown else f"```\n{text}\n```")
    if has_picture:
        parts.append(
            f"[![Two steps of {name}](gallery/{name}.svg)](gallery/{name}.svg)"
        )
    parts.append(measured(name))
    parts.append(f"Its derivation: `bptt explain {name} -o {name}.html`.")
    return "\n\n".join(part for part in parts if part)


def main():
    """Write the page and the pictures."""
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.svg"):
        old.unlink()
    sections = []
    for name in cells.names():
        found = explained(name)
        drawn = picture(found)
        if drawn:
            (PICTURES / f"{name}.svg").write_text(drawn, encoding="utf-8")
        sections.append(section(name, found, has_picture=bool(drawn)))
    PAGE.write_text("\n\n".join([HEAD.rstrip(), *sections]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
