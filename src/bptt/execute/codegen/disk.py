"""Compiled code on disk, so that a new process need not compile what an old one did.

A folder of files, one for each key, with a digest of key and code in front of the code.
What cannot be read, is damaged, or lies where others may write is not used; what cannot
be written is not kept. Nothing here ever fails a call.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

__all__ = ["VARIABLE", "Store", "find_store"]

VARIABLE = "BPTT_CACHE"
OFF = ("0", "off", "no", "false")
MOST_BYTES = 64 << 20  # 2,000 cells at 30 KB
TIDY_EVERY = 32  # writes of one process
MAGIC = b"bptt code 1\n"
SUFFIX = ".code"


def find_store() -> Store | None:
    """The user's store, the folder that BPTT_CACHE names, or None where it is off."""
    asked = os.environ.get(VARIABLE, "")
    return None if asked.lower() in OFF else _open(asked)


@dataclass
class Store:
    """A folder of compiled code, of at most `most_bytes`.

    The oldest files go first; reading a file makes it new again.
    """

    folder: Path
    most_bytes: int = MOST_BYTES
    _n_written: int = 0
    _is_broken: bool = False

    def read(self, key: str) -> bytes | None:
        """The code of a key, or None where there is none that can be trusted."""
        try:
            if not self._is_ours():
                return None
            path = self._path(key)
            whole = path.read_bytes()
        except OSError:
            return None
        head = _head(key, whole[len(MAGIC) + 32 :])
        if whole[: len(head)] != head:
            return None
        with suppress(OSError):
            os.utime(path)
        return whole[len(head) :]

    def write(self, key: str, code: bytes) -> None:
        """Keep the code of a key; readers see all of it or nothing."""
        if self._is_broken:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_ours():
                self._replace(self._path(key), _head(key, code) + code)
            if self._n_written % TIDY_EVERY == 0:
                self.tidy(self.most_bytes)
            self._n_written += 1
        except OSError:  # a full disk, a home that is read-only: go on without
            self._is_broken = True

    def keeps(self) -> bool:
        """Whether what is written there is kept: a folder of the user's alone."""
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                return self._is_ours()
        return False

    def files(self) -> list[tuple[float, int, Path]]:
        """When each file was last used, its bytes, and where it is; oldest first."""
        found = []
        with suppress(OSError):
            for path in sorted(self.folder.iterdir()):
                if path.suffix in (SUFFIX, ".part"):
                    with suppress(OSError):  # another process may have removed it
                        facts = path.stat()
                        found.append((facts.st_mtime, facts.st_size, path))
        return sorted(found)

    def tidy(self, most_bytes: int) -> int:
        """Remove the oldest files until `most_bytes` are left; how many went."""
        files = self.files()
        total = sum(size for _, size, _ in files)
        gone = 0
        for _, size, path in files:
            if total <= most_bytes:
                break
            with suppress(OSError):
                path.unlink()
                total, gone = total - size, gone + 1
        return gone

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _replace(self, path: Path, whole: bytes) -> None:
        number, name = tempfile.mkstemp(suffix=".part", dir=self.folder)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(whole)
            Path(name).replace(path)
        except PermissionError:
            Path(name).unlink(missing_ok=True)
            if not path.exists():  # else another process reads the same on Windows
                raise
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _is_ours(self) -> bool:
        """Whether nobody but the user (and the system's owner) may write there.

        Raises: OSError if there is no such folder.
        """
        if not hasattr(os, "geteuid"):
            return True
        facts = self.folder.stat()
        is_shared = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return facts.st_uid == os.geteuid() and not is_shared


def _head(key: str, code: bytes) -> bytes:
    return MAGIC + hashlib.sha256(key.encode() + b"\0" + code).digest()


_opened: dict[str, Store] = {}


def _open(asked: str) -> Store:
    if asked not in _opened:
        if asked:
            folder = Path(asked)
        else:
            folder = Path(platformdirs.user_cache_dir("bptt", appauthor=False))
        _opened[asked] = Store(folder)
    return _opened[asked]
