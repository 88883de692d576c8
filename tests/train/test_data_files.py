"""Token and sequence files: values that come out, and a broken file of each kind."""

import numpy as np
import pytest

from bptt.train.data import characters
from bptt.train.data import text as text_module
from bptt.train.data.characters import gather_codes, text_evaluation, text_task
from bptt.train.data.form import Form
from bptt.train.data.opening import DataRequest, fingerprint, make_task, open_data
from bptt.train.data.sequence_files import SequenceFiles, read_sequences
from bptt.train.data.sequence_task import sequence_evaluation
from bptt.train.data.text import LargeText, PlainText, read_text
from bptt.train.data.token_files import TokenFile, read_tokens, token_evaluation
from bptt.train.data.vocabulary import text_of
from bptt.train.errors import (
    BadRecordError,
    DataUnreadableError,
    EmptyDataError,
    MixedDataError,
    NotUtf8Error,
    TooFewRecordsError,
    TrainError,
    UnlikeDataError,
)
from bptt.train.options import TrainingOptions

OPTIONS = TrainingOptions(n_b=2, tau=3, held_out=0.2)


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def read(path):
    return read_sequences(str(path), [path])


# ----- sequences -----


def test_padded_sequences_come_out_at_their_lengths(tmp_path):
    x = np.arange(24.0).reshape(2, 4, 3)
    y = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    data = read(save(tmp_path / "a.npz", x=x, y=y, lengths=np.array([4, 2])))
    (part,) = data.parts.values()
    assert [len(s) for s in part.x] == [4, 2]
    np.testing.assert_array_equal(part.x[1], x[1, :2])
    np.testing.assert_array_equal(part.y[1], [3, 2])
    assert data.form == Form(3, False, "class", 4, per_step=True)


def test_a_folder_of_single_sequences_is_one_record_per_file(tmp_path):
    for i, n in enumerate((3, 5, 2)):
        save(tmp_path / f"{i}.npz", x=np.full((n, 2), i / 4), y=np.full(n, i))
    (tmp_path / "readme.txt").write_text("not read")
    data = open_data(DataRequest((tmp_path,)))
    assert isinstance(data, SequenceFiles)
    (part,) = data.parts.values()
    assert [len(s) for s in part.x] == [3, 5, 2]
    assert data.form == Form(2, False, "class", 3, per_step=True)


@pytest.mark.parametrize(
    ("y", "target", "n_o", "per_step"),
    [
        (np.array([1, 4]), "class", 5, False),
        (np.array([[1, 4, 0, 2]] * 2), "class", 5, True),
        (np.ones((2, 4, 6), bool), "multi-hot", 6, True),
        (np.ones((2, 6), np.uint8), "multi-hot", 6, False),
        (np.ones((2, 4, 6)), "real", 6, True),
        (np.ones((2, 6)), "real", 6, False),
        (np.ones(2), "real", 1, False),
    ],
)
def test_the_target_follows_from_the_shape_and_type_of_y(
    tmp_path, y, target, n_o, per_step
):
    data = read(save(tmp_path / "a.npz", x=np.ones((2, 4, 3)), y=y))
    assert data.form == Form(3, False, target, n_o, per_step)


@pytest.mark.parametrize("kind", ["tokens", "piano roll"])
def test_without_y_the_target_is_the_next_step(tmp_path, kind):
    x = np.array([[1, 2, 3, 4], [5, 6, 7, 0]])
    if kind == "piano roll":
        x = x[:, :, None] == np.arange(8)
    data = read(save(tmp_path / "a.npz", x=x, lengths=np.array([4, 3])))
    (part,) = data.parts.values()
    for row, n in ((0, 4), (1, 3)):
        np.testing.assert_array_equal(part.x[row], x[row, : n - 1])
        np.testing.assert_array_equal(part.y[row], x[row, 1:n])
    assert data.form.target == ("class" if kind == "tokens" else "multi-hot")


def test_parts_are_taken_from_the_names_of_arrays_or_folders(tmp_path):
    ones = np.ones((3, 4, 2))
    named = save(
        tmp_path / "named.npz",
        x_train=ones, y_train=np.array([0, 1, 2]),
        x_val=ones[:2], y_val=np.array([0, 1]),
        x_test=ones[:1], y_test=np.array([2]),
    )  # fmt: skip
    sizes = {part: len(s) for part, s in read(named).parts.items()}
    assert sizes == {"training": 3, "validation": 2, "test": 1}
    for part, n in (("train", 3), ("validation", 2)):
        (tmp_path / "folders" / part).mkdir(parents=True)
        for i in range(n):
            file = tmp_path / "folders" / part / f"{i}.npz"
            save(file, x=ones[0], y=np.array(i))
    data = open_data(DataRequest((tmp_path / "folders",)))
    assert {p: len(s) for p, s in data.parts.items()} == {
        "training": 3, "validation": 2,
    }  # fmt: skip


