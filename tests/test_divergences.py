"""Beta-divergences: values and updates against scikit-learn, gradients against differences, steps
that never raise the objective.
"""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import _nmf
from sklearn.exceptions import ConvergenceWarning

import nnmf_nb.solvers.divergences as divergences
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import DataMatrix, as_data, transposed
from nnmf_nb.layer._nnls import nnls
from nnmf_nb.solvers import _loss
from nnmf_nb.solvers._loss import loss_of
from nnmf_nb.solvers.divergences import (
    beta_of,
    coefficients,
    divergence,
    entry_divergence,
    kkt_of_ratios,
    mu,
    mu_step,
    points_of,
    ratios,
)

BETAS = (-1, 0, 0.5, 1, 1.5, 2, 3)
KINDS = ("dense", "sparse", "weighted", "masked")


@pytest.fixture(params=["compiled", "portable"])
def engine(request, monkeypatch):
    if request.param == "portable":
        monkeypatch.setattr(_loss, "compiled", lambda x: False)


def matrix(kind="dense", seed=0, N=12, M=15):
    rng = np.random.default_rng(seed)
    X = rng.random((N, 3)) @ rng.random((3, M)) + 0.2 * rng.random((N, M)) + 0.05
    return np.where(rng.random(X.shape) < 0.5, X, 0) if kind == "sparse" else X


def data(kind="dense", **shape):
    rng, X = np.random.default_rng(7), matrix(kind, **shape)
    if kind == "sparse":
        return as_data(sp.csr_array(X))
    if kind == "weighted":
        return as_data(X, weights=rng.random(X.shape) * (rng.random(X.shape) < 0.8))
    if kind == "masked":
        return as_data(np.where(known := rng.random(X.shape) < 0.8, X, np.nan), mask=known)
    return as_data(X)


def start(X, k=4, seed=1):
    rng = np.random.default_rng(seed)
    return rng.random((X.shape[0], k)) + 0.05, rng.random((k, X.shape[1])) + 0.05


def combinations():
    """Every divergence on every kind of data that it accepts."""
    return [(beta, kind) for beta in BETAS for kind in KINDS if beta > 0 or kind != "sparse"]


def never_rises(values, slack=1e-11):
    return all(b <= a + slack * abs(values[0]) + 1e-14 for a, b in zip(values, values[1:]))


# --- the dial and the data ------------------------------------------------------------------------


def test_names_of_losses():
    assert [
        beta_of(b) for b in ("frobenius", "kullback-leibler", "itakura-saito", 3, np.float32(0.5))
    ] == [2, 1, 0, 3, 0.5]


@pytest.mark.parametrize("loss", ["hinge", None, np.nan, np.inf, True, [1]])
def test_bad_loss(loss):
    with pytest.raises(ValueError, match="beta_loss must be one of"):
        beta_of(loss)


@pytest.mark.parametrize(
    "call",
    [
        lambda X: divergence(X, *start(X), 0),
        lambda X: mu(X, *start(X), "itakura-saito"),
        lambda X: coefficients(X, start(X)[0], -1),
    ],
)
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_zeros_need_beta_above_zero(call, form):
    X = matrix()
    X[3, 5] = X[4, 2] = 0
    hint = "mask them out" if form is np.asarray else "or add"
    words = rf"2 zeros, the first at data point 5, feature 3.*beta_loss > 0, {hint}"
    with pytest.raises(ValueError, match=words):
        call(as_data(form(X)))


def test_masked_zeros_are_no_zeros():
    X = matrix()
    X[3, 5] = 0
    X = as_data(X, mask=X > 0)
    assert (
        np.isfinite(divergence(X, *start(X), 0))
        and np.isfinite(coefficients(X, start(X)[0], 0)).all()
    )


def test_negative_data_are_refused():
    X = matrix()
    X[2, 1] = -1
    with pytest.raises(ValueError, match=r"Negative values.*first at \[2, 1\]"):
        mu(as_data(X), *start(X), 1)


@pytest.mark.parametrize(
    "call", [divergence, mu_step, mu, lambda X, A, S, beta: coefficients(X, A, beta)]
)
def test_factors_must_fit(call):
    X = data()
    A, S = start(X)
    with pytest.raises(ValueError, match=r"A must have shape \(N, k\) with N = 12"):
        call(X, A[:-1], S, 1)
    if call in (divergence, mu_step, mu):
        with pytest.raises(ValueError, match="S must have shape"):
            call(X, A, S[:, 1:], 1)


