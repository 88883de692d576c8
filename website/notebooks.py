"""The notebooks, run from top to bottom and saved with what they show.

python website/notebooks.py    # writes every file of notebooks/ anew
"""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
# Sums round by the CPU, and a time is never the same twice; colours are no words.
UNSTEADY = re.compile(r"\x1b\[[\d;]*m|[-+]?\d[\d.,]*(e[-+]?\d+)?|\s")


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs of a run of today, in `folder`."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.clear()  # when it ran is of no interest
    return notebook


def words_of(notebook: nbformat.NotebookNode) -> list[str]:
    """What every cell shows, without numbers and spaces."""
    return [
        UNSTEADY.sub("", "".join(map(_text, cell.outputs)))
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _text(output: nbformat.NotebookNode) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


if __name__ == "__main__":
    for file in NOTEBOOKS:
        nbformat.write(execute(file, file.parent), file)
