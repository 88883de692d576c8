"""What `--config` names: a TOML file of options, or the config.json of a run.

data = ["sales.csv"]        # and pattern, limit, out
cell = "lstm"
n_h = 64                    # or n-h, as on the command line
split = [0.8, 0.1, 0.1]     # instead of held_out and test
[sizes]
n_k = 32
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bptt.errors import did_you_mean, nearest_file
from bptt.train.assignments import check_split
from bptt.train.data.opening import DataRequest
from bptt.train.data.tables import TableRequest
from bptt.train.definition import defined
from bptt.train.door.limits import Refusal, read_bounded
from bptt.train.door.records import MAX_CONFIG, ConfigTable, hold_to, parse_json
from bptt.train.errors import ConfigFileError
from bptt.train.options import TrainingOptions
from bptt.train.run_folder import CONFIG_FILE, read_config

TABLE = ("columns", "time", "group", "target", "horizon", "missing")
OWN = ("data", "pattern", "limit", "out", "split", "per", *TABLE)


@dataclass(frozen=True)
class RunConfig:
    """The options that a file names, by field, the data it names, and the folder."""

    options: Mapping[str, Any] = field(default_factory=dict)
    request: DataRequest | None = None
    out: Path | None = None


def read_run_config(path: Path) -> RunConfig:
    """Read a TOML file of options, a run folder, or its config.json.

    Raises: ConfigFileError if a name or a value is none, OptionError outside a range,
    and the errors of `read_run` for a folder.
    """
    if path.is_dir() or path.name == CONFIG_FILE:
        config = read_config(path if path.is_dir() else path.parent)
        options = TrainingOptions.from_json(config["options"])
        request = config.get("data", {}).get("request")
        return RunConfig(
            {name: getattr(options, name) for name in options.changed},
            None if request is None else DataRequest.from_json(request),
        )
    return from_table(path, read_table(path))


def read_table(path: Path) -> dict[str, Any]:
    """The content of a TOML file, or of a JSON object in a file `*.json`.

    Raises: ConfigFileError.
    """
    kind = "JSON" if path.suffix == ".json" else "TOML"
    if not path.exists():
        raise ConfigFileError(path, f"there is no such file{nearest_file(path)}")
    try:
        # Editors of Windows begin a file with a mark of its code.
        text = read_bounded(path, MAX_CONFIG).decode("utf-8-sig")
        if kind == "TOML":
            return tomllib.loads(text)
        return hold_to(dict[str, Any], parse_json(text, infinite=True))
    except (OSError, Refusal, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigFileError(path, f"is not read as {kind} ({error})") from error


def from_table(path: Path, table: Mapping[str, Any]) -> RunConfig:
    """The options of a table, every name and type held to the definition.

    Raises: ConfigFileError, OptionError.
    """
    given: dict[str, Any] = {}
    for key, value in table.items():
        name = meaning_of(key)
        if name is None:
            meant = did_you_mean(key, _names())
            raise ConfigFileError(
                path, f"has {key!r}, which no option is called{meant}"
            )
        if name in given:
            raise ConfigFileError(path, f"says {name} twice, the second time as {key}")
        given[name] = value
    own = {name: given.pop(name) for name in OWN if name in given}
    try:
        record = hold_to(ConfigTable, own)
        held = hold_to(TrainingOptions, given)
    except Refusal as refusal:
        raise ConfigFileError(path, str(refusal)) from refusal
    options = {name: getattr(held, name) for name in given}
    if record.split is not None:
        if {"held_out", "test"} & set(given):
            reason = "has split besides held_out or test, which say the same"
            raise ConfigFileError(path, reason)
        options["held_out"], options["test"] = check_split(record.split)
    request = None
    if own.keys() - {"out", "split"}:
        data = record.data or []  # the command line may name it
        paths = [data] if isinstance(data, str) else data
        table = {name: own[name] for name in TABLE if name in own}
        if "columns" in table:
            table["columns"] = tuple(table["columns"])
        request = DataRequest(
            tuple(map(Path, paths)),
            record.pattern,
            record.limit,
            TableRequest(**table),
            record.per,
        )
    return RunConfig(options, request, None if record.out is None else Path(record.out))


def meaning_of(key: str) -> str | None:
    """The field that a name in a file stands for; None if it is none."""
    return _names().get(key.replace("-", "_"))


@cache
def _names() -> dict[str, str]:
    """Every way to write an option -> its field."""
    found = {name: name for name in OWN}
    for one in defined(TrainingOptions):
        found[one.name] = one.name
        for flag in one.flags:
            found[flag.removeprefix("--").replace("-", "_")] = one.name
    return found