def test_a_split_takes_every_record_once_and_the_same_ones_every_time(tmp_path):
    x = np.arange(20.0).reshape(20, 1, 1)
    data = read(save(tmp_path / "a.npz", x=x, y=np.zeros(20, int)))
    options = TrainingOptions(n_b=4, held_out=0.2, test=0.1, seed=3)
    first, second = (make_task(data, options) for _ in range(2))
    seen = []
    for name, n in (("training", 14), ("validation", 4), ("test", 2)):
        values = [s[0, 0] for s in first.parts[name].sequences.x]
        assert values == [s[0, 0] for s in second.parts[name].sequences.x]
        assert len(values) == n
        seen += values
    assert sorted(seen) == list(range(20))


def test_safetensors_hold_the_same(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {"x": np.ones((2, 3, 2), np.float32), "y": np.array([0, 1])}
    numpy.save_file(arrays, tmp_path / "a.safetensors")
    data = read(tmp_path / "a.safetensors")
    assert data.form == Form(2, False, "class", 2, per_step=False)


GOOD = {"x": np.ones((2, 4, 3)), "y": np.array([[0, 1, 2, 3]] * 2)}


def with_value(array, where, value):
    array = array.copy()
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": with_value(GOOD["x"], (1, 2, 0), np.nan)},
         "record 1 (counted from 0) x is nan, step 3;"),
        ({"x": with_value(GOOD["x"], (0, 0, 1), np.inf)},
         "record 0 (counted from 0) x is inf, step 1."),
        ({"y": with_value(GOOD["y"], (1, 2), -1)},
         "record 1 (counted from 0) y holds -1; entries count from 0."),
        ({"lengths": np.array([4, 5])},
         "record 1 (counted from 0) has length 5; x has 4 steps, so 1 to 4."),
        ({"lengths": np.array([4, 0])}, "record 1 (counted from 0) has length 0;"),
        ({"lengths": np.array([4.0, 2.0])}, "lengths holds float64 of shape (2,);"),
        ({"lengths": np.array([4])}, "lengths holds int64 of shape (1,);"),
        ({"y": np.zeros(3, int)}, "y has shape (3,), but x has 2 records."),
        ({"y": np.zeros((2, 3, 2))}, "y has shape (2, 3, 2), but x has 4 steps."),
        ({"y": np.zeros((2, 4, 2, 2))}, "which fits no target of x."),
        ({"y": np.full((2, 4, 3), 7)}, "y is a vector of integers up to 7, not 0 and"),
        ({"y": np.full((2, 4), "a")}, "y holds <U1, no numbers)."),
        ({"x": np.ones(3)}, "x has shape (3,)"),
        ({"x": with_value(GOOD["x"], (1, 2, 0), 1e39)},
         "record 1 (counted from 0) x holds 1e+39; float32 holds 3.4e+38 at most."),
        ({"x": np.arange(6), "y": np.arange(6), "lengths": np.array([2, 4])},
         "has lengths, but x of shape (6,) is one sequence; padded ones are (n, tau),"),
        ({"x": np.ones((6, 2)), "y": np.arange(6), "lengths": np.array([2, 4])},
         "is one sequence; padded ones of one column are x[..., None]"),
        ({"x": None}, "has no array x, only y; name them x, y, lengths"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_used_is_named_with_its_reason(
    tmp_path, changed, message
):
    arrays = {n: a for n, a in (GOOD | changed).items() if a is not None}
    with pytest.raises(TrainError) as caught:
        read(save(tmp_path / "bad.npz", **arrays))
    assert message in str(caught.value)
    assert "bad.npz" in str(caught.value)


def test_values_after_the_end_of_a_record_do_not_matter(tmp_path):
    x = with_value(GOOD["x"], (1, 3, 0), np.nan)
    data = read(save(tmp_path / "a.npz", x=x, y=GOOD["y"], lengths=np.array([4, 3])))
    assert len(data) == 2


def test_a_record_unlike_the_first_is_named(tmp_path):
    save(tmp_path / "0.npz", x=np.ones((3, 2)), y=np.zeros(3, int))
    save(tmp_path / "1.npz", x=np.ones((3, 4)), y=np.zeros(3, int))
    with pytest.raises(BadRecordError, match=r"x is float64 \(4,\) per step, but"):
        open_data(DataRequest((tmp_path,)))
    save(tmp_path / "1.npz", x=np.ones((3, 2)), y=np.array(1))
    with pytest.raises(BadRecordError, match="has targets per step, the first record"):
        open_data(DataRequest((tmp_path,)))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".npy"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04pickle" * 9])
def test_a_file_that_is_no_such_file_is_named(tmp_path, suffix, content):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    file = tmp_path / f"broken{suffix}"
    file.write_bytes(content)
    with pytest.raises(DataUnreadableError, match=f"no {suffix} file of numbers"):
        open_data(DataRequest((file,)))


def test_a_file_cut_short_is_named(tmp_path):
    file = save(tmp_path / "a.npz", **GOOD)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataUnreadableError, match=r"a\.npz"):
        read(file)


