from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.data.ag_news import PADDING, UNKNOWN, AgNews, build_vocabulary, encode, tokenize

TRAIN = b'"1","Peace, at last","The the THE"\n"2","Ball","Peace ball"\n"3","Oil #36;46","x"\n"4","Chips","y"\n'
TEST = b'"1","Peace now","the"\n"2","Ball","novel"\n"3","Oil","the"\n"4","Chips",""\n'
Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Fears for T N pension", ["fears", "for", "t", "n", "pension"]),
        ("dwindling\\band of", ["dwindling", "band", "of"]),
        ("Wall Street's #36;10 million", ["wall", "street's", "10", "million"]),
        ("A #39;real#39; &lt;b&gt; R&amp;D quot;x quot;", ["a", "real", "b", "r", "d", "x"]),
        ("snake_case Ünïcode", ["snake", "case", "ünïcode"]),
        (" -- ", []),
    ],
)
def test_words_are_lower_case_runs_of_letters_and_digits(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


def test_the_vocabulary_is_the_most_frequent_words_ties_by_alphabet() -> None:
    texts = [["b", "a", "b"], ["c", "a", "d"]]
    assert build_vocabulary(texts, 100) == {"a": 2, "b": 3, "c": 4, "d": 5}
    assert build_vocabulary(texts, 4) == {"a": 2, "b": 3}


def test_texts_are_cut_off_or_padded_and_never_empty() -> None:
    ids = encode([["a", "b", "a"], ["z"], []], {"a": 2, "b": 3}, 2)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, [[2, 3], [UNKNOWN, PADDING], [UNKNOWN, PADDING]])


def test_the_vocabulary_comes_from_train_only(write_folder: Write) -> None:
    data = AgNews(root=str(write_folder({"train.csv": TRAIN, "test.csv": TEST})), max_length=4).load()
    words = {word for row in TRAIN.decode().splitlines() for word in tokenize(row) if not word.isdigit()}
    assert data.vocabulary_size == 2 + len(words | {"46"})
    the, peace = data.train.inputs[0, 3], data.train.inputs[0, 0]
    np.testing.assert_array_equal(data.test.inputs[0], [peace, UNKNOWN, the, PADDING])
    assert data.test.inputs[1, 1] == UNKNOWN
    np.testing.assert_array_equal(data.train.labels, [0, 1, 2, 3])
    assert data.classes == ("World", "Sports", "Business", "Sci/Tech")


def test_the_vocabulary_is_limited(write_folder: Write) -> None:
    root = write_folder({"train.csv": TRAIN, "test.csv": TEST})
    data = AgNews(root=str(root), vocabulary=5).load()
    assert data.vocabulary_size == 5
    assert data.train.inputs.max() == 4


def test_folder_and_archive_official_and_subset_names_hold_the_same(write_folder: Write, write_tar: Write) -> None:
    roots = [
        write_folder({"train.csv": TRAIN, "test.csv": TEST}),
        write_tar({"ag_news/train_subset.csv": TRAIN, "ag_news/test.csv": TEST, "ag_news/README.txt": b"x"}),
    ]
    assert len({AgNews(root=str(root)).load().digest for root in roots}) == 1


def test_the_default_place_is_below_the_data_home(write_folder: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder({"train.csv": TRAIN, "test.csv": TEST}, "home/ag_news")
    with pytest.raises(FileNotFoundError, match=r"ag_news does not exist; set data.root"):
        AgNews().check()
    monkeypatch.setenv("STUDY_DATA", str(root.parent))
    assert AgNews().shape().train == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.csv": TRAIN}, r"must hold test.csv and train.csv or train_subset.csv; set data.root"),
        ({"test.csv": TEST}, r"must hold test.csv and train.csv or train_subset.csv"),
        ({"train.csv": TRAIN + b'"5","a","b"\n', "test.csv": TEST}, r'train.csv row 5 is not "class 1-4"'),
        ({"train.csv": TRAIN, "test.csv": TEST + b'"1","a'}, r'test.csv row 5 is not "class 1-4"'),
        ({"train.csv": TRAIN, "test.csv": b'"1","caf\xe9",""'}, r"test.csv is no UTF-8 text .* at byte 8\); fetch it"),
        ({"train.csv": TRAIN, "test.csv": b'"1","a","' + 200_000 * b"a"}, r"test.csv is no CSV file \(field larger"),
    ],
)
def test_missing_files_and_malformed_rows_are_refused(
    files: dict[str, bytes], message: str, write_folder: Write
) -> None:
    with pytest.raises(ValueError, match=message):
        AgNews(root=str(write_folder(files))).check()


def test_a_heading_and_a_byte_order_mark_are_no_articles(write_folder: Write) -> None:
    heading = b"\xef\xbb\xbfClass Index,Title,Description\n"
    root = write_folder({"train.csv": heading + TRAIN, "test.csv": heading + TEST}, "headed")
    plain = write_folder({"train.csv": TRAIN, "test.csv": TEST}, "plain")
    assert AgNews(root=str(root)).load().digest == AgNews(root=str(plain)).load().digest


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary must be at least 3"):
        AgNews(vocabulary=2)
    with pytest.raises(ValueError, match="max_length must be at least 1 word, not 0"):
        AgNews(max_length=0)


def test_the_shared_archive_is_read_whole(shared: Path) -> None:
    data = AgNews(root=str(shared / "ag_news.tar.xz"), validation_size=0).load()
    np.testing.assert_array_equal(np.bincount(data.train.labels), [1578] * 4)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [1900] * 4)
    known = data.test.inputs[data.test.inputs != PADDING] != UNKNOWN
    assert known.mean() > 0.9
