"""Metrics: values that a hand can compute, invariances, and the cases in which others
return NaN.
"""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from nnmf_nb import HierarchicalNMF, NeuralNMF, datasets
from nnmf_nb.chain._layers import topic_features
from nnmf_nb.evaluation import metrics

RANKS = (9, 4, 2)


@pytest.fixture(scope="module")
def toy():
    return datasets.toy(random_state=0)


@pytest.fixture(scope="module")
def model(toy):
    return NeuralNMF(ranks=RANKS, random_state=0).fit(toy.X)


@pytest.fixture(scope="module")
def hnmf(toy):
    return HierarchicalNMF(ranks=RANKS, random_state=0).fit(toy.X)


def planted(toy, level):
    """Indicator of the planted topics of a level over the words."""
    word = np.array([int(name[1 : name.index("w")]) for name in toy.features])
    parent = np.array([toy.labels[level][toy.labels["level_9"] == t][0] for t in range(9)])
    return np.eye(parent.max() + 1)[parent[word]]


# --- errors and floors ----------------------------------------------------------------------------


def test_errors_are_those_of_the_layers_and_of_the_dense_residual(toy, model):
    errors = metrics.errors_per_depth(model)
    assert errors.tolist() == [one.error for one in model.layers_]
    dense = [
        np.linalg.norm(toy.X.T - topic_features(model.layers_, l) @ one.S) / np.linalg.norm(toy.X)
        for l, one in enumerate(model.layers_)
    ]
    np.testing.assert_allclose(errors, dense, rtol=1e-10)
    np.testing.assert_allclose(metrics.errors_per_depth(model.layers_, toy.X), errors, rtol=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        sp.csr_array,
        sp.csc_matrix,
        sp.coo_array,
        lambda X: X.astype(np.float32),
        lambda X: X.tolist(),
    ],
)
def test_errors_of_other_forms_of_x(toy, model, make):
    np.testing.assert_allclose(
        metrics.errors_per_depth(model, make(toy.X)), metrics.errors_per_depth(model), rtol=1e-5
    )


def test_errors_of_sparse_x_form_nothing_dense(model):
    X = sp.random_array((200_000, 87), density=1e-4, rng=np.random.default_rng(0), format="csr")
    X.toarray = X.todense = None  # densifying would now fail
    assert np.isfinite(metrics.errors_per_depth(model, X)).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_errors_and_floors_do_not_see_the_scale(toy, model, scale):
    np.testing.assert_allclose(
        metrics.errors_per_depth(model, scale * toy.X), metrics.errors_per_depth(model), rtol=1e-6
    )
    np.testing.assert_allclose(
        metrics.floors(scale * toy.X, RANKS), metrics.floors(toy.X, RANKS), rtol=1e-9
    )
    np.testing.assert_allclose(
        metrics.flat_floors(scale * toy.X, (2,), n_init=1, random_state=0),
        metrics.flat_floors(toy.X, (2,), n_init=1, random_state=0),
        rtol=1e-6,
    )


def test_masked_entries_do_not_count(toy, model):
    known = np.random.default_rng(0).random(toy.X.shape) < 0.8
    holes = np.where(known, toy.X, np.nan)
    junk = np.where(known, toy.X, 1e6)
    errors = metrics.errors_per_depth(model, holes, mask=known)
    assert (
        errors.tolist() == metrics.errors_per_depth(model, junk, mask=known).tolist()
        and (errors < 0.6).all()
    )
    np.testing.assert_allclose(
        metrics.errors_per_depth(model, holes, weights=2.5 * known), errors, rtol=1e-6
    )


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(X=np.ones((3, 5))), "87 features"),
        (dict(X=-np.ones((3, 87))), "Negative"),
        (dict(X=np.full((3, 87), np.nan)), "NaN"),
        (dict(X=-np.ones((3, 87)), mask=np.ones((3, 87), bool)), "Negative"),
        (dict(mask=np.ones((3, 87), bool)), "belong to X"),
    ],
)
def test_bad_data(model, kwargs, message):
    with pytest.raises(ValueError, match=message):
        metrics.errors_per_depth(model, **kwargs)


def test_bad_models():
    with pytest.raises(NotFittedError):
        metrics.errors_per_depth(NeuralNMF())
    with pytest.raises(NotFittedError):
        metrics.diversity(NeuralNMF())
    for wrong in (3, [], "model"):
        with pytest.raises(TypeError, match="fitted model"):
            metrics.errors_per_depth(wrong)


