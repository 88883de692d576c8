"""Charts: points lie where the numbers say, and nothing is lost or invented."""

import re
from math import nan

import numpy as np
import pytest

from bptt.page.chart import BOTTOM, LEFT, RIGHT, TOP, Chart, Curve, svg
from bptt.page.scale import Scale, format_tick, linear_ticks, make_scale


def test_a_chart_puts_points_where_the_numbers_say():
    points = [(1, 1e-2), (2, 0.0), (3, 1e0), (4, 1e2)]
    chart = Chart("t<1>", "t", [Curve("y", points)], is_log=True, has_steps=True)
    drawn = svg(chart)
    right, bottom = chart.width - RIGHT, chart.height - BOTTOM
    dot = re.search(r"<circle cx=([\d.]+) cy=([\d.]+)", drawn)
    assert [float(v) for v in dot.groups()] == pytest.approx([LEFT, bottom], abs=0.05)
    path = re.search(r'd="M([^"]*)"', drawn)[1]
    found = [[float(v) for v in place.split()] for place in path.split("L")]
    third = LEFT + 2 / 3 * (right - LEFT)
    expected = [[third, (TOP + bottom) / 2], [right, TOP]]
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert 'aria-label="t&lt;1> (t). y: 0.01 → 100"' in drawn
    for label in ("0.01", "1", "100", "2", "3", "4"):
        assert f">{label}</text>" in drawn


def test_the_label_calls_no_number_what_is_none():
    points = [(0, nan), (1, None), (2, 0.5), (3, 2.0)]
    drawn = svg(Chart("a", "t", [Curve("y", points)]))
    assert 'aria-label="a (t). y: - → 2"' in drawn


def test_levels_and_the_step_in_view_are_drawn_where_they_are():
    curve = Curve("y", [(1, 0.0), (2, 2.0), (3, 4.0)])
    drawn = svg(Chart("a", "t", [curve], levels=[(4.0, "top")], cursor=2.0))
    assert ">top</text>" in drawn
    cursor = next(p for p in drawn.split("<line") if "cursor" in p)
    middle = LEFT + (560 - LEFT - RIGHT) / 2
    assert f"x1={middle:g} x2={middle:g}" in cursor
    assert "data-dx=247" in cursor


def test_a_line_breaks_where_a_value_is_missing_and_a_log_axis_leaves_out_zero():
    points = [(0, 1.0), (1, None), (2, 10.0), (3, nan), (4, 0.0), (5, 100.0)]
    drawn = svg(Chart("a", "t", [Curve("l", points)], is_log=True))
    assert drawn.count("<circle") == 3  # each alone between two gaps
    assert "<path" not in drawn


def test_positions_are_where_the_axis_says():
    scale = Scale(0.01, 100.0, 400, is_log=True)
    assert [scale(v) for v in (0.01, 1.0, 100.0)] == pytest.approx([0, 200, 400])
    assert scale(1e-9) == 0
    assert Scale(2.0, 4.0, 50)(3.5) == pytest.approx(37.5)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.13, 0.31, [0.15, 0.2, 0.25, 0.3]),
        (-3, 4, [-2, 0, 2, 4]),
    ],
)
def test_ticks_are_round_numbers(low, high, ticks):
    np.testing.assert_allclose(linear_ticks(low, high), ticks, atol=1e-12)


def test_a_log_axis_has_whole_decades_and_few_ticks():
    scale = make_scale([3e-13, 0.0, nan, 40.0], 100, is_log=True)
    assert (scale.low, scale.high) == (1e-13, 100.0)
    assert len(scale.ticks()) <= 6
    assert make_scale([], 100, is_log=True).ticks() == pytest.approx([0.1, 1.0])
    assert make_scale([2.0, 2.0], 100)(2.0) == pytest.approx(50)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2000, "2,000"), (0.05, "0.05"), (1e-5, "10⁻⁵"), (2e7, "2·10⁷")],
)
def test_ticks_are_short(value, text):
    assert format_tick(value) == text
