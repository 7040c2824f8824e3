"""Statistics of embeddings are taken of features too, under names that say so; of features alone without a head."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from models.methods import METHODS
from study import ConfigError, TrialConfig
from study.evaluation import EVALUATIONS, evaluate
from study.evaluation.evaluation import OfRepresentations, named
from study.planning.resolve import resolve
from study.trial.encode import encode
from study.trial.training import Training
from tests.conftest import TINY

EITHER = [name for name, entry in EVALUATIONS.items() if issubclass(entry, OfRepresentations)]


def test_which_evaluations_can_be_taken_of_features() -> None:
    assert set(EITHER) == {"contrastive", "geometry", "mean_classifier", "negatives"}


@pytest.mark.parametrize("name", EITHER)
def test_of_features_is_what_an_encoder_has_whose_embeddings_are_its_unit_features(name, make_encoded):
    encoded = make_encoded(classes=12)
    identity = replace(
        encoded,
        embeddings_train=F.normalize(encoded.features_train),
        embeddings_test=F.normalize(encoded.features_test),
        mean_views_train=encoded.feature_views.mean_train,
        views_test=encoded.feature_views.test,
        validation=replace(encoded.validation, embeddings=F.normalize(encoded.validation.features)),
    )

    def found(of, **parameters):
        return EVALUATIONS[name](**parameters).evaluate(of, generator=torch.Generator().manual_seed(3))

    plain, as_identity = found(encoded), found(identity)
    both = found(encoded, representations=("features", "embeddings"))
    assert as_identity.metrics.keys() == plain.metrics.keys()
    assert as_identity.metrics != plain.metrics
    assert both.metrics == plain.metrics | {named(n, "features"): x for n, x in as_identity.metrics.items()}
    assert both.tables == plain.tables | {named(n, "features"): x for n, x in as_identity.tables.items()}


def test_names_say_features_after_the_evaluation():
    assert named("mean_classifier.validation.top1", "features") == "mean_classifier.features.validation.top1"
    assert named("geometry.uniformity", "embeddings") == "geometry.uniformity"


def test_without_a_trained_head_nothing_is_of_embeddings_and_the_reason_is_given(make_encoded, generator):
    encoded = replace(make_encoded(), head_trained=False)
    found = evaluate([entry() for entry in EVALUATIONS.values()], encoded, generator=generator)
    assert all(".features." in metric for metric in found.metrics)
    assert {"linear.features.top1", "knn.features.top1", "geometry.features.alignment"} <= found.metrics.keys()
    of_z = {f"{name}.embeddings" for name in [*EITHER, "linear", "knn"]}
    assert of_z | {"bounds"} <= found.skipped.keys()
    assert all("no projection head" in found.skipped[name] for name in of_z | {"bounds"})


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_says_whether_it_trains_the_head(name):
    small = {"moco": {"queue_size": 128}, "swav": {"freeze_steps": 1}}.get(name, {})
    config = {**TINY, "data": {"name": "shapes", "train_size": 128, "test_size": 40}, "epochs": 1}
    trial = resolve(TrialConfig(**config, method={"name": name, **small}))
    training = Training(trial, trial.parts.data.load(), torch.device("cpu"))
    training.train_epoch()
    gradients = [p.grad for p in training.learner.head.parameters()]
    assert all(g is not None for g in gradients) is trial.parts.method.trains_head
    assert any(g is not None for g in gradients) is trial.parts.method.trains_head


def test_supervised_is_followed_and_measured_on_its_features():
    config = {**TINY, "epochs": 1, "evaluations": ["geometry", "mean_classifier"]}
    trial = resolve(TrialConfig(**config, method="supervised"))
    training = Training(trial, trial.parts.data.load(), torch.device("cpu"))
    assert training.geometry().keys() == {"train.features.alignment", "train.features.uniformity"}
    encoded = encode(training)
    assert not encoded.head_trained
    views = encoded.feature_views
    assert views is not None
    assert views.test.shape == (2, 100, encoded.features_test.shape[1])
    assert torch.allclose(views.test.norm(dim=2), torch.ones(2, 100), atol=1e-5)
    assert views.mean_train.norm(dim=1).max() <= 1 + 1e-5


def test_features_views_are_encoded_only_where_asked_for():
    def encoded(*representations):
        chosen = [{"name": "geometry", "representations": list(representations)}]
        trial = resolve(TrialConfig(**{**TINY, "evaluations": chosen}))
        return encode(Training(trial, trial.parts.data.load(), torch.device("cpu")))

    assert encoded("embeddings").feature_views is None
    assert encoded("embeddings", "features").feature_views is not None


def test_ids_stay_where_representations_are_as_before():
    ids = {
        resolve(TrialConfig(**{**TINY, "evaluations": [chosen]})).id
        for chosen in ("geometry", {"name": "geometry", "representations": ["embeddings"]})
    }
    assert len(ids) == 1
    other = {"name": "geometry", "representations": ["features"]}
    assert resolve(TrialConfig(**{**TINY, "evaluations": [other]})).id not in ids


@pytest.mark.parametrize("wrong", [[], ["features", "features"], ["pixels"]])
def test_a_wrong_representation_is_refused(wrong):
    with pytest.raises(ConfigError, match="representations"):
        resolve(TrialConfig(**{**TINY, "evaluations": [{"name": "geometry", "representations": wrong}]}))
