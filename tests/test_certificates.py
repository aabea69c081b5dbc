"""Certificates: every number against its formula written out, every fault named, every model read
as what it is.
"""

import copy
import dataclasses
import gc
import pickle
import warnings
import weakref
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zoo
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import NMF as TheirNMF
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import nnmf_nb
from nnmf_nb import (
    NMF,
    SSNMF,
    DeepNMF,
    DeepSemiNMF,
    GuidedNMF,
    HierarchicalNMF,
    Loss,
    NeuralNMF,
    NonlinearSemiNMF,
    SparseCodingNetwork,
    UnfoldedNMF,
    certify,
    datasets,
    load,
    nnls,
    save,
    verify,
)
from nnmf_nb.chain._costs import ChainObjective, on_unit_columns, propagate, resolve_cost
from nnmf_nb.core._data import as_data
from nnmf_nb.core._linalg import unit_columns
from nnmf_nb.evaluation import _certificates as certificates
from nnmf_nb.evaluation._certificates import (
    Certificate,
    Criteria,
    LayerCertificate,
    chain_gradient,
    fulfilled,
    in_units,
    on_supports,
)
from nnmf_nb.models import _base as estimators
from nnmf_nb.solvers._loss import loss_of


def planted(seed=0, N=12, k=3, M=40):
    rng = np.random.default_rng(seed)
    A = np.kron(np.eye(k), np.ones((N // k, 1))) + 0.2 * rng.random((N, k)) * (
        rng.random((N, k)) < 0.3
    )
    S = rng.gamma(0.5, 1.0, (k, M)) * (rng.random((k, M)) < 0.7)
    return A, S, A @ S


def words(certificate):
    return " ".join(certificate.reasons)


# --- one layer ------------------------------------------------------------------------------------


def test_a_planted_factorization_is_green():
    A, S, X = planted()
    got = certify(A, S, X)
    layer = got.layers[0]
    assert (
        got.color == "green"
        and layer.error < 1e-12
        and layer.kkt < 1e-12
        and layer.stationarity < 1e-12
    )
    assert "✓ GREEN" in repr(got) and "every S exact" in repr(got)
    assert layer.zeros == ((A == 0).mean(), (S == 0).mean()) and layer.condition < 2


def test_numbers_are_the_formulas():
    rng = np.random.default_rng(1)
    A, S, X = rng.random((7, 3)), rng.random((3, 9)), rng.random((7, 9))
    A[0, 0] = S[0, 0] = 0.0
    got = certify(A, S, X).layers[0]
    length = np.linalg.norm(A, axis=0)
    unit, s, R = A / length, S * length[:, None], X - A @ S
    g, size = -unit.T @ R, np.linalg.norm(X, axis=0)
    assert got.error == pytest.approx(np.linalg.norm(R) / np.linalg.norm(X))
    assert got.floor == pytest.approx(
        np.sqrt((np.linalg.svd(X)[1][3:] ** 2).sum()) / np.linalg.norm(X)
    )
    assert got.gap == pytest.approx(got.error - got.floor)
    assert got.kkt == pytest.approx((np.abs(np.minimum(s, g)) / size).max())
    assert got.complementarity == pytest.approx((np.abs(s * g).sum(axis=0) / size**2).max())
    G = -2 * R @ s.T / np.linalg.norm(X) ** 2
    assert got.stationarity == pytest.approx(
        np.linalg.norm(np.where(unit > 0, G, np.minimum(G, 0)))
    )
    assert got.condition == pytest.approx(np.linalg.cond(unit))


def test_stationarity_is_the_derivative_of_the_error():
    # Central differences of ||X - A S||^2 / ||X||^2 along unit columns: the gradient that the
    # certificate projects.
    rng = np.random.default_rng(2)
    A, S, X = rng.random((5, 2)) + 0.1, rng.random((2, 6)), rng.random((5, 6))
    unit, s, _ = in_units(A, S)
    C = lambda a: ((X - a @ s) ** 2).sum() / (X**2).sum()
    G = np.zeros_like(unit)
    for at in np.ndindex(*unit.shape):
        step = np.zeros_like(unit)
        step[at] = 1e-6
        G[at] = (C(unit + step) - C(unit - step)) / 2e-6
    assert certify(A, S, X).layers[0].stationarity == pytest.approx(np.linalg.norm(G), rel=1e-7)


def test_wrong_coefficients_are_red():
    A, S, X = planted()
    got = certify(A, np.random.default_rng(3).random(S.shape), X)
    assert got.color == "red" and "S is not the best for its A" in words(got)


def test_stale_coefficients_are_noticed():
    A, _, X = planted()
    older = A * (1 + 0.3 * np.random.default_rng(4).random(A.shape))
    got = certify(A, nnls(older, X), X)
    assert got.color == "red" and "stale" in words(got)


def test_slightly_unfinished_coefficients_are_amber():
    A, S, X = planted()
    got = certify(A, S * 1.001, X)
    assert got.color == "amber" and "unfinished" in words(got)


def test_locked_zeros_of_multiplicative_updates():
    A, S, X = planted()
    rng = np.random.default_rng(5)
    W, H = (
        rng.random((X.shape[1], 3)),
        rng.random((3, X.shape[0])) * (rng.random((3, X.shape[0])) < 0.4),
    )
    model = TheirNMF(3, solver="mu", init="custom", max_iter=3000, tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        W = model.fit_transform(X.T, W=W, H=H)
    got = certify(model.components_.T, W.T, X)
    assert (
        got.color in ("amber", "red")
        and "locked" in words(got)
        and "A is not stationary" in words(got)
    )
    # The same start with its zeros lifted is free to move, and nothing is called locked.
    assert "locked" not in words(certify(*(np.maximum(F, 0.3) for F in (A, S)), X))


def test_locked_zeros_of_S():
    A, S, X = planted()
    S = np.where(np.arange(S.shape[1]) < 5, 0.0, S)
    got = certify(A, S, X)
    assert got.color == "red" and "KKT residual" in words(got) and "locked" in words(got)


@pytest.mark.parametrize("which", ["A", "S"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_red_not_an_error(which, value):
    A, S, X = planted()
    (A if which == "A" else S)[1, 2] = value
    got = certify(A, S, X)
    assert got.color == "red" and "NaN or infinity" in words(got) and "unknown" in repr(got)


def test_negative_entries_are_red_and_rounding_amber():
    A, S, X = planted()
    S[0, 0] = -0.3
    assert certify(A, S, X).color == "red" and "negative entries" in words(certify(A, S, X))
    A, S, X = planted()
    S[S == 0] = -1e-13
    got = certify(A, S, X)
    assert got.color == "amber" and "negative entries" in words(got)


def test_negative_entries_of_A_are_red_and_red_comes_first():
    A, S, X = planted()
    A, S = np.hstack([A, np.zeros((12, 1))]), np.vstack([S, np.zeros((1, 40))])
    A[0, 0] = -0.3
    got = certify([A, np.eye(4)], [S, S], X)
    assert got.color == "red" and "negative entries" in words(got)
    colors = [color for color, _ in got.faults]
    assert colors == sorted(colors, reverse=True) and {"red", "amber"} <= set(colors)


def test_dead_and_duplicate_topics_and_ambiguous_points():
    A, S, X = planted()
    dead = certify(np.hstack([A, np.zeros((12, 1))]), np.vstack([S, np.zeros((1, 40))]), X)
    assert (
        dead.color == "amber"
        and "dead topics [3]" in words(dead)
        and np.isfinite(dead.layers[0].condition)
    )
    twice = certify(np.hstack([A, A[:, :1]]), np.vstack([S[:1] / 2, S[1:], S[:1] / 2]), X)
    assert (
        twice.color == "amber"
        and "duplicate topics [(0, 3)]" in words(twice)
        and "not be unique" in words(twice)
    )
    assert twice.layers[0].condition == np.inf and twice.layers[0].degenerate > 0
    assert certify(A, S, X).layers[0].degenerate == 0


def test_explaining_nothing_is_red():
    A, S, X = planted()
    assert "explains nothing" in words(certify(A, np.zeros_like(S), X))


def test_nothing_to_explain_is_well_explained_by_nothing():
    got = certify(np.zeros((4, 2)), np.zeros((2, 3)), np.zeros((4, 3)))
    # its topics are dead
    assert (
        got.layers[0].error == got.layers[0].kkt == got.layers[0].stationarity == 0
        and got.color == "amber"
    )
    assert certify(np.ones((4, 2)), np.ones((2, 3)), np.zeros((4, 3))).color == "red"


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 5), (5, 2, 1), (3, 4, 2)])
def test_odd_shapes_give_numbers(shape):
    N, k, M = shape
    rng = np.random.default_rng(6)
    A, X = rng.random((N, k)), rng.random((N, M))
    got = certify(A, nnls(A, X), X).layers[0]
    assert got.kkt < 1e-10 and not any(
        np.isnan([got.error, got.floor, got.stationarity, got.complementarity, got.condition])
    )


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30])
def test_scale_of_data_and_of_columns_does_not_matter(scale):
    A, S, X = planted()
    A, S = A + 0.1, S * 1.01
    base, rows = certify(A, S, X).layers[0], np.array([1.0, scale, 1 / scale])
    for got in (
        certify(A, scale * S, scale * X).layers[0],
        certify(A * rows, S / rows[:, None], X).layers[0],
    ):
        for name in ("error", "floor", "kkt", "stationarity", "complementarity", "condition"):
            assert getattr(got, name) == pytest.approx(getattr(base, name), rel=1e-8, abs=1e-12), (
                name
            )


