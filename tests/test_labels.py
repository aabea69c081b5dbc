"""Labels: how they are read, what they cost, its derivative, and what a model trained with them
promises.
"""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls as scipy_nnls
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from nnmf_nb import DeepNMF, HierarchicalNMF, NeuralNMF, datasets
from nnmf_nb.chain._costs import ChainObjective, every
from nnmf_nb.chain._labels import (
    LABEL_LOSSES,
    RIDGE,
    Picked,
    accuracy,
    class_numbers,
    fixed_classifier_loss,
    labels_per_layer,
    read_labels,
    with_labels,
)
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import as_data, with_coefficient_penalty
from nnmf_nb.models._base import EarlyStopping

TOY = datasets.toy(random_state=0)
GROUP = TOY.labels["level_4"]
HIDDEN = np.random.default_rng(0).permutation(90) >= 40
Y40 = np.where(HIDDEN, -1, GROUP)


def quiet(model, X, *args, **fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, *args, **fit)


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y, classes, known",
    [
        ([2, 0, -1, 2], [0, 2], [0, 1, 3]),
        (["b", "a", "-1", "b"], ["a", "b"], [0, 1, 3]),
        ([True, False, True, True], [False, True], [0, 1, 2, 3]),
        (np.array([2.0, -1.0, 5.0, 5.0]), [2.0, 5.0], [0, 2, 3]),
        (pd.Series(["x", "y", "x", "y"], index=[9, 8, 7, 6]), ["x", "y"], [0, 1, 2, 3]),
        ([-1, -1, -1, -1], [], []),
    ],
)
def test_vectors(y, classes, known):
    read = read_labels(y, 4)
    assert read.classes.tolist() == classes and read.known.tolist() == known and read.L is None
    assert read.Y.shape == (len(classes), len(known)) and (read.Y.sum(axis=0) == 1).all()


@pytest.mark.parametrize(
    "y, L, words",
    [
        ([0, 1], None, "one label per data point, 3"),
        ([0.5, 1.2, 0.1], None, "continuous"),
        (np.array(["a", 1, "b"], dtype=object), None, "mixes words and other values"),
        ([0, 1, 2], [1, 0.5, 1], r"L\[1, 0\] = .*0.5"),
        (np.ones((2, 2)), None, "Y must be n_samples x classes, 3"),
        (np.array([[1, 0], [0, -2.0], [1, 1]]), None, r"Y\[1, 1\] = -2"),
        (np.array([[1, 0], [0, np.inf], [1, 1]]), None, r"Y\[1, 1\] = inf"),
        (np.ones((3, 2)), np.ones((3, 3)), "L must have the shape of Y"),
    ],
)
def test_bad_labels_are_named(y, L, words):
    with pytest.raises(ValueError, match=words):
        read_labels(y, 3, L)


def test_matrices_and_what_is_known_of_them():
    Y = np.array([[1, 0.0], [np.nan, 7], [np.inf, -3], [0, 1]])
    read = read_labels(Y, 4, [[1, 1], [0, 1], [0, 0], [1, 1]])
    assert (
        read.known.tolist() == [0, 1, 3]
        and read.Y.tolist() == [[1, 0, 0], [0, 7, 1]]
        and read.L.tolist() == [[1, 0, 1], [1, 1, 1]]
    )
    assert read_labels(Y, 4, [1, 0, 0, 1]).L is None  # whole data points
    assert read_labels(np.eye(4), 4).classes.tolist() == [0, 1, 2, 3]


def test_layers():
    found = labels_per_layer({0: [0, 1, 2], -1: [0, 0, -1]}, 3, 3)
    assert (
        sorted(found) == [0, 2]
        and labels_per_layer(None, 3, 3) == {}
        and labels_per_layer([-1, -1, -1], 3, 3) == {}
    )
    for bad in (3, -4, "top", 1.0):
        with pytest.raises(ValueError, match="from -3 to 2"):
            labels_per_layer({bad: [0, 1, 2]}, 3, 3)


def test_picking_is_undone(xp_device):
    T = xp_device.asarray(np.arange(1, 11.0).reshape(2, 5))
    pick = Picked(np.array([1, 4]), 5, T)
    back = to_numpy(pick.back(pick.out(T)))
    assert back.tolist() == [[0, 2, 0, 0, 5], [0, 7, 0, 0, 10]]


# --- what labels cost -----------------------------------------------------------------------------


