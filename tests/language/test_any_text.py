"""Whatever the text, a cell is refused with a CellError or it is a cell."""

from hypothesis import example, given
from hypothesis import strategies as st

from bptt import Cell, cells, errors
from tests import strategies

WORDS = (
    "h", "x", "W", "U", "L", "t", "tau", "n_h", "[t]", "[t-1]", "[t+1]", "[:, x[t]]",
    "(", ")", "[", "]", "{", "}", " = ", " + ", " - ", " * ", " @ ", " ** ", " / ", "/",
    ":",
    ".T", ",", "\n", "\r", "\t", "  ", ";", "#", "'", '"', "\\", "\0", "1", "0.5",
    "1e9",
    "1" * 30, "tanh(", "sum(", "nll(", "softmax(", "where(", "layer_norm(", "eps=",
    "lambda ",
    "if ", "else ", "not ", "*", "**", ":=", "->", "é", "状", "\u0301", "\u2028",
    "\ud800",
    "\ufeff", "f'{x}'", "yield ", "await ", "...", "()", "(n_h, n_x)", ": ", "~", "%",
    ">",
)  # fmt: skip
LIBRARY = tuple(cells.get(name).text for name in cells.names())


def read(text):
    """Read a text; what is accepted must print and be read again."""
    try:
        cell = Cell(text)
    except errors.CellError as error:
        str(error).encode()
        return
    assert Cell(cell.canonical_text).canonical_text == cell.canonical_text


@strategies.examples(4)
@given(st.text(max_size=60))
@example("h[t] = " + "[" * 190 + "]" * 190)
@example("h[t] = " + "not " * 950 + "x[t]")
@example("h[t] = " + "x[t]**" * 950 + "2")
@example("h[t] = x" + ".T" * 950)
@example("h[t] = " + "f(" * 150 + ")" * 150)
@example("W: " + "(" * 150 + ")" * 150)
@example("W: (n, m) = " + "-" * 900 + "1\nh[t] = W @ x[t]")
@example("h" + "[t]" * 900 + " = x[t]")
def test_any_text_is_read_or_refused(text):
    read(text)


@strategies.examples(6)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_any_words_are_read_or_refused(text):
    read("h[t] = " + text)
    read(text)


@strategies.examples(6)
@given(
    st.sampled_from(LIBRARY) | strategies.cells().map(lambda random: random.text),
    st.integers(0, 10_000),
    st.integers(0, 6),
    st.sampled_from(("", *WORDS)),
)
def test_a_cell_with_a_slip_of_the_pen_is_read_or_refused(text, place, length, word):
    start = place % len(text)
    read(text[:start] + word + text[start + length :])


@given(strategies.cells())
def test_lines_in_any_order_are_read_or_refused(random):
    read("\n".join(sorted(random.text.splitlines())))
