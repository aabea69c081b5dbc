"""Kullback-Leibler regression: against an oracle in long double, its certificate, its derivative,
and the fits, transforms and penalties that are made of it.
"""

import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

import nnmf_nb.layer._kl as kl
from nnmf_nb import NMF, kl_regression, kl_vjp
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import DataMatrix, as_data, transposed
from nnmf_nb.layer import kl_regression_certified
from nnmf_nb.layer._kl import descended, linear_costs, values_per_point
from nnmf_nb.layer._nnls import cpu_kernels
from nnmf_nb.solvers.count_descent import count_descent
from nnmf_nb.solvers.divergences import divergence, kkt_of_ratios, mu, ratios

needs_kernels = pytest.mark.skipif(cpu_kernels() is None, reason="numba is not installed")

KL = "kullback-leibler"


@pytest.fixture(params=["compiled", "portable"])
def engine(request, monkeypatch):
    if request.param == "portable":
        monkeypatch.setattr(kl, "compiled", lambda x: False)
        monkeypatch.setattr("nnmf_nb.solvers._loss.compiled", lambda x: False)


@pytest.fixture(params=[pytest.param("compiled", marks=needs_kernels), "arrays"])
def steps(request, monkeypatch):
    """Steps of descent by compiled kernels, and as arrays."""
    if request.param == "arrays":
        monkeypatch.setattr(kl, "cpu_kernels", lambda: None)


