"""Does difficulty follow meaning because of contrastive learning: who is in the figure, and in which order."""

import numpy as np
import pytest

from study.analysis.class_pairs import association, difference
from study.figures.negatives.meaning import MeaningFigure, meaning_info
from study.semantics.pairs import FEATURES, MEANING, UNTRAINED, WORDS, pair_rows


def similar(seed, classes=12):
    rows = np.random.default_rng(seed).normal(size=(classes, 6))
    return rows @ rows.T


def trial(share, seed=0, *, words=False):
    meaning = similar(0)
    found = {MEANING: meaning, FEATURES: share * meaning + similar(7 + seed), UNTRAINED: similar(20 + seed)}
    return found | ({WORDS: 2 * meaning + similar(30)} if words else {})


def test_the_highest_is_first_and_the_same_untrained_encoder_is_there_once():
    cells = {"weak": [trial(0.0, words=True)], "supervised": [trial(9.0, words=True)]}
    info = meaning_info(cells, {"supervised"})
    assert next((p.label, p.kind) for p in info.points if p.kind != "trained") == ("supervised", "supervised")
    assert {p.label for p in info.points} == {"weak", "supervised", "untrained encoder", "word vectors"}
    values = [p.rho.rho for p in info.points]
    assert values == sorted(values, reverse=True)
    assert info.measure == "wup"


def test_seeds_are_averaged_and_the_lead_is_over_the_untrained_encoder_of_the_same_seeds():
    trials = [trial(1.0, seed) for seed in range(3)]
    point = next(p for p in meaning_info({"a": trials}).points if p.kind == "trained")
    trained, before = (np.mean([t[name] for t in trials], axis=0) for name in (FEATURES, UNTRAINED))
    assert point.rho == association(trained, trials[0][MEANING])
    assert point.lead == difference(trained, before, trials[0][MEANING])


def test_encoders_of_other_seeds_are_others():
    points = meaning_info({"a": [trial(1.0, 0)], "b": [trial(1.0, 1)]}).points
    assert sorted(p.label for p in points if p.kind == "untrained") == ["untrained, a", "untrained, b"]


def test_a_trial_has_its_own_picture_also_without_the_untrained_encoder(tmp_path):
    tables = {"negatives.pairs": pair_rows({name: m for name, m in trial(1.0).items() if name in (MEANING, FEATURES)})}
    (picture,) = MeaningFigure().of_trial(tables, [])
    assert [p.label for p in picture.info.points] == ["this trial"]
    tables["negatives.untrained"] = pair_rows({UNTRAINED: similar(20)})
    (picture,) = MeaningFigure().of_trial(tables, [])
    assert "lead over the untrained" in picture.alt
    MeaningFigure().draw(picture.info).savefig(tmp_path / "meaning.png")
    assert (tmp_path / "meaning.png").stat().st_size > 5000


@pytest.mark.parametrize("table", ["negatives.pairs", "negatives.untrained"])
def test_one_table_alone_is_no_picture(table):
    assert not list(MeaningFigure().of_trial({table: pair_rows({UNTRAINED: similar(0)})}, []))
