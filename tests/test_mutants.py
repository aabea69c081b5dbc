"""Behaviors that a mutation run found unguarded: each test fails for a change of one operator or
number that every other test let pass.
"""

import inspect
import tracemalloc

import numpy as np
import pytest
from sklearn.decomposition._nmf import _initialize_nmf

from nnmf_nb import kkt_residual, nnls, nnls_vjp
from nnmf_nb.chain._costs import depth_errors, propagate
from nnmf_nb.core import _data as data
from nnmf_nb.core._arrays import NOT_CONVERGED
from nnmf_nb.core._data import as_data
from nnmf_nb.core._linalg import (
    _block_krylov_svd,
    _from_short_side,
    top_svd,
    unit_columns,
)
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.solvers.coordinate_descent import _portable_coordinate_descent, hals
from nnmf_nb.solvers.extrapolation import _writable_rows, extrapolated_nmf
from nnmf_nb.solvers.initialization import (
    _dominant_part,
    exact_start,
    nndsvd,
    random_start,
    svd_start,
)
from nnmf_nb.solvers.stationarity import (
    projected_gradient_norm,
    projected_gradient_norm_from_products,
)


def noisy(N=30, M=40, seed=0):
    return as_data(np.random.default_rng(seed).random((N, M)))


# --- the identity is used where it is good enough: the residual is written out for nearly perfect
# fits only ----------------------------------------------------------------------------------------


@pytest.fixture
def identity_only(monkeypatch):
    def written_out(*args):
        raise AssertionError("the residual was written out although the error is large")

    monkeypatch.setattr(data, "_explicit_residual2", written_out)


def test_hals_does_not_write_out_large_residuals(identity_only):
    X = noisy()
    fit = hals(X, *random_start(X, 3, np.random.default_rng(1)), max_iter=4, tol=0.0)
    assert fit.errors[-1] > 0.1


def test_reaching_ahead_does_not_write_out_large_residuals(identity_only):
    X = noisy()
    fit = extrapolated_nmf(X, *random_start(X, 3, np.random.default_rng(1)), max_iter=6, tol=0.0)
    assert fit.errors[-1] > 0.1


def test_depth_errors_do_not_write_out_large_residuals(identity_only):
    X = noisy()
    rng = np.random.default_rng(2)
    assert (
        depth_errors(
            propagate(X, [unit_columns(rng.random((30, 4))), unit_columns(rng.random((4, 2)))])
        ).min()
        > 0.1
    )


# --- singular values ------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [5, 110, 205])
def test_top_svd_of_any_number_of_triplets(k):
    X = np.random.default_rng(3).random((205, 210))
    U, s, V = top_svd(as_data(X), k)
    np.testing.assert_allclose(s * as_data(X).scale, np.linalg.svd(X)[1][:k], rtol=1e-8)
    np.testing.assert_allclose((U * s).T @ U, np.diag(s), atol=1e-8 * s[0])
    np.testing.assert_allclose(as_data(X).XSt(V.T), U * s, atol=1e-8 * s[0])