def test_order_does_not_matter():
    A, S, X = planted()
    S = S * 1.01
    rng = np.random.default_rng(7)
    rows, topics, points = rng.permutation(12), rng.permutation(3), rng.permutation(40)
    a, b = (
        certify(A, S, X).layers[0],
        certify(A[rows][:, topics], S[topics][:, points], X[rows][:, points]).layers[0],
    )
    assert all(
        getattr(a, n) == pytest.approx(getattr(b, n), abs=1e-13)
        for n in ("error", "floor", "kkt", "stationarity", "condition")
    )


@pytest.mark.parametrize(
    "kind", [sp.csr_array, sp.csc_matrix, lambda X: X.tolist(), np.asfortranarray]
)
def test_kinds_of_data(kind):
    A, S, X = planted()
    S = S * 1.01
    a, b = certify(A, S, X).layers[0], certify(A, S, kind(X)).layers[0]
    assert (
        a.kkt == pytest.approx(b.kkt)
        and a.stationarity == pytest.approx(b.stationarity)
        and a.error == pytest.approx(b.error)
    )


def test_float32_factors_are_judged_in_float64():
    A, S, X = planted()
    got = certify(A.astype(np.float32), S.astype(np.float32), X.astype(np.float32))
    assert got.color == "green" and 1e-9 < got.layers[0].kkt


def test_blocks_of_columns_do_not_matter(monkeypatch):
    A, S, X = planted()
    whole = certify(A, S * 1.01, X).layers[0]
    monkeypatch.setattr("nnmf_nb.core._data._BLOCK", 50)
    parts = certify(A, S * 1.01, X).layers[0]
    assert parts.kkt == pytest.approx(whole.kkt) and parts.stationarity == pytest.approx(
        whole.stationarity
    )


