"""A file is written whole or not at all."""

import os
from pathlib import Path

import pytest

from bptt.train.door.limits import Refusal, read_bounded
from bptt.train.errors import FolderNotWritableError
from bptt.train.files import add_line, make_folder, refuse_special, write_whole


def test_content_is_replaced_and_no_temporary_file_stays(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "failing", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod"]
)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.json"
    write_whole(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(FolderNotWritableError) as caught:
        write_whole(path, b"new")
    assert "No space left on device" in str(caught.value)
    assert "--out" in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_result_is_an_ordinary_file_for_others_to_read(tmp_path):
    path = tmp_path / "a.json"
    mask = os.umask(0o022)
    try:
        write_whole(path, b"x")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_below_a_file_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FolderNotWritableError, match="cannot write"):
        make_folder(tmp_path / "file" / "run")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
@pytest.mark.parametrize("write", [add_line, write_whole])
def test_a_pipe_in_the_place_of_a_file_is_refused_not_waited_for_or_replaced(
    tmp_path, write
):
    pipe = tmp_path / "evaluations.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(FolderNotWritableError, match="a pipe or a device, not an ord"):
        write(pipe, b"line")
    assert pipe.is_fifo()
    with pytest.raises(FolderNotWritableError, match="it is a folder, not an ordinary"):
        write(tmp_path, b"line")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no /dev")
def test_what_has_no_size_is_read_to_the_limit_only():
    with pytest.raises(Refusal, match="more than 1 KiB"):
        read_bounded(Path("/dev/zero"), 1024)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="it has no such places")
def test_a_place_of_the_system_is_no_file_to_replace(tmp_path):
    for place in ("/dev/stdout", "/proc/self/fd/1", "/dev/none_of_this_name"):
        with pytest.raises(FolderNotWritableError, match="a pipe or a device"):
            refuse_special(Path(place))
    refuse_special(tmp_path / "dev")
    refuse_special(Path("/dev", "shm", "of_a_run"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("write", [add_line, write_whole])
def test_a_place_that_the_system_does_not_reach_is_refused(tmp_path, write):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for place in (loop, tmp_path / ("n" * 300)):
        with pytest.raises(FolderNotWritableError) as caught:
            write(place, b"x")
        assert repr(str(place)) in str(caught.value)
