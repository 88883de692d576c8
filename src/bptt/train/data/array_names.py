"""The names of arrays in sequence files, and the part of the data that each names."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from bptt.errors import did_you_mean
from bptt.step.shapes import Array
from bptt.train.data.reads import PLAIN, Reads
from bptt.train.data.weighting import CLASS_WEIGHTS, MASK, WEIGHTS
from bptt.train.errors import BadRecordError

Arrays = Mapping[str, Array]

PART_NAMES = {
    "training": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
WHOLE = "whole"  # records that belong to no part yet
STEMS = ("x", "y", "lengths", MASK, WEIGHTS)
ENDINGS = ("", *(f"_{name}" for names in PART_NAMES.values() for name in names))
TAKEN = {*(stem + e for stem in STEMS for e in ENDINGS), CLASS_WEIGHTS} - {"x", "y"}


def check_names(file: Path, names: Sequence[str], reads: Reads = PLAIN) -> None:
    """Refuse an array whose name says nothing here, with the nearest that does.

    Raises: BadRecordError, also for an input of the cell with a name that has a
    meaning of its own here.
    """
    for name in reads.others:
        if name in TAKEN:
            reason = f"has {name} with a meaning of its own, and the cell reads an "
            reason += f"input {name}; give the input another name"
            raise BadRecordError(file, None, reason)
    stems = dict.fromkeys((*STEMS, *reads.others))
    known = (*(stem + ending for stem in stems for ending in ENDINGS), CLASS_WEIGHTS)
    for name in names:
        if name not in known:
            meant = did_you_mean(name, known) or "."
            reason = f"has an array {name!r}, which means nothing here{meant}"
            there = f"{', '.join(stems)}, and each with {', '.join(ENDINGS[1:])}"
            also = f"Known are {there}; and {CLASS_WEIGHTS}"
            raise BadRecordError(file, None, f"{reason} {also}")
    names = [name for name in names if name != CLASS_WEIGHTS]
    if set(names) & set(stems) and set(names) - set(stems):
        mixed = ", ".join(sorted(names))
        reason = f"has arrays with and without the name of a part: {mixed}"
        raise BadRecordError(file, None, reason)


def parts_of(file: Path, arrays: Arrays, reads: Reads) -> dict[str, Arrays]:
    """The arrays x, y, lengths of every part that a file holds."""
    found: dict[str, Arrays] = {}
    used: dict[str, list[str]] = {}
    leads = ["x"] if reads.has_x else list(reads.steps)
    for part, names in PART_NAMES.items():
        for name in names:
            keys = {stem: f"{stem}_{name}" for stem in (*STEMS, *reads.others)}
            if any(keys[lead] in arrays for lead in leads):
                keys[CLASS_WEIGHTS] = CLASS_WEIGHTS  # of all parts
                found[part] = {k: arrays[v] for k, v in keys.items() if v in arrays}
                used[part] = list(keys.values())
    if found:
        _refuse_left_over(file, arrays, found, list(chain(*used.values())))
        return found
    if "x" not in arrays and reads == PLAIN:
        reason = (
            f"has no array x, only {', '.join(sorted(arrays)) or 'none'}; "
            "name them x, y, lengths, or x_train, y_train and so on"
        )
        raise BadRecordError(file, None, reason)
    return {_part_of_folder(file): arrays}


def _refuse_left_over(
    file: Path, arrays: Arrays, found: Mapping[str, Arrays], used: Sequence[str]
) -> None:
    """Refuse an array of a part that lacks the others. Raises: BadRecordError."""
    left = [name for name in arrays if name not in used]
    if left:
        there = ", ".join(sorted(arrays))
        reason = f"has {left[0]!r} that belongs to no other array of its part: {there}"
        raise BadRecordError(file, None, reason)
    without = [part for part, these in found.items() if "y" not in these]
    if without and len(without) < len(found):
        reason = f"has y of some parts, and none of {', '.join(without)}"
        raise BadRecordError(file, None, reason)


def have_y(parts: Mapping[Path, Mapping[str, Arrays]]) -> bool:
    """Whether the parts of files hold targets, all of them or none.

    Raises: BadRecordError where some do: the target of the others would be the next x.
    """
    firsts: dict[bool, Path] = {}
    for file, these in parts.items():
        for arrays in these.values():
            firsts.setdefault("y" in arrays, file)
    if len(firsts) > 1:
        reason = f"has no y, and {str(firsts[True])!r} has one; without it the target "
        reason += "of a step is the next x: give y in each file, or in none"
        raise BadRecordError(firsts[False], None, reason)
    return True in firsts


def _part_of_folder(file: Path) -> str:
    for part, names in PART_NAMES.items():
        if file.parent.name in names:
            return part
    return WHOLE
