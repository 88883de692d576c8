"""Reading text: order, limits, and mistakes by their message."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from bptt.train.data import text as text_module
from bptt.train.data.mapped import join_pieces
from bptt.train.data.text import STANDARD_LIBRARY, read_text, standard_library_files
from bptt.train.errors import (
    DataNotFoundError,
    DataUnreadableError,
    EmptyDataError,
    FolderNotWritableError,
    NotUtf8Error,
    TrainExtraMissingError,
)


def test_a_file_is_read_as_it_is(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("naïve\r\n§\n".encode())
    text = read_text([file])
    assert text.characters == "naïve\r\n§\n"
    assert (text.source, text.n_files) == (str(file), 1)


def test_a_folder_is_read_recursively_in_path_order_without_hidden_files(tmp_path):
    for name, content in {
        "b.txt": "second\n",
        "a/z.txt": "first",
        "c.md": "not chosen\n",
        ".hidden.txt": "hidden\n",
        ".git/x.txt": "hidden\n",
        "__pycache__/x.txt": "hidden\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    text = read_text([tmp_path], pattern="*.txt")
    assert text.characters == "first\nsecond\n"
    assert text.n_files == 2


def test_a_link_to_a_parent_folder_does_not_loop(tmp_path):
    (tmp_path / "a.txt").write_text("once\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert read_text([tmp_path]).characters == "once\n"


def test_the_limit_keeps_the_first_characters(tmp_path):
    (tmp_path / "a").write_text("abc\n")
    (tmp_path / "b").write_text("def\n")
    assert read_text([tmp_path], limit=5).characters == "abc\nd"
    assert read_text([tmp_path], limit=4).n_files == 1


def test_without_data_the_standard_library_is_read_in_a_fixed_order():
    text = read_text(limit=300_000)
    assert text.source == STANDARD_LIBRARY
    assert len(text.characters) == 300_000
    assert text == read_text(limit=300_000)
    assert "def " in text.characters


def test_the_standard_library_leaves_out_tests_and_installed_packages():
    files = standard_library_files()
    folders = {part for file in files for part in file.parts}
    names = {file.name for file in files}
    assert {"argparse.py", "textwrap.py", "decoder.py"} <= names
    assert folders.isdisjoint({"site-packages", "test", "idlelib", "turtledemo"})


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataNotFoundError, match="no such file or folder") as caught:
        read_text([tmp_path / "nowhere.txt"])
    assert "nowhere.txt" in str(caught.value)


def test_text_that_is_not_utf8_names_file_offset_and_byte(tmp_path):
    file = tmp_path / "latin.txt"
    file.write_bytes("fin de siècle".encode("latin-1"))
    with pytest.raises(NotUtf8Error) as caught:
        read_text([tmp_path])
    assert "latin.txt" in str(caught.value)
    assert "byte 9 is 0xe8" in str(caught.value)
    assert "Convert the file to UTF-8" in str(caught.value)


def test_an_empty_file_is_an_error(tmp_path):
    file = tmp_path / "empty.txt"
    file.touch()
    with pytest.raises(EmptyDataError, match="the text is empty"):
        read_text([file])


def test_a_folder_without_matching_files_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(EmptyDataError, match="no text file was found"):
        read_text([tmp_path], pattern="*.md")


def test_a_file_that_cannot_be_opened_says_why(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    file.write_text("text")

    def refuse(_path, _mode):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(DataUnreadableError, match="Permission denied"):
        read_text([file])


def test_a_packed_text_is_the_text(tmp_path, monkeypatch):
    words = "höher, schneller\n" * 400
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(words.encode()))
    assert read_text([tmp_path / "a.txt.gz"]).characters == words
    monkeypatch.setattr(text_module, "IN_MEMORY_BYTES", 1000)
    large = read_text([tmp_path / "a.txt.gz"])  # larger than it lies there
    assert large.is_large
    assert "".join(large.blocks()) == words
    whole = (tmp_path / "a.txt.gz").read_bytes()
    (tmp_path / "a.txt.gz").write_bytes(whole[:-9])
    with pytest.raises(DataUnreadableError, match="ended before"):
        read_text([tmp_path / "a.txt.gz"])
    (tmp_path / "b.txt.gz").write_bytes(b"no archive")
    with pytest.raises(DataUnreadableError, match="Not a gzipped file"):
        read_text([tmp_path / "b.txt.gz"])


def test_a_text_of_zstandard_is_the_text(tmp_path, monkeypatch):
    zstandard = pytest.importorskip("zstandard")
    words = "höher, schneller\n" * 400
    packed = zstandard.compress(words.encode())
    (tmp_path / "a.txt.ZST").write_bytes(packed)
    assert read_text([tmp_path / "a.txt.ZST"]).characters == words
    monkeypatch.setattr(text_module, "IN_MEMORY_BYTES", 1000)
    large = read_text([tmp_path / "a.txt.ZST"])
    assert large.is_large
    assert "".join(large.blocks()) == words
    (tmp_path / "b.zst").write_bytes(b"no archive at all")
    with pytest.raises(DataUnreadableError, match=r"'.*b\.zst'.*zstd decompress"):
        read_text([tmp_path / "b.zst"])
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(TrainExtraMissingError, match=r'"\.\[files\]"'):
        read_text([tmp_path / "b.zst"])


def test_an_archive_that_expands_beyond_all_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "FREE_EXPANSION", 10_000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(4_000_000)))
    with pytest.raises(DataUnreadableError, match="unpacks to more than"):
        read_text([tmp_path / "bomb.gz"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a device without an end")
def test_a_device_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(text_module, "MAX_STREAM", 2**20)
    with pytest.raises(DataUnreadableError, match="is no file and gives more than 2 M"):
        read_text([Path("/dev/zero")])


def test_an_address_space_that_is_full_is_said(monkeypatch):
    def refuse(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(np, "memmap", refuse)
    with pytest.raises(FolderNotWritableError, match="Cannot allocate memory"):
        join_pieces([np.zeros(3, np.uint8)], np.uint8, is_large=True)
