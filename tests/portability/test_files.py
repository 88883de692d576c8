"""Files, locks and maps where the system is not Linux, each behind a stand-in."""

import errno
import io
import mmap
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bptt.execute.codegen import disk
from bptt.execute.kernels import executor, workspace
from bptt.execute.kernels.threads import RowPool
from bptt.train import files
from bptt.train.data import mapped
from bptt.train.data.text import files_of
from bptt.train.data.vocabulary import read_pieces
from bptt.train.door import limits
from bptt.train.errors import FolderNotWritableError
from bptt.train.interrupt import StopOnInterrupt
from bptt.train.run_config import read_table
from tests.portability.windows import Locks, Mapped, Named


class Refusing:
    """`Path.replace` that is refused a number of times."""

    def __init__(self, times):
        self.left, self.asked = times, 0
        self._replace = Path.replace

    def __get__(self, path, _):
        def replace(target):
            self.asked += 1
            if self.left > 0:
                self.left -= 1
                raise PermissionError(errno.EACCES, "in use by another process")
            return self._replace(path, target)

        return replace


@pytest.fixture
def windows(monkeypatch):
    """The files of this project on Windows; the pauses that were taken."""
    pauses = []
    monkeypatch.setattr(files, "os", Named())
    monkeypatch.setattr(files, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setitem(sys.modules, "msvcrt", Locks())
    return pauses


def refuse(monkeypatch, times):
    refusing = Refusing(times)
    monkeypatch.setattr(Path, "replace", refusing)
    return refusing


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_file_that_another_program_reads_is_replaced_once_it_is_free(
    windows, monkeypatch, tmp_path, times
):
    (tmp_path / "a").write_bytes(b"old")
    refusing = refuse(monkeypatch, times)
    files.write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert refusing.asked == times + 1
    assert windows == list(files.PAUSES[:times])


def test_one_that_stays_in_use_is_an_error_and_leaves_the_old_file(
    windows, monkeypatch, tmp_path
):
    (tmp_path / "a").write_bytes(b"old")
    refuse(monkeypatch, 100)
    with pytest.raises(FolderNotWritableError, match="in use by another process"):
        files.write_whole(tmp_path / "a", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="what another system does")
def test_elsewhere_a_refusal_is_final(monkeypatch, tmp_path):
    refusing = refuse(monkeypatch, 1)
    with pytest.raises(FolderNotWritableError):
        files.write_whole(tmp_path / "a", b"new")
    assert refusing.asked == 1


def test_a_lock_of_windows_is_held_alone_and_given_back(windows, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"{}\n")
    with files.locked(path):
        assert path.read_bytes() == b"{}\n"
        with pytest.raises(files.LockedError), files.locked(path):
            pass
    with files.locked(path):
        assert path.stat().st_size == 3


def test_a_system_without_locks_is_used_without(monkeypatch, tmp_path):
    for name in ("fcntl", "msvcrt"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a").write_bytes(b"x")
    with files.locked(tmp_path / "a"), files.locked(tmp_path / "a"):
        pass


def test_a_folder_of_windows_is_not_opened(windows, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "open", None)
    files.sync_folder(tmp_path)


@pytest.mark.parametrize("is_there", [True, False])
def test_code_that_another_process_reads_stays_and_the_store_goes_on(
    monkeypatch, tmp_path, is_there
):
    store = disk.Store(tmp_path / "codes")
    if is_there:
        store.write("key", b"code")
    refuse(monkeypatch, 1)
    store.write("key", b"code")
    store.write("other", b"more")
    assert store.read("other") == (b"more" if is_there else None)
    assert not list(store.folder.glob("*.part"))


def test_a_system_without_owners_trusts_its_folder(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "geteuid", raising=False)
    store = disk.Store(tmp_path)
    store.write("key", b"code")
    assert store.read("key") == b"code"


def test_memory_is_known_from_the_system_or_taken_for_four_gib(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "MEMORY_FILE", tmp_path / "none")
    monkeypatch.setattr(limits, "GROUP", tmp_path / "none")
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 16384}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__, raising=False)  # macOS
    assert limits.available_memory() == 16384 * 1000
    monkeypatch.delattr(os, "sysconf")  # Windows
    assert limits.available_memory() == 4 * 2**30