@pytest.mark.parametrize("shape", [(2, 5000), (5000, 2)])
def test_svd_of_a_thin_matrix_needs_no_square_one(shape):
    X = as_data(np.random.default_rng(5).random(shape))
    tracemalloc.start()
    top_svd(X, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6  # a square identity of that size has 2e8 bytes


# --- starts ---------------------------------------------------------------------------------------


def test_nndsvd_is_scikit_learns():
    """The product of every pair of vectors is compared: what is left free is how length is
    shared.
    """
    X = np.random.default_rng(6).random((12, 25)) ** 2  # so small that its randomized SVD is exact
    A, St = nndsvd(as_data(X), 4)
    W, H = _initialize_nmf(X, 4, init="nndsvd", random_state=0)
    for j in range(4):
        np.testing.assert_allclose(
            as_data(X).scale * np.outer(A[:, j], St[:, j]), np.outer(W[:, j], H[j]), atol=1e-6
        )


def test_nndsvd_of_nothing_is_nothing():
    A, St = nndsvd(as_data(np.zeros((4, 5))), 2)
    assert not A.any() and not St.any()


def test_the_dominant_part_is_that_of_the_larger_product():
    u, v = np.array([0.95, -0.31]), np.array([0.6, -0.8])
    A, S = _dominant_part(u, v, 2.0)  # 0.95 * 0.6 > 0.31 * 0.8, although 0.8 > 0.6
    np.testing.assert_allclose(A, [1, 0])
    np.testing.assert_allclose(S, [2 * 0.95 * 0.6, 0])
    A, S = _dominant_part(v, u, 2.0)
    np.testing.assert_allclose(A, [1, 0])


def test_what_fills_the_zeros_of_the_svd_start():
    X = as_data(3.7 * np.kron(np.eye(2), np.ones((5, 6))))
    A, S = svd_start(X, 2)
    rms = np.sqrt(X.norm2 / 120)
    assert S.min() == pytest.approx(0.01 * rms) and (A > 0).all()
    raw = A / A.max(axis=0)
    assert raw.min() == pytest.approx(0.01 / np.sqrt(10) / (1 / np.sqrt(5)))


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_a_random_start_has_the_size_of_the_data(k):
    X = as_data(np.random.default_rng(7).random((400, 3000)))
    A, S = random_start(X, k, np.random.default_rng(8))
    assert np.linalg.norm(A @ S) == pytest.approx(np.sqrt(X.norm2), rel=0.02)


# --- turns ----------------------------------------------------------------------------------------


def test_every_method_stops_at_the_same_tolerance():
    assert (
        inspect.signature(extrapolated_nmf).parameters["tol"].default
        == inspect.signature(hals).parameters["tol"].default
        == 1e-4
    )


@pytest.mark.parametrize("c", [1e-3, 16.0])
def test_stationarity_does_not_depend_on_the_unit_of_the_weights(c):
    rng = np.random.default_rng(20)
    X, W = rng.random((12, 15)), rng.random((12, 15))
    start = random_start(as_data(X), 3, rng)
    one, other = (hals(as_data(X, weights=w), *start, max_iter=3, tol=0.0) for w in (W, c * W))
    np.testing.assert_allclose(one.stationarity, other.stationarity, rtol=1e-9)
    S = nnls(start[0], X, weights=W)
    gradient = 2 * (W * (start[0] @ S - X)) @ S.T / (W * X**2).sum()
    assert one.stationarity[0] == pytest.approx(
        projected_gradient_norm([start[0]], [gradient]), rel=1e-9
    )


def test_a_column_of_zeros_is_swept_without_a_word():
    G = np.diag([2.0, 0.0, 1.0])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(
            _portable_coordinate_descent(G, np.array([[4.0, 0, 3]]), np.array([[1.0, 5, 1]]), 2),
            [[2, 5, 3]],
        )


# --- nonnegative least squares --------------------------------------------------------------------


def stack_of(A, x):
    """Columns A with unit length and x as the points that the array engine works on."""
    G = np.repeat((A.T @ A)[None], x.shape[1], axis=0)
    f = (A.T @ x).T
    n = len(f)
    return layer._Points(np.arange(n), G, f, f > 0, np.full(n, 9), np.full(n, 3))


def test_the_careful_solver_says_the_same_about_its_points():
    """It takes over where the exchange rule runs in circles, and its points get their status bits
    too.
    """
    rng = np.random.default_rng(9)
    A = rng.integers(0, 3, (5, 4)).astype(float)
    A[:, 3] = A[:, 0]
    A = A / np.linalg.norm(A, axis=0)
    points = stack_of(
        A, np.hstack([A @ rng.integers(0, 2, (4, 6)), rng.random((5, 6)), np.zeros((5, 1))])
    )
    s, status = layer._pivot_stack(points.G, points.f, points.passive)
    ids, careful, said = layer._careful(points)
    np.testing.assert_array_equal(ids, points.id)
    np.testing.assert_array_equal(said, status)
    assert len(set(status.tolist())) > 1
    np.testing.assert_allclose(A @ careful.T, A @ s.T, atol=1e-12)


def test_the_careful_solver_reports_what_it_gave_up_on(monkeypatch):
    A = np.linalg.qr(np.random.default_rng(10).random((5, 3)))[0]
    monkeypatch.setattr(layer, "_active_set_point", lambda G, f: (np.zeros(3), NOT_CONVERGED))
    assert (layer._careful(stack_of(A, A @ np.ones((3, 2))))[2] >= NOT_CONVERGED).all()


# 4 / pivot = 1.02 and 0.96 times 1 / (4 * 4 * 2.3e-16), both pivots above 1e-14 sqrt(2)
@pytest.mark.parametrize("steps, dependent", [(130, True), (138, False)])
def test_how_long_a_row_of_the_inverse_factor_may_be(steps, dependent):
    G = np.array([[1, 1 - steps / 2 * 2.0**-53], [1 - steps / 2 * 2.0**-53, 1]])
    assert layer._dependent(G[None], np.ones((1, 2), bool)).tolist() == [dependent]
    cpu = pytest.importorskip("nnmf_nb.layer._cpu_kernels")
    work = cpu.scratch(2)
    work.passive[:] = True
    assert cpu.independent(G, work, cpu.RANK_TOL * np.sqrt(2)) == (not dependent)


def test_the_kkt_residual_with_a_ridge_is_in_units_of_the_longer_columns():
    rng = np.random.default_rng(14)
    A, X, S, l2 = 3 * rng.random((8, 3)), rng.random((8, 5)), rng.random((3, 5)), 40.0
    length = np.sqrt((A**2).sum(axis=0) + l2)[:, None]
    expected = np.abs(np.minimum(S * length, (A.T @ (A @ S - X) + l2 * S) / length)).max(
        axis=0
    ) / np.linalg.norm(X, axis=0)
    np.testing.assert_allclose(kkt_residual(A, X, S, l2=l2), expected, rtol=1e-12)


def test_the_kkt_residual_of_nothing_is_in_units_of_its_fit():
    A, S = np.array([[3.0, 0], [0, 5]]), np.array([[2.0], [1.0]])
    # s_i ||a_i|| = 6 and 5, both gradients are as large
    assert kkt_residual(A, np.zeros((2, 1)), S)[0] == pytest.approx(1.0)


def refused():
    """The third column is 1e-9 from the span of the others: its pivot is rounding, and yet it pulls
    by 5e-11.
    """
    return np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1e-9]]), np.array([1, 0.3, 0.05])


