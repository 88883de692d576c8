"""Text as words and as byte pairs: vocabularies, parts, figures, samples."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bptt.train import PlainText, TrainingOptions, load, measure_run, train
from bptt.train.data import entries as entries_room
from bptt.train.data.entries import BytePairs, Words, read_entries
from bptt.train.data.opening import make_task
from bptt.train.data.text import LargeText
from bptt.train.data.token_text import _pieces, token_text_task
from bptt.train.door.limits import Refusal
from bptt.train.errors import (
    DamagedRunError,
    IgnoredOptionError,
    OptionError,
    TextTooShortError,
    TrainExtraMissingError,
)
from bptt.train.flow_report import write_flows
from bptt.train.run_folder import read_run
from bptt.train.training import resume

pytest.importorskip("torch")
ODD = "naïve 🙂 tab\tand  two spaces\r\n\n日本語 end"


@pytest.fixture(scope="module")
def pairs():
    pytest.importorskip("tokenizers")
    return BytePairs.build(["the cat sat on the mat\n" * 50, ODD], 300)


def written(known, text, prompt=""):
    """A text there and back."""
    write = known.writer(known.encode(prompt))
    return "".join(write(int(token)) for token in known.encode(text))


def test_words_are_the_commonest_and_ties_go_by_their_order():
    words = Words.build(["b a <unk>\n", "c b a\n"], 4)
    assert words.words == ("\n", "a", "b")
    assert words.encode("c  b\ta\nzz").tolist() == [0, 3, 2, 1, 0]
    assert len(words) == 4


def test_words_are_written_with_a_space_between_them_and_none_beside_a_newline():
    words = Words.build(["the cat sat\nthe end\n"], 9)
    assert written(words, "the cat sat\nthe cow\n") == "the cat sat\nthe <unk>\n"
    assert written(words, "sat\n", prompt="the cat") == " sat\n"


def test_byte_pairs_write_every_text_back_and_one_vocabulary_is_always_the_same(pairs):
    for text in (ODD, "the cat", "", "\x00\x7f\u00ad\uffff", "á" * 9):
        assert written(pairs, text) == text
    assert len(pairs.encode("the cat sat")) < 6
    again = BytePairs.build(["the cat sat on the mat\n" * 50, ODD], 300)
    assert again == pairs
    assert read_entries(json.loads(json.dumps(pairs.to_json()))) == pairs


def test_a_character_is_written_once_its_last_byte_is_there(pairs):
    tokens = [pairs.entries.index(c) for c in ("ð", "Ł", "Ļ", "Ĥ")]  # F0 9F 99 82
    write = pairs.writer(np.zeros(0, int))
    assert [write(token) for token in tokens] == ["", "", "", "🙂"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "words", "entries": ["a", "a"]}, "twice"),
        ({"kind": "words", "entries": ["a b"]}, "no word"),
        ({"kind": "other", "entries": []}, "Invalid enum"),
        ({"kind": "bpe", "entries": ["a"], "merges": []}, "lacks the entry of a byte"),
        ({"kind": "bpe", "entries": ["日"], "merges": []}, "stands for no bytes"),
        ({"kind": "bpe", "entries": sorted(entries_room._BYTE_OF),
          "merges": [["a", "b"]]}, "which are no entries"),
    ],
)  # fmt: skip
def test_a_vocabulary_that_is_none_is_refused(value, message):
    with pytest.raises(Refusal, match=message):
        read_entries(value)


def test_without_tokenizers_the_message_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(entries_room, "import_module", missing)
    with pytest.raises(TrainExtraMissingError, match=r'"\.\[tokens\]"'):
        BytePairs.build(["a"], 300)


def test_a_large_text_has_the_tokens_of_a_small_one(tmp_path, small_text, pairs):
    text = small_text.characters.replace(" mat ", " mat\n") + "\n"
    (tmp_path / "a.txt").write_text(text)
    large = LargeText((tmp_path / "a.txt",), "words", None)
    options = TrainingOptions(tokens="bpe", entries=300, n_b=4, tau=8, test=0.1)
    small = token_text_task(PlainText(text, "words", 1), options)
    mapped = token_text_task(large, options)
    assert small.vocabulary == mapped.vocabulary
    whole = ""
    for name in ("training", "validation", "test"):
        tokens = small.parts[name].tokens
        assert (tokens == mapped.parts[name].tokens).all()
        write = small.vocabulary.writer(tokens[:0])
        part = "".join(map(write, tokens.tolist()))
        assert part[-1:] in "\n "  # no word is cut in two
        whole += part
    assert whole == text


def test_pieces_are_a_function_of_the_characters(monkeypatch):
    from bptt.train.data import token_text

    monkeypatch.setattr(token_text, "PIECE", 10)

    class Cut:
        def __init__(self, text, size):
            self.text, self.size = text, size

        def blocks(self):
            for i in range(0, len(self.text), self.size):
                yield self.text[i : i + self.size]

    text = "one two\nthree four five " + "x" * 25 + "\nsix"
    found = [list(_pieces(Cut(text, n), 2, 50)) for n in (1, 7, 100)]
    assert found[0] == found[1] == found[2]
    assert "".join(found[0]) == text[2:50]
    assert all(len(piece) <= 10 for piece in found[0])


def test_a_run_of_words_has_its_figures_by_hand_and_goes_on(
    small_text, tmp_path, quiet
):
    options = TrainingOptions(
        tokens="words", entries=9, tied=True, n_h=12, n_b=4, tau=8, epochs=2
    )
    report = train(small_text, options, tmp_path / "run", quiet)
    task = make_task(small_text, options)
    training = np.asarray(task.parts["training"].tokens)
    held_out = np.asarray(task.parts["validation"].tokens)
    words = small_text.characters.split()
    assert len(training) + len(held_out) == len(words)
    counts = np.bincount(training, minlength=9) + 1.0
    expected = -np.log2(counts[held_out] / counts.sum()).mean()
    assert report.baselines.unigram == pytest.approx(expected)
    assert report.baselines.lzma is None  # unknown words cannot be written
    assert report.unit.name == "bits per word"
    perplexity = report.best_part.figures["perplexity"]
    assert perplexity == pytest.approx(2**report.best, rel=1e-6)
    longer = resume(tmp_path / "run", quiet, small_text, epochs=3)
    assert longer.n_windows > report.n_windows
    text = "".join(load(tmp_path / "run").sample("the cat", 5, seed=1))
    assert len(text.split()) == 5
    assert "<unk>" not in text


def test_bits_per_character_are_those_of_all_tokens(small_text, tmp_path, quiet, pairs):
    options = TrainingOptions(
        tokens="bpe", entries=270, n_h=8, embedding=5, n_b=4, tau=8
    )
    report = train(small_text, options, tmp_path / "run", quiet)
    task = make_task(small_text, options)
    tokens = task.parts["validation"].tokens
    write = task.vocabulary.writer(tokens[:0])
    n = len("".join(map(write, tokens.tolist())))
    figures = report.best_part.figures
    expected = report.best * len(tokens) / n
    assert figures["bits_per_character"] == pytest.approx(expected)
    by_lzma = report.best_part.references[-1]
    assert by_lzma.figures["bits_per_character"] == pytest.approx(
        by_lzma.loss * len(tokens) / n
    )
    other = PlainText("the cat sat on the mat", "another", 1)
    measured = measure_run(tmp_path / "run", other)
    assert measured.n == len(task.vocabulary.encode(other.characters)) - 1
    path = tmp_path / "run" / "vocabulary.json"
    path.write_text(path.read_text().replace('"bpe"', '"words"'))
    with pytest.raises(DamagedRunError, match="entries, where config"):
        _ = read_run(tmp_path / "run").model


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"tokens": "words", "n_b": 500}, TextTooShortError, "words; one window of"),
        ({"tokens": "letters"}, OptionError, "one of characters, words, bpe"),
    ],
)
def test_what_cannot_be_used_says_why(
    small_text, tmp_path, quiet, given, error, message
):
    with pytest.raises(error, match=message):
        train(small_text, TrainingOptions(**given), tmp_path / "run", quiet)


def test_options_of_tokens_are_refused_for_other_data(tmp_path, quiet):
    from bptt.train import read_sequences

    np.savez(tmp_path / "a.npz", x=np.zeros((40, 3, 2), np.float32))
    data = read_sequences("a", [tmp_path / "a.npz"])
    for given, word in (({"tokens": "words"}, "--tokens"), ({"tied": True}, "--tied")):
        with pytest.raises(IgnoredOptionError, match=word):
            train(data, TrainingOptions(**given), tmp_path / "run", quiet)


def test_a_separator_is_for_numbers(small_text, tmp_path, quiet):
    np.save(tmp_path / "tokens.npy", np.arange(3000) % 5)
    from bptt.train import DataRequest, open_data, open_run

    data = open_data(DataRequest((tmp_path / "tokens.npy",)))
    options = TrainingOptions(n_h=8, n_b=4, tau=8, epochs=6, learning_rate=0.05)
    train(data, options, tmp_path / "run", quiet)
    sampler = open_run(tmp_path / "run")
    drawn = sampler.write("2 3", 4, temperature=0, separator=",")
    assert "".join(drawn) == "4,0,1,2,"
    options = TrainingOptions(cell="elman", n_h=4, n_b=4, tau=8)
    train(small_text, options, tmp_path / "text", quiet)
    with pytest.raises(IgnoredOptionError, match="a model of text writes text"):
        open_run(tmp_path / "text").write("a", 4, separator=",")


def test_a_text_is_cut_into_tokens_once_also_when_the_run_goes_on(
    tmp_path, quiet, monkeypatch
):
    text = PlainText("the cat sat on the mat\nthe end\n" * 60, "a rhyme", 1)
    options = TrainingOptions(
        tokens="words", cell="elman", n_h=3, n_b=2, tau=8, test=0.1, validations=1
    )
    run = tmp_path / "run"
    cut = []
    encode = Words.encode
    monkeypatch.setattr(Words, "encode", lambda *a: cut.append(a[1]) or encode(*a))
    first = make_task(text, options)
    cut.clear()
    train(text, options, run, quiet)
    assert "".join(cut).count("end") == 60
    cut.clear()
    saved = read_run(run)
    again = make_task(text, options, saved.vocabulary, saved.tokenised)
    assert again.summary == first.summary
    assert again.baselines() == first.baselines()
    for name, part in first.parts.items():
        np.testing.assert_array_equal(part.tokens, again.parts[name].tokens)
    found = resume(run, quiet, text, epochs=2)
    write_flows(run, text)
    assert not any("end" in one for one in cut)
    # A longer run from the start ends with the same numbers, and so does one that
    # has to cut the text again.
    longer = replace(options, epochs=2)
    (run / "tokens.npy").unlink()
    assert read_run(run).tokenised is None
    other = train(text, longer, tmp_path / "other", quiet)
    assert found.n_windows == other.n_windows
    (run / "tokens.npy").write_bytes((tmp_path / "other/tokens.npy").read_bytes()[:-2])
    with pytest.raises(DamagedRunError, match="claims"):
        _ = read_run(run).tokenised
    config = json.loads((run / "config.json").read_text())
    np.save(run / "tokens.npy", np.full(sum(n for n, _ in
            config["data"]["tokens"].values()), 8, np.uint16))  # fmt: skip
    with pytest.raises(DamagedRunError, match="holds 8; the vocabulary has 8 entries"):
        _ = read_run(run).tokenised


def test_byte_pairs_of_a_long_text_are_learned_from_pieces_of_all_of_it(monkeypatch):
    pytest.importorskip("tokenizers")
    text = PlainText("aa bb\n" * 200 + "cc dd\n" * 200, "pairs", 1)
    monkeypatch.setattr("bptt.train.data.token_text.PIECE", 60)
    monkeypatch.setattr("bptt.train.data.token_text.LEARNED_FROM", 600)
    options = TrainingOptions(tokens="bpe", entries=300, n_b=2, tau=8)
    known = make_task(text, options).vocabulary
    assert {"aa", "cc"} <= set(known.entries)