def case(loss, seed=0, k=4, M=30, c=3):
    rng = np.random.default_rng(seed)
    if loss == "frobenius partly known":
        labels = read_labels(rng.random((M, c)), M, rng.random((M, c)) < 0.6)
    else:
        labels = read_labels([*rng.integers(0, c, M - 10), *[-1] * 10], M)
    return labels, rng.random((k, M)), rng


@pytest.mark.parametrize("loss", ["frobenius", "frobenius partly known", "cross_entropy"])
def test_derivative_against_central_differences(loss):
    labels, S, rng = case(loss)
    value = LABEL_LOSSES[loss.split()[0]](labels, S)
    exact = value(S).dS
    for _ in range(4):
        V, h = rng.standard_normal(S.shape), 1e-5
        assert (value(S + h * V).value - value(S - h * V).value) / (2 * h) == pytest.approx(
            (exact * V).sum(), abs=1e-6 * np.abs(exact).sum()
        )


@pytest.mark.parametrize("loss", ["frobenius", "frobenius partly known"])
def test_classifier_is_the_best_nonnegative_one(loss):
    labels, S, _ = case(loss)
    T, L = S[:, labels.known], np.ones_like(labels.Y) if labels.L is None else labels.L
    B = np.array([scipy_nnls((T * row).T, y * row)[0] for y, row in zip(labels.Y, L)])
    found = LABEL_LOSSES["frobenius"](labels, S)(S)
    assert np.allclose(found.B, B, atol=1e-10)
    assert found.value == pytest.approx((L * (labels.Y - B @ T) ** 2).sum() / (labels.Y**2).sum())


def test_cross_entropy_is_logistic_regression():
    labels, S, _ = case("cross_entropy")
    T = S[:, labels.known]
    size2 = (T**2).sum() / T.shape[1]
    # scikit-learn minimizes C sum(ce) + ||W||^2/2; here mean(ce) + RIDGE/2 ||W||^2 size2
    model = LogisticRegression(C=1 / (RIDGE * size2 * T.shape[1]), tol=1e-10, max_iter=10000).fit(
        T.T, labels.Y.argmax(axis=0)
    )
    P = model.predict_proba(T.T)[np.arange(T.shape[1]), labels.Y.argmax(axis=0)]
    assert LABEL_LOSSES["cross_entropy"](labels, S)(S).value == pytest.approx(
        -np.log(P).mean() + RIDGE / 2 * (model.coef_**2).sum() * size2, rel=1e-8
    )


@pytest.mark.parametrize("loss", LABEL_LOSSES)
@pytest.mark.parametrize("unit", [1e-30, 3.0, 1e30])
def test_the_unit_of_the_coefficients_does_not_matter(loss, unit):
    labels, S, _ = case(loss)
    value, other = LABEL_LOSSES[loss](labels, S)(S), LABEL_LOSSES[loss](labels, S)(unit * S)
    assert other.value == pytest.approx(value.value, rel=1e-9) and np.allclose(
        other.dS * unit, value.dS, atol=1e-8
    )


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_any_device(loss, xp_device):
    labels, S, _ = case(loss)
    s = xp_device.asarray(S)
    found, host = LABEL_LOSSES[loss](labels, s)(s), LABEL_LOSSES[loss](labels, S)(S)
    assert found.dS.dtype == s.dtype and found.value == pytest.approx(host.value, rel=1e-4)
    assert np.allclose(to_numpy(found.dS), host.dS, atol=1e-3 * np.abs(host.dS).max())


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_coefficients_of_zero(loss):
    labels, S, _ = case(loss)
    found = LABEL_LOSSES[loss](labels, S)(0 * S)
    assert np.isfinite(found.value) and np.isfinite(found.dS).all()


@pytest.mark.parametrize("loss", ["frobenius", "frobenius partly known", "cross_entropy"])
def test_batches_with_a_held_classifier_add_up(loss):
    labels, S, _ = case(loss)
    name = loss.split()[0]
    whole = LABEL_LOSSES[name](labels, S)(S)
    parts = [
        fixed_classifier_loss(labels, name, whole, i, S)(S[:, i])
        for i in (np.arange(0, 30, 2), np.arange(1, 30, 2))
    ]
    joined = np.empty_like(S)
    joined[:, ::2], joined[:, 1::2] = parts[0].dS, parts[1].dS
    # held classifiers pay none
    ridge = 2 * RIDGE * (whole.B**2).sum() if name == "cross_entropy" else 0.0
    assert sum(p.value for p in parts) == pytest.approx(whole.value, abs=ridge + 1e-12)
    assert np.allclose(joined, whole.dS, atol=ridge / len(labels.known) * S.max() + 1e-12)