def pushed_out_again():
    """Columns 1e-4 to 1e-7 apart: what comes in for its gradient is pushed out at once for its
    coefficient, which rounding has turned; found among 1.5 million.
    """
    A = [
        [2, 3, -2.99986, 1.269339e-6, 6],
        [0, -1, 1.000078, 1.693182e-5, -1.999999],
        [1, 2, -1.999808, -6.874713e-6, 3.999999],
    ]
    return np.array(A), np.array([2.0, 3, 1])


def wanted_later():
    """A column that is refused beside one set is needed beside a later one: without it the pull
    that remains is above 1e-5.
    """
    A = [
        [-1, -1, -1.414194e-6, 1.000001],
        [-2, -1.999999, -2.161738e-6, 1.999997],
        [2, 2.000002, -1.355596e-6, -1.999982],
    ]
    return np.array(A), np.array([3.0, 3, 0])


@pytest.mark.parametrize("problem", [refused, pushed_out_again, wanted_later])
@pytest.mark.parametrize("method", ["portable", "compiled"])
def test_what_did_not_help_is_not_tried_again_at_once_but_later(problem, method):
    """Without `barred` the active set method takes the same column for ever, or gives up one that
    it needs. Sixty roundings of one problem: each machine has its own.
    """
    A, x = problem()
    (G,), (d,) = layer.unit_diagonal((A.T @ A)[None])
    f, k, rng = (A.T @ x) * d, len(d), np.random.default_rng(0)
    for _ in range(60):
        E = np.triu(2.2e-16 * rng.integers(-1, 2, (k, k)), 1)
        rounded, pull = G * (1 + E + E.T), f * (1 + 2.2e-16 * rng.integers(-1, 2, k))
        if method == "portable":
            s, status = layer._active_set_point(rounded, pull)
        else:
            cpu = pytest.importorskip("nnmf_nb.layer._cpu_kernels")
            s, work = np.empty(k), cpu.scratch(k)
            status = (
                0
                if cpu.active_set(rounded, pull, s, work, cpu.RANK_TOL * np.sqrt(k))[0]
                else NOT_CONVERGED
            )
        assert status == 0 and s.min() >= 0 and (rounded @ s - pull).min() > -1e-7