@pytest.mark.parametrize("layer", [3, -4, 1.0])
def test_bad_layer(model, layer):
    with pytest.raises(ValueError, match="layer must be an integer from -3 to 2"):
        metrics._topics_of(model, layer)


def test_floor_of_a_diagonal_matrix():
    X = np.diag([4.0, 3.0, 0.0])
    np.testing.assert_allclose(metrics.floors(X, (3, 1, 2)), [0, 0.6, 0], atol=1e-12)
    np.testing.assert_allclose(metrics.floors(sp.csr_array(X), 1), [0.6])
    np.testing.assert_allclose(metrics.flat_floors(X, (1, 2), random_state=0), [0.6, 0], atol=1e-6)


def test_flat_error_is_above_its_floor_and_independent_of_other_ranks(toy):
    flat = metrics.flat_floors(toy.X, RANKS, n_init=2, random_state=0)
    assert (flat >= metrics.floors(toy.X, RANKS) - 1e-9).all() and (np.diff(flat) > 0).all()
    np.testing.assert_allclose(
        metrics.flat_floors(toy.X, 4, n_init=2, random_state=0), flat[1:2], rtol=1e-3
    )


def test_floors_of_nothing_and_of_too_many_topics():
    assert (
        metrics.floors(np.zeros((4, 3)), (2, 1)).tolist()
        == [0, 0]
        == metrics.flat_floors(np.zeros((4, 3)), (2, 1)).tolist()
    )
    X = np.random.default_rng(0).random((4, 3))
    assert (
        metrics.floors(X, 9)[0] < 1e-7
        and np.isfinite(metrics.flat_floors(X, 9, random_state=0)).all()
    )


@pytest.mark.parametrize("ranks", [0, (), (2, 0), (2.5,)])
def test_bad_ranks(ranks):
    for function in (metrics.floors, metrics.flat_floors):
        with pytest.raises(ValueError, match="ranks must be integers >= 1"):
            function(np.ones((3, 3)), ranks)
    with pytest.raises(ValueError, match="n_init"):
        metrics.flat_floors(np.ones((3, 3)), 1, n_init=0)


# --- matching -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4))
def test_matching_is_optimal(seed, k, other):
    rng = np.random.default_rng(seed)
    A, B = rng.random((6, k)), rng.random((6, other))
    match = metrics.match_topics(A, B)
    cosine = (A / np.linalg.norm(A, axis=0)).T @ (B / np.linalg.norm(B, axis=0))
    if k <= other:
        best = max(
            sum(cosine[i, j] for i, j in enumerate(p))
            for p in itertools.permutations(range(other), k)
        )
    else:
        best = max(
            sum(cosine[i, j] for j, i in enumerate(p))
            for p in itertools.permutations(range(k), other)
        )
    assert np.isclose(match.cosines.sum(), best)
    paired = match.permutation[match.permutation >= 0]
    assert len(set(paired)) == len(paired) == min(k, other) and np.isclose(
        match.mean, best / min(k, other)
    )
    assert sorted([*paired, *match.only_b]) == list(range(other)) and len(match.only_a) == k - len(
        paired
    )


def test_matching_does_not_see_order_or_scale():
    rng = np.random.default_rng(0)
    A, order = rng.random((20, 5)), rng.permutation(5)
    match = metrics.match_topics(A, A[:, order] * 10.0 ** rng.integers(-300, 300, 5))
    np.testing.assert_array_equal(order[match.permutation], np.arange(5))
    np.testing.assert_allclose(match.cosines, 1)


def test_matching_zero_columns_models_and_errors(model):
    match = metrics.match_topics(np.eye(3), np.zeros((3, 2)))
    assert match.cosines.tolist() == [0, 0, 0] and len(match.only_a) == 1 and match.mean == 0
    assert metrics.match_topics(model, model, layer=1).permutation.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="same features"):
        metrics.match_topics(np.eye(3), np.eye(4))
    with pytest.raises(ValueError, match="topics contains NaN"):
        metrics.match_topics(np.eye(3), np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="Negative"):
        metrics.match_topics(-np.eye(3), np.eye(3))


