"""Chains and models for counts: gradients against differences, fits, what a model says of words it
has never seen, exposures, and bad input.
"""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import zoo
from sklearn.exceptions import ConvergenceWarning

import nnmf_nb.layer._kl as kl
from nnmf_nb import (
    NMF,
    SSNMF,
    HierarchicalNMF,
    NeuralNMF,
    inspect,
    kl_regression,
    load,
    save,
    verify,
)
from nnmf_nb.chain._counts import (
    CountCost,
    CountObjective,
    CountVariables,
    backpropagate_counts,
    null_divergence,
    propagate_counts,
    unit_sums,
)
from nnmf_nb.chain._labels import LABEL_LOSSES, Supervision, labels_per_layer, with_labels
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import as_data, namespace_like
from nnmf_nb.models._probabilities import SMOOTHINGS, choose_smoothing, halved, word_probabilities

KL = "kullback-leibler"
RANKS = {1: (5,), 2: (5, 3), 3: (6, 4, 2)}


def corpus(n=60, words=40, k=4, length=60, seed=0):
    """Counts of documents, documents x words, and the topics that made them."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(words, 0.15), k)
    return rng.poisson(length * rng.dirichlet(np.full(k, 0.2), n) @ topics).astype(float), topics


def two_levels(n=150, words=80, seed=0):
    """Counts of six topics in two groups, and the group of each document."""
    rng = np.random.default_rng(seed)
    base, own = rng.dirichlet(np.full(words, 0.05), 2), rng.dirichlet(np.full(words, 0.05), 6)
    topics = 0.45 * base.repeat(3, axis=0) + 0.55 * own
    group = rng.integers(2, size=n)
    mixture = rng.dirichlet(np.full(3, 0.5), n)
    of_all = np.hstack([mixture * (group == g)[:, None] for g in range(2)])
    return rng.poisson(80 * of_all @ topics).astype(float), group


def quietly(call, *args, **extra):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **extra)


# --- gradients ------------------------------------------------------------------------------------


def chain(ranks, N, seed=1):
    """Factors > 0 of these ranks."""
    rng = np.random.default_rng(seed)
    return [unit_sums(rng.random(shape) + 0.05) for shape in zip((N, *ranks), ranks)]


def data_of(kind, X):
    rng = np.random.default_rng(3)
    return {
        "dense": lambda: as_data(X),
        "sparse": lambda: as_data(sp.csc_array(X)),
        "weighted": lambda: as_data(X, weights=rng.random(X.shape)),
        "masked": lambda: as_data(X, mask=rng.random(X.shape) < 0.8),
    }[kind]()


def labeled(data, layer, ranks):
    """A function of a cost: the same with labels of a third of the data points at a layer."""
    if layer is None:
        return lambda cost: cost
    y = {layer: zoo.labels(data.shape[1])}
    found = labels_per_layer(y, len(ranks), data.shape[1], None)
    losses = Supervision(y, found, 0.5, "frobenius").losses(namespace_like(data))
    return lambda cost: with_labels(cost, losses, 0.5)


def deviations(objective, A):
    """Largest difference of a derivative from a central difference along random directions,
    relative to the sizes of its terms, for each layer.
    """
    rng, h = np.random.default_rng(5), 1e-5
    _, gradients, _ = objective(A)
    for l, gradient in enumerate(gradients):
        D = A[l] * rng.uniform(-1, 1, A[l].shape)
        up, down = ([*A[:l], A[l] + h * s * D, *A[l + 1 :]] for s in (1, -1))
        numeric = (objective(up)[0] - objective(down)[0]) / (2 * h)
        yield abs(numeric - (gradient * D).sum()) / np.abs(gradient * D).sum()


@pytest.mark.parametrize("kind", ["dense", "sparse", "weighted", "masked"])
@pytest.mark.parametrize("depth, layer", [(1, None), (1, 0), (2, None), (2, 1), (3, None), (3, 1)])
def test_gradients_of_chains_against_differences(kind, depth, layer):
    ranks = RANKS[depth]
    data = data_of(kind, corpus()[0].T)
    # a start that sees all words lets few coefficients be zero: kinks are far away
    A = chain(ranks, data.shape[0])
    cost = labeled(data, layer, ranks)(CountCost(null_divergence(data), (1.0, 0.5, 2.0)[:depth]))
    objective = CountObjective(data, cost)
    assert max(deviations(objective, A)) < 1e-6
    variables = CountVariables(data)
    assert max(deviations(variables.wrap(objective), variables.enter(A))) < 1e-6


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
def test_chain_without_compiled_kernels_is_the_same(kind, monkeypatch):
    X = corpus()[0].T
    A, found = chain((5, 3), X.shape[0]), []
    for portable in (False, True):
        if portable:
            monkeypatch.setattr(kl, "compiled", lambda x: False)
            monkeypatch.setattr("nnmf_nb.solvers._loss.compiled", lambda x: False)
        data = data_of(kind, X)
        value, gradients, fwd = CountObjective(data, CountCost(null_divergence(data)))(A)
        found.append([np.array([value]), *gradients, *fwd.S])
    for one, other in zip(*found):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-8 * np.abs(one).max())


def test_chain_in_every_namespace(xp_device):
    X = corpus()[0].T
    A = chain((5, 3), X.shape[0])
    expected = CountObjective(as_data(X), CountCost(null_divergence(as_data(X))))(A)
    data, a = as_data(xp_device.asarray(X)), [xp_device.asarray(F) for F in A]
    value, gradients, fwd = CountObjective(data, CountCost(null_divergence(data)))(a)
    wide = "64" in str(xp_device.dtype)
    assert value == pytest.approx(expected[0], rel=1e-8 if wide else 1e-4)
    assert fwd.S[1].dtype == xp_device.dtype
    for one, other in zip(gradients, expected[1]):
        size = np.abs(other).max()
        np.testing.assert_allclose(
            to_numpy(one), other, rtol=0, atol=(1e-6 if wide else 5e-2) * size
        )


def test_forward_pass_is_layer_after_layer_and_warm_starts_do_not_move_it():
    X = corpus()[0].T
    data, A = as_data(X), chain((6, 4, 2), X.shape[0])
    fwd = propagate_counts(data, A)
    below = X
    for S, a in zip(fwd.S, A):
        below = kl_regression(a, below)
        np.testing.assert_allclose(S * data.scale, below, rtol=1e-6, atol=1e-9)
    start = np.full(fwd.S[0].shape, 0.1)
    again = kl.solve_kl(data, A[0], start=start).S
    np.testing.assert_allclose(again, fwd.S[0], rtol=0, atol=1e-6 * fwd.S[0].max())


# --- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("kind", [HierarchicalNMF, NeuralNMF])
def test_fit_keeps_counts_and_transform_is_fit_transform(kind, form):
    X = form(two_levels()[0])
    model = kind((6, 2), beta_loss=KL, random_state=0)
    W = model.fit_transform(X)
    np.testing.assert_allclose(W, model.transform(X), rtol=0, atol=1e-10 * W.max())
    for S in model.transform(X, layer="all"):
        np.testing.assert_allclose(S.sum(axis=1), X.sum(axis=1), rtol=1e-8)
    np.testing.assert_allclose(model.components_.sum(axis=1), 1.0)
    assert model.converged_ and model.certificate_.color == "green"
    assert (0 < model.deviances_).all() and (model.deviances_ < model.null_deviance_).all()
    assert (model.deviance_floors_ <= model.deviances_).all()
    assert model.reconstruction_err_**2 == pytest.approx(model.deviances_[-1])
    if kind is NeuralNMF:
        objective = sum(model.deviances_) / model.null_deviance_
        assert objective == pytest.approx(min(model.history_["objective"]), rel=1e-9)


def test_joint_training_is_better_than_layer_after_layer():
    X, group = two_levels()
    one, joint = (
        kind((6, 2), beta_loss=KL, random_state=0).fit(X) for kind in (HierarchicalNMF, NeuralNMF)
    )
    assert sum(joint.deviances_) < sum(one.deviances_)
    found = joint.transform(X).argmax(axis=1)
    assert max((found == group).mean(), (found != group).mean()) > 0.95


@pytest.mark.parametrize(
    "params",
    [
        dict(cost="last"),
        dict(depth_weights=(1, 5)),
        dict(optimizer="backtracking"),
        dict(optimizer="sgd", batch_size=40, init=chain((6, 2), 80)),
        dict(optimizer="adam", step=1e-3),
        dict(init="flat"),
        dict(init="above"),
        dict(init="sequential", n_init=1),
    ],
    ids=lambda p: "-".join(str(value) for value in p.values() if not isinstance(value, list)),
)
def test_every_way_of_training(params):
    X, _ = two_levels(80)
    model = quietly(NeuralNMF((6, 2), beta_loss=KL, max_iter=12, random_state=0, **params).fit, X)
    values = model.history_["objective"]
    assert np.isfinite(values).all() and min(values) < values[0]
    if params.get("optimizer") != "adam":
        assert (np.diff(values) <= 1e-12).all()


def test_a_callable_cost_and_given_matrices():
    X, _ = two_levels(80)

    def squared(X, A, S, Y):
        R = A[0] @ A[1] @ S[1] - X
        c = 1 / (X**2).sum()
        dA = [2 * c * R @ (A[1] @ S[1]).T, 2 * c * A[0].T @ R @ S[1].T]
        return c * (R**2).sum(), dA, [0 * S[0], 2 * c * (A[0] @ A[1]).T @ R]

    first = NeuralNMF((6, 2), beta_loss=KL, random_state=0).fit(X)
    init = [one.A for one in first.layers_]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        own = NeuralNMF((6, 2), beta_loss=KL, cost=squared, init=init, max_iter=5).fit(X)
    assert min(own.history_["objective"]) < own.history_["objective"][0]
    zeros = [np.eye(X.shape[1], 6), np.eye(6, 2)]  # most words are impossible
    model = quietly(NeuralNMF((6, 2), beta_loss=KL, init=zeros, max_iter=30).fit, X)
    values = model.history_["objective"]
    assert np.isfinite(values).all() and values[-1] < 0.5 * values[0]


def test_warm_start_goes_on_where_the_fit_ended():
    X, _ = two_levels(80)
    model = NeuralNMF((6, 2), beta_loss=KL, max_iter=4, warm_start=True, random_state=0)
    last = min(quietly(model.fit, X).history_["objective"])
    assert quietly(model.fit, X).history_["objective"][0] == pytest.approx(last, rel=1e-9)


@pytest.mark.parametrize("loss", ["frobenius", "cross_entropy"])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("kind", [HierarchicalNMF, NeuralNMF])
def test_labels_at_any_layer(kind, layer, loss):
    X, group = two_levels(120)
    y = {layer: np.where(np.arange(120) % 3 == 0, group, -1)}
    extra = {} if kind is HierarchicalNMF else dict(label_loss=loss)
    model = quietly(kind((6, 2), beta_loss=KL, random_state=0, max_iter=60, **extra).fit, X, y)
    assert (model.predict(X, layer=layer) == group).mean() > 0.9
    assert model.certificate_.color == "gray"  # labels are not judged, S is
    assert sorted(LABEL_LOSSES) == ["cross_entropy", "frobenius"]


@pytest.mark.parametrize("kind", [HierarchicalNMF, NeuralNMF])
def test_what_is_hidden_has_no_part(kind):
    X, _ = two_levels(80)
    mask = np.random.default_rng(0).random(X.shape) < 0.8
    other = np.where(mask, X, 77.0)
    one, two = (
        quietly(kind((4, 2), beta_loss=KL, max_iter=15, random_state=0).fit, Z, mask=mask)
        for Z in (X, other)
    )
    assert zoo.same(one, two)
    W = one.transform(X, mask=mask)
    np.testing.assert_array_equal(W, two.transform(other, mask=mask))
    weights = np.random.default_rng(1).random(len(X)) + 0.1
    kept = quietly(kind((4, 2), beta_loss=KL, max_iter=15, random_state=0).fit, X, weights=weights)
    np.testing.assert_allclose(
        kept.transform(X), kept.layers_[-1].S.T, rtol=1e-5, atol=1e-6 * X.max()
    )


def test_certificate_sees_what_is_wrong():
    X, _ = two_levels()
    model = NeuralNMF((6, 2), beta_loss=KL, random_state=0).fit(X)
    good, (first, second) = verify(model, X), model.layers_
    assert good.color == "green" and max(one.kkt for one in good.layers) < 1e-8
    model.layers_ = [first, replace(second, S=1.2 * second.S)]
    assert verify(model, X).color == "red"
    sequential = HierarchicalNMF((6, 2), beta_loss=KL, random_state=0).fit(X)
    model.layers_ = sequential.layers_  # every S exact, but A not trained together
    assert verify(model, X).layers[0].stationarity > 3 * good.layers[0].stationarity


def test_files_inspector_and_float32(tmp_path):
    X, _ = two_levels(80)
    model = quietly(NeuralNMF((6, 2), beta_loss=KL, max_iter=10, random_state=0).fit, X)
    save(model, tmp_path / "counts.nnmf")
    again = load(tmp_path / "counts.nnmf")
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    np.testing.assert_array_equal(again.deviances_, model.deviances_)
    assert inspect(model, X).payload["points"]
    single = quietly(
        NeuralNMF((6, 2), beta_loss=KL, max_iter=10, random_state=0).fit, X.astype(np.float32)
    )
    assert single.transform(X.astype(np.float32)).dtype == np.float32
    assert sum(single.deviances_) == pytest.approx(sum(model.deviances_), rel=1e-2)


@pytest.mark.parametrize(
    "kind, params, words",
    [
        (NeuralNMF, dict(coefficients="data"), "coefficients='chain'"),
        (NeuralNMF, dict(cost="energy"), "sum of squares"),
        (NeuralNMF, dict(alpha_W=0.1), "penalty of the squared error"),
        (HierarchicalNMF, dict(alpha_W=0.1), "penalty of the squared error"),
        (NeuralNMF, dict(beta_loss="poisson"), "beta_loss must be one of"),
        (NeuralNMF, dict(depth_weights=(1,)), "depth_weights must be 2"),
    ],
)
def test_what_is_not_there_says_so(kind, params, words):
    with pytest.raises(ValueError, match=words):
        kind((4, 2), **{"beta_loss": KL, **params}).fit(corpus()[0])


# --- bad input ------------------------------------------------------------------------------------


def rough(case):
    X, _ = corpus()
    if case == "zero rows and columns":
        X[3], X[:, 5] = 0, 0
    if case == "counts of 1e9":
        X[7] *= 1e9
    if case == "no integers":
        X = X + 0.25 * (X > 0)
    if case == "a word unseen in fit":
        X[:, 2] = 0
    return X


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(
    "case",
    ["zero rows and columns", "counts of 1e9", "no integers", "a word unseen in fit", "plain"],
)
@pytest.mark.parametrize(
    "model",
    [
        NMF(4, beta_loss=KL, random_state=0),
        HierarchicalNMF((4, 2), beta_loss=KL, random_state=0),
        NeuralNMF((4, 2), beta_loss=KL, random_state=0, max_iter=20),
    ],
    ids=lambda m: type(m).__name__,
)
def test_rough_counts(model, case, form):
    """Right answers: finite, counts kept, an empty document without topics, new words ignored."""
    X, new = rough(case), corpus(seed=1)[0]
    new[0] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        W = model.fit_transform(form(X))
        coded = model.transform(form(new))
    masses = model.components_.sum(axis=1)
    np.testing.assert_allclose(W @ masses, X.sum(axis=1), rtol=1e-5)
    assert np.isfinite(coded).all() and (coded[0] == 0).all()
    assert np.isfinite(model.reconstruction_err_) and np.isfinite(model.deviances_).all()
    unseen = ~X.any(axis=0)
    np.testing.assert_allclose(
        coded @ masses, new[:, ~unseen].sum(axis=1), rtol=1e-5, atol=1e-6 * new.max()
    )


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(exposure=np.ones(5)), "60 numbers"),
        (dict(exposure=np.zeros(60)), r"exposure\[0\] = 0.0"),
        (dict(exposure=np.where(np.arange(60) == 7, -1.0, 1.0)), r"exposure\[7\] = -1.0"),
        (dict(exposure=np.full(60, np.nan)), "finite"),
        (dict(exposure=["long"] * 60), "exposure must be numbers"),
    ],
)
def test_exposures_that_do_not_fit(change, words):
    X = corpus()[0]
    model = NMF(3, beta_loss=KL, random_state=0)
    for call in (model.fit, quietly(model.fit, X).transform):
        with pytest.raises((TypeError, ValueError), match=words):
            call(X, **change)
    assert model._exposure is None
    with pytest.raises(ValueError, match="belongs to counts"):
        NMF(3).fit(X, exposure=np.ones(60))
    with pytest.raises(ValueError, match="dense X"):
        NMF(3, beta_loss=KL, alpha_W=0.1).fit(sp.csr_array(X), exposure=np.ones(60))


# --- exposure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_exposure_rescales_rows_of_a_plain_fit(form):
    X, e = corpus()[0], np.random.default_rng(2).uniform(0.2, 9.0, 60)
    plain, seen = (NMF(4, beta_loss=KL, random_state=0) for _ in range(2))
    plain.fit(form(X))
    given = form(X)
    W = seen.fit_transform(given, exposure=e)
    np.testing.assert_array_equal(seen.components_, plain.components_)
    np.testing.assert_allclose(W * e[:, None], plain.layers_[0].S.T)
    np.testing.assert_allclose(seen.transform(given, exposure=e), W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(seen.shares(), plain.shares())
    assert not np.allclose(seen.topics()["share"], plain.topics()["share"], atol=5e-3)
    assert seen.certificate_.color == "green"
    assert not hasattr(seen.fit(form(X)), "exposure_")


def test_exposure_under_penalties_minimizes_what_it_says():
    """sum_j D(x_j | e_j A s_j) + l1 sum(S) + l1 sum(A), by the formula."""
    X, e = corpus()[0], np.random.default_rng(2).uniform(0.2, 9.0, 60)
    alpha = 0.01
    model = NMF(3, beta_loss=KL, alpha_W=alpha, alpha_H=0.02, l1_ratio=1.0, tol=1e-6, max_iter=3000)
    W = model.fit_transform(X, exposure=e)
    A, l1 = model.components_.T, alpha * X.shape[1]
    # its gradient by the rates of a data point: e_j A'(1 - x / (e_j A s)) + l1
    Y = W @ A.T * e[:, None]
    ratio = np.divide(X, Y, out=np.zeros(X.shape), where=X > 0)
    gradient = e[:, None] * ((1 - ratio) @ A) + l1
    size = e[:, None] * A.sum(axis=0) + l1
    assert np.abs(np.minimum(W / W.max(), gradient / size)).max() < 1e-6
    plain = NMF(3, beta_loss=KL, alpha_W=alpha, alpha_H=0.02, l1_ratio=1.0, tol=1e-6, max_iter=3000)
    # the shorter one has looked, the more the penalty holds back
    expected = plain.fit_transform(X).sum(axis=1) / e
    short, long = np.argsort(e)[:10], np.argsort(e)[-10:]
    relative = W.sum(axis=1) / expected
    assert np.median(relative[short]) < np.median(relative[long])
    assert verify(model, X).color == "green"


# --- probabilities --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [NMF(4, beta_loss=KL, random_state=0), NeuralNMF((4, 2), beta_loss=KL, random_state=0)],
    ids=["NMF", "NeuralNMF"],
)
def test_probabilities_make_the_reconstruction(model):
    X, _ = corpus()
    model.fit(X)
    of_words, of_topics = model.feature_probabilities(), model.topic_probabilities()
    np.testing.assert_allclose(of_words.sum(axis=1), 1.0)
    np.testing.assert_allclose(of_topics.sum(axis=1), 1.0)
    made = X.sum(axis=1, keepdims=True) * (of_topics.to_numpy() @ of_words.to_numpy())
    np.testing.assert_allclose(made, model.inverse_transform(model.transform(X)), rtol=1e-6)
    mixed = model.feature_probabilities(smoothing=0.2).to_numpy()
    np.testing.assert_allclose(mixed, 0.8 * of_words.to_numpy() + 0.2 / X.shape[1])
    if len(model.layers_) > 1:
        np.testing.assert_allclose(of_words.to_numpy(), model.components_)


def test_perplexity_by_hand_and_without_smoothing():
    X, _ = corpus(n=120)
    train, test = X[:90], X[90:].copy()
    model = NMF(4, beta_loss=KL, random_state=0).fit(train)
    seen, hidden = halved(test, np.random.default_rng(0))
    np.testing.assert_array_equal((seen + hidden).toarray(), test)
    of_words = model.feature_probabilities(smoothing=0.1).to_numpy()
    p = model.topic_probabilities(seen, smoothing=0.1).to_numpy() @ of_words
    counts = hidden.toarray()
    by_hand = np.exp(-(counts * np.log(p)).sum() / counts.sum())
    assert model.perplexity(hidden, seen, smoothing=0.1) == pytest.approx(by_hand)
    test[0] = 0
    test[0, np.argmin(train.sum(axis=0))] = 5
    with pytest.warns(UserWarning, match="probability 0"):
        assert model.perplexity(test, smoothing=0.0) == np.inf
    assert np.isfinite(model.perplexity(test, smoothing=0.01))
    empty = seen.copy()
    empty.data[:] = 0
    assert np.isfinite(model.perplexity(hidden, empty, smoothing=0.1))
    for wrong in (-0.1, 1.5, "much", True):
        with pytest.raises(ValueError, match="smoothing must be"):
            model.perplexity(test, smoothing=wrong)


def test_smoothing_is_chosen_on_the_training_data():
    X, _ = corpus(n=120)
    train, test = X[:90], X[90:]
    model = NMF(4, beta_loss=KL, random_state=0).fit(train)
    seen, hidden = halved(test, np.random.default_rng(0))
    share = choose_smoothing(model, train)
    chosen = model.perplexity(hidden, seen)
    assert chosen == model.perplexity(hidden, seen, smoothing=share)
    found = word_probabilities(model, seen, hidden)
    assert share in SMOOTHINGS and chosen < 1.05 * min(map(found.perplexity, SMOOTHINGS))
    del train
    gone = NMF(4, beta_loss=KL, random_state=0).fit(X[:90].copy())
    with pytest.raises(ValueError, match="training data"):
        gone.perplexity(test)


@pytest.mark.parametrize(
    "given", [{}, {"alpha_W": 0.01, "l1_ratio": 1.0}, {"init": "custom"}, {"fixed": True}]
)
def test_the_choice_of_a_smoothing_is_as_good_as_with_a_second_fit(given):
    """It goes on from the fitted factors, which must not have seen what is predicted."""
    X, _ = corpus(n=200)
    rng, start, given = np.random.default_rng(1), {}, dict(given)
    if "init" in given:
        start = dict(W=rng.random((150, 4)), H=rng.random((4, X.shape[1])))
    if "fixed" in given:
        given["fixed"] = rng.random((1, X.shape[1]))
    model = NMF(4, beta_loss=KL, random_state=0, **given).fit(X[:150], **start)
    components = model.components_.copy()
    share = choose_smoothing(model, X[:150])
    np.testing.assert_array_equal(model.components_, components)
    seen, hidden = halved(X[150:], rng)
    found = word_probabilities(model, seen, hidden)
    assert found.perplexity(share) < 1.03 * min(map(found.perplexity, SMOOTHINGS))


def test_words_of_left_out_data_points_only_are_unlikely_when_a_smoothing_is_chosen():
    X, _ = corpus(n=60)
    X = np.hstack([X, np.zeros((60, 1))])
    X[7, -1] = 5.0
    model = NMF(4, beta_loss=KL, random_state=0).fit(X)
    part = model._fitted_to_part(X, np.delete(np.arange(60), 7))
    assert (model.components_[:, -1] > 0).any() and (part.components_[:, -1] == 0).all()


# --- one layer with labels ------------------------------------------------------------------------


def test_labeled_factorization_transforms_exactly():
    X, group = two_levels(100)
    y = np.where(np.arange(100) % 2 == 0, group, -1)
    model = quietly(SSNMF(4, beta_loss=KL, label_loss="frobenius", random_state=0).fit, X, y)
    expected = kl_regression(model.components_.T, X.T).T
    np.testing.assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-9 * X.max())


def test_backpropagation_at_given_coefficients_does_not_solve_again():
    X = corpus()[0].T
    data, A = as_data(X), chain((5, 3), X.shape[0])
    cost = CountCost(null_divergence(data))
    fwd = propagate_counts(data, A)
    _, expected, _ = CountObjective(data, cost)(A)
    for one, other in zip(backpropagate_counts(fwd, cost(fwd)), expected):
        np.testing.assert_array_equal(one, other)