def test_a_layer_has_no_penalty_unless_one_is_asked_for():
    rng = np.random.default_rng(11)
    A, X = rng.random((8, 3)), rng.random((8, 12))
    S, _ = layer.solve_layer(as_data(X), A)
    np.testing.assert_allclose(S * as_data(X).scale, nnls(A, X), atol=1e-13)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_not_converged_is_said_once(monkeypatch):
    """The solver gave up and the certificate is bad: still one bit."""
    solve = layer._solve_scaled_problem

    def gives_up(*args):
        status = np.array([NOT_CONVERGED, NOT_CONVERGED | 3, 0])
        return solve(*args)[0], np.ones((2, 3)), status, np.zeros(3, bool)

    monkeypatch.setattr(layer, "_solve_scaled_problem", gives_up)
    assert layer.nnls_certified(np.eye(2), np.full((2, 3), 9.0)).status.tolist() == [
        NOT_CONVERGED,
        NOT_CONVERGED | 3,
        NOT_CONVERGED,
    ]


@pytest.mark.parametrize("weighted", [False, True])
def test_stacks_stay_small(monkeypatch, weighted):
    """No stack of k x k matrices is larger than a block (the data may be), in the solver, its
    derivative and the Gram matrices of weights.
    """
    rng = np.random.default_rng(12)
    A, X = rng.random((50, 6)), rng.random((50, 300))
    extra = {"weights": rng.random(X.shape)} if weighted else {}
    monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    monkeypatch.setattr(data, "_BLOCK", 1000)
    sizes, cholesky = [], layer.masked_cholesky
    monkeypatch.setattr(
        layer,
        "masked_cholesky",
        lambda G, passive: sizes.append(passive.shape[0] * 36) or cholesky(G, passive),
    )
    S = nnls(A, X, **extra)
    solving = max(sizes)
    sizes.clear()
    nnls_vjp(A, X, S, S, **extra)
    assert 100 < solving <= 1000 / 3 + 36 and 100 < max(sizes) <= 1000 / 2 + 36


def test_ordinary_numbers_have_one_unit_in_float32_too():
    """Units of their own for all columns would give the same coefficients, but cost passes."""
    A, X = np.random.default_rng(5).random((30, 4)), np.random.default_rng(6).random((30, 9))
    for dtype in (np.float64, np.float32):
        scaled = layer._scaled_problem(A.astype(dtype), as_data(X.astype(dtype)), 0.0, 0.0)
        assert scaled.unit is not None


def test_the_weight_of_a_dead_topic_is_one():
    rng = np.random.default_rng(4)
    A, S, Q = rng.random((30, 4)), rng.random((4, 20)), 50 * rng.random((30, 4))
    A[:, 2] = 0.0
    gradient = A @ (S @ S.T) - Q
    found = projected_gradient_norm_from_products(A, A.T @ A, S @ S.T, Q)
    assert found == pytest.approx(projected_gradient_norm([A], [gradient]), rel=1e-12)


@pytest.mark.parametrize("shape", [(100, 6), (6, 100)])
def test_long_thin_data_are_decomposed_from_their_short_side(shape):
    X = np.random.default_rng(12).random(shape)
    U, s, Vt = _from_short_side(X, 3)
    np.testing.assert_allclose(s, np.linalg.svd(X, compute_uv=False)[:3])
    np.testing.assert_allclose(U.T @ X @ Vt.T, np.diag(s), atol=1e-10)