def test_stability(model, hnmf):
    rng = np.random.default_rng(0)
    A = rng.random((10, 3))
    copies = [A, 3 * A[:, [2, 0, 1]], A[:, ::-1]]
    assert np.isclose(metrics.stability(copies), 1) and np.allclose(
        metrics.topic_stability(copies), 1
    )
    pair = metrics.match_topics(model, hnmf, layer=0)
    assert np.isclose(metrics.stability([model, hnmf], layer=0), pair.mean)
    np.testing.assert_allclose(metrics.topic_stability([model, hnmf], layer=0), pair.cosines)
    assert metrics.topic_stability([np.eye(3), np.eye(3)[:, :2]]).tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="at least two"):
        metrics.stability([model])


# --- sparsity, coherence, diversity ---------------------------------------------------------------


def test_sparsity_by_hand():
    A = np.array([[1.0, 1, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(metrics.sparsity(A), [0, 1, 1, (2 - np.sqrt(2)) / 1])
    np.testing.assert_allclose(metrics.sparsity(A * 1e-310), metrics.sparsity(A), atol=1e-6)
    assert metrics.sparsity(np.ones((1, 2))).tolist() == [1, 1]


# features a, b, c and one that is everywhere
DOCS = np.array([[1.0, 1, 0, 1], [1, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 1]])


def phi(*topics):
    """A matrix with a topic per list of features, strongest first."""
    Phi = np.zeros((4, len(topics)))
    for j, topic in enumerate(topics):
        for place, i in enumerate(topic):
            Phi[i, j] = 10 - place
    return Phi


def test_npmi_by_hand():
    Phi = phi([0, 1], [1, 2], [0, 3], [0], [0, 1, 2])
    ab = np.log((2 / 4) / (3 / 4 * 2 / 4)) / -np.log(2 / 4)
    ac = np.log((1 / 4) / (3 / 4 * 1 / 4)) / -np.log(1 / 4)
    np.testing.assert_allclose(
        metrics.topic_coherence(Phi, DOCS), [ab, -1, 0, 0, (ab + ac - 1) / 3], atol=1e-12
    )


def test_umass_by_hand():
    Phi = phi([0, 1], [1, 0], [1, 2], [3, 0], [2])
    expected = [np.log(3 / 3), np.log(3 / 2), np.log(1 / 2), np.log(4 / 4), 0]
    np.testing.assert_allclose(
        metrics.topic_coherence(Phi, DOCS, measure="umass"), expected, atol=1e-12
    )


@pytest.mark.parametrize("measure", ["npmi", "umass"])
def test_coherence_is_never_nan(measure):
    X = np.zeros((5, 4))
    X[:, 0] = 1  # one feature everywhere, the others nowhere
    values = metrics.topic_coherence(
        np.c_[np.ones(4), np.zeros(4), np.eye(4)[0]], X, measure=measure
    )
    assert np.isfinite(values).all() and values[1] == values[2] == 0
    assert np.isfinite(
        metrics.topic_coherence(np.ones((4, 1)), np.zeros((3, 4)), measure=measure)
    ).all()
    assert metrics.topic_coherence(np.zeros((4, 2)), X, measure=measure).tolist() == [0, 0]


@pytest.mark.parametrize("measure", ["npmi", "umass"])
def test_coherence_does_not_see_order_scale_or_storage(measure):
    rng = np.random.default_rng(0)
    X, Phi = rng.poisson(0.5, (50, 12)).astype(float), rng.random((12, 3))
    value = metrics.topic_coherence(Phi, X, top=5, measure=measure)
    words = rng.permutation(12)
    for other in (
        metrics.topic_coherence(7e9 * Phi, 1e-9 * X, top=5, measure=measure),
        metrics.topic_coherence(Phi, sp.csr_array(X), top=5, measure=measure),
        metrics.topic_coherence(Phi, rng.permutation(X), top=5, measure=measure),
        metrics.topic_coherence(Phi[words], X[:, words], top=5, measure=measure),
    ):
        np.testing.assert_allclose(other, value)
    np.testing.assert_allclose(
        metrics.topic_coherence(Phi[:, ::-1], X, top=5, measure=measure), value[::-1]
    )


def test_coherence_of_a_model_and_errors(toy, model):
    assert metrics.topic_coherence(model, toy.X, layer=1).shape == (4,)
    for kwargs, message in (
        (dict(measure="c_v"), "measure must be"),
        (dict(top=0), "top must be"),
        (dict(X=np.ones((2, 3))), "3 features"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.topic_coherence(model, **{"X": toy.X} | kwargs)


def test_diversity():
    assert metrics.diversity(np.eye(4), top=2) == 1
    assert metrics.diversity(np.ones((4, 2)), top=4) == 0.5
    assert metrics.diversity(np.zeros((4, 2))) == 0
    assert metrics.diversity(phi([0, 1], [1, 2])) == 0.75


# --- labels and hierarchy -------------------------------------------------------------------------


def test_purity_by_hand():
    assert metrics.purity([0, 0, 0, 1], ["a", "a", "b", "b"]) == 0.75
    assert metrics.purity([0], ["a"]) == 1
    for groups, labels in (([], []), ([0, 1], [0]), ([[0]], [[0]])):
        with pytest.raises(ValueError, match="same length"):
            metrics.purity(groups, labels)


def test_label_agreement_by_hand():
    S = np.array([[2.0, 0], [3, 1], [0, 1], [0, 9]])
    assert metrics.label_agreement(S, ["x", "x", "y", "y"]) == (1, 1, 4)
    assert metrics.label_agreement(S[:, ::-1] * 1e9, [1, 1, 0, 0]).nmi == 1
    independent = metrics.label_agreement(S, [0, 1, 0, 1])
    assert abs(independent.nmi) < 1e-12 and independent.purity == 0.5
    assert metrics.label_agreement(S, [0, -1, 1, -1]) == (1, 1, 2)
    zero = np.vstack([S, [[0.0, 0]]])
    assert (
        metrics.strongest_topic(zero).tolist() == [0, 0, 1, 1, -1]
        and metrics.label_agreement(zero, [0, 0, 1, 1, 0]).purity == 1
    )
    assert metrics.label_agreement(S[:, :1], [0, 0, 0, 1]).n_labeled == 4


def test_label_agreement_errors():
    with pytest.raises(ValueError, match="one per row"):
        metrics.label_agreement(np.ones((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="unknown"):
        metrics.label_agreement(np.ones((2, 2)), [-1, -1])


def test_toy_labels_are_found(toy, model):
    for l, level in enumerate(("level_9", "level_4", "level_2")):
        assert metrics.label_agreement(model.transform(toy.X, layer=l), toy.labels[level])[
            :2
        ] == pytest.approx((1, 1))


def test_hierarchy_by_hand():
    flow = np.array([[8.0, 2], [3, 0], [0, 5], [0, 0]])
    found = metrics.hierarchy_agreement(flow, ["b", "b", "a", "a"])
    assert (
        found.mass.tolist() == [0.8, 1, 1, 0]
        and found.plays == {"a": 1, "b": 0}
        and np.isclose(found.loss, 0.3)
    )
    scaled = metrics.hierarchy_agreement(
        flow[:, ::-1] * np.array([[1e9], [1e-9], [2], [1]]), ["b", "b", "a", "a"]
    )
    np.testing.assert_allclose(scaled.mass, found.mass)
    partly = metrics.hierarchy_agreement(flow, [1, -1, 0, -1])
    assert np.isnan(partly.mass[[1, 3]]).all() and np.isclose(partly.loss, 0.1)


def test_hierarchy_with_fewer_and_more_supertopics():
    few = metrics.hierarchy_agreement(np.ones((3, 1)), [0, 0, 1])
    assert few.mass.tolist() == [1, 1, 0] and few.plays == {0: 0}
    many = metrics.hierarchy_agreement(np.eye(2, 5), [0, 1])
    assert many.loss == 0 and many.plays == {0: 0, 1: 1}


def test_hierarchy_of_a_model(toy, model):
    parent = np.array([toy.labels["level_4"][toy.labels["level_9"] == t][0] for t in range(9)])
    which = metrics.match_topics(model, planted(toy, "level_9"), layer=0).permutation
    found = metrics.hierarchy_agreement(model, parent[which])
    assert (
        found.loss < 0.1
        and metrics.hierarchy_agreement(model.layers_, parent[which]).loss == found.loss
    )
    with pytest.raises(ValueError, match="9 labels"):
        metrics.hierarchy_agreement(model, parent[:3])
    with pytest.raises(ValueError, match="unknown"):
        metrics.hierarchy_agreement(model, np.full(9, -1))
    with pytest.raises(ValueError, match="layer must be between 1 and 2"):
        metrics.hierarchy_agreement(model, parent, layer=0)