def test_cross_entropy_refuses_single_entries():
    labels, S, _ = case("frobenius partly known")
    with pytest.raises(ValueError, match="label_loss='frobenius'"):
        LABEL_LOSSES["cross_entropy"](labels, S)


@pytest.mark.parametrize("loss", LABEL_LOSSES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
def test_gradient_of_a_chain_with_labels_on_two_layers(loss, depth, kind):
    rng = np.random.default_rng(0)
    A = [1 + rng.random(shape) for shape in ((87, 6), (6, 4), (4, 3), (3, 2))[:depth]]
    X = {
        "dense": lambda: as_data(TOY.X.T),
        "sparse": lambda: as_data(sp.csc_array(TOY.X.T)),
        "masked": lambda: with_coefficient_penalty(
            as_data(TOY.X.T, mask=rng.random(TOY.X.T.shape) < 0.8)
        ),
    }[kind]()
    labels = read_labels(Y40, 90)
    losses = {layer: LABEL_LOSSES[loss](labels, A[0]) for layer in {0, depth - 1}}
    objective = ChainObjective(X, with_labels(every, losses, 0.7))
    _, dA, _ = objective(A)
    for l in range(depth):
        V = [rng.standard_normal(a.shape) * (m == l) for m, a in enumerate(A)]
        up, down = (objective([a + h * v for a, v in zip(A, V)])[0] for h in (1e-6, -1e-6))
        size = (dA[l] ** 2).sum() ** 0.5 * (V[l] ** 2).sum() ** 0.5
        assert (up - down) / 2e-6 == pytest.approx((dA[l] * V[l]).sum(), abs=1e-6 * size)


# --- models ---------------------------------------------------------------------------------------


@pytest.fixture(params=[HierarchicalNMF, NeuralNMF, DeepNMF], ids=lambda E: E.__name__)
def Estimator(request):
    if request.param is DeepNMF:  # a few turns show what is asked here
        return lambda **params: DeepNMF(
            max_iter=30, **{k: v for k, v in params.items() if k != "max_iter"}
        )
    return request.param


def test_unknown_labels_change_no_bit(Estimator):
    plain = quiet(Estimator(ranks=(6, 4), random_state=0), TOY.X)
    for y in (np.full(90, -1), {0: np.full(90, -1)}):
        same = quiet(Estimator(ranks=(6, 4), random_state=0), TOY.X, y)
        assert all(
            (a.A == b.A).all() and (a.S == b.S).all() for a, b in zip(plain.layers_, same.layers_)
        )
        assert (
            same.classifiers_ == {}
            and not hasattr(same, "predict")
            and not hasattr(same, "predict_proba")
        )


def test_what_stands_under_unknown_labels_changes_no_bit(Estimator):
    Y, known = np.eye(4)[GROUP], ~HIDDEN[:, None] & np.ones((1, 4), bool)
    known[5, 2] = False
    one, two = (
        quiet(Estimator(ranks=(6, 4), random_state=0), TOY.X, np.where(known, Y, junk), L=known)
        for junk in (0.0, np.nan)
    )
    assert (one.layers_[1].A == two.layers_[1].A).all() and (
        one.classifiers_[1].B == two.classifiers_[1].B
    ).all()


def test_predictions(Estimator):
    names = np.array(["ants", "bees", "cats", "dogs"])[GROUP].astype(object)
    names[HIDDEN] = -1
    model = quiet(Estimator(ranks=(9, 4), random_state=0), TOY.X, names)
    assert (
        model.classes_.tolist() == ["ants", "bees", "cats", "dogs"]
        and model.score(TOY.X, names) == 1
    )
    P = model.predict_proba(TOY.X)
    assert P.shape == (90, 4) and np.allclose(P.sum(axis=1), 1) and P.min() >= 0
    assert (model.predict(TOY.X[HIDDEN]) == np.array(model.classes_)[GROUP[HIDDEN]]).all()
    assert model.decision_function(TOY.X).argmax(axis=1).tolist() == P.argmax(axis=1).tolist()
    masked = TOY.X.copy()
    masked[0, 0] = np.nan
    assert model.predict(masked, mask=~np.isnan(masked)).shape == (90,)
    assert model.score(TOY.X) == pytest.approx(1 - model.layers_[-1].error ** 2)
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(TOY.X) == model.predict(TOY.X)).all() and not hasattr(
        clone(model), "classifiers_"
    )
    with pytest.raises(NotFittedError):
        clone(model).predict(TOY.X)
    with pytest.raises(ValueError, match="layers with labels"):
        model.predict(TOY.X, layer=0)


