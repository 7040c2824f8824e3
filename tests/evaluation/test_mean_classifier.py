from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from study.evaluation import evaluate
from study.evaluation.mean_classifier import MeanClassifier, class_means


def test_means_are_over_images_and_not_normalised():
    mu = class_means(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(mu, torch.tensor([[0.5, 0.5], [0.6, 0.8]]))


def test_accuracy_is_of_test_images_and_loss_of_their_views(make_encoded, generator):
    encoded = make_encoded(noise=1.5)
    found = MeanClassifier().evaluate(encoded, generator=generator).metrics
    y_train, y = encoded.labels_train.numpy(), encoded.labels_test.numpy()
    f_bar = encoded.mean_views_train.numpy()
    mu = np.stack([f_bar[y_train == c].mean(0) for c in range(4)])
    hits = (encoded.embeddings_test.numpy() @ mu.T).argmax(1) == y
    losses = [-log_softmax(z @ mu.T / 0.2, axis=1)[np.arange(len(y)), y].mean() for z in encoded.views_test.numpy()]
    assert found["mean_classifier.top1"] == pytest.approx(100 * hits.mean())
    assert found["mean_classifier.loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert 25 < found["mean_classifier.top1"] < 100


def test_a_class_without_training_images_is_named_and_skips_the_evaluation(make_encoded, generator):
    encoded = make_encoded()
    without = replace(encoded, labels_train=torch.where(encoded.labels_train == 2, 0, encoded.labels_train))
    found = evaluate([MeanClassifier()], without, generator=generator)
    assert found.skipped == {"mean_classifier": "no training image of c2"}
    assert not found.metrics
