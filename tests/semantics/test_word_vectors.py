"""Vectors of class names from files of word2vec and GloVe."""

import numpy as np
import pytest

from study.semantics.word_vectors import word_similarity

NAMES = ("dog", "cat", "sunflower", "maple_tree", "Sweet Pepper", "n02084071-whole")
LINES = (
    "dog 1 0 0", "cat 0 2 0", "maple 0 0 1", "tree 0 1 0", "unread x y", "sweet 3 0 4", "pepper 1 0 0", "Pepper 0 0 2",
    "sunflower 1 1 0",
)  # fmt: skip


def file(tmp_path, *lines, name="vectors.txt"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize("header", [[], ["9 3"]])
def test_names_have_the_mean_of_their_words_vectors(tmp_path, header):
    similarity, missing = word_similarity(file(tmp_path, *header, *LINES), NAMES)
    assert missing == ("n02084071-whole",)
    assert similarity[0, :3].tolist() == pytest.approx([1, 0, np.sqrt(0.5)])
    assert similarity[1, 3] == pytest.approx(1 / np.sqrt(2))  # maple and tree: (0, ½, ½)
    assert similarity[0, 4] == pytest.approx(1.5 / np.linalg.norm([1.5, 0, 3]))  # sweet and Pepper, as it is spelt
    assert np.isnan(similarity[5]).all()


def test_a_name_that_is_one_word_of_the_file_has_its_own_vector(tmp_path):
    similarity, _ = word_similarity(file(tmp_path, *LINES, "maple_tree 1 0 0"), NAMES)
    assert similarity[0, 3] == pytest.approx(1)


def test_a_name_of_which_a_word_is_missing_has_none(tmp_path):
    _, missing = word_similarity(
        file(tmp_path, *(line for line in LINES if "tree" not in line), "a 1 0 0"), (*NAMES, "a")
    )
    assert missing == ("maple_tree", "n02084071-whole")


def test_synsets_are_looked_up_by_their_word(tmp_path):
    names = ("dog.n.01", "cat.n.01", "sunflower.n.01", "maple.n.02", "tree.n.01")
    assert word_similarity(file(tmp_path, *LINES), names)[1] == ()


def test_a_changed_file_is_read_again(tmp_path):
    path = file(tmp_path, *LINES)
    before, _ = word_similarity(path, NAMES)
    file(tmp_path, *LINES[1:], "dog 0 0 1 ", "more 1 2 3")
    after, _ = word_similarity(path, NAMES)
    assert before[0, 2] != after[0, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["dog 1 0", "cat 1 2 3"], r"vectors\.txt, line 2: a word and its numbers are expected \(3 numbers, where"),
        (["dog 1 zero"], "line 1: a word and its numbers are expected .*could not convert"),
        (["dog 1 nan"], "line 1: a word and its numbers are expected"),
        (["dog 1 0", "cat 0 1"], "has vectors of 2 of 6 classes, and 5 are needed; missing: sunflower, maple_tree"),
    ],
)
def test_wrong_files_are_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        word_similarity(file(tmp_path, *lines), NAMES)


def test_no_file_and_a_binary_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.txt is no file; name a text file of vectors"):
        word_similarity(str(tmp_path / "nowhere.txt"), NAMES)
    (tmp_path / "vectors.bin").write_bytes(b"9 3\ndog \xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="no text in UTF-8; word2vec's binary files are not read"):
        word_similarity(str(tmp_path / "vectors.bin"), NAMES)