def test_threads_are_the_cpus_where_no_process_has_some_of_them(monkeypatch):
    monkeypatch.delenv("BPTT_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert executor.count_threads(None) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert executor.count_threads(None) == 1


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_row_ranges_run_where_no_thread_is_bound(monkeypatch, system):
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    pool, sums = RowPool(3), np.zeros(3)

    def run(number, begin, end):
        sums[number] = sum(range(begin, end))

    try:
        pool.run([(0, 4), (4, 7), (7, 9)], run)
    finally:
        pool.close()
    assert sums.tolist() == [6, 15, 15]


@pytest.mark.parametrize("there", [True, False])
def test_memory_is_aligned_with_huge_pages_or_without(monkeypatch, there):
    if not there:
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
        monkeypatch.delattr(mmap, "MAP_PRIVATE", raising=False)
    array = workspace.empty_aligned((300, 257), np.float64)
    array[...] = 2.0
    assert array.ctypes.data % 64 == 0
    assert array.sum() == 2.0 * 300 * 257


def test_a_long_text_is_mapped_from_a_named_file_without_advice(monkeypatch):
    def temporary(prefix):  # what TemporaryFile is on Windows
        return tempfile.NamedTemporaryFile(prefix=prefix)

    monkeypatch.setattr(mapped.tempfile, "TemporaryFile", temporary)
    monkeypatch.setattr(mmap, "mmap", Mapped)
    codes = mapped.join_pieces(
        [np.arange(5, dtype=np.uint32), np.arange(3, dtype=np.uint32)],
        np.uint32,
        is_large=True,
    )
    pieces = [piece.tolist() for piece in read_pieces(codes)]
    assert pieces == [[0, 1, 2, 3, 4, 0, 1, 2]]


def test_files_come_in_one_order_whatever_letters_the_system_takes_for_equal(
    tmp_path,
):
    for name in ("b.txt", "A.txt", "a-b/c.txt", "a/c.txt", "C.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    found = [f.relative_to(tmp_path).as_posix() for f in files_of(tmp_path, "*")]
    assert found == ["A.txt", "C.txt", "a/c.txt", "a-b/c.txt", "b.txt"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "text"), [("a.toml", 'cell = "gru"\n'), ("a.json", '{"cell":\n"gru"}\n')]
)
def test_options_are_read_with_the_ends_and_the_mark_of_an_editor_of_windows(
    tmp_path, end, mark, name, text
):
    (tmp_path / name).write_bytes((mark + text.replace("\n", end)).encode())
    assert read_table(tmp_path / name) == {"cell": "gru"}


def test_an_interrupt_is_left_alone_outside_the_main_thread():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def inside():
        with StopOnInterrupt():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("kind", "asked", "shown"),
    [
        (io.TextIOWrapper, None, "∇_W".encode()),
        (io.TextIOWrapper, "cp1252", b"?_W"),
        (Terminal, None, b"?_W"),
    ],
)
def test_signs_that_a_code_page_lacks_pass(monkeypatch, kind, asked, shown):
    from bptt.cli.output import let_every_sign_pass

    stream = kind(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    if asked:
        monkeypatch.setenv("PYTHONIOENCODING", asked)
    let_every_sign_pass()
    print("∇_W", end="", file=stream, flush=True)
    assert stream.buffer.getvalue() == shown


@pytest.mark.parametrize(
    ("error", "on_windows", "is_closed"),
    [
        (BrokenPipeError(), False, True),
        (OSError(errno.EINVAL, "Invalid argument"), True, True),
        (OSError(errno.EINVAL, "Invalid argument"), False, False),
        (OSError(errno.EINVAL, "Invalid argument", "a<b.txt"), True, False),
        (ValueError(), True, False),
    ],
)
def test_a_reader_who_left_is_no_error(monkeypatch, error, on_windows, is_closed):
    from bptt.cli import output

    if on_windows:
        monkeypatch.setattr(output, "os", Named())
    assert output.is_closed(error) == is_closed
