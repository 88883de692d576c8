"""A picture of the report: the part of the limit against size, a panel per cell."""

from benchmarks.report import COLUMNS, merge_scans, share_limit, show_shape, timed
from benchmarks.shapes import CASES

COLOURS = {
    "bptt": "#c0392b",
    "torch.nn": "#e08e0b",
    "torch loop": "#7f8c8d",
    "jax": "#2c7fb8",
}


def _work_per_step(row):
    """By it the shapes are ordered: what one step of all rows multiplies."""
    return row["flops"] / row["shape"][0]


def draw_panel(axes, rows):
    """One line per rival over the shapes of one cell."""
    rows = sorted(rows, key=_work_per_step)
    for name in COLUMNS:
        points = [
            (place, row["flops"] / merge_scans(row["seconds"])[name] / row["sgemm"])
            for place, row in enumerate(rows)
            if name in merge_scans(row["seconds"])
        ]
        if points:
            is_ours = name == "bptt"
            axes.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=5 if is_ours else 3.5,
                linewidth=2.2 if is_ours else 1.3,
                color=COLOURS[name],
                label=name,
                zorder=3 if is_ours else 2,
            )
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    labels = [show_shape(row["shape"]) for row in rows]
    axes.set_xticks(range(len(rows)), labels, rotation=40, ha="right", fontsize=7)
    axes.set_title(rows[0]["cell"], fontsize=11)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw(rows, threads, path):
    """Write the picture of one number of threads; False without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    grid = [row for row in timed(share_limit(rows)) if row["threads"] == threads]
    names = [name for name in CASES if any(row["cell"] == name for row in grid)]
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure, panels = plt.subplots(
        lines, columns, figsize=(4.3 * columns, 3.6 * lines + 0.9), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    flat = list(panels.flat)
    for axes, name in zip(flat, names, strict=False):
        draw_panel(axes, [row for row in grid if row["cell"] == name])
        axes.set_ylim(bottom=0)
    for axes in flat[len(names) :]:
        axes.set_visible(False)
    for line in panels:
        line[0].set_ylabel("rate / rate of a 1024³ product", fontsize=9)
    seen = {}
    for axes in flat:
        handles, labels = axes.get_legend_handles_labels()
        seen |= dict(zip(labels, handles, strict=True))
    figure.legend(
        seen.values(), seen.keys(), loc="outside lower center", ncols=4, frameon=False
    )
    figure.suptitle(
        f"Forward and backward, {grid[0]['dtype']}, threads: {threads}\n"
        "(tau, n_b, n_x, n_h) in order of work per step",
        fontsize=12,
    )
    figure.savefig(path, dpi=110, metadata={"Date": None} if _is_svg(path) else None)
    plt.close(figure)
    return True


def _is_svg(path):
    return path.suffix == ".svg"
