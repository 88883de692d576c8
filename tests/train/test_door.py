"""Files that lie about themselves: refused in words, before memory is taken."""

import contextlib
import io
import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from bptt.train.data.opening import DataRequest, open_data
from bptt.train.door import arrays as arrays_module
from bptt.train.door import limits
from bptt.train.door.arrays import map_npy, read_npz, read_safetensors
from bptt.train.door.limits import Refusal, available_memory, in_words
from bptt.train.door.records import FormRecord, hold_to, parse_json
from bptt.train.errors import TrainError
from bptt.train.model import build_model
from bptt.train.options import TrainingOptions


def npy(header, body=b"", version=1):
    text = header.encode("latin-1")
    width = 2 if version == 1 else 4
    start = b"\x93NUMPY" + bytes([version, 0])
    return start + len(text).to_bytes(width, "little") + text + body


def claim(shape, descr="'<f8'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


LIES = {
    "7 TiB": npy(claim("(1000000, 1000000)"), bytes(80)),
    "10^30 numbers": npy(claim(f"({10**30},)"), bytes(80)),
    "10^400 numbers": npy(claim(f"({10**400},)"), bytes(80)),
    "nothing times much": npy(claim(f"(0, {10**15}, {10**15})")),
    "never closes": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3"),
    "never closes, long": npy("{'descr': '<f8', 'shape': " + "(" * 9000),
    "brackets": npy("(" * 60_000, version=2),
    "a header of 4 GiB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(50),
    "a header that is cut": npy(claim("(3,)"))[:30],
    "negative": npy(claim("(-3,)"), bytes(80)),
    "objects": npy(claim("(1,)", "'|O'"), b"\x80\x04cos\nsystem\n"),
    "one name twice": npy(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'shape': (900,)}",
        bytes(24),
    ),
    "dates": npy(claim("(1,)", "'<M8[s]'"), bytes(8)),
    "records": npy(claim("(1,)", "[('a', '<f8')]"), bytes(8)),
    "code": npy("__import__('os').system('exit')"),
    "version 9": b"\x93NUMPY\x09\x00" + bytes(60),
    "complex": npy(claim("(2,)", "'<c16'"), bytes(32)),
    "f3": npy(claim("(2,)", "'<f3'"), bytes(32)),
    "too few numbers": npy(claim("(11,)"), bytes(80)),
    "a text": b"x,y\n1,2\n",
    "nothing": b"",
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", [".npy", ".npz"])
def test_a_header_that_lies_is_refused_in_words_and_little_memory(tmp_path, lie, kind):
    file = tmp_path / f"x{kind}"
    file.write_bytes(LIES[lie])
    if kind == ".npz":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("x.npy", LIES[lie])
    tracemalloc.start()
    with pytest.raises(TrainError, match=f"no {kind} file of numbers"):
        open_data(DataRequest((file,)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "|b1", "<i2", ">u4", "<f2"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_what_numpy_writes_comes_back(tmp_path, order, dtype, version):
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype, order=order)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version)
    (tmp_path / "x.npy").write_bytes(stream.getvalue())
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", stream.getvalue())
    np.testing.assert_array_equal(map_npy(tmp_path / "x.npy"), array)
    (found,) = read_npz(tmp_path / "x.npz", lambda names: None).values()
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")


def test_empty_and_scalar_arrays_come_back(tmp_path):
    given = {"x": np.zeros((0, 3)), "y": np.array(2.5), "lengths": np.zeros((2, 0))}
    np.savez(tmp_path / "a.npz", **given)
    found = read_npz(tmp_path / "a.npz", lambda names: None)
    for name, array in given.items():
        assert found[name].shape == array.shape
    assert found["y"] == 2.5


def test_a_member_that_is_no_array_is_named(tmp_path):
    file = tmp_path / "a.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"no array")
        archive.writestr("y.npy", b"\x93NUMPY")
    with pytest.raises(TrainError, match="x is no array: it does not begin as a"):
        open_data(DataRequest((file,)))


def test_a_bomb_is_refused_with_what_it_would_take(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays_module, "FREE_EXPANSION", 2**20)
    file = tmp_path / "bomb.npz"
    np.savez_compressed(file, x=np.zeros((4, 500, 500)))
    with pytest.raises(TrainError, match=r"expands from .* KiB to 7\.63 MiB; if that"):
        open_data(DataRequest((file,)))
    monkeypatch.undo()
    assert len(open_data(DataRequest((file,)))) == 4


def test_what_the_machine_has_no_memory_for_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "x.npz"
    np.savez(file, x=np.zeros((4, 500, 500)))
    monkeypatch.setattr(limits, "available_memory", lambda: 2**20)
    with pytest.raises(
        TrainError, match=r"its content needs 7\.63 MiB of memory, and 1"
    ):
        open_data(DataRequest((file,)))


def test_an_archives_member_that_is_longer_or_shorter_than_it_says(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 4)))
    content = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(TrainError):
            open_data(DataRequest((tmp_path / "cut.npz",)))
    random = np.random.default_rng(0)
    for _ in range(300):  # any byte may be any other
        broken = bytearray(content)
        broken[random.integers(len(content))] = random.integers(256)
        (tmp_path / "cut.npz").write_bytes(broken)
        with contextlib.suppress(TrainError):
            open_data(DataRequest((tmp_path / "cut.npz",)))