def test_labels_at_every_layer(Estimator):
    y = {0: TOY.labels["level_9"], 1: GROUP, 2: TOY.labels["level_2"]}
    model = quiet(
        Estimator(ranks=(9, 4, 2), random_state=0),
        TOY.X,
        {layer: np.where(HIDDEN, -1, labels) for layer, labels in y.items()},
    )
    # labels make S_0 an indicator of the nine classes, which says nothing of groups: layer by layer
    # cannot find them from there
    lowest = {1: 0.6, 2: 0.6} if isinstance(model, HierarchicalNMF) else {}
    for layer, labels in y.items():
        assert accuracy(model, TOY.X[HIDDEN], labels[HIDDEN], layer) >= lowest.get(layer, 1)
    assert model.classes_.tolist() == [0, 1]


def test_refitting_without_labels_forgets_the_classes(Estimator):
    model = quiet(Estimator(ranks=4, random_state=0), TOY.X, Y40)
    assert hasattr(quiet(model, TOY.X), "transform") and not hasattr(model, "predict")


def test_lam_matters_and_is_checked(Estimator):
    rng = np.random.default_rng(0)
    noisy = TOY.X + rng.gamma(1.0, 4.0, TOY.X.shape)
    models = [
        quiet(Estimator(ranks=(6, 4), lam=lam, random_state=0), noisy, Y40) for lam in (0.0, 2.0)
    ]
    known = ~HIDDEN
    assert np.abs(models[1].layers_[-1].A - models[0].layers_[-1].A).max() > 0.01
    terms = [
        np.sum((np.eye(4)[GROUP[known]] - model.decision_function(noisy[known])) ** 2)
        for model in models
    ]
    assert terms[1] < terms[0]  # the classifier fits better for it
    plain = quiet(Estimator(ranks=(6, 4), random_state=0), noisy)
    # lam=0: labels do not touch the topics
    assert (plain.layers_[1].A == models[0].layers_[1].A).all()
    for bad in (-1, np.nan, np.inf, "1", True):
        with pytest.raises(ValueError, match="lam must be"):
            Estimator(lam=bad).fit(TOY.X, Y40)