def problem(N=40, k=5, M=60, mean=30.0, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.dirichlet(np.full(N, 0.2), k).T
    return A, rng.poisson(mean * A @ rng.dirichlet(np.full(k, 0.3), M).T).astype(float)


def loss(A, X, S, W=1.0, l1=0.0, l2=0.0, dtype=np.longdouble):
    """The objective of every data point, by the formula."""
    A, X, S = (np.asarray(F, dtype) for F in (A, X, S))
    Y = A @ S
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(X > 0, X * np.log(np.where(X > 0, X, 1) / Y), 0) - X + Y
    return (W * d).sum(axis=0) + l1 * S.sum(axis=0) + l2 / 2 * (S**2).sum(axis=0)


def residual(A, X, S, W=1.0, l1=0.0, l2=0.0):
    """KKT residual of every data point in long double: share against relative gradient."""
    A, X, S = (np.asarray(F, np.longdouble) for F in (A, X, S))
    Y = A @ S
    n = A.T @ np.where(X > 0, W * X / np.where(Y > 0, Y, 1), 0)
    d = A.T @ (W * np.ones_like(X)) + l1 + l2 * S
    share = S * d / np.maximum((S * d).sum(axis=0), np.finfo(float).tiny)
    relative = np.where(n + d > 0, (d - n) / np.where(n + d > 0, n + d, 1), 0)
    return np.abs(np.minimum(share, relative)).max(axis=0)


# --- against an oracle ----------------------------------------------------------------------------


def solve_long(H, b):
    """Gaussian elimination without pivoting in long double, for positive definite H (k x k)."""
    H, b, k = H.copy(), b.copy(), len(b)
    for i in range(k):
        for j in range(i + 1, k):
            f = H[j, i] / H[i, i]
            H[j] -= f * H[i]
            b[j] -= f * b[i]
    for i in reversed(range(k)):
        b[i] = (b[i] - H[i, i + 1 :] @ b[i + 1 :]) / H[i, i]
    return b


def newton_on(A, x, support):
    """The minimum over one support by damped Newton in long double; None if it leaves s > 0."""
    B = A[:, support].astype(np.longdouble)
    s = np.full(len(support), x.sum(), np.longdouble) / B.sum()
    seen = x > 0
    if (B[seen].sum(axis=1) == 0).any():
        return None
    for _ in range(200):
        y = B[seen] @ s
        gradient = B.sum(axis=0) - B[seen].T @ (x[seen] / y)
        step = solve_long(B[seen].T @ (B[seen] * (x[seen] / y**2)[:, None]), -gradient)
        size = min(1.0, 0.9 / max(float((-step / s).max()), 1e-30))
        s = s + size * step
        if (s < 1e-12 * s.max()).any():
            return None
        if abs(step).max() < 1e-17 * s.max():
            break
    return s


def oracle(A, x):
    """Brute force over all supports of independent columns."""
    k, best, lowest = A.shape[1], np.zeros(A.shape[1], np.longdouble), np.inf
    for size in range(1, k + 1):
        for support in itertools.combinations(range(k), size):
            s = newton_on(A, x, list(support))
            if s is None:
                continue
            S = np.zeros(k, np.longdouble)
            S[list(support)] = s
            value = loss(A, x[:, None], S[:, None])[0]
            if value < lowest:
                best, lowest = S, value
    return best, lowest


def test_brute_force_over_supports(engine):
    A, X = problem(N=12, k=3, M=40, mean=20)
    X = X[:, X.sum(axis=0) > 0]
    S = kl_regression(A, X)
    for x, s in zip(X.T, S.T):
        best, lowest = oracle(A, x)
        assert loss(A, x[:, None], s[:, None])[0] <= lowest + 1e-12 * x.sum()
        np.testing.assert_allclose(s, best.astype(float), atol=1e-7 * x.sum())


@pytest.mark.parametrize("k, N, mean", [(5, 96, 400), (20, 300, 50), (50, 200, 20), (50, 60, 1e9)])
def test_many_random_points_are_exact(k, N, mean):
    A, X = problem(N, k, 1500, mean, seed=k)
    found = kl_regression_certified(A, X)
    assert residual(A, X, found.S).max() <= 1e-9 and (found.S >= 0).all()
    assert (found.status == 0).all() and found.kkt.max() <= 1e-9
    # the gap is a bound in nats, and small
    assert (found.gap <= 1e-8 * X.sum(axis=0) + 1e-12).all() and (found.gap >= 0).all()


def hard(k, M, N=80, seed=0):
    """A (N x k) and M data points, of every kind: Poisson, exact sums of few topics (all gradients
    are zero, with most coefficients), small integers, zeros, hardly any counts, very many. A has
    two topics that are the same, one that is the sum of others, and a topic of zeros.
    """
    rng = np.random.default_rng(seed)
    A = rng.dirichlet(np.full(N, 0.2), k).T
    A[:, 1] = A[:, 0]
    A[:, 2] = 0.0 if k > 4 else A[:, 2]
    A[:, k - 1] = A[:, 0] + A[:, 3 % k] if k > 4 else A[:, k - 1]
    S = rng.dirichlet(np.full(k, 0.2), M).T
    S[S < 0.05] = 0.0
    X = rng.poisson(100 * A @ S).astype(float)
    X[:, 1::6] = (64 * A @ S)[:, 1::6]
    X[:, 2::6] = rng.integers(0, 3, X[:, 2::6].shape)
    X[:, 3::6] = rng.poisson(2 * A @ S)[:, 3::6]
    X[:, 4::6] = rng.poisson(1e9 * A @ S)[:, 4::6]
    X[A.sum(axis=1) == 0] = 0.0
    X[:, 0] = 0.0
    return A, X


def solved_in_long_double(H, B):
    """H_j^-1 b_j for all j: Gaussian elimination of positive definite H (M x k x k), B (M x k)."""
    H, B, k = H.copy(), B.copy(), B.shape[1]
    for i in range(k - 1):
        F = H[:, i + 1 :, i] / H[:, i, i][:, None]
        H[:, i + 1 :, i:] -= F[:, :, None] * H[:, i, i:][:, None, :]
        B[:, i + 1 :] -= F * B[:, i][:, None]
    for i in reversed(range(k)):
        B[:, i] = (B[:, i] - (H[:, i, i + 1 :] * B[:, i + 1 :]).sum(axis=1)) / H[:, i, i]
    return B


def interior_point(A, X, steps=90):
    """Minimize the divergence over S >= 0 by a primal-dual interior point method in long double.

    It knows no supports, so that ties do not matter to it. Columns of A and X have positive sums;
    works on u_i = s_i c_i / sum(x) as unknowns. Returns S, and a bound of what S loses at most to
    the best one, as a part of sum(x).
    """
    A, X = np.asarray(A, np.longdouble), np.asarray(X, np.longdouble)
    cost, total, k = A.sum(axis=0), X.sum(axis=0), A.shape[1]
    B, P = A / cost, X / total
    U = np.full((X.shape[1], k), np.longdouble(1) / k)
    Z = np.ones_like(U)  # the multipliers of U >= 0
    for _ in range(steps):
        Y = B @ U.T
        g = 1 - (B.T @ (P / Y)).T
        # smaller ones leave topics that are the same without a unique step
        mu = np.maximum(0.1 * (U * Z).mean(axis=1, keepdims=True), 1e-15)
        H = np.matmul(B.T[None] * (P / Y**2).T[:, None, :], B)
        H[:, np.arange(k), np.arange(k)] += Z / U
        dU = solved_in_long_double(H, mu / U - g)
        dZ = mu / U - Z - Z / U * dU
        for F, dF in ((U, dU), (Z, dZ)):
            most = (-dF / F).max(axis=1, keepdims=True)
            F += dF * np.minimum(1.0, 0.99 / np.maximum(most, 1e-30))
        U /= U.sum(axis=1, keepdims=True)  # as at the minimum
        ratio = (B.T @ (P / (B @ U.T))).max(axis=0)  # the dual point P / (Y ratio) is feasible
        if np.log(ratio).max() < 2e-13:
            break
    return U.T / cost[:, None] * total, np.log(ratio)


@pytest.mark.parametrize(
    "k, M",
    [
        (4, 30),
        (8, 30),
        *(pytest.param(k, 125, marks=pytest.mark.exhaustive) for k in (5, 10, 25, 50)),
    ],
)
def test_ties_and_zeros_against_an_interior_point_method(k, M):
    A, X = hard(k, M, seed=k)
    found = kl_regression_certified(A, X)
    assert (found.S >= 0).all() and (found.S[:, 0] == 0).all()
    rows, columns, used = A.sum(axis=1) > 0, X.sum(axis=0) > 0, A.sum(axis=0) > 0
    a, x, total = A[rows][:, used], X[rows][:, columns], X[:, columns].sum(axis=0)
    best, gap = interior_point(a, x)
    assert gap.max() < 1e-12  # the oracle proves what it says
    S = found.S[used][:, columns]
    excess = loss(a, x, S) - loss(a, x, best)
    assert (excess <= 1e-12 * total).all() and (excess >= -(gap + 1e-15) * total).all()
    # what the topics explain of positive counts is unique, as far as x (y'/y - 1)^2
    # counts for the loss, whatever their ties
    ratio = np.where(x > 0, (a @ S) / np.where(x > 0, a @ best, 1), 1)
    assert ((x * (ratio - 1) ** 2).sum(axis=0) <= 1e-11 * total).all()
    assert residual(a, x, S).max() <= 1e-9


@pytest.mark.exhaustive
@pytest.mark.parametrize("k", [5, 20, 50])
def test_ten_thousand_points_are_exact(k):
    for A, X in (problem(300, k, 5000, 60, seed=k), hard(k, 5000, 300, seed=k)):
        S, reachable = kl_regression(A, X), A.sum(axis=1) > 0
        assert residual(A[reachable], X[reachable], S).max() <= 1e-9


def test_the_gap_bounds_what_can_be_gained():
    A, X = problem()
    best = loss(A, X, kl_regression(A, X)).astype(float)
    for max_iter in (0, 1):
        found = kl.solve_kl(as_data(X), A, max_iter=max_iter)
        scale = as_data(X).scale
        above = loss(A, X, found.S * scale).astype(float) - best
        assert (above <= found.gap * scale + 1e-9).all() and found.gap.max() > 1e-6


def test_ties_and_dependent_columns(engine):
    rng = np.random.default_rng(3)
    A = rng.integers(0, 3, (10, 4)).astype(float)
    A = np.concatenate([A, A[:, :1] + A[:, 1:2], A[:, :1]], axis=1)  # a sum, and a copy
    X = rng.poisson(3.0, (10, 50)).astype(float)
    X[:, :10] = A[:, :1]
    found = kl_regression_certified(A, X)
    reachable = A.sum(axis=1) > 0
    assert residual(A[reachable], X[reachable], found.S).max() <= 1e-9
    assert (found.status == 0).all()


@pytest.mark.parametrize("l1, l2", [(0.3, 0.0), (0.0, 0.02), (0.2, 0.05)])
@pytest.mark.parametrize("weighted", [False, True])
def test_penalties_and_weights(l1, l2, weighted, engine):
    A, X = problem()
    rng = np.random.default_rng(1)
    W = rng.random(X.shape) * (rng.random(X.shape) < 0.8) if weighted else np.ones(X.shape)
    S = kl_regression(A, X, weights=W if weighted else None, l1=l1, l2=l2)
    assert residual(A, X, S, W, l1, l2).max() <= 1e-9
    value = loss(A, X, S, W, l1, l2)
    for size in (1e-4, 1e-2):
        neighbor = np.maximum(S + size * S.max() * rng.standard_normal(S.shape), 0)
        assert (loss(A, X, neighbor, W, l1, l2) >= value - 1e-12).all()


# --- rough data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csc_array])
def test_zero_rows_columns_and_unseen_words(form, engine):
    A, X = problem()
    A[3] = 0  # a word that no topic has
    A[:, 2] = 0  # a dead topic
    X[:, 4] = 0  # a document without words
    X[7] = 0
    X[3, 5] = 9.0
    found = kl_regression_certified(A, form(X))
    assert np.isfinite(found.S).all() and (found.S[2] == 0).all() and (found.S[:, 4] == 0).all()
    rest = np.arange(len(A)) != 3
    assert residual(A[rest], X[rest], found.S).max() <= 1e-9


@pytest.mark.parametrize("c", [1e-280, 1e-30, 1e30, 1e280])
@pytest.mark.parametrize("of", ["X", "A"])
def test_scale_does_not_matter(c, of, engine):
    A, X = problem()
    S = kl_regression(A, X)
    if of == "X":
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(kl_regression(A, c * X) / c, S, rtol=1e-7, atol=1e-9)
    elif 1e-200 < c < 1e200:
        np.testing.assert_allclose(kl_regression(c * A, X) * c, S, rtol=1e-7, atol=1e-9)
    else:
        found = kl.solve_kl(as_data(X), c * A)
        assert found.kkt.max() <= 1e-9


def test_columns_of_very_different_length(engine):
    A, X = problem()
    lengths = 10.0 ** np.array([-12, -6, 0, 6, 12])
    S = kl_regression(A * lengths, X)
    np.testing.assert_allclose(S * lengths[:, None], kl_regression(A, X), rtol=1e-6, atol=1e-7)


def test_float32_is_as_good_as_float64(engine):
    A, X = problem(N=120, M=300, mean=60, seed=5)
    A = A.astype(np.float32)
    S = kl_regression(A, X.astype(np.float32))
    assert S.dtype == np.float32
    best = loss(A, X, kl_regression(A.astype(float), X))
    assert (loss(A, X, S) <= best * (1 + 1e-5) + 1e-9).all()


def test_a_row_does_not_depend_on_its_batch(engine):
    """Bit for bit where one compiled loop solves each row.

    Array functions round a product of matrices as its shape asks for, so that two solutions agree
    as far as their residuals of 1e-11 go: times 4500, the largest condition of these problems
    (maximum norm of the inverse derivative of residuals by logarithms of coefficients), 1e-7.
    """
    A, X = problem()
    X[:, 7] *= 1000
    whole = kl_regression(A, X)
    limit = 0.0 if kl.compiled(A) else 1e-7
    for index in ([3], [7], [3, 9, 20]):
        for part in (X[:, index], sp.csc_array(X)[:, index]):
            np.testing.assert_allclose(kl_regression(A, part), whole[:, index], rtol=limit, atol=0)


@needs_kernels
def test_threads_do_not_change_bits(monkeypatch):
    A, X = problem(N=300, k=8, M=400)
    data, rng = as_data(sp.csr_array(X)), np.random.default_rng(0)
    start = rng.random((300, 8)), rng.random((8, 400))
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("nnmf_nb.core._arrays.thread_count", lambda n=threads: n)
        fit = count_descent(data, *start, max_iter=25)
        results.append((kl_regression(A, sp.csr_array(X)), fit.A, fit.S, fit.objective))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_input_is_not_modified_and_checked():
    A, X = problem()
    before = A.copy(), X.copy()
    kl_regression(A, X)
    assert (A == before[0]).all() and (X == before[1]).all()
    with pytest.raises(ValueError, match="Negative values in data passed to A"):
        kl_regression(-A, X)
    with pytest.raises(ValueError, match="Negative values in data passed to X"):
        kl_regression(A, -X)
    with pytest.raises(ValueError, match="A has 39 rows"):
        kl_regression(A[1:], X)
    with pytest.raises(ValueError, match="l1 must be"):
        kl_regression(A, X, l1=-1.0)


def test_giving_up_warns(engine):
    A, X = problem()
    with pytest.warns(ConvergenceWarning, match="kl_regression: [0-9]+ data points did not"):
        kl.warn_unsolved(kl.solve_kl(as_data(X), A, max_iter=0).status)


@pytest.mark.each_value_once
@pytest.mark.parametrize("weighted", [False, True])
def test_namespaces_agree(xp_device, weighted):
    A, X = problem()
    W = np.random.default_rng(0).random(X.shape) if weighted else None
    expected = kl_regression(A, X, weights=W, l2=0.01)
    G = np.random.default_rng(1).standard_normal(expected.shape)
    gradient = kl_vjp(A, X, expected, G, weights=W, l2=0.01)
    a, x = xp_device.asarray(A), xp_device.asarray(X)
    w = None if W is None else xp_device.asarray(W)
    S = kl_regression(a, x, weights=w, l2=0.01)
    assert S.dtype == xp_device.dtype
    exact = xp_device.dtype == xp_device.xp.float64
    rtol = 1e-6 if exact else 1e-3
    np.testing.assert_allclose(to_numpy(S), expected, rtol=rtol, atol=rtol)
    if exact:
        found = kl_vjp(a, x, S, xp_device.asarray(G), weights=w, l2=0.01)
        np.testing.assert_allclose(to_numpy(found.A), gradient.A, rtol=1e-4, atol=1e-3)


# --- derivative -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "sparse", "weighted", "masked"])
@pytest.mark.parametrize("l1, l2", [(0.0, 0.0), (0.1, 0.02)])
def test_derivative_against_central_differences(kind, l1, l2):
    rng, h = np.random.default_rng(4), 1e-6
    A, X = rng.random((12, 4)), rng.poisson(5.0, (12, 20)).astype(float)
    known = {}
    if kind == "weighted":
        known = dict(weights=rng.random(X.shape))
    if kind == "masked":
        known = dict(mask=rng.random(X.shape) < 0.8)
    form = sp.csr_array if kind == "sparse" else np.asarray

    def solve(A=A, X=X, l1=l1, l2=l2):
        return kl_regression(A, form(X), l1=l1, l2=l2, **known)

    S, G = solve(), rng.standard_normal((4, 20))
    gradient = kl_vjp(A, form(X), S, G, l1=l1, l2=l2, **known)
    DA, DX = A * rng.random(A.shape), X * rng.random(X.shape)
    differences = [
        (G * (solve(**plus) - solve(**minus))).sum() / (2 * h)
        for plus, minus in (
            (dict(A=A + h * DA), dict(A=A - h * DA)),
            (dict(X=X + h * DX), dict(X=X - h * DX)),
        )
    ]
    size = np.abs(G * S).sum()
    assert abs(differences[0] - (gradient.A * DA).sum()) < 1e-6 * size
    assert abs(differences[1] - (gradient.X * DX).sum()) < 1e-6 * size
    for name, value in (("l1", gradient.l1), ("l2", gradient.l2)):
        given = dict(l1=l1, l2=l2)
        more, fewer = given | {name: given[name] + h}, given | {name: max(given[name] - h, 0)}
        step = more[name] - fewer[name]
        difference = (G * (solve(**more) - solve(**fewer))).sum() / step
        assert abs(difference - value) < 1e-4 * size


def test_derivative_of_data_that_no_topic_reaches():
    A, X = problem()
    A[3] = 0
    S = kl_regression(A, X)
    gradient = kl_vjp(A, X, S, np.ones_like(S))
    assert np.isfinite(gradient.X).all() and (gradient.X[3] == 0).all()


# --- fits -----------------------------------------------------------------------------------------


def counts(seed=0, n=120, words=80, k=4):
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(words, 0.1), k)
    return rng.poisson(50 * rng.dirichlet(np.full(k, 0.2), n) @ topics).astype(float)