def tensors(entries, body=bytes(64)):
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + body


WHOLE = {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64]}
FALSE = {
    "BF16": {**WHOLE, "dtype": "BF16", "shape": [4, 8]},
    "F8": {**WHOLE, "dtype": "F8_E4M3", "shape": [64]},
    "dtype": {**WHOLE, "dtype": 3},
    "shape": {**WHOLE, "shape": [10**30]},
    "negative": {**WHOLE, "shape": [-2, -8]},
    "words": {**WHOLE, "shape": "28"},
    "offsets": {**WHOLE, "data_offsets": [0]},
    "beyond": {**WHOLE, "shape": [2, 80], "data_offsets": [0, 640]},
    "gap": {**WHOLE, "shape": [1, 8], "data_offsets": [32, 64]},
    "no entry": [],
}


@pytest.mark.parametrize("false", FALSE)
def test_a_tensor_that_is_none_is_named(false):
    content = tensors({"x": FALSE[false]})
    with pytest.raises(Refusal, match="'x'"):
        read_safetensors(io.BytesIO(content), len(content))


def test_bf16_says_what_to_do(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(tensors({"x": FALSE["BF16"]}))
    with pytest.raises(TrainError, match="'x' is BF16, which NumPy lacks; save it as"):
        open_data(DataRequest((tmp_path / "x.safetensors",)))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, "1" * 9000, "NaN"])
def test_json_that_is_too_much_is_refused(text):
    with pytest.raises(Refusal, match="is not JSON"):
        parse_json(text)


@pytest.mark.parametrize("name", ["x_mean", "x_scale", "y_mean", "y_scale"])
def test_a_mean_or_scale_that_no_column_has_is_refused(name):
    form = {"n_x": 1, "x_is_token": False, "target": "real", "n_o": 1, "per_step": True}
    form |= {n: [1.0] for n in ("x_mean", "x_scale", "y_mean", "y_scale")}
    assert hold_to(FormRecord, form).x_mean == (1.0,)
    with pytest.raises(Refusal, match=name):
        hold_to(FormRecord, form | {name: [1e39]})


def test_one_label_of_a_thousand_million_is_named(tmp_path):
    file = tmp_path / "x.npz"
    y = np.array([0, 1, 10**9, 2])
    np.savez(file, x=np.zeros((4, 3, 2)), y=y)
    with pytest.raises(TrainError, match=r"record 2 .* y holds 1,000,000,000, and at"):
        open_data(DataRequest((file,)))
    for value in (2**40, 2**63):
        np.savez(file, x=np.zeros((4, 3, 2)), y=y.astype("u8") + np.uint64(value))
        with pytest.raises(TrainError, match=r"2\^31 - 1 is the most"):
            open_data(DataRequest((file,)))
    np.save(tmp_path / "x.npy", np.array([1, 2, 10**12, 3]))
    with pytest.raises(
        TrainError, match=r"record 2 .* is 1000000000000, in a file of 4"
    ):
        open_data(DataRequest((tmp_path / "x.npy",)))


def test_a_model_that_memory_has_no_room_for_is_refused_with_its_largest_part(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 3, 2)), y=np.array([0, 1, 2, 1]))
    form = open_data(DataRequest((tmp_path / "x.npz",))).form
    options = TrainingOptions(n_h=10**7)
    model = build_model(options, form)
    with pytest.raises(TrainError, match="10000000 x 10000000") as caught:
        model.init(form, options)
    assert str(caught.value).startswith("the model is too large: training it needs")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"x": 0, "length": 1}, "'length', which means nothing here; did you mean len"),
        ({"x_train": 0, "x_dev": 1}, "array 'x_dev', which means nothing here"),
        ({"X": 0}, "'X', which means nothing here"),
        ({"x": 0, "x_train": 0}, "arrays with and without the name of a part: x, x_t"),
    ],
)
def test_an_array_that_nobody_knows_is_refused_with_the_nearest(
    tmp_path, names, message
):
    file = tmp_path / "x.npz"
    np.savez(file, **{name: np.zeros((4, 3, 2)) for name in names})
    with pytest.raises(TrainError, match=message):
        open_data(DataRequest((file,)))


def test_memory_is_what_the_system_says(monkeypatch, tmp_path):
    assert 2**24 < available_memory() < 2**50
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    monkeypatch.setattr(limits, "MEMORY_FILE", info)
    assert available_memory() == 2**21
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("300\n")
    monkeypatch.setattr(limits, "GROUP", tmp_path)
    assert available_memory() == 700
    monkeypatch.setattr(limits, "MEMORY_FILE", tmp_path / "none")
    assert available_memory() == 700


def test_a_limit_of_the_process_counts(monkeypatch, tmp_path):
    resource = pytest.importorskip("resource")
    use = tmp_path / "statm"
    use.write_text("10 5 3\n")
    monkeypatch.setattr(limits, "USE_FILE", use)
    limit = 2**20 + 10 * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert available_memory() == 2**20
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 100))
    assert available_memory() == 0


@pytest.mark.parametrize(
    ("n", "words"), [(3, "3 bytes"), (1536, "1.5 KiB"), (2**40, "1 TiB")]
)
def test_bytes_in_words(n, words):
    assert in_words(n) == words
