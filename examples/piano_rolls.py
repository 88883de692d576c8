"""Collections of polyphonic music as the rolls that `bptt train` reads.

    python examples/piano_rolls.py JSB_Chorales.mat jsb.npz
    python examples/piano_rolls.py jsb-chorales-quarter.json jsb.npz
    python examples/piano_rolls.py music21 chorales.npz

`.mat` (`pip install scipy`): `traindata`, `validdata` and `testdata` are cells of
rolls, (steps, 88) of 0 and 1. `.json`: `train`, `valid` and `test` are lists of pieces,
of chords, of keys as MIDI numbers them. `music21`: the scores of Bach for four voices
that this package bundles (`pip install music21`); at each quarter note the keys that
sound. 60, 20 and 20 % of them are the parts, drawn by `--seed`. They are chorales as
JSB Chorales are, but neither as many nor cut into the same parts: a figure on one is no
figure on the other.
"""

import argparse
import json
from importlib import import_module
from pathlib import Path

import numpy as np

N_KEYS, LOWEST = 88, 21  # MIDI's number of a piano's first key
PARTS = {"train": "train", "valid": "validation", "test": "test"}
ENDS = {"train": 0.6, "valid": 0.8, "test": 1.0}


def read_mat(path):
    """The rolls of each part from a MATLAB file."""
    found = import_module("scipy.io").loadmat(path)
    return {part: list(found[f"{part}data"].ravel()) for part in PARTS}


def read_json(path):
    """The rolls of each part from lists of chords."""
    found = json.loads(Path(path).read_text("utf-8"))
    return {part: [roll_of_chords(piece) for piece in found[part]] for part in PARTS}


def roll_of_chords(piece):
    """(steps, 88) of truths; a number that is no key of a piano is a rest."""
    roll = np.zeros((len(piece), N_KEYS), bool)
    for row, chord in zip(roll, piece, strict=True):
        row[[key - LOWEST for key in chord if 0 <= key - LOWEST < N_KEYS]] = True
    return roll


def read_music21(seed):
    """The rolls of each part, drawn from the scores of Bach for four voices."""
    corpus, rolls = import_module("music21.corpus"), []
    for path in sorted(corpus.getComposer("bach"), key=lambda one: one.name):
        if path.suffix != ".mxl":  # a few are in other forms
            continue
        score = corpus.parse(path)
        if len(score.parts) == 4:
            rolls.append(roll_of_notes([
                (key.midi, float(note.offset), float(note.offset + note.quarterLength))
                for note in score.flatten().notes for key in note.pitches
            ]))  # fmt: skip
    order, parts, first = np.random.default_rng(seed).permutation(len(rolls)), {}, 0
    for part, end in ENDS.items():
        stop = round(end * len(rolls))
        parts[part] = [rolls[i] for i in order[first:stop]]
        first = stop
    return parts


def roll_of_notes(notes):
    """(steps, 88) of truths, a step a quarter; notes are (MIDI key, begin, end)."""
    roll = np.zeros((int(np.ceil(max(end for *_, end in notes))), N_KEYS), bool)
    for key, begin, end in notes:
        if 0 <= key - LOWEST < N_KEYS:
            roll[int(np.ceil(begin)) : int(np.ceil(end)), key - LOWEST] = True
    return roll


def padded(parts):
    """The arrays of an .npz file: x and lengths of each part."""
    arrays = {}
    for part, name in PARTS.items():
        lengths = np.array([len(roll) for roll in parts[part]])
        x = np.zeros((len(lengths), lengths.max(), N_KEYS), bool)
        for row, roll in zip(x, parts[part], strict=True):
            row[: len(roll)] = np.asarray(roll) != 0
        arrays |= {f"x_{name}": x, f"lengths_{name}": lengths}
    return arrays


def main():
    """Read a collection, and write it as one file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", help="a .mat or .json file, or music21")
    parser.add_argument("out", type=Path, help="the .npz file to write")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    readers = {".mat": read_mat, ".json": read_json}
    if given.source == "music21":
        parts = read_music21(given.seed)
    elif (kind := Path(given.source).suffix.lower()) in readers:
        parts = readers[kind](given.source)
    else:
        parser.error(f"{given.source}: neither a .mat or .json file nor music21")
    np.savez_compressed(given.out, **padded(parts))
    sizes = ", ".join(str(len(rolls)) for rolls in parts.values())
    rolls = [roll for part in parts.values() for roll in part]
    n_steps, n_keys = sum(map(len, rolls)), sum(int((r != 0).sum()) for r in rolls)
    print(f"{given.out}: {sizes} pieces to train, validate and test, of "
          f"{n_steps / len(rolls):.1f} steps, {n_keys / n_steps:.2f} keys at a step"
          )  # fmt: skip


if __name__ == "__main__":
    main()
