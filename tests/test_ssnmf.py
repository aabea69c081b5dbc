"""SSNMF and GuidedNMF: the objective of ssnmf, exact steps, honest classes, every parameter."""

import functools
import importlib.util
import itertools
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls as scipy_nnls
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from nnmf_nb import NMF, SSNMF, GuidedNMF, datasets
from nnmf_nb.chain._labels import read_labels
from nnmf_nb.core._arrays import host_rng, to_numpy
from nnmf_nb.core._data import DataMatrix, as_data
from nnmf_nb.layer._nnls import solve_layer
from nnmf_nb.models._base import EarlyStopping
from nnmf_nb.models._ssnmf import (
    absolute_weight,
    alternate_labels,
    best_classifier,
    guided_first,
    joint,
    joint_columns,
    joint_mu_step,
    joint_ratios,
    joint_step,
    joint_value,
    mu_labels,
    seed_labels,
)
from nnmf_nb.solvers.initialization import random_start

TOY = datasets.toy(random_state=0)
FINE = TOY.labels["level_9"]
SOME = np.isin(np.arange(90), np.random.default_rng(0).permutation(90)[:36])
PARTLY = np.where(SOME, FINE, -1)
PAIRS = list(itertools.product((2.0, 1.0), repeat=2))
NAMES = {2.0: "frobenius", 1.0: "kullback-leibler"}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def small(n=24, m=12, seed=0):
    """Data (n x m) and classes (-1: unknown) of three clusters."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.random((3, m))[y] * rng.gamma(2.0, 0.5, (n, 1)) + 0.1 * rng.random((n, m))
    return X, np.where(rng.random(n) < 0.5, y, -1), y


def problem(kind="dense", partly=False, weight=3.0, pair=(2.0, 2.0), k=4, seed=0):
    """A `Joint` and factors of it."""
    raw, y, _ = small()
    rng = np.random.default_rng(seed)
    if kind == "csr":
        X = as_data(sp.csr_array(np.where(raw.T > 0.4, raw.T, 0)))
    elif kind == "masked":
        X = as_data(raw.T, mask=rng.random(raw.T.shape) < 0.8)
    else:
        X = as_data(raw.T)
    L = rng.random((24, 3)) < 0.5
    labels = read_labels(rng.random((24, 3)), 24, L) if partly else read_labels(y, 24)
    J = joint(X, labels, weight, *pair)
    return J, labels, rng.random((12, k)), rng.random((3, k)), rng.random((k, 24))


# --- beside ssnmf ---------------------------------------------------------------------------------


@functools.cache
def peer():
    """ssnmf's NumPy class, from its file: the package itself imports torch, which nothing here
    needs.
    """
    found = importlib.util.find_spec("ssnmf")
    if found is None:
        pytest.skip("ssnmf is not installed")
    spec = importlib.util.spec_from_file_location(
        "ssnmf_numpy", Path(found.submodule_search_locations[0]) / "ssnmf_numpy.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SSNMF_N


def theirs_value(model, pair, lam):
    value = lambda Z, F, M, beta: (
        model.fronorm(Z, F, model.S, M) ** 2 if beta == 2 else model.Idiv(Z, F, model.S, M)
    )
    return value(model.X, model.A, model.W, pair[0]) + (
        lam * value(model.Y, model.B, model.L, pair[1]) if lam else 0.0
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "number, pair", [(3, (2.0, 2.0)), (4, (2.0, 1.0)), (5, (1.0, 2.0)), (6, (1.0, 1.0))]
)
def test_same_objective_as_ssnmf(number, pair, masked):
    rng = np.random.default_rng(number)
    W = rng.random((87, 90)) < 0.9 if masked else np.ones((87, 90), bool)
    A, S, B = rng.random((87, 6)), rng.random((6, 90)), rng.random((9, 6))
    L = rng.random((90, 9)) < 0.5
    X, labels = as_data(TOY.X.T, mask=W), read_labels(np.eye(9)[FINE], 90, L)
    X = X if masked else as_data(TOY.X.T)
    for iterations in (1, 7, 60):
        model = peer()(
            TOY.X.T,
            6,
            modelNum=number,
            A=A,
            S=S,
            B=B,
            Y=np.eye(9)[:, FINE],
            W=W.astype(float),
            L=L.T.astype(float),
            lam=2.5,
            tol=-1,
        )
        model.mult(numiters=iterations)
        fit = mu_labels(
            joint(X, labels, 2.5, *pair), A, S / X.scale, B * X.scale, max_iter=iterations, tol=0
        )
        model_of = joint(DataMatrix(X.X, 1.0) if not masked else X, labels, 2.5, *pair)
        ours = (
            joint_value(
                model_of,
                fit.A,
                fit.B / model_of.Y.scale * (X.scale / model_of.X.scale) ** -1,
                fit.S * X.scale / model_of.X.scale,
            )
            * model_of.X.scale ** pair[0]
        )
        assert ours == pytest.approx(theirs_value(model, pair, 2.5), rel=1e-8)


@pytest.mark.parametrize("number, beta", [(1, 2.0), (2, 1.0)])
def test_same_unsupervised_objective_as_ssnmf(number, beta):
    # a weight of 0 is the unsupervised model; ssnmf's order is A, then S
    rng = np.random.default_rng(number)
    A, S = rng.random((87, 6)), rng.random((6, 90))
    model = peer()(TOY.X.T, 6, modelNum=number, A=A, S=S, tol=-1)
    model.mult(numiters=50)
    X = as_data(TOY.X.T)
    fit = mu_labels(
        joint(X, read_labels(PARTLY, 90), 0.0, beta, beta), A, S / X.scale, max_iter=50, tol=0
    )
    size = (TOY.X**2).sum() if beta == 2 else TOY.X.sum()
    assert fit.objective[-1] * size == pytest.approx(theirs_value(model, (beta, beta), 0), rel=1e-8)


# --- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "csr", "masked"])
@pytest.mark.parametrize("partly", [False, True])
def test_exact_step_solves_the_stacked_problem(kind, partly):
    J, labels, A, B, S = problem(kind, partly)
    new = joint_step(J, A, B, S, exact=True)
    dense = J.X.X.toarray() if kind == "csr" else J.X.known if kind == "masked" else J.X.X
    W = J.X.W if kind == "masked" else np.ones(dense.shape)
    Y = np.zeros((3, 24))
    Y[:, labels.known] = labels.Y / J.Y.scale
    for j in range(24):
        root = np.sqrt(J.weight) * J.known[:, j]
        expected, _ = scipy_nnls(
            np.vstack([W[:, j, None] * A, root[:, None] * B]),
            np.concatenate([W[:, j] * dense[:, j] / J.X.scale, root * Y[:, j]]),
        )
        np.testing.assert_allclose(new[:, j], expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["dense", "csr", "masked"])
@pytest.mark.parametrize("partly", [False, True])
@pytest.mark.parametrize("solver", ["hals", "anls", *PAIRS], ids=str)
def test_objective_never_rises_and_factors_stay_nonnegative(kind, partly, solver):
    pair = solver if isinstance(solver, tuple) else (2.0, 2.0)
    J, _, A, B, S = problem(kind, partly, pair=pair)
    run = (
        mu_labels
        if isinstance(solver, tuple)
        else functools.partial(alternate_labels, exact=solver == "anls")
    )
    seen = []
    fit = run(
        J,
        A,
        S,
        B,
        max_iter=40,
        tol=0.0,
        callback=lambda n, value, pg, factors: seen.append(min(F.min() for F in factors)),
    )
    assert len(fit.objective) == 40 == len(seen) and min(seen) >= 0
    assert (np.diff(fit.objective) <= 1e-12).all() and fit.objective[-1] < fit.objective[0]
    inside = joint_value(J, fit.A, fit.B / J.Y.scale, fit.S) / (
        J.X.norm2 if pair[0] == 2 else J.X.AtX(np.ones((12, 1))).sum()
    )
    assert fit.objective[-1] == pytest.approx(inside, rel=1e-9)
    np.testing.assert_allclose(np.linalg.norm(fit.A, axis=0), 1.0)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("kind", ["dense", "csr", "masked"])
def test_gradient_against_central_differences(pair, kind):
    J, _, A, B, S = problem(kind, partly=True, pair=pair)
    (n, d), (m, e) = joint_ratios(J, A, B, S)
    V, h = np.random.default_rng(5).standard_normal(S.shape), 1e-6
    slope = (joint_value(J, A, B, S + h * V) - joint_value(J, A, B, S - h * V)) / (2 * h)
    assert slope == pytest.approx(((d - n + e - m) * V).sum(), rel=1e-5)
    assert joint_columns(J, A, B, S).sum() == pytest.approx(joint_value(J, A, B, S))


@pytest.mark.parametrize("pair", [(2.0, 1.0), (1.0, 2.0)], ids=str)
def test_mixed_step_is_safeguarded(pair):
    # without the safeguard the step of ssnmf raises the objective here, in every one of these
    # problems for one of the two pairs
    plain = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        raw, y = rng.random((3, 5)), rng.random((5, 2))
        J = joint(as_data(raw), read_labels(y, 5), 1.0, *pair)
        a, b, s = rng.random((3, 1)), rng.random((2, 1)), rng.random((1, 5))
        a, b = (a, 1e-3 * b) if pair[0] == 2 else (1e-3 * a, b)
        before, (p, q) = joint_value(J, a, b, s), joint_ratios(J, a, b, s)
        plain += joint_value(J, a, b, s * (p[0] + q[0]) / (p[1] + q[1])) > before
        new, value, _ = joint_mu_step(J, a, b, s)
        assert (
            value <= before and value == pytest.approx(joint_value(J, a, b, new)) and new.min() >= 0
        )
    assert plain > 20


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_zeros_are_lifted(pair):
    J, _, A, B, S = problem(pair=pair)
    S = np.where(np.random.default_rng(1).random(S.shape) < 0.5, 0, S)
    A, B = (np.where(np.random.default_rng(2).random(F.shape) < 0.5, 0, F) for F in (A, B))
    fit = mu_labels(J, A, S, B, max_iter=100, tol=0)
    assert (np.diff(fit.objective) <= 1e-12).all()
    assert (fit.S[S == 0] > 0).any() and (fit.A[A == 0] > 0).any() and (fit.B[B == 0] > 0).any()


@pytest.mark.parametrize("beta", [2.0, 1.0])
@pytest.mark.parametrize("partly", [False, True])
def test_best_classifier_is_optimal(beta, partly):
    _, labels, _, _, S = problem(partly=partly)
    B = best_classifier(labels, S, beta)
    T, L = S[:, labels.known], np.ones_like(labels.Y) if labels.L is None else labels.L
    V = B @ T
    gradient = (
        (L * (V - labels.Y)) @ T.T
        if beta == 2
        else (L * (1 - labels.Y / np.maximum(V, 1e-300))) @ T.T
    )
    assert B.min() >= 0 and np.abs(np.minimum(B, gradient)).max() < 1e-5


def test_weight_is_absolute_for_functions_and_relative_by_size():
    X, labels = as_data(TOY.X.T), read_labels(PARTLY, 90)
    assert absolute_weight(X, labels, 2.0) == pytest.approx(2 * (TOY.X**2).sum() / 36)
    assert absolute_weight(X, labels, 2.0, 1.0, 1.0) == pytest.approx(2 * TOY.X.sum() / 36)
    assert absolute_weight(X, labels, 2.0, 2.0, 1.0) == pytest.approx(2 * (TOY.X**2).sum() / 36)


@pytest.mark.parametrize("run", [alternate_labels, mu_labels])
def test_interrupt_keeps_the_best_so_far(run):
    J, _, A, B, S = problem()

    def stop(n, *_):
        if n == 3:
            raise KeyboardInterrupt

    # whoever is interrupted, a callback too: four turns are done
    fit = run(J, A, S, B, max_iter=9, tol=0, callback=stop)
    assert fit.reason == "interrupted" and len(fit.objective) == 4
    calls = []

    class Slow(type(J.pick)):
        def out(self, S):
            calls.append(1)
            if len(calls) > 12:
                raise KeyboardInterrupt
            return super().out(S)

    fit = run(
        J._replace(pick=Slow(np.flatnonzero(small()[1] >= 0), 24, S)), A, S, B, max_iter=99, tol=0
    )
    assert fit.reason == "interrupted" and 1 <= len(fit.objective) < 12 and np.isfinite(fit.A).all()


@pytest.mark.each_value_once
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_array_namespaces(xp_device, pair):
    raw, y, _ = small()
    labels, rng = read_labels(y, 24), np.random.default_rng(0)
    A, S = rng.random((12, 4)), rng.random((4, 24))
    results = []
    for make in (
        lambda F: np.asarray(F, dtype=str(xp_device.dtype).rsplit(".", 1)[-1].removesuffix("'>")),
        xp_device.asarray,
    ):
        X = as_data(make(raw.T))
        J = joint(X, labels, absolute_weight(X, labels, 1.0, *pair), *pair)
        # the portable sweep does all rounds, the compiled one may stop early: exact halves agree
        run = functools.partial(alternate_labels, exact=True) if pair == (2.0, 2.0) else mu_labels
        fit = run(J, make(A), make(S), max_iter=8, tol=0.0)
        assert fit.A.dtype == X.dtype == fit.B.dtype == fit.S.dtype
        results.append(to_numpy(fit.A @ fit.S))
    np.testing.assert_allclose(
        *results,
        rtol=1e-3 if "32" in str(xp_device.dtype) else 1e-8,
        atol=1e-4 if "32" in str(xp_device.dtype) else 1e-10,
    )


def test_estimator_in_a_strict_namespace():
    xp = pytest.importorskip("array_api_strict")
    raw, y, _ = small()
    # the portable sweep does all rounds, the compiled one may stop early: exact halves agree
    host, strict = (
        SSNMF(3, solver="anls", random_state=0).fit(make(raw), y)
        for make in (np.asarray, xp.asarray)
    )
    np.testing.assert_allclose(to_numpy(strict.components_), host.components_, atol=1e-6)
    assert (strict.predict(xp.asarray(raw)) == host.predict(raw)).all()


# --- what a fitted model promises -----------------------------------------------------------------

CASES = [
    dict(),
    dict(solver="anls"),
    dict(solver="mu"),
    dict(label_loss=NAMES[1.0]),
    dict(beta_loss=NAMES[1.0]),
    dict(beta_loss=NAMES[1.0], label_loss=NAMES[1.0]),
]


@pytest.mark.parametrize("params", CASES, ids=str)
@pytest.mark.parametrize("unknown", ["None", "vector", "matrix"])
def test_nothing_known_is_nmf_bit_by_bit(params, unknown):
    X, _, _ = small()
    y = {
        "None": {},
        "vector": dict(y=np.full(24, -1)),
        "matrix": dict(y=np.full((24, 3), np.nan), L=np.zeros((24, 3))),
    }[unknown]
    model = SSNMF(3, max_iter=40, random_state=0, **params).fit(X, **y)
    mu = params.get("solver") == "mu" or "beta_loss" in params
    plain = NMF(
        3,
        max_iter=40,
        random_state=0,
        solver="mu" if mu else params.get("solver", "auto"),
        beta_loss=params.get("beta_loss", "frobenius"),
    ).fit(X)
    np.testing.assert_array_equal(model.components_, plain.components_)
    np.testing.assert_array_equal(model.transform(X), plain.transform(X))
    assert (
        model.reconstruction_err_ == plain.reconstruction_err_ and model.history_ == plain.history_
    )
    assert model.classifiers_ == {} and len(model.classes_) == 0 and not hasattr(model, "predict")
    assert model.score(X, np.zeros(24)) == plain.score(X)


@pytest.mark.parametrize("params", CASES, ids=str)
@pytest.mark.parametrize("junk", [0.0, np.nan, np.inf, -5.0])
def test_unknown_entries_may_hold_anything(params, junk):
    X, _, true = small()
    rng = np.random.default_rng(3)
    mask, L = rng.random(X.shape) < 0.8, rng.random((24, 3)) < 0.5
    Y = np.eye(3)[true]
    fits = [
        SSNMF(3, max_iter=15, random_state=0, **params).fit(
            np.where(mask, X, v), np.where(L, Y, v), mask=mask, L=L
        )
        for v in (7.0, junk)
    ]
    np.testing.assert_array_equal(fits[0].components_, fits[1].components_)
    np.testing.assert_array_equal(fits[0].B_, fits[1].B_)


@pytest.mark.each_value_once
@pytest.mark.parametrize("params", CASES, ids=str)
@pytest.mark.parametrize("kind", ["dense", "csr", "csc", "float32", "masked", "frame"])
def test_fit_transform_is_transform(params, kind):
    X, y, _ = small()
    given = {}
    if kind in ("csr", "csc"):
        X = sp.csr_array(np.where(X > 0.4, X, 0)).asformat(kind)
    if kind == "float32":
        X = X.astype(np.float32)
    if kind == "frame":
        X = pd.DataFrame(X, columns=[f"w{i}" for i in range(12)])
    if kind == "masked":
        given["mask"] = np.random.default_rng(1).random(X.shape) < 0.8
    model = SSNMF(3, random_state=0, max_iter=40, **params)
    S = model.fit_transform(X, y, **given)
    np.testing.assert_allclose(S, model.transform(X, **given), rtol=0, atol=1e-10 * S.max())
    assert S.min() >= 0 and model.components_.min() >= 0 and model.B_.min() >= 0
    if kind == "float32":
        assert S.dtype == model.components_.dtype == np.float32
    assert model.predict(X, **given).shape == (24,)
    np.testing.assert_allclose(model.predict_proba(X, **given).sum(axis=1), 1.0)
    scores = S @ model.B_.T
    some = scores.any(axis=1)
    np.testing.assert_allclose(
        model.decision_function(X, **given)[some], scores[some], rtol=1e-5, atol=1e-8
    )


def test_sparse_is_the_same_as_dense_and_never_densified(monkeypatch):
    X, y, _ = small()
    X = np.where(X > 0.4, X, 0)
    dense = SSNMF(3, random_state=0, max_iter=30).fit(X, y)
    sizes, toarray = [], sp.csc_array.toarray
    monkeypatch.setattr(
        sp.csr_array,
        "toarray",
        lambda self, *a, **k: sizes.append(self.shape) or toarray(self.tocsc(), *a, **k),
    )
    sparse = SSNMF(3, random_state=0, max_iter=30).fit(sp.csr_array(X), y)
    np.testing.assert_allclose(sparse.components_, dense.components_, rtol=1e-8, atol=1e-10)
    assert not sizes
    with pytest.raises(ValueError, match="dense"):
        SSNMF(3).fit(sp.csr_array(X), y, mask=X > 0)


@pytest.mark.parametrize("params", CASES, ids=str)
def test_scale_never_matters(params):
    X, y, _ = small()
    base = SSNMF(3, random_state=0, max_iter=30, **params).fit(X, y)
    Y, L = np.eye(3)[small()[2]], y >= 0
    for scale in (1e-30, 1e30):
        other = SSNMF(3, random_state=0, max_iter=30, **params).fit(scale * X, y)
        assert other.layers_[0].error == pytest.approx(base.layers_[0].error, rel=1e-4)
        np.testing.assert_allclose(other.predict_proba(scale * X), base.predict_proba(X), atol=1e-3)
        labels = SSNMF(3, random_state=0, max_iter=30, **params).fit(X, scale * Y, L=L)
        assert labels.layers_[0].error == pytest.approx(base.layers_[0].error, rel=1e-4)


HARD = {
    "zero": np.zeros((6, 5)),
    "zero row": np.vstack([np.zeros(5), np.ones((5, 5))]),
    "zero column": np.hstack([np.zeros((6, 1)), np.ones((6, 3))]),
    "one column": np.arange(1.0, 7)[:, None],
    "constant": np.full((6, 4), 3.0),
    "identity": np.eye(6),
}


@pytest.mark.each_value_once
@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("params", CASES, ids=str)
@pytest.mark.parametrize("k", [1, 3, 7])
def test_hard_data_give_no_nan(name, params, k):
    X, y = HARD[name], np.array([0, 1, -1, 0, 2, -1])
    model = SSNMF(k, random_state=0, max_iter=15, **params).fit(X, y)
    for array in (
        model.components_,
        model.transform(X),
        model.B_,
        model.predict_proba(X),
        model.history_["objective"],
        model.history_["stationarity"],
    ):
        assert np.isfinite(array).all()
    assert np.isfinite(
        [model.reconstruction_err_, model.score(X), model.score(X, y), model.layers_[0].kkt]
    ).all()
    values = np.array(model.history_["objective"])
    assert (np.diff(values) <= 1e-9 * max(values[0], 1)).all()


@pytest.mark.parametrize(
    "y",
    [[0] * 24, [0] * 23 + [-1], [-1] * 23 + [0], ["tin", "-1", "iron", "tin"] * 6, list(range(24))],
    ids=["all", "one class", "one label", "words", "24 classes"],
)
def test_classes_of_every_kind(y):
    X, _, _ = small()
    model = SSNMF(2, random_state=0, max_iter=50).fit(X, np.array(y))
    assert set(model.predict(X)) <= set(model.classes_) and "-1" not in model.classes_
    assert model.B_.shape == (len(model.classes_), 2)


@pytest.mark.parametrize("params", CASES, ids=str)
def test_held_out_classes_are_found(params):
    X, y, true = small(seed=1)
    model = SSNMF(3, random_state=0, **params).fit(X, y)
    assert model.score(X[y < 0], true[y < 0]) >= 0.9


def test_labels_improve_what_is_held_out():
    noisy = TOY.X + 8 * np.random.default_rng(1).random(TOY.X.shape)
    gain = []
    for seed in range(4):
        known = np.isin(np.arange(90), np.random.default_rng(seed).permutation(90)[:36])
        without, with_ = (
            SSNMF(9, lam=lam, random_state=0)
            .fit(noisy, np.where(known, FINE, -1))
            .score(noisy[~known], FINE[~known])
            for lam in (0, 1)
        )
        gain.append(with_ - without)
    assert np.mean(gain) > 0.05


def test_partly_known_labels_are_used_entry_by_entry():
    # class 2 is known for nobody but the last data point: L decides what counts
    X, _, true = small()
    Y, L = np.eye(3)[true], np.random.default_rng(0).random((24, 3)) < 0.7
    one, other = (SSNMF(3, random_state=0).fit(X, Y, L=mask) for mask in (L, np.ones_like(L)))
    assert not np.allclose(one.components_, other.components_)
    whole = SSNMF(3, random_state=0).fit(X, true)
    np.testing.assert_array_equal(other.components_, whole.components_)


# --- every parameter ------------------------------------------------------------------------------


def test_verbose_shows_a_bar(capfd):
    for model in (
        SSNMF(3, verbose=1, max_iter=2),
        GuidedNMF(3, seeds=[[0]], verbose=1, max_iter=2),
    ):
        model.fit(TOY.X, PARTLY)
        assert type(model).__name__ in capfd.readouterr().err


def test_convergence_is_reported():
    loose, tight = (SSNMF(4, tol=tol, random_state=0).fit(TOY.X, PARTLY) for tol in (1e-1, 1e-3))
    assert (
        loose.n_iter_ < tight.n_iter_
        and loose.converged_
        and tight.converged_
        and tight.stop_reason_ == "stationary"
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        assert SSNMF(4, max_iter=2, tol=0).fit(TOY.X, PARTLY).n_iter_ == 2


def test_restarts_help():
    one, many = (
        SSNMF(9, init="random", n_init=n, random_state=3)
        .fit(TOY.X, PARTLY)
        .history_["objective"][-1]
        for n in (1, 10)
    )
    assert many <= one + 1e-6


@pytest.mark.parametrize(
    "params, fit, words",
    [
        (dict(beta_loss="hinge"), {}, "beta_loss must be one of"),
        (dict(label_loss="l2"), {}, "label_loss must be one of"),
        (dict(lam=-1), {}, "lam"),
        (dict(lam=np.inf), {}, "lam"),
        (dict(solver="cd"), {}, "solver must be one of"),
        (dict(solver="hals", beta_loss=NAMES[1.0]), {}, "squared errors only"),
        (dict(solver="anls", label_loss=NAMES[1.0]), {}, "solver='anls'"),
        (dict(init="warm"), {}, "init must be one of"),
        (dict(n_components=0), {}, "n_components"),
        (dict(n_init=0), {}, "n_init"),
        (dict(tol=-1), {}, "tol"),
        (dict(max_iter=-1), {}, "max_iter"),
        (dict(), dict(y=[0, 1]), "one label per data point"),
        (dict(), dict(y=-np.ones((24, 2)), L=np.ones((24, 2))), "Y must be finite"),
        (dict(), dict(L=np.ones((24, 3))), "L must have"),
        (dict(), dict(y=np.ones((24, 2)), L=np.ones((24, 3))), "L must have the shape"),
        (dict(), dict(X=-small()[0]), "Negative values"),
    ],
)
def test_bad_input_is_named(params, fit, words):
    X, y, _ = small()
    if "L" in fit and "y" not in fit:
        fit = fit | dict(y=np.ones((24, 2)))
    with pytest.raises(ValueError, match=words):
        SSNMF(**params).fit(**(dict(X=X, y=y) | fit))


def test_input_is_not_modified():
    X, _, true = small()
    Y, L = np.eye(3)[true], np.random.default_rng(0).random((24, 3)) < 0.5
    kept = X.copy(), Y.copy(), L.copy()
    for array in (X, Y, L):
        array.setflags(write=False)
    SSNMF(3, max_iter=5).fit(X, Y, L=L)
    for array, copy in zip((X, Y, L), kept):
        np.testing.assert_array_equal(array, copy)


# --- callbacks and company ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda **p: SSNMF(4, random_state=0, tol=0, **p),
        lambda **p: GuidedNMF(4, seeds=[[0, 1]], random_state=0, tol=0),
    ],
    ids=["SSNMF", "GuidedNMF"],
)
@pytest.mark.parametrize("params", [dict(), dict(label_loss=NAMES[1.0]), dict(lam=0)], ids=str)
def test_callbacks_see_every_iteration_and_may_stop(make, params):
    seen = []
    stopper = EarlyStopping(
        lambda model: seen.append(model.score(TOY.X, PARTLY)) or seen[-1], patience=4, tol=1.0
    )
    model = make(**params).set_callbacks(stopper).fit(TOY.X, PARTLY)
    assert model.stop_reason_ == "callback" and len(seen) == 5 == model.n_iter_
    assert stopper.best.transform(TOY.X).shape == (90, 4)
    plain = make(**params)
    plain.set_params(max_iter=5).fit(TOY.X, PARTLY)
    np.testing.assert_array_equal(plain.components_, model.components_)


def test_pipeline_grid_search_clone_and_pickle():
    X, y, true = small(seed=1)
    search = GridSearchCV(
        make_pipeline(MaxAbsScaler(), SSNMF(3, random_state=0, max_iter=50)),
        {"ssnmf__lam": [0.0, 1.0]},
        cv=2,
    ).fit(X, true)
    assert search.best_score_ > 0.8
    model = search.best_estimator_[-1]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert clone(model).get_params() == model.get_params()
    named = (
        SSNMF(3, random_state=0, max_iter=20)
        .set_output(transform="pandas")
        .fit(pd.DataFrame(X, columns=[f"w{i}" for i in range(12)]), y)
    )
    assert list(named.transform(pd.DataFrame(X, columns=named.feature_names_in_)).columns) == [
        "ssnmf0",
        "ssnmf1",
        "ssnmf2",
    ]
    assert "feature 1" in named.topics().columns


# --- seeds ----------------------------------------------------------------------------------------


def test_seeds_by_name_and_number():
    names = list("abcd")
    for seeds in (
        {"x": ["a", "c"], "y": [1]},
        {"x": [0, 2], "y": ["b"]},
        {"x": np.array([0, 2]), "y": "b"},
    ):
        labels = seed_labels(seeds, names, 4)
        np.testing.assert_array_equal(labels.Y, [[1, 0, 1, 0], [0, 1, 0, 0]])
        assert list(labels.classes) == ["x", "y"] and labels.L is None and len(labels.known) == 4
    np.testing.assert_array_equal(
        guided_first(np.array([[0, 0.9, 0.1, 0], [0.3, 0.7, 0, 0]])), [1, 0, 2, 3]
    )


@pytest.mark.parametrize(
    "params, words",
    [
        (dict(seeds=[["t0wrd0"]], features=TOY.features), "t0w0"),
        (dict(seeds=[["t0w0"]]), "no names"),
        (dict(seeds=[[90]]), "features are 0 to 86"),
        (dict(seeds=[[-1]]), "feature -1"),
        (dict(seeds=[[0], []]), "group 1 is empty"),
        (dict(seeds=[[0], [1], [2]]), "3 groups"),
        (dict(seeds=[[0]], features=["a"]), "87 names"),
        (dict(lam=-1), "lam"),
        (dict(init="custom"), "init"),
    ],
)
def test_bad_seeds_are_named(params, words):
    with pytest.raises(ValueError, match=words):
        GuidedNMF(2, **params).fit(TOY.X)


def test_unknown_seeds_can_be_passed_over():
    """BB: one warning names them and the groups that lose all; the fit is that without them."""
    seeds = {"a": ["t0w0", "zebra"], "none": ["yak", "emu"], "b": [3, 90]}
    given = dict(features=TOY.features, random_state=0, max_iter=5, tol=1e9)
    with pytest.raises(ValueError, match="'zebra' of group 'a' is no feature.*handle_unknown"):
        GuidedNMF(4, seeds=seeds, **given).fit(TOY.X)
    with pytest.warns(UserWarning, match="passed over") as caught:
        model = GuidedNMF(4, seeds=seeds, handle_unknown="warn", **given).fit(TOY.X)
    assert len(caught) == 1 and caught[0].filename == __file__
    for words in (
        "'zebra' of group 'a'",
        "'emu' of group 'none'",
        "90 of",
        "other seed: group 'none'",
    ):
        assert words in str(caught[0].message)
    plain = GuidedNMF(4, seeds={"a": ["t0w0"], "b": [3]}, **given).fit(TOY.X)
    assert list(model.groups_) == ["a", "b"]
    assert np.array_equal(model.components_, plain.components_)
    table = pd.DataFrame([[1, 1]], index=["a"], columns=["t0w0", "zebra"])
    with pytest.warns(UserWarning, match="'zebra'"):
        GuidedNMF(4, seeds=table, handle_unknown="warn", **given).fit(TOY.X)
    with pytest.warns(UserWarning, match="Left out"):
        empty = GuidedNMF(4, seeds=[["yak"]], handle_unknown="warn", **given).fit(TOY.X)
    assert len(empty.groups_) == 0
    with pytest.raises(ValueError, match="handle_unknown must be 'error' or 'warn', got 'ignore'"):
        GuidedNMF(4, handle_unknown="ignore").fit(TOY.X)


def test_guided_topics_follow_their_seeds():
    word = np.array([int(name[1]) for name in TOY.features])
    seeds = {
        "eight": list(np.flatnonzero(word == 8)[:3]),
        "five": list(np.flatnonzero(word == 5)[:2]),
    }
    model = GuidedNMF(
        9, seeds=seeds, features=TOY.features, lam=0.01, random_state=0, n_init=5
    ).fit(TOY.X)
    top = [[int(name[1]) for name in row.split()] for row in model.guide(top=3)["features"]]
    assert top == [[8] * 3, [5] * 3] and list(model.guide().index) == ["eight", "five"]
    assert (model.seed_shares_.argmax(axis=1) == [0, 1]).all() and model.layers_[
        0
    ].error < 1.5 * model.layers_[0].floor
    np.testing.assert_allclose(model.seed_shares_.sum(axis=1), 1.0)
    by_name = GuidedNMF(
        9,
        seeds={g: list(TOY.features[i]) for g, i in seeds.items()},
        lam=0.01,
        random_state=0,
        n_init=5,
    ).fit(pd.DataFrame(TOY.X, columns=TOY.features))
    # a DataFrame's memory order may differ
    np.testing.assert_allclose(by_name.components_, model.components_, rtol=1e-6, atol=1e-8)
    assert by_name.guide().equals(model.guide())


@pytest.mark.parametrize("params", [dict(), dict(seeds=[[0, 1]], lam=0)], ids=str)
def test_without_guidance_it_is_nmf(params):
    model, plain = (
        GuidedNMF(4, random_state=0, **params).fit(TOY.X),
        NMF(4, random_state=0).fit(TOY.X),
    )
    order = [int(np.abs(plain.components_ - row).sum(axis=1).argmin()) for row in model.components_]
    np.testing.assert_allclose(model.components_, plain.components_[order], rtol=1e-12)
    assert sorted(order) == [0, 1, 2, 3]


def test_every_parameter_of_guided_has_an_effect():
    X = TOY.X + np.random.default_rng(0).random(TOY.X.shape)
    base = dict(n_components=4, seeds=[[0, 20], [50]], random_state=0, max_iter=5, tol=0.0)
    fit = lambda **params: GuidedNMF(**(base | params)).fit(X).components_
    changes = [
        {},
        dict(seeds=[[0, 20]]),
        dict(lam=1.0),
        dict(lam=0),
        dict(init="random"),
        dict(init="random", random_state=1),
        dict(max_iter=6),
        dict(tol=0.5),
        dict(n_init=3),
    ]
    for a, b in itertools.combinations([fit(**change) for change in changes], 2):
        assert not np.array_equal(a, b)
    assert fit(n_components=3).shape == (3, 87)
    with pytest.raises(ValueError, match="device"):
        fit(device="tpu")


@pytest.mark.parametrize("kind", ["dense", "csr", "float32", "masked"])
def test_guided_contract(kind):
    X, given = TOY.X, {}
    if kind == "csr":
        X = sp.csr_array(np.where(X > 0.5, X, 0))
    if kind == "float32":
        X = X.astype(np.float32)
    if kind == "masked":
        given["mask"] = np.random.default_rng(0).random(X.shape) < 0.9
        X = np.where(given["mask"], X, np.nan)
    model = GuidedNMF(4, seeds=[[0], [80]], random_state=0, max_iter=30)
    S = model.fit_transform(X, **given)
    np.testing.assert_allclose(S, model.transform(X, **given), rtol=0, atol=1e-10 * S.max())
    assert S.dtype == model.components_.dtype == X.dtype and S.min() >= 0 and np.isfinite(S).all()
    values = np.array(model.history_["objective"])
    assert (np.diff(values) <= (1e-6 if kind == "float32" else 1e-12)).all()
    again = GuidedNMF(4, seeds=[[0], [80]], random_state=0, max_iter=30).fit(X * 2.0**60, **given)
    np.testing.assert_allclose(again.seed_shares_, model.seed_shares_, atol=1e-6)
    own = solve_layer(
        as_data(X.T, mask=None if not given else given["mask"].T), model.layers_[0].A
    )[0]
    np.testing.assert_allclose(
        model.layers_[0].S,
        own * as_data(X.T, mask=None if not given else given["mask"].T).scale,
        rtol=1e-6,
        atol=1e-6,
    )


def test_start_of_the_functions_is_free():
    X, labels = as_data(TOY.X.T), read_labels(PARTLY, 90)
    A, S = random_start(X, 9, host_rng(0))
    J = joint(X, labels, 1.0)
    given, default = (
        alternate_labels(J, A, S, B, max_iter=1)
        for B in (np.random.default_rng(0).random((9, 9)), None)
    )
    assert not np.allclose(given.B @ given.S, default.B @ default.S)