def options(kind):
    return {
        "plain": {},
        "penalized": dict(on_A=(0.05, 0.02), on_S=(0.1, 0.3)),
        "fixed": dict(first=2),
    }[kind]


@pytest.mark.parametrize("kind", ["plain", "penalized", "fixed"])
@pytest.mark.parametrize("form", ["dense", "sparse", "weighted"])
def test_descent_never_rises_and_ends_stationary(kind, form, steps):
    X, rng = counts().T, np.random.default_rng(0)
    W = rng.random(X.shape) if form == "weighted" else None
    data = as_data(sp.csr_array(X) if form == "sparse" else X, weights=W)
    A, S = rng.random((X.shape[0], 4)), rng.random((4, X.shape[1]))
    given = options(kind)
    fit = count_descent(data, A, S, max_iter=400, **given)
    assert all(b <= a for a, b in zip(fit.objective, fit.objective[1:]))
    assert fit.reason == "stationary"
    value = divergence(data, fit.A, fit.S, 1)
    for F, (l1, l2) in ((fit.A, given.get("on_A", (0, 0))), (fit.S, given.get("on_S", (0, 0)))):
        value += l1 * F.sum() + l2 / 2 * (F**2).sum()
    assert value == pytest.approx(fit.objective[-1], rel=1e-9)
    if kind == "fixed":
        np.testing.assert_array_equal(fit.A[:, :2], A[:, :2])
    if kind == "plain":
        # sums of features are those of the data
        numerator, denominator = ratios(transposed(data), fit.S.T, fit.A.T, 1)
        np.testing.assert_allclose(
            (fit.A.T * numerator).sum(axis=0), (fit.A.T * denominator).sum(axis=0), rtol=0.02
        )


