"""Compiled code on disk: what is trusted, what is not, and that no call ever fails."""

import errno
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bptt import Cell, cells
from bptt.execute.codegen import disk, objects
from bptt.execute.codegen.disk import Store
from bptt.execute.codegen.target import get_host_target
from tests.execute.guard import run_guarded

KEY, CODE = "ab" * 32, bytes(range(256)) * 4
GRADIENT = f"""
import sys
sys.path[:0] = {sys.path!r}
import hashlib
import numpy as np
from bptt import cells
from bptt.execute.codegen import objects
compiled = []
translate = objects.emit_object
objects.emit_object = lambda *a: compiled.append(1) or translate(*a)
params = cells.lstm.init(n_x=3, n_h=5)
grad = cells.lstm.gradient(params, {{"x": np.ones((4, 2, 3))}},
                           seeds={{"h": np.ones((4, 2, 5))}})
found = hashlib.sha256(b"".join(grad[name].tobytes() for name in grad))
print(len(compiled), found.hexdigest())
"""


def first_call(folder):
    """In a new process: how many modules it compiled, and the bits of a gradient."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(disk.VARIABLE, str(folder))
        count, bits = run_guarded(GRADIENT).split()
    return int(count), bits


def test_a_new_process_compiles_nothing_and_gives_the_same_bits(tmp_path):
    count, bits = first_call(tmp_path / "cache")
    assert count > 3
    assert first_call(tmp_path / "cache") == (0, bits)
    # Damaged files, each in another place: they are compiled and written again.
    for number, path in enumerate(sorted((tmp_path / "cache").iterdir())):
        whole = bytearray(path.read_bytes())
        whole[number * len(whole) // 40 % len(whole)] ^= 1
        path.write_bytes(whole)
    assert first_call(tmp_path / "cache") == (count, bits)
    assert first_call(tmp_path / "cache") == (0, bits)


def test_whatever_lies_in_the_folder_a_call_gives_the_same(tmp_path):
    (tmp_path / "a file").write_text("")
    _, bits = first_call("off")
    assert first_call(tmp_path / "a file")[1] == bits  # no folder, and none can be made
    assert (tmp_path / "a file").read_text() == ""


@pytest.mark.parametrize("place", [0, 5, len(disk.MAGIC) + 3, -1])
def test_a_damaged_file_is_no_code(tmp_path, place):
    store = Store(tmp_path)
    store.write(KEY, CODE)
    assert store.read(KEY) == CODE
    (path,) = tmp_path.iterdir()
    whole = bytearray(path.read_bytes())
    whole[place] ^= 16
    path.write_bytes(whole)
    assert store.read(KEY) is None


def test_a_cut_file_and_one_of_another_key_are_no_code(tmp_path):
    store = Store(tmp_path)
    store.write(KEY, CODE)
    (path,) = tmp_path.iterdir()
    other = KEY[::-1]
    assert other != KEY
    (tmp_path / f"{other}.code").write_bytes(path.read_bytes())
    assert store.read(other) is None
    whole = path.read_bytes()
    for length in (0, 7, len(disk.MAGIC) + 32, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert store.read(KEY) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners of files")
def test_a_folder_where_others_may_write_is_not_used(tmp_path):
    store = Store(tmp_path)
    store.write(KEY, CODE)
    tmp_path.chmod(0o777)
    assert not store.keeps()
    assert store.read(KEY) is None
    store.write(KEY[::-1], CODE)
    assert len(list(tmp_path.iterdir())) == 1
    tmp_path.chmod(0o700)
    assert store.keeps()
    assert store.read(KEY) == CODE


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    store = Store(tmp_path / "cache")

    class Full:
        def __init__(self, number):
            os.close(number)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def write(self, data):
            raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(disk.os, "fdopen", lambda number, mode: Full(number))
    store.write(KEY, CODE)
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.undo()
    store.write(KEY, CODE)  # it does not try again
    assert store.read(KEY) is None


def test_the_oldest_files_go_first(tmp_path):
    store = Store(tmp_path, most_bytes=3 * (len(CODE) + 60))
    for number in range(5):
        store.write(f"{number:064}", CODE)
        os.utime(tmp_path / f"{number:064}.code", (number, number))
    assert store.read(f"{0:064}") == CODE  # read just now, so the newest
    assert store.tidy(store.most_bytes) == 2
    left = sorted(path.stem[-1] for path in tmp_path.iterdir())
    assert left == ["0", "3", "4"]
    store._n_written = 0
    store.write(f"{7:064}", CODE)  # the first write of a process tidies
    assert len(store.files()) == 3
    assert store.tidy(0) == 3
    assert list(tmp_path.iterdir()) == []


def test_writers_at_once_never_show_a_part(tmp_path):
    codes = [bytes([number]) * 50_000 for number in range(4)]
    wrong = []

    def work(number):
        store = Store(tmp_path)
        for _ in range(30):
            store.write(KEY, codes[number])
            if store.read(KEY) not in codes:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [path.suffix for path in tmp_path.iterdir()] == [".code"]


@pytest.mark.parametrize("value", ["off", "0", "No", "FALSE"])
def test_the_variable_turns_it_off(value, monkeypatch):
    monkeypatch.setenv(disk.VARIABLE, value)
    assert disk.find_store() is None
    monkeypatch.setenv(disk.VARIABLE, "/somewhere/else")
    assert disk.find_store().folder == Path("/somewhere/else")
    monkeypatch.delenv(disk.VARIABLE)
    assert "bptt" in str(disk.find_store().folder)


def test_a_key_is_of_everything_that_decides_the_code(monkeypatch):
    target = get_host_target()
    key = objects.make_key("what", target)
    assert key == objects.make_key("what", replace(target))
    others = [
        objects.make_key("What", target),
        objects.make_key("what", replace(target, cpu="other")),
        objects.make_key("what", replace(target, features=target.features + ",+x")),
        objects.make_key("what", replace(target, effort=1)),
    ]
    changed = [*objects._surroundings()]
    for number in range(len(changed)):
        was, changed[number] = changed[number], "another"
        monkeypatch.setattr(objects, "_surroundings", lambda: tuple(changed))
        others.append(objects.make_key("what", target))
        changed[number] = was
    assert len({key, *others}) == 10


def test_equal_cells_share_their_code_and_unequal_ones_do_not(monkeypatch):
    monkeypatch.setenv(disk.VARIABLE, "off")
    compiled = []
    translate = objects.emit_object
    monkeypatch.setattr(
        objects, "emit_object", lambda *a: compiled.append(1) or translate(*a)
    )

    def gradient(text, n_h):
        cell = Cell(text)
        params = cell.init(n_x=3, n_h=n_h)
        x, seed = np.ones((4, 2, 3)), np.ones((4, 2, n_h))
        return cell.gradient(params, {"x": x}, seeds={"h": seed})

    first = gradient(cells.elman.text, 6)
    count = len(compiled)
    again = gradient(cells.elman.text, 6)
    assert len(compiled) == count
    assert all(np.array_equal(first[name], again[name]) for name in first)
    # The same nodes with another number, name, or size.
    other = gradient(cells.elman.text.replace("tanh(", "0.5 * tanh("), 6)
    assert len(compiled) == count + 1
    assert np.abs(other["W"] - first["W"]).max() > 0.01
    gradient(cells.elman.text, 7)
    assert len(compiled) == count + 2