def test_a_penalty_asks_for_more_than_factors_without_error():
    X = noisy(3, 8)
    assert exact_start(X, 3) is not None
    assert exact_start(X.penalized(0.5), 3) is None


@pytest.mark.parametrize("change", ["order", "lock"])
def test_what_a_kernel_fills_is_writable_and_row_by_row(change):
    array = np.random.default_rng(13).random((4, 3))
    given = np.asfortranarray(array) if change == "order" else array.copy()
    given.flags.writeable = change != "lock"
    ready = _writable_rows(given)
    assert ready.flags.c_contiguous and ready.flags.writeable
    np.testing.assert_array_equal(ready, array)


@pytest.mark.parametrize("closeness", [1e-3, 1e-10])
def test_points_that_did_not_end_are_looked_at_again(monkeypatch, closeness):
    """Whether the columns of A are well-conditioned or not."""
    rng = np.random.default_rng(14)
    A = rng.random((9, 3))
    A[:, 2] = A[:, 1] + closeness * A[:, 0]
    F = rng.random((5, 3))
    status = np.array([0, NOT_CONVERGED, 0, NOT_CONVERGED, 0])
    S = np.zeros((5, 3))
    monkeypatch.setattr(layer, "_solve_unit_gram", lambda *args: (S, status))
    scaled = layer._scaled_problem(A, as_data(A @ F.T), 0.0, 0.0)
    doubtful = layer._solve_and_doubt(scaled, (A.T @ A)[None], F)[2]
    np.testing.assert_array_equal(doubtful, status > 0)


def test_smallest_pivots_of_small_coefficients_without_kernels(monkeypatch):
    rng = np.random.default_rng(15)
    A = unit_columns(rng.random((9, 4)))
    G, S = (A.T @ A)[None], 1e-3 * rng.random((6, 4)) * (rng.random((6, 4)) < 0.7)
    inverses = [np.linalg.cholesky(G[0][np.ix_(s > 0, s > 0)]) for s in S]
    expected = [np.diag(L).min(initial=1.0) ** 2 for L in inverses]
    monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    np.testing.assert_allclose(layer._smallest_pivots(G, S, None), expected)


@pytest.mark.parametrize("kernels", [layer.cpu_kernels, lambda: None])
def test_smallest_pivot_of_equal_columns_is_nothing(monkeypatch, kernels):
    A = unit_columns(np.random.default_rng(15).random((9, 4)))
    A[:, 3] = A[:, 1]
    S = np.array([[0.0, 1, 2, 3], [1.0, 1, 1, 0]])
    monkeypatch.setattr(layer, "cpu_kernels", kernels)
    both, one = layer._smallest_pivots((A.T @ A)[None], S, None)
    assert both < 1e-12 < 1e-3 < one


@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_an_l1_penalty_counts_where_columns_are_nearly_dependent(l2):
    rng = np.random.default_rng(16)
    A = rng.random((20, 4)) * [1.0, 1e-3, 1.0, 10.0]
    A[:, 2] = A[:, 0] * (1 + 1e-9 * rng.random(20))
    X = A @ rng.random((4, 7)) + 0.1 * rng.random((20, 7))
    found = nnls(A, X, l1=0.5, l2=l2)
    assert float(kkt_residual(A, X, found, l1=0.5, l2=l2).max()) < 1e-9


def test_singular_vectors_where_lanczos_iterations_break_down():
    """Slowly decreasing singular values, some of them equal: many rounds of the block method."""
    rng = np.random.default_rng(17)
    left, right = (np.linalg.qr(rng.standard_normal((n, 250)))[0] for n in (300, 250))
    values = np.r_[np.full(5, 2.0), np.linspace(1.5, 1.0, 245)]
    X = left * values @ right.T
    U, s, V = _block_krylov_svd(as_data(X), 12, 0)
    s = s * as_data(X).scale
    np.testing.assert_allclose(s, values[:12], rtol=1e-12)
    assert np.linalg.norm(X @ V - U * s) + np.linalg.norm(X.T @ U - V * s) < 1e-11
