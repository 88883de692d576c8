"""Which kind of data a path holds, and how to recognise it again."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bptt.train.data.characters import text_task
from bptt.train.data.entries import Entries
from bptt.train.data.reads import Reads
from bptt.train.data.sequence_files import SUFFIXES, SequenceFiles, read_sequences
from bptt.train.data.sequence_task import sequence_task
from bptt.train.data.tables import TABLE_SUFFIXES, TableRequest, read_tables
from bptt.train.data.targets import remarks, with_loss
from bptt.train.data.task import TrainingTask
from bptt.train.data.text import LargeText, PlainText, files_of, kind_of, read_text
from bptt.train.data.token_files import TokenFile, read_tokens, token_task
from bptt.train.data.token_text import token_text_task
from bptt.train.data.tokenised import Tokenised
from bptt.train.data.vocabulary import Vocabulary
from bptt.train.errors import (
    DataUnreadableError,
    IgnoredOptionError,
    MixedDataError,
    OptionError,
)
from bptt.train.options import (
    CHARACTERS,
    STANDARD_LIBRARY_CHARACTERS,
    TrainingOptions,
)

Data = PlainText | LargeText | TokenFile | SequenceFiles

# What holds numbers and is read where it lies, not unpacked.
NOT_PACKED = (".npy", *SUFFIXES, ".parquet")

# What people have, and what makes of it what can be read.
CONVERT = {
    ".mid": "a MIDI file is no array; make a piano roll (steps, pitches) of truths of "
    "it, for example (pretty_midi.PrettyMIDI(file).get_piano_roll(fs=4) > 0).T, and "
    "save it as x with numpy.savez",
    ".mat": "a MATLAB file; scipy.io.loadmat reads it: save its arrays as x and y "
    "with numpy.savez",
}
CONVERT[".midi"] = CONVERT[".mid"]
CONVERT[".pkl"] = CONVERT[".pickle"] = (
    "a pickle can run code when it is read, so none is read here; where you trust it, "
    "load it yourself and save its arrays as x and y with numpy.savez"
)
CONVERT[".xlsx"] = CONVERT[".xls"] = "a spreadsheet; save it as .csv"
CONVERT[".h5"] = CONVERT[".hdf5"] = (
    "an HDF5 file; h5py reads it: save its arrays as x and y with numpy.savez"
)
CONVERT[".wav"] = CONVERT[".mp3"] = CONVERT[".flac"] = CONVERT[".ogg"] = (
    "a sound; save x, of steps and channels, with numpy.savez (scipy.io.wavfile reads "
    ".wav)"
)
CONVERT[".feather"] = CONVERT[".orc"] = "a table; save it as .parquet or .csv"
CONVERT[".arff"] = (
    "an ARFF file; scipy.io.arff.loadarff reads it: save x and y with numpy.savez"
)
CONVERT |= dict.fromkeys(
    (".bz2", ".xz", ".lzma", ".zip", ".7z", ".rar", ".tar", ".tgz", ".z", ".lz4"),
    "an archive that is not unpacked here; unpack it, or pack its files one by one "
    "as .gz or .zst",
)

WHOLE_HASH = 64 * 2**20  # bytes of a file that are hashed in full
EDGE = 2**20  # of a larger file: its first and last bytes


@dataclass(frozen=True)
class DataRequest:
    """What a person asked to read; written to config.json, and read again on resume.

    reads: what the cell reads of sequence files; of a run its cell says it;
    may_lack_targets: files without targets are read to be predicted from; found: the
    columns of x that a run has found in its tables, which nobody has asked for.
    """

    paths: tuple[Path, ...] = ()
    pattern: str = "*"
    limit: int | None = None
    table: TableRequest = field(default_factory=TableRequest)
    per: str | None = None
    reads: Reads = field(default_factory=Reads)
    may_lack_targets: bool = False
    found: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Paths are made absolute: a run may be resumed from another folder."""
        return {
            "paths": [str(path.resolve()) for path in self.paths],
            "pattern": self.pattern,
            "limit": self.limit,
            "per": self.per,
            "found": self.found,
            **asdict(self.table),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "DataRequest":
        """The reverse of `to_json`."""
        paths = tuple(map(Path, record["paths"]))
        names = {one.name for one in fields(TableRequest)}
        table: dict[str, Any] = {
            name: tuple(value) if name in ("columns", "classes") else value
            for name, value in record.items()
            if name in names
        }
        return cls(
            paths, record["pattern"], record["limit"], TableRequest(**table),
            record.get("per"), found=tuple(record.get("found", ())),
        )  # fmt: skip

    def with_limit(self) -> "DataRequest":
        """Itself, with as much text of the standard library as is read without DATA."""
        if self.limit is not None or self.paths:
            return self
        return replace(self, limit=STANDARD_LIBRARY_CHARACTERS)

    def as_found(self) -> "DataRequest":
        """Itself, with the columns that its run found where none were asked for."""
        columns = self.table.columns or self.found
        return replace(self, table=replace(self.table, columns=columns))

    def is_that_of(self, record: dict[str, Any]) -> bool:
        """Whether a run whose config.json has this record was asked to read the same.

        What it found itself, columns and the words of labels, is left aside. A run of
        before columns were kept apart does not tell which of them were asked for.
        """
        known = DataRequest.from_json(record)
        is_apart = "found" in record
        mine = replace(
            self.with_limit(),
            paths=tuple(path.resolve() for path in self.paths),
            table=replace(
                self.table,
                columns=self.table.columns or (() if is_apart else known.table.columns),
                classes=known.table.classes,
            ),
            reads=known.reads,
            found=known.found,
        )
        return mine == known


def open_data(request: DataRequest) -> Data:
    """Read text, a token file or sequence files; which, their names say.

    `.csv`, `.tsv` and `.parquet` are tables; `.npy` is a token file; `.npz` and
    `.safetensors` are sequences, also in a folder, where other files are then left
    out; anything else is text.
    Raises: DataNotFoundError, MixedDataError, IgnoredOptionError, and the errors of
    each kind.
    """
    kinds = {path: kind_at(path) for path in request.paths}
    found = sorted(set(kinds.values()))
    if len(found) > 1:
        raise MixedDataError({str(path): kind for path, kind in kinds.items()})
    _refuse_ignored(request, *(found or ["text"]))
    if found == ["tokens"]:
        return read_tokens(request.paths)
    if found == ["table"]:
        files = [f for path in request.paths for f in _table_files(path, request)]
        source = " ".join(map(str, request.paths))
        return read_tables(
            source, files, request.table, request.reads,
            may_lack_targets=request.may_lack_targets,
        )  # fmt: skip
    if found == ["sequences"]:
        files = [f for path in request.paths for f in _sequence_files(path, request)]
        source = " ".join(map(str, request.paths))
        missing = request.table.missing
        return read_sequences(
            source, files, request.per, missing, request.reads,
            may_lack_targets=request.may_lack_targets,
        )  # fmt: skip
    return read_text(request.paths, pattern=request.pattern, limit=request.limit)


def _refuse_ignored(request: DataRequest, kind: str) -> None:
    if request.limit is not None and kind != "text":
        raise IgnoredOptionError("--limit", "it counts characters of text")
    given = [n for n in request.table.given if (kind, n) != ("sequences", "--missing")]
    if given and kind != "table":
        raise IgnoredOptionError(given[0], "it names columns of tables")
    if request.per is not None and kind != "sequences":
        why = "it says what y of sequences belongs to"
        raise IgnoredOptionError("--per", why)
    if request.pattern != "*" and not any(path.is_dir() for path in request.paths):
        raise IgnoredOptionError("--pattern", "it chooses files of folders")


def make_task(
    data: Data, options: TrainingOptions, vocabulary: Entries | None = None,
    tokenised: Tokenised | None = None,
) -> TrainingTask:  # fmt: skip
    """Cut data into parts, as options say.

    vocabulary: of a text, where known; tokenised: the same text, where it was cut
    into words or byte pairs before.
    Raises: TextTooShortError, EmptyDataError, TooFewRecordsError.
    """
    if isinstance(data, TokenFile):
        return token_task(data, options)
    if isinstance(data, SequenceFiles):
        meant = with_loss(data, options.loss)
        task = sequence_task(meant, options)
        return replace(task, remarks=(*remarks(meant, options.loss), *task.remarks))
    kind = options.tokens if vocabulary is None else vocabulary.kind
    if kind != options.tokens:
        expected = f"{kind}, as in the run that gives the vocabulary"
        raise OptionError("--tokens", options.tokens, expected)
    if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
        return token_text_task(data, options, vocabulary, tokenised)
    if kind == CHARACTERS:
        return text_task(data, options, vocabulary)
    return token_text_task(data, options)


def fingerprint(data: Data) -> str:
    """A hash that tells whether data is the same again: of names, sizes and content.

    A file above 64 MiB counts with its size, its first and its last 2^20 bytes.
    """
    digest = hashlib.sha256()
    if isinstance(data, PlainText):
        digest.update(data.characters.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
    files = (data.path,) if isinstance(data, TokenFile) else data.files
    if isinstance(data, LargeText):
        digest.update(str(data.limit).encode())
    for file in files:
        _hash_file(digest, file)
    return digest.hexdigest()


def _hash_file(digest: Any, file: Path) -> None:
    size = file.stat().st_size
    digest.update(f"{file.name} {size}\n".encode())
    with file.open("rb") as stream:
        if size <= WHOLE_HASH:
            while block := stream.read(EDGE):
                digest.update(block)
        else:
            digest.update(stream.read(EDGE))
            stream.seek(-EDGE, 2)
            digest.update(stream.read(EDGE))


def kind_at(path: Path) -> str:
    """What a file or a folder holds: "tokens", "table", "sequences" or "text".

    Raises: DataUnreadableError for what is no data, and the errors of `files_of`.
    """
    kind = kind_of(path)
    if path.is_dir():
        kinds = {kind_of(file) for file in files_of(path, "*")}
        if kinds & set(SUFFIXES):
            return "sequences"
        return "table" if kinds & set(TABLE_SUFFIXES) else "text"
    if kind in CONVERT:
        raise DataUnreadableError(path, CONVERT[kind])
    if kind in NOT_PACKED and path.suffix.lower() != kind:
        raise DataUnreadableError(path, f"unpack it first: a {kind} file is not packed")
    if kind in TABLE_SUFFIXES:
        return "table"
    if kind == ".npy":
        return "tokens"
    return "sequences" if kind in SUFFIXES else "text"


def _table_files(path: Path, request: DataRequest) -> Sequence[Path]:
    files = files_of(path, request.pattern)
    return [file for file in files if kind_of(file) in TABLE_SUFFIXES]


def _sequence_files(path: Path, request: DataRequest) -> Sequence[Path]:
    found = files_of(path, request.pattern)
    return [f for f in found if kind_of(f) in SUFFIXES] if path.is_dir() else found
