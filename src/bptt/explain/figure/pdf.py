"""A scene as PDF, through matplotlib, whose letters are those that labels allow for."""

from __future__ import annotations

import io
from functools import singledispatch
from typing import Any

from bptt import errors
from bptt.explain.figure.scene import (
    COLOURS,
    INK,
    LETTERS,
    NODE,
    POINTS,
    Box,
    Label,
    Ring,
    Scene,
    Stroke,
    Word,
)
from bptt.explain.figure.svg import SHIFT, head
from bptt.explain.html.picture.lettering import SMALL, pieces

FACE = "DejaVu Sans"  # comes with matplotlib
CHINESE = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "SimHei",
           "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "WenQuanYi Micro Hei",
           "WenQuanYi Zen Hei", "Droid Sans Fallback")  # fmt: skip


class MissingFontError(errors.BpttError):
    """A PDF has words whose letters no installed font has."""


def to_pdf(scene: Scene) -> bytes:
    """The file; the same scene gives the same bytes.

    Raises: MissingExtraError without matplotlib; MissingFontError.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise errors.MissingExtraError("a PDF", "matplotlib", "plot") from error
    settings: Any = {"pdf.fonttype": 42, "font.family": _faces(scene)}
    size = POINTS / 72 * scene.width, POINTS / 72 * scene.height
    with mpl.rc_context(settings):
        sheet = Figure(figsize=size)
        axes = sheet.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
        axes.set_axis_off()
        for i, item in enumerate(scene.items):
            _put(item, axes, i)
        written = io.BytesIO()
        about = {"Title": scene.title, "CreationDate": None}
        sheet.savefig(written, format="pdf", metadata=about)
    return written.getvalue()


def _faces(scene: Scene) -> list[str]:
    if all(ord(letter) < 0x2E80 for word in scene.words() for letter in word):
        return [FACE]
    from matplotlib import font_manager  # noqa: PLC0415

    there = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in CHINESE if name in there]
    if not found:
        raise MissingFontError(
            "a PDF in Chinese needs a font with Chinese letters, and none of "
            f"{', '.join(CHINESE)} is installed; SVG and TikZ need none"
        )
    return [FACE, found[0]]


@singledispatch
def _put(item: object, axes: Any, order: int) -> None:
    raise TypeError(type(item))


@_put.register
def _(item: Stroke, axes: Any, order: int) -> None:
    x, y = zip(*item.points, strict=True)
    axes.plot(x, y, color=COLOURS[item.colour], linewidth=POINTS * item.width,
              linestyle=":" if item.is_dashed else "-", zorder=order)  # fmt: skip
    if item.has_head:
        axes.fill(*zip(*head(item), strict=True), color=COLOURS[item.colour],
                  linewidth=0, zorder=order)  # fmt: skip


@_put.register
def _(item: Ring, axes: Any, order: int) -> None:
    from matplotlib.patches import Circle  # noqa: PLC0415

    for radius in item.radii:
        axes.add_patch(Circle(
            (item.x, item.y), radius, facecolor=COLOURS[item.fill],
            edgecolor=COLOURS[INK], linewidth=0.8, zorder=order,
        ))  # fmt: skip
    size = item.share * NODE
    _text(axes, item.label, item.x, item.y + size / 3, "middle", size, INK, order)


@_put.register
def _(item: Box, axes: Any, order: int) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    rim = COLOURS[INK] if item.label else "none"
    axes.add_patch(FancyBboxPatch(
        (item.x - item.width / 2, item.y - item.height / 2), item.width, item.height,
        boxstyle="round,pad=0,rounding_size=4" if item.label else "square,pad=0",
        facecolor=COLOURS[item.fill], edgecolor=rim, linewidth=0.8, zorder=order,
    ))  # fmt: skip
    if item.label:
        y = item.y + LETTERS / 3
        _text(axes, item.label, item.x, y, "middle", LETTERS, INK, order)


@_put.register
def _(item: Word, axes: Any, order: int) -> None:
    _text(axes, item.label, item.x, item.y, item.anchor, item.size, item.colour, order)


def _text(
    axes: Any, label: Label, x: float, y: float, anchor: str, size: float, colour: str,
    order: int,
) -> None:  # fmt: skip
    """Piece after piece, each as wide as its letters are."""
    found = [(letters, SHIFT.get(way, 0.0) * size, SMALL * size if way else size)
             for letters, way in pieces(label.plain)]  # fmt: skip
    widths = [_width(letters, points) for letters, _, points in found]
    x -= {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * sum(widths)
    for (letters, shift, points), wide in zip(found, widths, strict=True):
        axes.text(x, y + shift, letters, fontsize=POINTS * points, va="baseline",
                  color=COLOURS[colour], zorder=order, parse_math=False)  # fmt: skip
        x += wide


def _width(letters: str, size: float) -> float:
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415
    from matplotlib.textpath import TextToPath  # noqa: PLC0415

    face = FontProperties(size=size)
    return float(TextToPath().get_text_width_height_descent(letters, face, False)[0])