def test_pickled_objects_are_never_loaded(tmp_path):
    objects = np.array([{"a": 1}, None], dtype=object)
    np.savez(tmp_path / "a.npz", x=objects)
    with pytest.raises(DataUnreadableError, match=r"x holds \|O, no numbers"):
        read(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", objects)
    with pytest.raises(DataUnreadableError, match=r"no \.npy file"):
        read_tokens([tmp_path / "a.npy"])


def test_numbers_of_half_precision_are_read_without_a_warning(tmp_path, recwarn):
    x = np.full((2, 4, 3), 60000.0, np.float16)
    whole = read(save(tmp_path / "a.npz", **GOOD | {"x": x})).parts["whole"]
    assert (whole.x[0] == 60000.0).all()
    assert not [str(one.message) for one in recwarn]


def test_a_part_without_a_record_is_refused(tmp_path):
    data = read(save(tmp_path / "a.npz", x=np.ones((2, 3, 1)), y=np.zeros(2, int)))
    with pytest.raises(TooFewRecordsError, match="left for the validation part of 2"):
        make_task(data, TrainingOptions(held_out=0.01))


def test_data_of_another_form_is_refused_and_fewer_classes_are_not(tmp_path):
    known = Form(3, False, "class", 9, per_step=True)
    task = sequence_evaluation(read(save(tmp_path / "a.npz", **GOOD)), OPTIONS, known)
    assert len(task.parts["test"].sequences) == 2
    other = Form(2, False, "class", 9, per_step=True)
    with pytest.raises(UnlikeDataError) as caught:
        sequence_evaluation(read(tmp_path / "a.npz"), OPTIONS, other)
    assert (
        "holds n_x = 3, 4 classes per step; the model was trained on n_x = 2, "
        "9 classes per step." in str(caught.value)
    )


# ----- tokens -----


def test_a_token_file_is_mapped_not_read(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(100, dtype=np.uint16) % 7)
    data = open_data(DataRequest((tmp_path / "a.npy",)))
    assert isinstance(data, TokenFile)
    assert isinstance(data.tokens, np.memmap)
    task = make_task(data, OPTIONS)
    assert task.form == Form(7, True, "class", 7)
    block = task.parts["training"].read(np.arange(2), 0, 3)
    # 80 tokens of training: 79 // 2 = 39 steps of each stream
    assert block.x.T.tolist() == [[0, 1, 2], [39 % 7, 40 % 7, 41 % 7]]
    assert isinstance(task.parts["training"].tokens, np.memmap)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.array([1, 2, -3, 4]), "record 2 (counted from 0) is -3; tokens count"),
        (np.ones((2, 2), int), "2 axes of int64; tokens are one axis of integers"),
        (np.ones(4), "1 axes of float64; tokens are one axis of integers"),
    ],
)
def test_tokens_that_cannot_be_used_are_named(tmp_path, tokens, message):
    np.save(tmp_path / "a.npy", tokens)
    with pytest.raises(BadRecordError) as caught:
        read_tokens([tmp_path / "a.npy"])
    assert message in str(caught.value)


def test_one_token_or_two_files_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([3]))
    with pytest.raises(EmptyDataError, match="the file has 1 tokens"):
        read_tokens([tmp_path / "a.npy"])
    with pytest.raises(BadRecordError, match="a second token file"):
        read_tokens([tmp_path / "a.npy", tmp_path / "b.npy"])


def test_a_token_the_model_does_not_know_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.array([1, 2, 7, 3]))
    data = read_tokens([tmp_path / "a.npy"])
    with pytest.raises(BadRecordError) as caught:
        token_evaluation(data, OPTIONS, 5)
    assert "record 2 (counted from 0) is 7; the model knows 0 to 4" in str(caught.value)


