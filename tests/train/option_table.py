"""The table of options in docs/training.md.

python -m tests.train.option_table      writes it anew
"""

from pathlib import Path

from bptt.train.definition import as_markdown, grouped
from bptt.train.options import TrainingOptions

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
BEGIN, END = "<!-- options: begin -->\n", "<!-- options: end -->"


def table():
    """The table, as the definition of the options says."""
    return as_markdown(grouped(TrainingOptions))


def parts(text):
    """The page before, in and after the table."""
    before, _, rest = text.partition(BEGIN)
    inside, _, after = rest.partition(END)
    return before, inside, after


if __name__ == "__main__":
    before, _, after = parts(PAGE.read_text("utf-8"))
    PAGE.write_text(before + BEGIN + table() + END + after, "utf-8")