def test_grid_search_over_lam(Estimator):
    search = GridSearchCV(
        Estimator(ranks=(6, 4), random_state=0, tol=1e-2),
        {"lam": [0.0, 1.0]},
        cv=StratifiedKFold(2),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(TOY.X, GROUP)
    assert search.best_score_ > 0.9 and search.predict(TOY.X).shape == (90,)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_never_matters(Estimator, scale):
    one, two = (
        quiet(Estimator(ranks=(6, 4), random_state=0), c * TOY.X, Y40)
        for c in (1.0, 2.0 ** round(np.log2(scale)))
    )
    assert (one.layers_[1].A == two.layers_[1].A).all() and (
        one.predict(TOY.X) == two.predict(TOY.X * 2.0 ** round(np.log2(scale)))
    ).all()


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_label_loss(loss):
    model = NeuralNMF(ranks=(9, 4), label_loss=loss, random_state=0)
    assert quiet(model, TOY.X, Y40).score(TOY.X[HIDDEN], GROUP[HIDDEN]) == 1
    assert (
        model.classifiers_[1].loss == loss
        and (np.diff(model.history_["objective"]) <= 1e-12).all()
        and min(float(l.A.min()) for l in model.layers_) >= 0
    )
    with pytest.raises(ValueError, match="label_loss must be one of"):
        NeuralNMF(label_loss="hinge").fit(TOY.X, Y40)


@pytest.mark.parametrize("y", [None, Y40], ids=["unsupervised", "labels"])
@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_sgd(y, loss):
    rng = np.random.default_rng(0)
    rough = [rng.random((87, 9)), rng.random((9, 4))]  # a start that leaves something to do
    options = dict(ranks=(9, 4), init=rough, optimizer="sgd", label_loss=loss, max_iter=30)
    options["random_state"] = 0
    model = quiet(NeuralNMF(**options, batch_size=20), TOY.X, y)
    cost = model.history_["objective"]
    assert (
        (np.diff(cost) <= 0).all()
        and cost[-1] < 0.9 * cost[0]
        and min(float(l.A.min()) for l in model.layers_) >= 0
    )
    assert quiet(NeuralNMF(**options, batch_size=90), TOY.X, y).history_["objective"] != cost
    # same seed, same batches
    assert quiet(NeuralNMF(**options, batch_size=20), TOY.X, y).history_["objective"] == cost


def test_sgd_on_masked_and_sparse_data():
    mask = np.random.default_rng(0).random(TOY.X.shape) < 0.8
    import scipy.sparse as sp

    for X, extra in ((TOY.X, dict(mask=mask)), (sp.csr_array(np.where(TOY.X > 1, TOY.X, 0)), {})):
        model = quiet(
            NeuralNMF(ranks=(9, 4), optimizer="sgd", batch_size=30, max_iter=10, random_state=0),
            X,
            **extra,
        )
        assert model.history_["objective"][-1] < model.history_["objective"][0]


def test_bad_sgd():
    with pytest.raises(ValueError, match="batch_size"):
        NeuralNMF(optimizer="sgd", batch_size=0).fit(TOY.X)
    with pytest.raises(ValueError, match="sum over data points"):
        NeuralNMF(optimizer="sgd", cost=lambda X, A, S, Y: None).fit(TOY.X)


def test_supervised_toy_is_no_worse_than_the_slides():
    """Slides' Table 1, semi-supervised Neural NMF: 0.042, 0.305, 0.496."""
    model = quiet(
        NeuralNMF(ranks=(9, 4, 2), random_state=0),
        TOY.X,
        np.where(HIDDEN, -1, TOY.labels["level_2"]),
    )
    assert all(layer.error <= slide for layer, slide in zip(model.layers_, (0.042, 0.305, 0.496)))


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_a_monitor_of_held_out_labels_changes_no_bit_and_may_stop(loss):
    plain = quiet(NeuralNMF(ranks=(6, 4), label_loss=loss, random_state=0, max_iter=15), TOY.X, Y40)
    stopper = EarlyStopping(lambda model: model.score(TOY.X[HIDDEN], GROUP[HIDDEN]), patience=1000)
    watched = quiet(clone(plain).set_callbacks(stopper), TOY.X, Y40)
    assert len(stopper.scores) == 16 and (watched.layers_[1].A == plain.layers_[1].A).all()
    eager = clone(plain).set_callbacks(
        EarlyStopping(lambda model: model.score(TOY.X[HIDDEN], GROUP[HIDDEN]), patience=2, tol=1.0)
    )
    assert quiet(eager, TOY.X, Y40).stop_reason_ == "callback"


def test_energy_of_deep_nmf_with_labels_never_rises():
    partly = np.ones((90, 4), bool)
    partly[HIDDEN], partly[::3, 1] = False, False
    for solver in ("hals", "mu"):
        for L in (None, partly):
            y = Y40 if L is None else np.eye(4)[GROUP]
            model = quiet(
                DeepNMF(ranks=(8, 4), pool_size=2, solver=solver, max_iter=30, random_state=0),
                TOY.X,
                y,
                L=L,
            )
            energy = np.array(model.history_["objective"])
            assert (np.diff(energy) <= 1e-12).all() and all(
                float(layer.A.min()) >= 0 for layer in model.layers_
            )


def test_depth_weights():
    rng = np.random.default_rng(0)
    noisy = TOY.X + rng.gamma(1.0, 2.0, TOY.X.shape)
    fine, coarse = (
        quiet(NeuralNMF(ranks=(6, 2), depth_weights=w, random_state=0, tol=1e-3), noisy)
        for w in ((10, 1), (1, 10))
    )
    assert (
        fine.layers_[0].error < coarse.layers_[0].error
        and fine.layers_[1].error > coarse.layers_[1].error
    )
    same = quiet(NeuralNMF(ranks=(6, 2), depth_weights=[1, 1], random_state=0, tol=1e-3), noisy)
    assert (
        same.layers_[1].A
        == quiet(NeuralNMF(ranks=(6, 2), random_state=0, tol=1e-3), noisy).layers_[1].A
    ).all()
    for bad in ((1,), (1, -1), (0, 0), (1, np.nan)):
        with pytest.raises(ValueError, match="depth_weights must be 2"):
            NeuralNMF(ranks=(6, 2), depth_weights=bad).fit(noisy)
    with pytest.raises(ValueError, match="belong to cost='every'"):
        NeuralNMF(ranks=(6, 2), cost="last", depth_weights=(1, 1)).fit(noisy)


def test_class_numbers_of_mixed_types():
    assert class_numbers(np.array(["a", -1, "b"], dtype=object), 3)[1].tolist() == [0, -1, 1]


@pytest.mark.parametrize("seed", range(20))
def test_a_single_point_with_its_label(seed):
    """It is reproduced exactly: the squared error is a rounding error, of either sign, and its root
    is told to callbacks.
    """
    X = np.random.default_rng(seed).random((1, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert HierarchicalNMF(random_state=seed).fit(X, [1]).reconstruction_err_ < 1e-3