# --- value and gradient ---------------------------------------------------------------------------


@pytest.mark.parametrize("beta", BETAS)
def test_value_is_scikit_learns(beta):
    X = matrix()
    A, S = start(X)
    assert divergence(DataMatrix(X, scale=1.0), A, S, beta) == pytest.approx(
        _nmf._beta_divergence(X, A, S, beta), rel=1e-10
    )


@pytest.mark.parametrize("beta", [0.5, 1, 1.5, 2, 3])
@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array])
def test_sparse_value_is_scikit_learns(beta, form, engine):
    X = matrix("sparse")
    A, S = start(X)
    expected = _nmf._beta_divergence(sp.csr_matrix(X), A, S, beta)
    assert divergence(DataMatrix(form(X), scale=1.0), A, S, beta) == pytest.approx(
        expected, rel=1e-10
    )


@pytest.mark.parametrize("beta", [b for b in BETAS if b > 0])
def test_sparse_is_dense(beta, engine):
    sparse, dense = data("sparse"), as_data(matrix("sparse"))
    A, S = start(dense)
    for a, b in zip(ratios(sparse, A, S, beta), ratios(dense, A, S, beta)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(
        coefficients(sparse, A, beta), coefficients(dense, A, beta), rtol=1e-5, atol=1e-8
    )


def test_sparse_without_second_orientation(monkeypatch):
    # A matrix too large to be kept twice is seen column-compressed from one side.
    expected = mu(data("sparse"), *start(data("sparse")), 1, max_iter=5).objective
    monkeypatch.setattr("nnmf_nb.core._data._BOTH_LIMIT", 0)
    X = data("sparse")
    assert X.columns.matrix.format == "csc"
    assert mu(X, *start(X), 1, max_iter=5).objective == pytest.approx(expected)


def test_blocks_join(monkeypatch):
    X, (A, S) = data("weighted"), start(data())
    expected = divergence(X, A, S, 1.5), ratios(X, A, S, 1.5), coefficients(X, A, 1.5)
    monkeypatch.setattr("nnmf_nb.core._data._BLOCK", 64)
    assert divergence(X, A, S, 1.5) == pytest.approx(expected[0])
    for a, b in zip(ratios(X, A, S, 1.5), expected[1]):
        np.testing.assert_allclose(a, b)
    np.testing.assert_allclose(coefficients(X, A, 1.5), expected[2], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("beta, kind", combinations())
def test_gradient_against_central_differences(beta, kind):
    X, rng, h = data(kind), np.random.default_rng(3), 1e-6
    A, S = start(X)
    for side in (X, A, S), (transposed(X), S.T, A.T):
        Y, B, T = side
        direction = rng.standard_normal(T.shape)
        numerator, denominator = ratios(Y, B, T, beta)
        numeric = (
            divergence(Y, B, T + h * direction, beta) - divergence(Y, B, T - h * direction, beta)
        ) / (2 * h)
        size = np.abs((denominator + numerator) * direction).sum()
        assert abs(numeric - ((denominator - numerator) * direction).sum()) < 1e-7 * size


@pytest.mark.parametrize("beta", [1, 1.25, 1.5, 2])
def test_curvature_against_differences(beta):
    x, v, h = np.full(5, 1.5), np.linspace(0.5, 3, 5), 1e-4
    second = (
        entry_divergence(x, v + h, beta)
        - 2 * entry_divergence(x, v, beta)
        + entry_divergence(x, v - h, beta)
    ) / h**2
    np.testing.assert_allclose(loss_of(beta).curvature(x, v), second, rtol=1e-5)


@pytest.mark.parametrize("beta", BETAS)
def test_perfect_fit_is_zero_and_all_else_positive(beta):
    x = np.linspace(0.1, 3, 7)
    assert np.abs(entry_divergence(x, x, beta)).max() < 1e-15
    assert (
        entry_divergence(x, 1.01 * x, beta).min() > 0
        and entry_divergence(x, 0.99 * x, beta).min() > 0
    )


def test_zero_log_zero():
    zero, v = np.zeros(3), np.array([0.0, 1.0, 2.0])
    np.testing.assert_array_equal(entry_divergence(zero, v, 1), v)
    np.testing.assert_allclose(entry_divergence(zero, v, 0.5), 2 * np.sqrt(v))


# --- multiplicative steps -------------------------------------------------------------------------


@pytest.mark.parametrize("beta, kind", combinations())
def test_hundred_steps_never_rise(beta, kind):
    X = data(kind)
    A, S = start(X)
    A[2, 1] = S[1, 3] = 0  # a zero that may be lifted
    fit = mu(X, A, S, beta, max_iter=100, tol=0.0)
    assert len(fit.objective) == 100 and never_rises([divergence(X, A, S, beta), *fit.objective])
    assert fit.objective[-1] == pytest.approx(divergence(X, fit.A, fit.S, beta), rel=1e-9)
    assert (fit.A >= 0).all() and (fit.S >= 0).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("l1, l2", [(0.5, 0), (0, 0.5), (0.3, 30.0)])
def test_penalized_steps_never_rise(beta, l1, l2):
    # A tiny start is where the exponent without penalties jumps over the valley that l2 makes.
    X = data()
    A, S = start(X)
    fit = mu(X, A, 1e-3 * S, beta, max_iter=60, tol=0.0, l1_S=l1, l2_S=l2, l1_A=l1 / 2, l2_A=l2)
    assert never_rises(fit.objective)
    penalty = (
        l1 * fit.S.sum()
        + l2 / 2 * (fit.S**2).sum()
        + l1 / 2 * fit.A.sum()
        + l2 / 2 * (fit.A**2).sum()
    )
    assert fit.objective[-1] == pytest.approx(divergence(X, fit.A, fit.S, beta) + penalty, rel=1e-9)


@pytest.mark.parametrize("name", ["l1_A", "l2_A", "l1_S", "l2_S"])
def test_every_penalty_shrinks_what_it_names(name):
    X = data()
    plain, shrunk = (mu(X, *start(X), 1, max_iter=50, **{name: weight}) for weight in (1e-12, 5.0))
    factor = name[-1]
    assert getattr(shrunk, factor).sum() < 0.9 * getattr(plain, factor).sum()


def test_plain_exponent_would_rise_with_l2():
    X, A, S, l2 = as_data(np.array([[1.0]])), np.array([[1.0]]), np.array([[1e-3]]), 100.0

    def objective(s):
        return divergence(X, A, s, 1) + l2 / 2 * float((s**2).sum())

    assert loss_of(1).exponent() == 1 and loss_of(1).exponent(l2) == 0.5
    numerator, denominator = ratios(X, A, S, 1)
    assert (
        objective(S * numerator / (denominator + l2 * S))
        > objective(S)
        > objective(mu_step(X, A, S, 1, l2=l2))
    )


@pytest.mark.parametrize(
    "beta, kind",
    [
        (2, "dense"),
        (1, "dense"),
        (0, "dense"),
        (0.5, "dense"),
        (3, "dense"),
        (1, "sparse"),
        (2, "sparse"),
    ],
)
def test_an_iteration_is_scikit_learns(beta, kind):
    X = matrix(kind)
    A, S = start(X)
    theirs = sp.csr_matrix(X.T) if kind == "sparse" else np.ascontiguousarray(X.T)
    W, H, _ = _nmf._fit_multiplicative_update(
        theirs, S.T.copy(), A.T.copy(), beta_loss=beta, max_iter=1, tol=0
    )
    fit = mu(
        DataMatrix(sp.csr_array(X) if kind == "sparse" else X, scale=1.0), A, S, beta, max_iter=1
    )
    np.testing.assert_allclose(fit.A @ fit.S, (W @ H).T, rtol=1e-10)


@pytest.mark.parametrize("beta", BETAS)
def test_zero_start_escapes(beta):
    X = data()
    A, S = start(X)
    values, S = [divergence(X, A, 0 * S, beta)], 0 * S
    for _ in range(500):
        S = mu_step(X, A, S, beta)
        values.append(divergence(X, A, S, beta))
    assert never_rises(values, 0.0 if beta == 2 else 1e-13)
    assert values[-1] <= divergence(X, A, coefficients(X, A, beta), beta) * 1.02


@pytest.mark.parametrize("beta", [1, 2])
def test_zeros_that_should_stay_do(beta):
    # The second column of A explains nothing that the data have: its gradient is positive at zero.
    X, A = as_data(np.array([[1.0], [0.0]])), np.eye(2)
    assert mu_step(X, A, np.array([[0.5], [0.0]]), beta)[1, 0] == 0


def test_columns_are_unit_and_input_is_kept():
    X = data()
    A, S = start(X)
    before = A.copy(), S.copy()
    fit = mu(X, A, S, 1, max_iter=20)
    np.testing.assert_allclose(np.linalg.norm(fit.A, axis=0), 1)
    assert (A == before[0]).all() and (S == before[1]).all()


def test_reasons():
    X = data()
    assert mu(X, *start(X), 1, max_iter=3).reason == "max_iter"
    fit = mu(X, *start(X), 1, max_iter=5000, tol=1e-3)
    assert fit.reason == "stationary" and fit.stationarity[-1] <= 1e-3 < fit.stationarity[0]
    seen = []
    assert (
        mu(X, *start(X), 1, callback=lambda *state: seen.append(state) or len(seen) == 4).reason
        == "callback"
    )
    assert [n for n, *_ in seen] == [0, 1, 2, 3] and all(
        state[3].shape == (12, 4) for state in seen
    )


def test_interruption_keeps_the_last_iterate(monkeypatch):
    X, step, calls = data(), divergences._step, []
    expected = mu(X, *start(X), 1, max_iter=2)

    def interrupted(*args):
        calls.append(0)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(divergences, "_step", interrupted)
    fit = mu(X, *start(X), 1, max_iter=50)
    assert fit.reason == "interrupted" and fit.objective == expected.objective
    np.testing.assert_array_equal(fit.A, expected.A)


def test_stationarity_ignores_lengths():
    X = data()
    A, S = start(X)
    c = np.array([1e-3, 1.0, 10.0, 1e4])
    for beta in BETAS:
        a, b = (
            kkt_of_ratios(S, *ratios(X, A, S, beta)),
            kkt_of_ratios(S / c[:, None], *ratios(X, A * c, S / c[:, None], beta)),
        )
        np.testing.assert_allclose(a, b, rtol=1e-9)


# --- coefficients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("beta, kind", combinations())
def test_coefficients_are_optimal(beta, kind, engine):
    X = data(kind)
    A, _ = start(X)
    S = coefficients(X, A, beta)
    assert (S >= 0).all() and kkt_of_ratios(S, *ratios(X, A, S, beta)).max() <= (
        1e-8 if beta != 2 else 1e-10
    )
    value, rng = divergence(X, A, S, beta), np.random.default_rng(0)
    for size in (1e-3, 1e-1):  # no neighbor is better
        near = np.maximum(S + size * S.max() * rng.standard_normal((20, *S.shape)), 0)
        assert min(divergence(X, A, s, beta) for s in near) >= value


@pytest.mark.parametrize("kind", KINDS)
def test_batch_and_whole_agree(kind):
    X = data(kind)
    A, _ = start(X)
    whole = coefficients(X, A, 1)
    for index in (np.arange(5, 11), np.array([14]), np.array([3, 0, 9])):
        np.testing.assert_allclose(
            coefficients(points_of(X, index), A, 1), whole[:, index], rtol=1e-6, atol=1e-8
        )


def test_beta_two_is_exact():
    X = matrix()
    A, _ = start(X)
    data = as_data(X)
    np.testing.assert_allclose(
        coefficients(data, A, "frobenius") * data.scale, nnls(A, X), rtol=1e-12
    )


def test_kl_coefficients_of_one_topic_in_closed_form():
    # With one topic sum(v) = sum(x): s = sum(x) / sum(a).
    X = as_data(matrix())
    A = start(X, 1)[0]
    np.testing.assert_allclose(
        coefficients(X, A, 1) * X.scale, matrix().sum(axis=0, keepdims=True) / A.sum(), rtol=1e-7
    )


def test_too_few_steps_warn():
    """O: without the advice to increase what the user of a model cannot increase."""
    X = data()
    with pytest.warns(ConvergenceWarning, match="data points did not converge in 1 steps") as seen:
        coefficients(X, start(X)[0], 1, max_iter=1)
    assert "max_iter" not in str(seen[0].message)


# --- rough data -----------------------------------------------------------------------------------


def rough(name):
    X = matrix()
    if name == "zero row":
        X[2] = 0
    if name == "zero column":
        X[:, 3] = 0
    if name == "all zero":
        X[:] = 0
    if name == "one row":
        X = X[:1]
    if name == "one column":
        X = X[:, :1]
    if name == "duplicates":
        X[:, 1] = X[:, 0]
    return X


@pytest.mark.parametrize(
    "name",
    [
        "zero row",
        "zero column",
        "all zero",
        "one row",
        "one column",
        "duplicates",
        "many topics",
        "dead topic",
    ],
)
@pytest.mark.parametrize("beta", [0.5, 1, 1.5, 2, 3])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_no_nan_anywhere(name, beta, form):
    X = as_data(form(rough(name)))
    A, S = start(X, 20 if name == "many topics" else 4)
    if name == "dead topic":
        A[:, 1], S[2] = 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit, T = mu(X, A, S, beta, max_iter=30), coefficients(X, A, beta, max_iter=100)
    for array in (fit.A, fit.S, T, fit.objective, fit.stationarity):
        assert np.isfinite(array).all()
    assert (
        never_rises(fit.objective) and (fit.A >= 0).all() and (fit.S >= 0).all() and (T >= 0).all()
    )
    if name == "all zero":
        assert (T == 0).all() and fit.objective[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("junk", [np.nan, np.inf, -5.0, 0.0])
def test_what_is_masked_has_no_effect(beta, junk):
    X, known = matrix(), np.random.default_rng(5).random((12, 15)) < 0.8
    one, other = (as_data(np.where(known, X, fill), mask=known) for fill in (1.0, junk))
    a, b = mu(one, *start(X), beta, max_iter=10), mu(other, *start(X), beta, max_iter=10)
    np.testing.assert_array_equal(a.A, b.A)
    np.testing.assert_allclose(a.objective, b.objective)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("c", [1e-30, 1e30])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_scale_does_not_matter(beta, c, kind):
    if beta <= 0 and kind == "sparse":
        return
    form = sp.csr_array if kind == "sparse" else np.asarray
    one, other = as_data(form(matrix(kind))), as_data(form(c * matrix(kind)))
    A, S = start(one)
    ratio = c * one.scale / other.scale  # between 1/2 and 2: units are powers of two
    a, b = mu(one, A, S, beta, max_iter=30), mu(other, A, S * ratio, beta, max_iter=30)
    np.testing.assert_allclose(b.A, a.A, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(b.stationarity, a.stationarity, rtol=1e-5)
    np.testing.assert_allclose(
        np.array(b.objective), np.array(a.objective) * ratio**beta, rtol=1e-7
    )
    np.testing.assert_allclose(
        coefficients(other, A, beta) / ratio, coefficients(one, A, beta), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("beta", [-1, 0, 0.5, 1])
def test_spectra_over_many_decades_in_float32(beta):
    # The smallest entries are 1e-15 of the largest: their inverse squares have no place in float32.
    X = as_data(np.exp(np.random.default_rng(0).normal(0, 6, (30, 40))).astype(np.float32))
    fit = mu(X, *(f.astype(np.float32) for f in start(X)), beta, max_iter=60, tol=0.0)
    assert (
        fit.A.dtype == fit.S.dtype == np.float32
        and never_rises(fit.objective, 1e-6)
        and fit.objective[-1] < fit.objective[0]
    )


@pytest.mark.parametrize("beta", [0, 1, 1.5, 2])
def test_an_iterate_far_off_stays_finite(beta):
    X = data()
    A, S = start(X)
    for size in (1e-200, 1e-30, 1e30):
        assert all(
            np.isfinite(part).all()
            for part in (mu_step(X, A, size * S, beta), divergence(X, A, size * S, beta))
        )


# --- array namespaces -----------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize("beta", [0, 1, 1.5, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_namespaces_agree_and_keep_the_dtype(xp_device, beta, weighted):
    host, W = matrix(), np.random.default_rng(2).random((12, 15)) if weighted else None
    A, S = start(host)
    S[1, 2] = 0  # goes through the lift as well
    X = as_data(xp_device.asarray(host), weights=None if W is None else xp_device.asarray(W))
    a, s = xp_device.asarray(A), xp_device.asarray(S)
    fit, expected = (
        mu(X, a, s, beta, max_iter=5),
        mu(as_data(host, weights=W), A, S, beta, max_iter=5),
    )
    rtol = 1e-9 if xp_device.dtype == xp_device.xp.float64 else 2e-3
    T = coefficients(X, a, beta)
    for array, other in (
        (fit.A, expected.A),
        (fit.S, expected.S),
        (T, coefficients(as_data(host, weights=W), A, beta)),
    ):
        assert array.dtype == xp_device.dtype
        np.testing.assert_allclose(to_numpy(array), other, rtol=max(rtol, 1e-6), atol=rtol)
    assert fit.objective == pytest.approx(expected.objective, rel=rtol)


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_sparse_float32_is_kept(beta):
    X = as_data(sp.csr_array(matrix("sparse").astype(np.float32)))
    A, S = (f.astype(np.float32) for f in start(X))
    fit = mu(X, A, S, beta, max_iter=10)
    assert fit.A.dtype == fit.S.dtype == coefficients(X, A, beta).dtype == np.float32
