"""Starts of a hierarchy: where joint training begins, and the rule that chooses by cost."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from nnmf_nb import DeepNMF, HierarchicalNMF, NeuralNMF, datasets, nnls, regroup
from nnmf_nb.chain._labels import read_labels
from nnmf_nb.core._data import as_data
from nnmf_nb.models._starts import best_by_cost, chain_of_classes, express, split_sizes
from nnmf_nb.solvers import coordinate_descent
from nnmf_nb.solvers._stopping import lower_of

TOY = datasets.toy(random_state=0)
KNOWN = np.random.default_rng(1).random(TOY.X.shape) < 0.8
LAYERED = [HierarchicalNMF, DeepNMF, NeuralNMF]


def fitted(model, X=TOY.X, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, **given)


@pytest.mark.each_value_once
@pytest.mark.parametrize("Model", LAYERED)
@pytest.mark.parametrize("init", ["sequential", "flat", "above", "given"])
@pytest.mark.parametrize(
    "X, given",
    [
        (TOY.X, {}),
        (sp.csr_array(TOY.X * (TOY.X > 1)), {}),
        (TOY.X.astype(np.float32), {}),
        (np.where(KNOWN, TOY.X, np.nan), {"mask": "nan"}),
        (TOY.X, {"y": TOY.labels["level_4"]}),
    ],
    ids=["dense", "sparse", "float32", "mask", "labels"],
)
def test_every_start_serves_every_kind_of_data(Model, init, X, given):
    if init == "given":
        rng = np.random.default_rng(0)
        init = [rng.random((87, 9)), rng.random((9, 4))]
    model = fitted(Model((9, 4), init=init, max_iter=5, random_state=0), X, **given)
    assert all(np.isfinite(layer.A).all() and (layer.A >= 0).all() for layer in model.layers_)
    assert all(layer.error < 0.9 for layer in model.layers_)
    assert model.layers_[0].A.dtype == (np.float32 if X.dtype == np.float32 else np.float64)


def test_the_start_is_named():
    for init in ("sequential", "flat", "above"):
        assert fitted(NeuralNMF((9, 4), init=init, max_iter=1, random_state=0)).init_ == init
    model = fitted(NeuralNMF((9, 4), max_iter=3, warm_start=True, random_state=0))
    assert model.init_ in ("sequential", "flat")
    assert fitted(model).init_ == "warm_start"
    layers = [layer.A for layer in model.layers_]
    again = fitted(NeuralNMF((9, 4), init=layers, max_iter=0))
    assert again.init_ == "given"
    assert again.history_["objective"][0] == pytest.approx(
        min(model.history_["objective"]), rel=1e-9
    )


@pytest.mark.parametrize("coefficients", ["chain", "data"])
def test_the_lower_cost_goes_on(coefficients):
    """The brief training of 'auto' ends below both of its candidates."""
    options = dict(ranks=(9, 4, 2), coefficients=coefficients, random_state=0, max_iter=0)
    start = {
        init: fitted(NeuralNMF(init=init, **options)).history_["objective"][0]
        for init in ("sequential", "flat", "auto")
    }
    assert start["auto"] < min(start["sequential"], start["flat"])


@pytest.mark.parametrize("coefficients", ["chain", "data"])
@pytest.mark.parametrize("seed", [11, 12])
def test_planted_sections_are_found(coefficients, seed):
    """The sequential start alone misses the sections of most draws."""
    news = datasets.planted_news(random_state=seed)
    model = fitted(NeuralNMF((10, 4), coefficients=coefficients, random_state=0), news.X)
    sections = news.labels["section"]
    strongest = model.transform(news.X).argmax(axis=1)
    assert adjusted_rand_score(sections, strongest) > 0.98


def test_one_layer_has_one_start():
    models = [
        fitted(NeuralNMF((4,), init=init, random_state=0, max_iter=20))
        for init in ("auto", "flat", "sequential")
    ]
    assert len({model.layers_[0].error for model in models}) == 1


def test_rounding_does_not_choose():
    name, _, _ = best_by_cost({"a": [1.0], "b": [1.0 - 1e-12]}, lambda A: (A, A[0], False))
    assert name == "a"
    name, _, _ = best_by_cost({"a": [1.0], "b": [0.99]}, lambda A: (A, A[0], False))
    assert name == "b"


def test_topics_out_of_reach_begin_as_the_mean():
    A = express(np.eye(4)[:, :2], np.eye(4)[:, 1:3])
    np.testing.assert_allclose(A, [[0, 0.5**0.5], [1, 0.5**0.5]])


def test_coarse_topics_are_split_by_their_shares():
    assert split_sizes([0, 0], 5) == [3, 2]
    assert sum(split_sizes([5, 1, 1, 1], 11)) == 11 and min(split_sizes([1, 0, 0], 6)) == 1


def unit(A):
    return A / np.linalg.norm(A, axis=0)


def labels_of(classes, share):
    """`Labels` of the first data points; the others are unknown."""
    known = np.arange(len(classes)) < share * len(classes)
    return read_labels(np.where(known, classes, -1), len(classes))


def class_means(chain, classes, share):
    """Means of the coefficients at unit length, class by class, worked out with `nnls`."""
    S = TOY.X.T
    for A in chain:
        S = np.asarray(nnls(A, S))
    length = np.linalg.norm(S, axis=0)
    S = S / np.where(length > 0, length, 1)
    first = np.arange(len(classes)) < share * len(classes)
    return unit(
        np.stack([S[:, first & (classes == c)].mean(axis=1) for c in np.unique(classes)], axis=1)
    )


def test_topics_of_a_labeled_layer_begin_with_the_classes():
    rng = np.random.default_rng(0)
    X, classes = as_data(TOY.X.T), np.arange(90) % 3
    chain = [unit(rng.random(shape)) for shape in [(87, 9), (9, 5), (5, 2)]]
    labels = labels_of(classes, 0.4)
    changed = chain_of_classes(X, chain, {1: labels})
    assert changed[0] is chain[0]
    means = class_means(chain[:1], classes, 0.4)
    np.testing.assert_allclose(changed[1][:, :3], means, atol=1e-6)
    # the two others are those of the old ones that are least like a class
    least = np.argsort((chain[1].T @ means).max(axis=1))[:2]
    np.testing.assert_array_equal(changed[1][:, 3:], chain[1][:, least])
    # the layer above is the old one, written in the new topics
    old = chain[0] @ chain[1] @ chain[2]
    np.testing.assert_allclose(changed[2], unit(nnls(changed[0] @ changed[1], old)), atol=1e-6)


@pytest.mark.parametrize("kind", ["dense", "sparse", "float32", "masked"])
def test_a_first_layer_with_a_topic_for_each_class_begins_with_the_mean_points(kind):
    rng = np.random.default_rng(0)
    classes = np.arange(90) % 9
    chain = [unit(rng.random(shape)) for shape in [(87, 9), (9, 4)]]
    values, known = TOY.X.T, np.ones((87, 90), dtype=bool)
    if kind == "masked":
        known = KNOWN.T
    X = {
        "dense": lambda: as_data(values),
        "sparse": lambda: as_data(sp.csr_array(values)),
        "float32": lambda: as_data(values.astype(np.float32)),
        "masked": lambda: as_data(np.where(known, values, np.nan), mask=known),
    }[kind]()
    chain = [A.astype(X.dtype) for A in chain]
    changed = chain_of_classes(X, chain, {0: labels_of(classes, 0.5)})
    means = np.ma.array(values, mask=~known)[:, :45].reshape(87, 5, 9).mean(axis=1).filled(0)
    np.testing.assert_allclose(changed[0], unit(means), rtol=1e-5, atol=1e-7)
    above = unit(np.asarray(nnls(changed[0], chain[0] @ chain[1])))
    np.testing.assert_allclose(changed[1], above, atol=1e-4)
    assert changed[0].dtype == changed[1].dtype == X.dtype


def test_labels_at_both_levels_find_the_fine_classes():
    """From flat topics .73 of the branches are named right here, from the means of them .81."""
    data = datasets.gene_ontology()
    known = np.random.default_rng(11).random(len(data.labels["branch"])) < 0.05
    y = {0: data.labels["branch"], 1: data.labels["ontology"]}
    given = {layer: np.where(known, names, "-1") for layer, names in y.items()}
    model = fitted(NeuralNMF((14, 3), random_state=11), data.X, y=given)
    right = [np.mean(model.predict(data.X[~known], layer=l) == y[l][~known]) for l in y]
    assert model.init_ == "labels" and right[0] > 0.78 and right[1] > 0.89


def test_labels_begin_only_where_every_class_has_a_topic():
    rng = np.random.default_rng(0)
    X, classes = as_data(TOY.X.T), np.arange(90) % 3
    chain = [unit(rng.random(shape)) for shape in [(87, 9), (9, 2)]]
    labels = labels_of(classes, 0.4)
    assert chain_of_classes(X, chain, {1: labels}) is None
    assert chain_of_classes(X, chain, {0: labels}) is None
    assert chain_of_classes(X, chain, {}) is None


@pytest.mark.parametrize(
    "coefficients", [pytest.param("chain", marks=pytest.mark.exhaustive), "data"]
)
def test_few_labels_part_the_branches(coefficients):
    """From flat topics two classes can stay in one: accuracies of .75 and .74 here."""
    data = datasets.gene_ontology()
    y = data.labels["branch"]
    known = np.random.default_rng(803).random(len(y)) < 0.05
    model = NeuralNMF((30, 14), coefficients=coefficients, random_state=3)
    model = fitted(model, data.X, y=np.where(known, y, "-1"))
    assert model.init_ == "labels"
    assert np.mean(model.predict(data.X[~known]) == y[~known]) > 0.78


@pytest.mark.parametrize("Model", LAYERED)
@pytest.mark.parametrize("init", ["flat", "sequential", "above", "auto"])
@pytest.mark.parametrize("calls", [1, 8, 40])
def test_ctrl_c_in_a_start_leaves_a_model(Model, init, calls, monkeypatch):
    if init == "auto" and Model is not NeuralNMF:
        pytest.skip("only NeuralNMF compares starts")
    left, gram = [calls], coordinate_descent.gram

    def interrupting(*given):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return gram(*given)

    monkeypatch.setattr(coordinate_descent, "gram", interrupting)
    model = fitted(Model((9, 4), init=init, n_init=2, random_state=0))
    if left[0] <= 0:
        assert model.stop_reason_ == "interrupted"
    assert model.transform(TOY.X).shape == (90, 4)


@pytest.mark.parametrize("Model", LAYERED)
@pytest.mark.parametrize(
    "init, words",
    [
        ("best", "init must be one of"),
        (7, "got int"),
        ([np.ones((87, 9))], "init has 1 matrices, but ranks has 2 layers"),
        ([np.ones((87, 9)), np.ones((4, 9))], r"init\[1\] has shape \(4, 9\)"),
        (
            [np.ones((87, 9)), -np.ones((9, 4))],
            r"init\[1\] must be finite and >= 0; entry \[0, 0\]",
        ),
        ([np.full((87, 9), np.nan), np.ones((9, 4))], r"init\[0\] must be finite"),
    ],
)
def test_bad_starts(Model, init, words):
    with pytest.raises(ValueError, match=words):
        Model((9, 4), init=init).fit(TOY.X)


def test_a_zero_column_is_filled():
    A = [np.eye(87)[:, :9], np.eye(9)[:, :4]]
    A[1][:, 3] = 0
    model = fitted(NeuralNMF((9, 4), init=A, max_iter=30, random_state=0))
    assert not model.layers_[1].dead


def test_pooled_layers_take_matrices_only():
    with pytest.raises(ValueError, match="does not know groups of topics"):
        DeepNMF((8, 4), pool_size=2, init="flat").fit(TOY.X)
    rng = np.random.default_rng(0)
    init = [rng.random((87, 8)), rng.random((4, 4))]
    assert fitted(DeepNMF((8, 4), pool_size=2, init=init, max_iter=5)).layers_[0].rank == 8


def test_regroup_groups_the_topics_that_the_part_uses():
    """The part uses the rare topics most, so that its order of topics is another one."""
    rng = np.random.default_rng(0)
    topics = np.kron(np.eye(6), np.ones(4))  # of four words each
    group = rng.integers(2, size=60)
    part = np.zeros((60, 6))
    part[:, :4] = np.where(group[:, None] == [0, 0, 1, 1], rng.random((60, 4)) + 0.1, 0)
    whole = np.concatenate([part @ topics, 5 * rng.random((200, 6)) @ topics])
    model = fitted(HierarchicalNMF((6, 2), init=[topics.T, np.ones((6, 2))], max_iter=0), whole)
    X = part @ topics
    above = regroup(model, X, 2, random_state=0)
    assert adjusted_rand_score(above.transform(X).argmax(axis=1), group) == 1
    first, second = above.layers_
    codes = np.asarray(nnls(first.A, X.T))
    unit = codes / np.linalg.norm(codes, axis=0)
    rest = unit - second.A @ np.asarray(nnls(second.A, unit))
    singular = np.linalg.svd(unit, compute_uv=False)
    floor = np.sqrt((singular[2:] ** 2).sum())
    assert np.linalg.norm(rest) <= 1.05 * floor
    shares = second.S.sum(axis=1)
    assert shares[0] >= shares[1]


@pytest.mark.parametrize(
    ("best", "new", "chosen"),
    [
        ([1.0], [0.9], "new"),
        ([1.0], [1.0 - 1e-9], "best"),
        ([1.0], [1.1], "best"),
        ([1.0], [], "best"),
        (None, [1.0], "new"),
        ([-1.0], [-1.1], "new"),
    ],
)
def test_rounding_does_not_choose_among_starts(best, new, chosen):
    """A fit takes the place of the best one only where it ends lower by more than a millionth."""
    fits = {"best": best, "new": new}
    assert lower_of(best, new, lambda fit: fit) is fits[chosen]
