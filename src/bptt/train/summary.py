"""`summary.json`: every figure of a finished run, and what it came from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bptt.train.data.form import Form
from bptt.train.door.limits import Refusal
from bptt.train.door.records import (
    MAX_CONFIG,
    MAX_VOCABULARY,
    SummaryRecord,
    TrivialRecord,
    hold_to,
    is_figure,
    parse_json,
)
from bptt.train.errors import DamagedRunError
from bptt.train.files import write_whole
from bptt.train.run_folder import read_text
from bptt.train.trivial import Trivial

SUMMARY_FILE = "summary.json"
TRIVIAL_FILE = "trivial.json"


@dataclass(frozen=True)
class Summary:
    """What a run reached, as its folder says: a typed part, and all of it.

    record: figures by name; content: the whole of summary.json.
    """

    folder: Path
    record: SummaryRecord
    content: Mapping[str, Any]


def write_summary(
    folder: Path, report: Mapping[str, Any], config: Mapping[str, Any], seed: int
) -> None:
    """Write the figures of a report with options, data and versions beside them.

    Raises: FolderNotWritableError.
    """
    data = config.get("data", {})
    content = {
        **report,
        "seed": seed,  # of the run: a folder from elsewhere may not name its own
        "options": config.get("options", {}),
        "data": {name: data.get(name) for name in ("source", "sha256", "summary")},
        "versions": config.get("versions", {}),
    }
    _write(folder, content)


def add_to_summary(folder: Path, name: str, value: Any) -> None:
    """Put what was found later into summary.json, if there is one.

    Raises: DamagedRunError, FolderNotWritableError.
    """
    if (folder / SUMMARY_FILE).is_file():
        _write(folder, {**read_summary(folder).content, name: value})


def _write(folder: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(without_infinity(content), indent=1, allow_nan=False)
    write_whole(folder / SUMMARY_FILE, (text + "\n").encode())


def without_infinity(value: Any) -> Any:
    """A value of JSON, which has null for what is no number."""
    if isinstance(value, float) and not is_figure(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): without_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_infinity(item) for item in value]
    return value


def read_summary(folder: Path) -> Summary:
    """What a finished run reached.

    Raises: RunNotFoundError if there is no summary, DamagedRunError.
    """
    try:
        content = parse_json(read_text(folder, SUMMARY_FILE, MAX_CONFIG))
        record = hold_to(SummaryRecord, content)
    except Refusal as refusal:
        raise DamagedRunError(folder / SUMMARY_FILE, str(refusal)) from refusal
    return Summary(folder, record, content)


def write_trivial(folder: Path, trivial: Trivial) -> None:
    """Write what the trivial predictor says, to measure it on other data."""
    content = json.dumps({"loss": trivial.loss, "o": trivial.o.tolist()}) + "\n"
    write_whole(folder / TRIVIAL_FILE, content.encode())


def read_trivial(folder: Path, form: Form) -> Trivial | None:
    """The trivial predictor of a run; None of one that has not ended.

    Raises: DamagedRunError.
    """
    path = folder / TRIVIAL_FILE
    if not path.is_file():
        return None
    try:
        content = parse_json(read_text(folder, TRIVIAL_FILE, MAX_VOCABULARY))
        record = hold_to(TrivialRecord, content)
        if len(record.o) != form.n_o:
            raise Refusal(f"says {len(record.o)} numbers, not {form.n_o}")
    except Refusal as refusal:
        raise DamagedRunError(path, str(refusal)) from refusal
    return Trivial(form, record.loss, np.array(record.o, np.float64))


def drop_summary(folder: Path) -> None:
    """Take away the summary of a run that goes on: it is no longer true."""
    (folder / SUMMARY_FILE).unlink(missing_ok=True)