def test_what_the_mask_hides_counts_nothing():
    A, S, X = planted()
    known = np.random.default_rng(8).random(X.shape) < 0.8
    known[:, 0] = False  # a data point of which nothing is known
    holes = np.where(known, X, np.nan)
    got = certify(A, np.where(np.arange(40) == 0, 0.0, S), holes, mask=known)
    assert got.color == "green" and np.isnan(got.layers[0].floor) and "unknown" in repr(got)
    a, b = (
        certify(A, S * 1.01, np.where(known, X, hidden), mask=known).layers[0]
        for hidden in (np.nan, -7.0)
    )
    assert a.kkt == b.kkt and a.error == b.error and a.stationarity == b.stationarity


def test_weights_are_those_of_the_error():
    rng = np.random.default_rng(9)
    A, X, W = rng.random((6, 2)), rng.random((6, 8)), rng.random((6, 8)) + 0.1
    S = nnls(A, X, weights=W)
    got = certify(A, S, X, weights=W).layers[0]
    assert got.kkt < 1e-12 and got.error == pytest.approx(
        np.sqrt((W * (X - A @ S) ** 2).sum() / (W * X**2).sum())
    )
    assert certify(A, S, X).layers[0].kkt > 1e-3


def test_arguments_stay_as_they_are():
    A, S, X = planted()
    copies = [F.copy() for F in (A, S, X)]
    for F in (A, S, X):
        F.flags.writeable = False
    certify(A, S, X)
    assert all((a == b).all() for a, b in zip((A, S, X), copies))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda A, S, X: (A, S, X.T), "Then transpose"),
        (lambda A, S, X: (A, S[:2], X), "one row per column"),
        (lambda A, S, X: (A, [S, S], X), "one matrix per layer"),
        (lambda A, S, X: (A, S, np.where(X > 0, np.nan, X)), "NaN"),
        (lambda A, S, X: (A[:, 0], S, X), "non-empty matrix"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        certify(*change(*planted()))


def test_text_is_no_matrix():
    A, S, X = planted()
    with pytest.raises(TypeError, match="real numbers"):
        certify(A.astype(str), S, X)


def test_html_says_it_in_words_and_is_safe():
    A, S, X = planted()
    page = certify(A, S * 1.5, X)._repr_html_()
    assert (
        page.startswith("<table>")
        and "RED" in page
        and "✗" in page
        and "||X||" not in page.replace("||S_(l-1)", "")
    )


# --- chains ---------------------------------------------------------------------------------------


def chain(seed=0, ranks=(5, 3), N=9, M=20):
    rng = np.random.default_rng(seed)
    X = as_data(rng.random((N, M)))
    A = [
        unit_columns(rng.random(shape) * (rng.random(shape) < 0.8) + 0.01)
        for shape in zip((N, *ranks), ranks)
    ]
    return X, A


def test_a_chain_is_judged_layer_by_layer():
    X, A = chain()
    S = [s * X.scale for s in propagate(X, A).S]
    got = certify(A, S, X.X)
    assert [layer.rank for layer in got.layers] == [5, 3] and all(
        layer.kkt < 1e-12 for layer in got.layers
    )
    assert got.layers[1].error == pytest.approx(
        np.linalg.norm(X.X - A[0] @ A[1] @ S[1]) / np.linalg.norm(X.X)
    )
    upper = certify(A[1], S[1], S[0]).layers[0]
    assert got.layers[1].stationarity == pytest.approx(
        upper.stationarity
    ) and "layer 1: A is not stationary" in words(got)
    stale = certify(A, [S[0], S[1] * 1.2], X.X)
    assert (
        stale.layers[0].kkt < 1e-12
        and "layer 1: S is not the best" in words(stale)
        and "layer 0: S" not in words(stale)
    )


def test_one_S_for_a_chain_belongs_to_the_product():
    X, A = chain()
    S = nnls(A[0] @ A[1], X.X)
    got = certify(A, S, X.X)
    assert len(got.layers) == 1 and got.layers[0].kkt < 1e-12


def test_nan_below_makes_what_is_above_unknown():
    X, A = chain()
    S = [s * X.scale for s in propagate(X, A).S]
    A[0][0, 0] = np.nan
    assert [layer.finite for layer in certify(A, S, X.X).layers] == [False, False]


@pytest.mark.parametrize("cost", ["every", "last", "energy"])
@pytest.mark.parametrize("masked", [False, True])
def test_chain_gradient_against_backpropagation_and_differences(cost, masked):
    X, A = chain(3, (4, 3, 2))
    if masked:
        X = as_data(X.X, mask=np.random.default_rng(1).random(X.shape) < 0.8)
    fwd, objective = propagate(X, A), on_unit_columns(ChainObjective(X, resolve_cost(cost)))
    got = chain_gradient(X, A, list(fwd.S), cost)
    for mine, theirs in zip(got, objective(A)[1]):
        np.testing.assert_allclose(mine, theirs, atol=1e-9)
    rng = np.random.default_rng(2)
    for l in range(3):
        d = rng.standard_normal(A[l].shape)
        up, down = ([*A[:l], A[l] + t * d, *A[l + 1 :]] for t in (1e-6, -1e-6))
        numeric = (objective(up)[0] - objective(down)[0]) / 2e-6
        assert (got[l] * d).sum() == pytest.approx(numeric, rel=1e-5, abs=1e-8)


# --- products instead of the residual -------------------------------------------------------------


def dense_numbers(A, S, X, W=None):
    """What `of_layer` computes, from the dense residual in float64, written out."""
    length = np.linalg.norm(A, axis=0)
    unit, s, W = A / length, S * length[:, None], np.ones(X.shape) if W is None else W.astype(float)
    R, total = W * (X - A @ S), (W * X**2).sum()
    g, size = -unit.T @ R, np.sqrt((W * X**2).sum(axis=0))
    seen = np.sqrt(W.T @ unit**2).T  # the length of a column for each data point
    G = -2 * R @ s.T / total
    return {
        "error": np.sqrt((R * (X - A @ S)).sum() / total),
        "kkt": (np.abs(np.minimum(s * seen, g / seen)) / size).max(),
        "complementarity": (np.abs(s * g).sum(axis=0) / size**2).max(),
        "stationarity": np.linalg.norm(np.where(unit > 0, G, np.minimum(G, 0))),
        "condition": np.linalg.cond(unit),
    }


KINDS = {
    "dense": lambda X: X,
    "Fortran": np.asfortranarray,
    "csr": sp.csr_array,
    "csc": sp.csc_array,
    "float32": lambda X: X.astype(np.float32),
    "sparse float32": lambda X: sp.csr_array(X.astype(np.float32)),
}


@pytest.mark.parametrize("off", [1.0, 1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize("kind", KINDS)
def test_products_give_what_the_dense_residual_gives(kind, off):
    rng = np.random.default_rng(11)
    A, S = (
        rng.random((30, 4)) * (rng.random((30, 4)) < 0.6) + 0.01,
        rng.random((4, 50)) * (rng.random((4, 50)) < 0.7),
    )
    X = (A @ S + 0.01) * np.exp(off * rng.standard_normal((30, 50)))
    X = X.astype(np.float32).astype(float)  # the same numbers in both precisions
    got, expected = certify(A, S, KINDS[kind](X)).layers[0], dense_numbers(A, S, X)
    for name, value in expected.items():
        assert getattr(got, name) == pytest.approx(value, rel=1e-8, abs=1e-13), name


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_with_weights_give_what_the_dense_residual_gives(dtype):
    rng = np.random.default_rng(12)
    A, S, X = rng.random((9, 3)), rng.random((3, 20)), rng.random((9, 20)).astype(dtype)
    W = (rng.random((9, 20)) * (rng.random((9, 20)) < 0.8)).astype(dtype)
    got, expected = certify(A, S, X, weights=W).layers[0], dense_numbers(A, S, X.astype(float), W)
    for name, value in expected.items():
        assert getattr(got, name) == pytest.approx(
            value, rel=1e-8 if dtype is np.float64 else 1e-6
        ), name


@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_small_errors_do_not_drown_in_rounding(kind, size):
    A, S, _ = planted()
    X = A @ S
    X = X + size * np.random.default_rng(13).random(X.shape) * X
    expected = np.linalg.norm(X - A @ S) / np.linalg.norm(X)
    assert certify(A, S, KINDS[kind](X)).layers[0].error == pytest.approx(
        expected, rel=1e-6, abs=1e-15
    )


def test_a_sparse_residual_is_not_formed(monkeypatch):
    """The residual is written out for an almost perfect fit only."""
    A, _, X = planted()
    written = []
    real = certificates.residual2
    monkeypatch.setattr(
        certificates,
        "residual2",
        lambda *args, **kwargs: written.append(1) or real(*args, **kwargs),
    )
    noisy = X + 0.1 * np.random.default_rng(14).random(X.shape)
    certify(A, nnls(A, noisy), sp.csr_array(noisy))
    assert not written
    certify(A, nnls(A, X), sp.csr_array(X))
    assert written


@pytest.mark.parametrize("masked", [False, True])
def test_adjoints_of_dependent_columns_are_those_of_the_generalized_inverse(masked):
    rng = np.random.default_rng(15)
    A, S, G = (
        rng.random((8, 4)),
        rng.random((4, 30)) * (rng.random((4, 30)) < 0.6),
        rng.standard_normal((4, 30)),
    )
    A[:, 2] = A[:, 1]
    W = (rng.random((8, 30)) < 0.7).astype(float) if masked else np.ones((8, 30))
    X = as_data(rng.random((8, 30)), **({"weights": W} if masked else {}))
    Z = on_supports(X, A, S, G)
    for j in range(30):
        P = S[:, j] > 0
        expected = np.zeros(4)
        expected[P] = np.linalg.pinv(A[:, P].T @ np.diag(W[:, j]) @ A[:, P], rcond=1e-10) @ G[P, j]
        np.testing.assert_allclose(
            Z[:, j], expected, atol=1e-6 * np.abs(expected).max(initial=1e-3), err_msg=str(j)
        )


# --- far from the floor ---------------------------------------------------------------------------


def test_a_poor_local_minimum_is_amber():
    """Both fits of the swimmer have converged with every S exact; one of them is perfect, and the
    other one is not.
    """
    X = datasets.swimmer().X
    fits = sorted(
        (
            NMF(16, solver="hals", init="random", random_state=seed, max_iter=1000).fit(X)
            for seed in range(6)
        ),
        key=lambda m: m.layers_[0].error,
    )
    good, poor = fits[0], fits[-1]
    assert poor.converged_ and poor.layers_[0].error > 0.1 and verify(good, X).color == "green"
    got = verify(poor, X)
    assert (
        got.color == "amber"
        and got.reasons[0].startswith("layer 0: far from the floor")
        and len(got.reasons) == 1
    )


def layer(error, floor, **change):
    return LayerCertificate(
        2, **{**dict(error=error, floor=floor, kkt=0.0, stationarity=0.0, lowest=0.0), **change}
    )


@pytest.mark.parametrize(
    "error, floor, amber",
    [
        (0.3, 0.2, False),
        (0.36, 0.2, True),
        (0.04, 0.0, False),
        (0.06, 0.0, True),
        (0.97, 0.9, False),
        (0.5, np.nan, False),
    ],
)
def test_the_limit_of_the_gap(error, floor, amber):
    got = Certificate((layer(error, floor),), Criteria())
    assert (
        got.color == ("amber" if amber else "green")
        and ("far from the floor" in words(got)) == amber
    )


def test_a_gap_is_no_local_minimum_while_something_else_is_wrong():
    assert "far from" not in words(Certificate((layer(0.5, 0.1, kkt=0.1),), Criteria()))
    assert "far from" not in words(Certificate((layer(0.5, 0.1, stationarity=0.1),), Criteria()))


def test_a_gap_counts_only_at_depths_that_were_minimized():
    pair = (layer(0.5, 0.0), layer(0.5, 0.0))
    assert [word[:7] for word in Certificate(pair, Criteria()).reasons] == ["layer 0", "layer 1"]
    assert [word[:7] for word in Certificate(pair, Criteria(judged_depths=(-1,))).reasons] == [
        "layer 1"
    ]
    assert Certificate(pair, Criteria(judged_depths=())).color == "green"


@pytest.mark.parametrize(
    "model",
    [
        NMF(3, alpha_W=0.3, random_state=0),
        GuidedNMF(3, seeds=[[0, 1]], random_state=0),
        NeuralNMF((4, 2), cost="energy", random_state=0),
    ],
    ids=repr,
)
def test_a_gap_is_not_held_against_other_aims(model, X):
    assert verify(fitted(model, X), X).criteria.judged_depths == ()


def test_every_display_says_what_is_not_said():
    A, S, X = planted()
    got = certify(A, S, X)
    assert (
        "no other start is better" in repr(got) and "no other start is better" in got._repr_html_()
    )
    assert all(
        word in repr(got)
        for word in (
            "dead",
            "duplicates",
            "ambiguous points",
            "condition",
            "zeros",
            "complementarity",
            "gap",
        )
    )


# --- models ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.gamma(0.5, 1.0, (40, 4)) @ rng.gamma(0.5, 1.0, (4, 12)) + 0.05 * rng.random((40, 12))


def fitted(model, *data, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **kwargs)


GREEN = [
    NMF(3, random_state=0, max_iter=3000),
    NMF(3, solver="anls", random_state=0, max_iter=3000),
    NMF(3, alpha_W=0.01, l1_ratio=0.5, random_state=0, max_iter=5000, tol=1e-5),
    NMF(3, alpha_W=0.01, alpha_H=0.02, l1_ratio=1.0, random_state=0, max_iter=5000, tol=1e-5),
    HierarchicalNMF((4, 2), random_state=0, max_iter=3000),
    NeuralNMF((4, 2), random_state=0, max_iter=3000),
    NeuralNMF((4, 2), cost="last", random_state=0, max_iter=3000),
    NeuralNMF((4, 2), cost="energy", random_state=0, max_iter=3000),
]


@pytest.mark.parametrize("model", GREEN, ids=repr)
def test_converged_models_are_green(model, X):
    got = verify(fitted(model, X), X)
    assert got.color == "green", got
    assert all(
        a.error == pytest.approx(b.error, abs=1e-7) for a, b in zip(got.layers, model.layers_)
    )


@pytest.mark.parametrize(
    "model",
    [
        NMF(3, max_iter=1, random_state=0),
        NeuralNMF((4, 2), init="sequential", max_iter=1, random_state=0),
    ],
    ids=repr,
)
def test_an_unfinished_model_is_not_green(model, X):
    assert "not stationary" in words(verify(fitted(model, X), X))


def test_penalties_are_part_of_what_is_judged(X):
    model = fitted(NMF(3, alpha_W=0.05, l1_ratio=0.5, random_state=0, max_iter=5000, tol=1e-5), X)
    plain = certify(model.layers_[0].A, model.layers_[0].S, X.T)
    assert verify(model, X).color == "green" and plain.color != "green"


def test_fixed_components_need_not_be_stationary(X):
    model = fitted(NMF(3, fixed=np.eye(12)[:1], random_state=0, max_iter=5000), X)
    assert verify(model, X).color == "green"
    assert "not stationary" in words(certify(model.layers_[0].A, model.layers_[0].S, X.T))


def test_a_masked_model_needs_its_mask(X):
    known = np.random.default_rng(1).random(X.shape) < 0.8
    model = fitted(HierarchicalNMF((4, 2), random_state=0, max_iter=3000), X, mask=known)
    assert verify(model, np.where(known, X, np.nan), mask=known).color == "green"
    assert verify(model, X).color == "red"


@pytest.mark.parametrize(
    "model, judged_S, open_words",
    [
        (GuidedNMF(3, seeds=[[0, 1]], random_state=0), True, "includes the seeds"),
        (DeepNMF((4, 2), random_state=0), True, "coefficients that it does not keep"),
        (DeepSemiNMF((4, 2), random_state=0), True, "ridge"),
        (UnfoldedNMF(3, max_iter=20), False, "output of a network, and minimize nothing"),
        (SparseCodingNetwork((4, 2), random_state=0), True, "ends by its cost"),
        (
            NeuralNMF(
                (4, 2),
                cost=lambda X, A, S, Y: (0.0, [0 * a for a in A], [0 * s for s in S]),
                random_state=0,
            ),
            True,
            "function of yours",
        ),
    ],
    ids=lambda v: type(v).__name__ if hasattr(v, "fit") else "",
)
def test_what_cannot_be_judged_is_said(model, judged_S, open_words, X):
    got = verify(fitted(model, X), X)
    assert (
        got.color == ("amber" if got.criteria.unfinished else "gray")
        and open_words in words(got)
        and got.criteria.judges_S == judged_S
    ), got
    if judged_S:
        assert max(layer.kkt for layer in got.layers) < 1e-10
    assert "(" in repr(got).splitlines()[-3]  # numbers that are not judged stand in parentheses


LABELS = np.where(np.arange(40) % 4, np.arange(40) % 3, -1)


@pytest.mark.parametrize("kind", [HierarchicalNMF, NeuralNMF, SSNMF])
def test_labels_make_A_a_compromise(kind, X):
    model = fitted(kind(3 if kind is SSNMF else (4, 2), random_state=0, max_iter=3000), X, LABELS)
    got = verify(model, X)
    assert (
        got.color in ("gray", "amber")
        and "gray" in [color for _, color, _ in got.verdicts]
        and "cost includes the labels" in words(got)
        and max(layer.kkt for layer in got.layers) < 1e-10
    )
    assert verify(fitted(model, X), X).color == "green"


class PearsonDistance(Loss):
    """(x - v)^2 / v, a loss of a user."""

    beta = 1.0

    def of_entries(self, x, v):
        v = np.maximum(v, 1e-100)
        return (x - v) ** 2 / v

    def parts_in_block(self, x, V):
        return (x / V) ** 2, np.ones_like(V)

    def curvature(self, x, V):
        return 2 * (x / V) ** 2 / V

    def exponent(self, l2=0.0):
        return 1 / 3 if l2 else 1 / 2


@pytest.mark.parametrize(
    "beta",
    ["kullback-leibler", 1.5, "itakura-saito", pytest.param(PearsonDistance(), id="of a user")],
)
@pytest.mark.parametrize("given", [{}, dict(alpha_W=0.01, l1_ratio=0.3)], ids=["plain", "penalty"])
def test_other_losses_are_judged_by_their_own(beta, given, X):
    model = fitted(NMF(3, beta_loss=beta, random_state=0, **given), X)
    got = verify(model, X)
    assert got.color == "green" and got.criteria.loss == loss_of(beta), got
    assert got.layers[0].kkt < 1e-7
    assert verify(model, X[:, ::-1]).color == "red"
    if beta == "kullback-leibler":
        assert 0 < model.divergence_floor_ <= model.reconstruction_err_**2 / 2


def test_ssnmf_with_another_loss_is_judged_by_it(X):
    model = fitted(SSNMF(3, beta_loss="kullback-leibler", max_iter=5000, random_state=0), X)
    assert verify(model, X).color == "green"


def test_codes_are_judged_with_their_penalties(X):
    model = fitted(SparseCodingNetwork((4, 2), l1=0.3, l2=0.1, random_state=0), X)
    assert verify(model, X).layers[0].kkt < 1e-10
    assert certify(model.dictionaries_[0], model.transform(X, layer=0).T, X.T).layers[0].kkt > 1e-3


def test_signed_factors_are_allowed_where_they_are_meant(X):
    signed = X - 1.0
    model = fitted(DeepSemiNMF((4, 2), random_state=0), signed)
    assert (model.layers_[0].Z < 0).any() and "negative" not in words(verify(model, signed))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_models_in_both_precisions(dtype, X):
    got = verify(
        fitted(HierarchicalNMF((4, 2), random_state=0, max_iter=3000), X.astype(dtype)),
        X.astype(dtype),
    )
    assert got.color == "green", got


def test_scikit_learns_nmf(X):
    model = TheirNMF(3, init="nndsvda", max_iter=5000, tol=1e-8).fit(X)
    got = verify(model, X)
    assert got.color in ("green", "amber") and got.layers[0].error == pytest.approx(
        model.reconstruction_err_ / np.linalg.norm(X), rel=1e-4
    )
    W = model.fit_transform(X)
    assert certify(model.components_.T, W.T, X.T).layers[0].error == pytest.approx(
        got.layers[0].error, rel=1e-4
    )


def test_a_tampered_model_is_caught(X):
    model = fitted(NMF(3, random_state=0, max_iter=3000), X)
    assert verify(model, X).color == "green"
    # the numbers that the model stored about itself still look good
    model.layers_[0].S[:] = model.layers_[0].S[:, ::-1]
    assert model.layers_[0].kkt < 1e-10 and verify(model, X).color == "red"


def test_verify_wants_the_training_data_and_a_fit(X):
    model = fitted(NMF(3, random_state=0), X)
    with pytest.raises(
        ValueError, match="must be the training data, 40 samples x 12 features; got 39 x 12"
    ):
        verify(model, X[1:])
    with pytest.raises(TypeError, match="fit it first"):
        verify(NMF(3), X)


def test_a_subclass_is_read_as_its_parent(X):
    class Mine(NMF):
        pass

    assert verify(fitted(Mine(3, random_state=0, max_iter=3000), X), X).color == "green"


# --- the display ----------------------------------------------------------------------------------

CHAIN = (layer(0.2, 0.2), layer(0.4, 0.3, kkt=0.3, dead=(1,)), layer(0.5, 0.5, kkt=1e-3))


def test_one_line_per_reason_layer_by_layer():
    got = Certificate(CHAIN, Criteria(open="the cost is <yours>"))
    assert [(where, color) for where, color, _ in got.verdicts] == [
        ("layer 0", "green"),
        ("layer 1", "red"),
        ("layer 1", "amber"),
        ("layer 2", "amber"),
        ("model", "gray"),
    ]
    lines = repr(got).splitlines()
    assert lines[0] == "✗ RED" and len(lines) == 1 + 5 + 4 + 2
    assert [line.split()[:2] for line in (lines[1], lines[2], lines[4])] == [
        ["layer", "0"],
        ["layer", "1"],
        ["layer", "2"],
    ]
    assert lines[1].endswith("nonnegative, S exact, A stationary, no dead or duplicate topics")
    assert lines[3].split() == ["!", "amber", "dead", "topics", "[1]"]
    assert lines[5].startswith("model ") and lines[5].endswith("the cost is <yours>")
    assert (
        [words for _, words in got.faults] == [*got.reasons]
        and len(got.reasons) == 4
        and got.reasons[0].startswith("layer 1: S is not")
    )


def test_the_page_has_a_row_per_reason_and_a_column_per_layer():
    got = Certificate(CHAIN, Criteria(open="the cost is <yours>"))
    page = ElementTree.fromstring(
        f"<div>{got._repr_html_().replace('&nbsp;', ' ').replace('<br>', '<br/>')}</div>"
    )
    reasons, numbers = page.iter("table")
    assert [[*row.itertext()][-1] for row in reasons.iter("tr")] == [
        words for _, _, words in got.verdicts
    ]
    assert "".join(reasons.find("caption").itertext()) == "✗ RED"
    assert [len(row) for row in numbers.iter("tr")] == [4] * 13 and page.find("details").get(
        "open"
    ) is None


def test_a_layer_without_fault_claims_what_was_judged():
    assert (
        fulfilled(Criteria(judges_S=False, judges_A=False, signed=True))
        == "S nonnegative, no dead or duplicate topics"
    )
    assert "A stationary" not in " ".join(
        verdict[2]
        for verdict in Certificate(CHAIN[:1], Criteria(judges_A=False, open="x")).verdicts
    )


def luminance(ink):
    parts = np.array([int(ink[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


@pytest.mark.parametrize("ink", certificates.INKS.values())
def test_signs_can_be_seen_on_light_and_dark_paper(ink):
    bright = luminance(ink)
    # WCAG: graphics need 3 : 1
    assert 1.05 / (bright + 0.05) >= 3 and (bright + 0.05) / (luminance("#111111") + 0.05) >= 3


# --- certificate_ ---------------------------------------------------------------------------------

EVERY = [*zoo.ZOO, "NonlinearSemiNMF"]
GIVEN = {
    "dense": lambda X: (X, {}),
    "Fortran": lambda X: (np.asfortranarray(X), {}),
    "float32": lambda X: (X.astype(np.float32), {}),
    "csr": lambda X: (sp.csr_array(X), {}),
    "csc matrix": lambda X: (sp.csc_matrix(X), {}),
    "frame": lambda X: (pd.DataFrame(X), {}),
}
HIDDEN = {
    "mask": lambda X, known: (np.where(known, X, np.nan), {"mask": known}),
    "weights": lambda X, known: (X, {"weights": known * 2.0 + 1.0}),
    "mask as frame": lambda X, known: (X, {"mask": pd.DataFrame(known)}),
}


def trained(name, X, extra=None, **change):
    if name == "NonlinearSemiNMF":
        return fitted(
            NonlinearSemiNMF(ranks=(3, 2), random_state=0, max_iter=15).set_params(**change), X
        )
    return zoo.fit(name, X, extra=extra, **change)


def equal(one, other):
    # NaN equals NaN
    if not hasattr(one, "layers"):
        for field in dataclasses.fields(one):
            values = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-9, err_msg=field.name)
        return True
    np.testing.assert_equal(
        [vars(layer) for layer in one.layers], [vars(layer) for layer in other.layers]
    )
    return one.criteria == other.criteria


def no_certificate(model, match):
    assert not hasattr(model, "certificate_")
    with pytest.raises(AttributeError, match=rf"(?s){match}.*verify\(model, X\)"):
        model.certificate_  # noqa: B018


@pytest.fixture
def asked(monkeypatch):
    """How often a certificate was computed for a model."""
    calls = []
    monkeypatch.setattr(
        estimators, "verify", lambda *given, **more: calls.append(1) or verify(*given, **more)
    )
    return calls


def test_every_public_estimator_has_one():
    found = {
        name
        for name in nnmf_nb.__all__
        if isinstance(getattr(nnmf_nb, name), type)
        and issubclass(getattr(nnmf_nb, name), BaseEstimator)
    } - {*zoo.TENSORS, *zoo.SEARCHES}  # of tensors: below
    assert found == {name.split("-")[0] for name in EVERY}
    assert all(
        getattr(nnmf_nb, name).certificate_ is estimators.FactorizationEstimator.certificate_
        for name in found
    ), "one implementation"


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize("name", [*EVERY, *zoo.TENSOR_ZOO])
def test_certificate_is_that_of_verify(name, kind):
    X, extra = GIVEN[kind](zoo.planted(20, 10))
    model = trained(name, X, extra)
    assert equal(model.certificate_, verify(model, X)) and model.certificate_ is model.certificate_


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize("name", zoo.MASKED)
def test_certificate_knows_mask_and_weights(name, kind):
    X = zoo.planted(20, 10)
    X, extra = HIDDEN[kind](X, np.random.default_rng(1).random(X.shape) < 0.8)
    model = trained(name, X, extra)
    assert equal(model.certificate_, verify(model, X, **extra)) and not np.isnan(
        model.certificate_.layers[0].error
    )


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", ["mask", "mask as frame"])
@pytest.mark.parametrize("name", zoo.TENSOR_ZOO)
def test_certificate_of_a_tensor_knows_its_mask_and_stays_with_the_model(name, kind, tmp_path):
    """It is computed in the fit, so copies and files have it."""
    X = zoo.planted(20, 10)
    X, extra = HIDDEN[kind](X, np.random.default_rng(1).random(X.shape) < 0.8)
    model = trained(name, X, extra)
    save(model, tmp_path / "m")
    for other in (model, pickle.loads(pickle.dumps(model)), load(tmp_path / "m")):
        assert equal(other.certificate_, verify(model, X, **extra))
        assert equal(verify(other, X, **extra), verify(model, X, **extra))
        assert other.criteria_ == model.criteria_
    assert not hasattr(clone(model), "certificate_")


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_computed_before_somebody_asks(name, asked):
    X = zoo.planted()
    model = trained(name, X)
    model.transform(X)
    repr(model), model._repr_mimebundle_(), make_pipeline(model)._repr_html_()
    assert not asked
    first = model.certificate_
    assert model.certificate_ is first and len(asked) == 1


@pytest.mark.parametrize("name", zoo.one_of_each(EVERY))
def test_a_model_keeps_no_data_alive(name):
    X = zoo.planted()
    seen, model = weakref.ref(X), trained(name, X)
    del X
    gc.collect()
    assert seen() is None
    no_certificate(model, "X of its fit is gone")


@pytest.mark.parametrize("gone", ["mask", "weights"])
def test_a_mask_or_weights_can_be_gone_alone(gone):
    X = zoo.planted()
    model = trained("NMF", X, {gone: np.ones(X.shape)})
    gc.collect()
    no_certificate(model, f"{gone} of its fit is gone")


def test_a_certificate_outlives_the_data():
    X = zoo.planted()
    model = trained("NMF", X)
    kept = model.certificate_
    del X
    gc.collect()
    assert model.certificate_ is kept


def test_data_of_a_list_are_not_remembered():
    X = zoo.planted()
    no_certificate(trained("NMF", X.tolist()), "X of its fit was a list")
    no_certificate(
        trained("NMF", X, {"mask": np.ones(X.shape, dtype=bool).tolist()}),
        "mask of its fit was a list",
    )


def test_unfitted_is_not_fitted():
    for name in zoo.ZOO:
        assert not hasattr(zoo.new(name), "certificate_")
        with pytest.raises(NotFittedError, match="not fitted yet"):
            zoo.new(name).certificate_  # noqa: B018


@pytest.mark.each_value_once
@pytest.mark.parametrize("ask", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_copies_and_files_hold_neither_data_nor_certificate(name, ask, tmp_path):
    X = zoo.planted()
    model = trained(name, X)
    before = pickle.dumps(model)
    if ask:
        assert model.certificate_.layers
    assert pickle.dumps(model) == before
    save(model, tmp_path / "m")
    for other in (
        pickle.loads(before),
        copy.deepcopy(model),
        copy.copy(model),
        load(tmp_path / "m"),
    ):
        no_certificate(other, "loaded, copied, or cut off")
        assert equal(verify(other, X), model.certificate_)
    assert not hasattr(clone(model), "certificate_") and not hasattr(clone(model), "layers_")


def test_a_refit_drops_the_old_one(asked):
    X, other = zoo.planted(seed=1), zoo.planted(seed=2)
    model = trained("HierarchicalNMF", X)
    old = model.certificate_
    fitted(model, other)
    assert (
        len(asked) == 1
        and equal(model.certificate_, verify(model, other))
        and model.certificate_ is not old
    )
    with pytest.raises(ValueError):
        model.fit(-X)
    assert equal(model.certificate_, verify(model, other)), "refused data train nothing"


def test_a_fit_that_fails_leaves_no_certificate():
    class Fails:
        setup = teardown = on_fit_task_begin = lambda self, *given, **more: None

        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("cut")

    X = zoo.planted()
    model = trained("NeuralNMF", X)
    assert model.certificate_
    with pytest.raises(RuntimeError, match="cut"):
        model.set_callbacks(Fails()).fit(X)
    no_certificate(model, "cut off")


@pytest.mark.parametrize("name", EVERY)
def test_data_that_changed_are_judged_as_they_are_now(name):
    X = zoo.planted()
    model = trained(name, X)
    X[:] = X[::-1, ::-1] ** 2
    assert model.certificate_.color in ("amber", "red")
    # these keep no codes, and make them from the data as they are
    makes_codes = name == "SparseCodingNetwork" or name.startswith("MiniBatch")
    if model.certificate_.criteria.judges_S and not makes_codes:
        assert model.certificate_.color == "red" and "S is not the best" in words(
            model.certificate_
        )


def test_data_that_became_bad_are_named():
    X = zoo.planted()
    model = trained("NMF", X)
    X[3, 4] = np.nan
    no_certificate(model, r"NaN")


def test_output_in_frames_changes_nothing():
    X = zoo.planted()
    for name in ("SparseCodingNetwork", "UnfoldedNMF"):
        plain, framed = trained(name, X), zoo.new(name, max_iter=40).set_output(transform="pandas")
        fitted(framed, X, *([zoo.labels(len(X))] if zoo.ZOO[name][2] else []))
        assert equal(plain.certificate_, framed.certificate_)


def test_inside_a_search_and_a_pipeline():
    X = zoo.planted(20, 10)
    search = fitted(GridSearchCV(zoo.new("NMF"), {"n_components": [2, 3]}, cv=2), X)
    assert equal(search.best_estimator_.certificate_, verify(search.best_estimator_, X))
    pipe = fitted(make_pipeline(MaxAbsScaler(), zoo.new("NMF")), X)
    no_certificate(pipe[-1], "X of its fit is gone")
    assert verify(pipe[-1], pipe[:-1].transform(X)).layers


@pytest.mark.parametrize("name", zoo.one_of_each(zoo.EVERY))
def test_histories_have_one_vocabulary(name):
    """A model keeps the keys of the others for the same things, one number per iteration."""
    history = zoo.fit(name, zoo.planted(14, 9, seed=1), max_iter=3).history_
    assert set(history) <= {"objective", "stationarity", "errors", "pretraining", "changes"}
    assert ("objective" in history) == (not name.startswith("HierarchicalNMF"))
    assert np.isfinite(history.get("objective", [0.0])).all()