def test_descent_is_at_least_as_good_as_many_multiplicative_updates(steps):
    data, rng = as_data(counts().T), np.random.default_rng(0)
    start = rng.random((80, 4)), rng.random((4, 120))
    fast, slow = count_descent(data, *start, max_iter=200), mu(data, *start, 1, max_iter=3000)
    assert fast.objective[-1] <= slow.objective[-1] * (1 + 1e-6)


def test_zeros_of_a_start_are_left(steps):
    data = as_data(counts().T)
    A, S = np.zeros((80, 4)), np.zeros((4, 120))
    A[:20, 0] = A[20:40, 1] = A[40:60, 2] = S[0] = S[1] = S[2] = 1.0
    fit = count_descent(data, A, S, max_iter=300)
    assert np.isfinite(fit.objective[-1])
    assert fit.objective[-1] <= divergence(
        data, np.ones((80, 1)), data.AtX(np.ones((80, 1))) / 80, 1
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_fit_transform_is_transform(dtype, form):
    X = form(counts().astype(dtype))
    model = NMF(4, beta_loss=KL, random_state=0)
    W = model.fit_transform(X)
    assert model.solver_ == "e-scd" and model.converged_ and W.dtype == dtype
    np.testing.assert_allclose(W, model.transform(X), atol=1e-10 * W.max(), rtol=0)
    np.testing.assert_allclose(W @ model.components_.sum(axis=1), X.sum(axis=1), rtol=1e-5)
    one = model.transform(X[3:4])
    np.testing.assert_allclose(one[0], W[3], rtol=1e-6)


def test_float32_transforms_as_float64():
    """A: a count on an impossible feature must cost infinitely much in float32, too."""
    rng = np.random.default_rng(5)
    means = rng.gamma(0.5, size=(300, 5)) @ rng.gamma(0.3, size=(5, 120)) * 20
    C = rng.poisson(means).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NMF(5, beta_loss=KL, random_state=0, max_iter=300).fit(C)
        W = model.transform(C)
    H = model.components_
    best = loss(H.T, C.T, kl_regression(H.T.astype(float), C.T.astype(float)))
    assert (loss(H.T, C.T, W.T) <= best * (1 + 1e-5) + 1e-9).all()


@pytest.mark.each_value_once
@pytest.mark.filterwarnings("ignore:NMF stopped")
@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("name", ["alpha_W", "alpha_H"])
def test_penalties_have_the_power_of_the_scale_that_belongs_to_the_loss(beta, l1_ratio, name):
    """B: with W in units c, D/c^beta wants l1 c^(1-beta), l2 c^(2-beta) on W and c^-beta on H."""
    rng, c = np.random.default_rng(0), 1000.0
    X = rng.gamma(0.5, size=(30, 2)) @ rng.gamma(0.5, size=(2, 12)) + 0.05
    alpha, power = {"alpha_W": 0.0, "alpha_H": 0.0} | {name: 0.02}, beta
    if name == "alpha_W":
        power = beta - (1 if l1_ratio else 2)
    models = [
        NMF(
            2, beta_loss=beta, l1_ratio=l1_ratio, random_state=0, max_iter=400, tol=1e-6
        ).set_params(**{key: value * size for key, value in alpha.items()})
        for size in (1.0, c**power)
    ]
    one, other = models[0].fit(X), models[1].fit(c * X)
    np.testing.assert_allclose(other.components_, one.components_, rtol=1e-4, atol=1e-5)
    W = one.transform(X)
    np.testing.assert_allclose(other.transform(c * X) / c, W, rtol=1e-4, atol=1e-5 * W.max())
    # and a row is the same alone and in its batch
    np.testing.assert_allclose(one.transform(X[3:4])[0], W[3], rtol=1e-6, atol=1e-9)


def test_the_closed_form_of_one_number():
    """B: x = 8, alpha_W = 2, l1: minimum of 8 log(8/wh) - 8 + wh + 2w + 2h at w = h."""
    model = NMF(1, beta_loss=KL, alpha_W=2.0, l1_ratio=1.0, tol=1e-8, max_iter=2000).fit([[8.0]])
    assert model.transform([[8.0]])[0, 0] == pytest.approx(2, abs=1e-5)
    assert model.components_[0, 0] == pytest.approx(2, abs=1e-5)


@pytest.mark.each_value_once
@pytest.mark.parametrize("beta", [KL, "itakura-saito", 0.5, 1.5])
@pytest.mark.parametrize("noise", [False, True])
def test_default_fits_end_well(beta, noise):
    """N: 96 x 100 signatures, exact or with noise, are stationary within 500 iterations."""
    rng = np.random.default_rng(0)
    X = rng.gamma(1, 400, (100, 5)) @ rng.dirichlet(np.full(96, 0.2), 5)
    X = (rng.poisson(X) if noise else X) + (0.5 if beta == "itakura-saito" else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NMF(5, beta_loss=beta, random_state=0).fit(X)
    assert model.converged_ and model.layers_[0].kkt < 1e-6


def test_planted_signatures_are_recovered():
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.dirichlet(np.full(96, 0.2), 5)
        X = rng.poisson(rng.gamma(1, 400, (80, 1)) * rng.dirichlet(np.ones(5), 80) @ truth)
        H = NMF(5, beta_loss=KL, random_state=seed).fit(X).components_
        cosines = H @ (truth / np.linalg.norm(truth, axis=1, keepdims=True)).T
        found += cosines.max(axis=0).min() >= 0.95
    assert found >= 19


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_rough_counts_in_a_model(form):
    X = counts()
    X[:, 3] = 0  # a word unseen in fit
    X[5] = 0
    X[7] *= 1e9
    X[8] += 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NMF(4, beta_loss=KL, random_state=0).fit(form(X))
        new = counts(1)
        new[0] = 0
        W = model.transform(form(new))
    assert np.isfinite(W).all() and (W[0] == 0).all() and np.isfinite(model.reconstruction_err_)
    assert (model.transform(form(X))[5] == 0).all()


def test_transform_of_one_document_is_an_optimum():
    X = counts()
    model = NMF(4, beta_loss=KL, random_state=0).fit(X)
    data = as_data(X.T)
    S = model.transform(X).T / data.scale
    assert kkt_of_ratios(S, *ratios(data, model.components_.T, S, 1)).max() <= 1e-9


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("k", [6, 24])  # models of a row, and sweeps
def test_a_step_of_descent_never_raises_a_data_point(k, start, steps):
    A, X = problem(N=60, k=k, M=80)
    data, rng = DataMatrix(sp.csr_array(X), scale=1.0), np.random.default_rng(1)
    S, costs = rng.random((k, 80)) * (rng.random((k, 80)) < 0.9), linear_costs(data, A)
    fixed, l2 = S[:start], 0.1 * (start > 0)

    def values(S):
        return values_per_point(data, A, S, costs) + l2 / 2 * (S**2).sum(axis=0)

    before = values(S)
    for _ in range(300):
        S, residual, found = descended(data, A, S, costs, l2, start, valued=True)
        np.testing.assert_allclose(found, values(S), rtol=1e-12)
        assert (found <= before * (1 + 1e-13)).all()
        before = found
    np.testing.assert_array_equal(S[:start], fixed)
    assert residual.max() < 1e-6
    if start == 0:
        np.testing.assert_allclose(found, values(kl_regression(A, X)), rtol=1e-9)