# ----- text beyond memory -----


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Two files read in blocks of five bytes, which cut characters in two."""
    (tmp_path / "a.txt").write_text("naïve §🙂 one", encoding="utf-8")
    (tmp_path / "b.txt").write_text("two §§\n" * 9, encoding="utf-8")
    monkeypatch.setattr(text_module, "BLOCK_BYTES", 5)
    small = read_text([tmp_path])
    monkeypatch.setattr(text_module, "IN_MEMORY_BYTES", 10)
    return small, read_text([tmp_path]), tmp_path


def test_a_large_text_is_the_same_text_mapped_from_a_file(large):
    small, big, _ = large
    assert isinstance(small, PlainText)
    assert isinstance(big, LargeText)
    assert "".join(big.blocks()) == small.characters
    codes = gather_codes(big)
    assert isinstance(codes, np.memmap)
    assert text_of(codes) == small.characters
    first, second = (text_task(text, OPTIONS) for text in (small, big))
    assert first.vocabulary == second.vocabulary
    assert first.offsets == second.offsets
    assert first.baselines() == second.baselines()
    for name, part in first.parts.items():
        np.testing.assert_array_equal(part.tokens, second.parts[name].tokens)


@pytest.mark.parametrize("limit", [1, 7, 12, 13, 14, 30])
def test_a_limit_cuts_a_large_text_where_it_cuts_a_small_one(large, limit):
    small, _, folder = large
    big = read_text([folder], limit=limit)
    assert "".join(big.blocks()) == small.characters[:limit]


@pytest.mark.parametrize(
    ("content", "offset", "byte"),
    [(b"abc\xe8def ghi jkl", 3, "e8"), (b"0123456789\xf0\x9f\x99", 10, "f0")],
)
def test_a_bad_byte_of_a_large_text_is_named(large, content, offset, byte):
    _, _, folder = large
    (folder / "c.txt").write_bytes(content)
    with pytest.raises(NotUtf8Error, match=f"byte {offset} is 0x{byte}"):
        list(read_text([folder]).blocks())


def test_a_validation_part_too_long_for_lzma_has_no_such_figure(monkeypatch):
    monkeypatch.setattr(characters, "MAX_HELD_OUT", 10)
    task = text_task(PlainText("abcabcabd" * 9, "letters", 1), OPTIONS)
    assert task.baselines().lzma is None
    assert task.baselines().unigram > 0


def test_a_text_to_evaluate_uses_the_vocabulary_of_the_model():
    trained = text_task(PlainText("abcabcabd" * 9, "letters", 1), OPTIONS)
    task = text_evaluation(PlainText("cab?", "other", 1), OPTIONS, trained.vocabulary)
    assert task.parts["test"].tokens.tolist() == [3, 1, 2, 0]
    spelling = trained.vocabulary.spelling_bits
    assert task.offset("test") == pytest.approx(spelling / 3)


# ----- which kind -----


def test_paths_of_two_kinds_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "b.txt").write_text("text")
    with pytest.raises(MixedDataError) as caught:
        open_data(DataRequest((tmp_path / "a.npy", tmp_path / "b.txt")))
    assert "a.npy (tokens)" in str(caught.value)
    assert "b.txt (text)" in str(caught.value)


def test_a_request_comes_back_from_json_with_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    from pathlib import Path

    request = DataRequest((Path("a.txt"),), "*.txt", 5)
    again = DataRequest.from_json(request.to_json())
    assert again == DataRequest((tmp_path / "a.txt",), "*.txt", 5)


@pytest.mark.parametrize("kind", ["text", "tokens", "sequences"])
def test_a_fingerprint_is_of_the_content(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("bptt.train.data.opening.WHOLE_HASH", 100)
    monkeypatch.setattr("bptt.train.data.opening.EDGE", 30)

    def make(value):
        if kind == "text":
            return PlainText("abc" + str(value), "letters", 1)
        if kind == "tokens":
            np.save(tmp_path / "a.npy", np.array([1, value]))
            return read_tokens([tmp_path / "a.npy"])
        arrays = GOOD | {"x": np.full((2, 4, 3), value / 2)}
        return read(save(tmp_path / "a.npz", **arrays))

    first = fingerprint(make(1))
    assert first == fingerprint(make(1))
    assert first != fingerprint(make(2))


def test_files_of_which_only_some_hold_targets_are_refused(tmp_path):
    for name, arrays in {"train": ("x", "y"), "test": ("x",)}.items():
        (tmp_path / name).mkdir()
        zeros = {array: np.zeros((4, 1), np.float32) for array in arrays}
        np.savez(tmp_path / name / "a.npz", **zeros)
    with pytest.raises(BadRecordError, match=r"has no y, and .* has one"):
        open_data(DataRequest((tmp_path,)))


def test_a_text_in_which_no_character_repeats_is_refused():
    text = PlainText("".join(map(chr, range(0x4E00, 0x4E00 + 900))), "x.txt", 1)
    with pytest.raises(EmptyDataError, match="no character occurs twice in the train"):
        text_task(text, OPTIONS)


def test_entries_take_as_few_bytes_as_they_need(large):
    small, big, _ = large
    for text in (small, big):
        tokens = text_task(text, OPTIONS).parts["training"].tokens
        assert tokens.dtype == np.uint8
        assert isinstance(tokens, np.memmap) == (text is big)
