import numpy as np
import pytest

from study.semantics import CLASS_MAPS, similarity_matrix, tree_order

SETS = {name: [synsets[0] for synsets in classes.values()] for name, classes in CLASS_MAPS.items()}


@pytest.mark.parametrize("dataset", SETS)
def test_groups_cover_every_class_once_within_the_limit(dataset: str) -> None:
    tree = tree_order(SETS[dataset])
    assert sorted(tree.order) == list(range(len(SETS[dataset])))
    assert sum(size for _, size in tree.groups) == len(SETS[dataset])
    assert len(tree.groups) <= 24


def test_few_classes_stay_single_and_relatives_are_side_by_side() -> None:
    tree = tree_order(SETS["cifar10"])
    assert all(size == 1 for _, size in tree.groups)
    order = [SETS["cifar10"][c] for c in tree.order]
    assert abs(order.index("cat.n.01") - order.index("dog.n.01")) == 1
    assert abs(order.index("car.n.01") - order.index("truck.n.01")) == 1


def test_many_classes_form_groups_with_names() -> None:
    groups = dict(tree_order(SETS["imagenet"]).groups)
    assert groups["bird.n.01"] == 59
    assert groups["mammal.n.01"] == 218


def test_neighbours_in_tree_order_are_nearer_than_in_any_other_order() -> None:
    similarity = similarity_matrix(SETS["cifar100"])
    order = np.array(tree_order(SETS["cifar100"]).order)
    shuffled = np.random.default_rng(0).permutation(100)
    assert similarity[order[:-1], order[1:]].mean() > similarity[shuffled[:-1], shuffled[1:]].mean() + 0.2


def test_a_class_above_another_has_a_group_of_its_own() -> None:
    assert tree_order(["dog.n.01", "animal.n.01"]).groups == (("animal.n.01", 1), ("dog.n.01", 1))


def test_classes_of_one_synset_share_a_group() -> None:
    assert tree_order(["dog.n.01", "dog.n.01", "cat.n.01"]).groups == (("dog.n.01", 2), ("cat.n.01", 1))
