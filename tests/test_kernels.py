"""The compiled kernels by themselves, small enough to run as plain Python too: `make coverage` does
so with NUMBA_DISABLE_JIT=1 to see their lines.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from strategies import brute_force_gram, integer_problem

from nnmf_nb import NMF, NonnegativeCP, kl_regression
from nnmf_nb.core._arrays import DEGENERATE, NOT_CONVERGED, OK, TIED
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.layer._kl import kl_vjp
from nnmf_nb.layer._nnls import solve_gram, unit_diagonal
from nnmf_nb.plot import _map_arrays as map_arrays

cpu = pytest.importorskip("nnmf_nb.layer._cpu_kernels")
map_kernels = pytest.importorskip("nnmf_nb.plot._map_kernels")


def problem(seed):
    """A small-integer problem as unit-diagonal G and f."""
    A, x = integer_problem(np.random.default_rng(seed))
    G, d = unit_diagonal((A.T @ A)[None])
    return G[0], (A.T @ x) * d[0]


def value(G, f, s):
    return 0.5 * s @ G @ s - f @ s


@pytest.mark.parametrize("warm", [False, True])
def test_solved_points_are_the_minimum(warm):
    for seed in range(60):
        G, f = problem(seed)
        S = np.random.default_rng(seed).integers(0, 2, (1, len(f))).astype(float)
        status = np.empty(1, np.int64)
        cpu.solve_points(G[None], np.zeros(1, np.int64), f[None], S, warm, status)
        assert S.min() >= 0 and status[0] < NOT_CONVERGED
        assert value(G, f, S[0]) == pytest.approx(brute_force_gram(G, f), abs=1e-10), seed


@pytest.mark.parametrize("warm", [False, True])
def test_points_side_by_side_are_the_minimum_whatever_stands_beside_them(warm):
    rng = np.random.default_rng(0)
    by_rank = {}
    for seed in range(200):
        G, f = problem(seed)
        by_rank.setdefault(len(f), []).append((G, f))
    at_table = 0
    for problems in by_rank.values():
        if len(problems) < cpu.FEWEST_POINTS:
            continue
        G, F = (np.stack(part) for part in zip(*problems))
        M, numbers = len(F), np.arange(len(F))
        at_table += M
        S = rng.integers(0, 2, F.shape).astype(float)
        status = np.empty(M, np.int64)
        cpu.solve_points(G, numbers, F, S, warm, status)
        cpu.solve_points_carefully(G, numbers, F, S, warm, status)
        assert S.min() >= 0 and (status < NOT_CONVERGED).all()
        for g, f, s in zip(G, F, S):
            assert value(g, f, s) == pytest.approx(brute_force_gram(g, f), abs=1e-10)
        order = rng.permutation(M)
        again, status_again = rng.random(F.shape), np.empty(M, np.int64)
        cpu.solve_points(G, order, F[order], again, True, status_again)
        cpu.solve_points_carefully(G, order, F[order], again, True, status_again)
        np.testing.assert_array_equal(status_again, status[order])
        clean = status_again == OK
        np.testing.assert_array_equal(again[clean], S[order][clean])
    assert at_table >= 100


def test_the_careful_solver_is_right_too():
    for seed in range(250):
        G, f = problem(seed)
        work, s = cpu.scratch(len(f)), np.empty(len(f))
        done, _ = cpu.active_set(G, f, s, work, 1e-14 * len(f) ** 0.5)
        assert done and value(G, f, s) == pytest.approx(brute_force_gram(G, f), abs=1e-10), seed


@pytest.mark.parametrize("warm", [False, True])
def test_the_careful_solver_takes_over(warm):
    for seed in range(60):
        G, f = problem(seed)
        S = np.random.default_rng(seed).integers(0, 2, (2, len(f))).astype(float)
        status, untouched = np.array([NOT_CONVERGED, OK]), S[1].copy()
        cpu.solve_points_carefully(
            G[None], np.zeros(2, np.int64), np.stack([f, f]), S, warm, status
        )
        assert S.min() >= 0 and status[0] < NOT_CONVERGED and status[1] == OK
        assert value(G, f, S[0]) == pytest.approx(brute_force_gram(G, f), abs=1e-10), seed
        np.testing.assert_array_equal(S[1], untouched)


def test_the_layer_asks_the_careful_solver(monkeypatch):
    """Where the exchange rule does not end: here nowhere, in data hardly ever."""
    problems = [problem(seed) for seed in range(30)]
    monkeypatch.setattr(
        cpu, "solve_points", lambda G, gram_of, F, S, warm, status: status.fill(NOT_CONVERGED)
    )
    monkeypatch.setattr(layer, "cpu_kernels", lambda: cpu)
    for G, f in problems:
        S, status = solve_gram(G[None], f[None])
        assert status[0] < NOT_CONVERGED and value(G, f, S[0]) == pytest.approx(
            brute_force_gram(G, f), abs=1e-10
        )


def test_status_bits():
    G, status = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]]), np.empty(3, np.int64)
    S = np.zeros((3, 3))
    cpu.solve_points(
        np.stack([G, np.eye(3)]),
        np.array([0, 1, 1]),
        np.array([[1.0, 1, 1], [1, 1, 1], [1, 0, 1]]),
        S,
        False,
        status,
    )
    assert status.tolist() == [TIED | DEGENERATE, OK, TIED]


@pytest.mark.parametrize("M", [9, 90])  # one by one, side by side
def test_adjoints_are_inverses_on_the_support(M):
    rng = np.random.default_rng(1)
    A = rng.random((7, 4))
    G, S, U = (
        unit_diagonal((A.T @ A)[None])[0],
        rng.random((M, 4)) * (rng.random((M, 4)) < 0.6),
        rng.standard_normal((M, 4)),
    )
    Z = np.empty((M, 4))
    cpu.adjoint_points(G, np.zeros(M, np.int64), S, U, Z)
    for s, u, z in zip(S, U, Z):
        P, expected = s > 0, np.zeros(4)
        expected[P] = np.linalg.solve(G[0][np.ix_(P, P)], u[P])
        np.testing.assert_allclose(z, expected, atol=1e-9)


def test_sweeps_lower_the_objective_to_its_minimum():
    rng = np.random.default_rng(2)
    A = rng.random((8, 4))
    A[:, 3] = 0  # a zero column keeps its coefficient
    G, F, S = A.T @ A, rng.random((5, 8)) @ A, rng.random((5, 4)) * (rng.random((5, 4)) < 0.7)
    kept, before = S[:, 3].copy(), [value(G, f, s) for f, s in zip(F, S)]
    for _ in range(200):
        cpu.sweep_points(G, F, S, 3)
        after = [value(G, f, s) for f, s in zip(F, S)]
        assert all(a <= b + 1e-14 for a, b in zip(after, before))
        before = after
    assert S.min() >= 0 and (S[:, 3] == kept).all()
    for f, v in zip(F, after):
        assert v == pytest.approx(brute_force_gram(G, f), abs=1e-9)


@pytest.mark.parametrize("M", [1, 2, 15, 16, 17, 50])
@pytest.mark.parametrize("sweeps", [1, 4, 100])
def test_a_row_is_swept_as_if_it_were_alone(M, sweeps):
    rng = np.random.default_rng(M)
    A = rng.random((9, 6))
    G, F, S = A.T @ A, rng.random((M, 9)) @ A, rng.random((M, 6)) * (rng.random((M, 6)) < 0.7)
    alone, rounds = S.copy(), 0
    for j in range(M):
        rounds += cpu.sweep_points(G, F[j : j + 1], alone[j : j + 1], sweeps)
    assert cpu.sweep_points(G, F, S, sweeps) == rounds <= M * sweeps
    np.testing.assert_array_equal(S, alone)
    if sweeps == 1:  # one round, written out
        s, f = rng.random(6), F[0]
        swept = s[None].copy()
        cpu.sweep_points(G, f[None], swept, 1)
        for i in range(6):
            s[i] = max(0.0, s[i] - (G[i] @ s - f[i]) / G[i, i])
        np.testing.assert_allclose(swept[0], s, atol=1e-12)


def test_no_rows_take_no_rounds():
    assert cpu.sweep_points(np.eye(2), np.zeros((0, 2)), np.zeros((0, 2)), 4) == 0


def test_the_pull_is_the_projected_gradient():
    rng = np.random.default_rng(4)
    A = rng.random((8, 5))
    G, F, S, w, out = (
        A.T @ A,
        rng.random((7, 8)) @ A,
        rng.random((7, 5)) * (rng.random((7, 5)) < 0.6),
        rng.random(5),
        np.empty(7),
    )
    cpu.projected_gradient_rows(G, F, S, w, out)
    g = S @ G - F
    np.testing.assert_allclose(out, (w * np.where(S > 0, g, np.minimum(g, 0)) ** 2).sum(axis=1))


def test_dot_products_at_the_nonzeros():
    rng = np.random.default_rng(3)
    M = rng.random((6, 5)) < 0.4
    rows, indices = np.nonzero(M)
    indptr, out = np.concatenate([[0], np.cumsum(M.sum(axis=1))]), np.empty(M.sum())
    U, V = rng.random((6, 3)), rng.random((5, 3))
    cpu.dots_at(indptr, indices, U, V, out)
    np.testing.assert_allclose(out, (U @ V.T)[rows, indices])


# --- the kernels of counts and of maps, through the functions that call them ----------------------


@pytest.fixture
def kernels(monkeypatch):
    """The kernels are used, also where they are plain Python."""
    for module in ("layer._nnls", "tensors._data", "solvers._loss"):
        monkeypatch.setattr(f"nnmf_nb.{module}.cpu_kernels", lambda: cpu)


def sparse_counts(shape=(12, 8), seed=0):
    """Counts of which many are zero."""
    return np.random.default_rng(seed).poisson(0.7, shape).astype(float)


def test_kullback_leibler_coefficients_satisfy_the_conditions_of_optimality(kernels):
    X, A = sparse_counts((8, 9)), np.random.default_rng(1).random((8, 3)) + 0.1
    S = kl_regression(A, X)
    slope = A.sum(axis=0)[:, None] - A.T @ (X / np.maximum(A @ S, 1e-300))
    assert S.min() >= 0 and slope.min() >= -1e-8 and np.abs(S * slope).max() <= 1e-8
    G = np.random.default_rng(2).standard_normal(S.shape)
    gradient, step = kl_vjp(A, X, S, G), 1e-6
    up, down = A.copy(), A.copy()
    up[3, 1] += step
    down[3, 1] -= step
    difference = (G * (kl_regression(up, X) - kl_regression(down, X))).sum() / (2 * step)
    assert gradient.A[3, 1] == pytest.approx(difference, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        NMF(2, solver="mu", beta_loss="kullback-leibler", max_iter=6, random_state=0),
        NonnegativeCP(2, beta_loss="kullback-leibler", max_iter=6, n_init=1, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_of_counts_never_rise(model, kernels):
    X = sparse_counts((6, 5, 4))
    if isinstance(model, NMF):
        X = X.reshape(6, 20)
        model.fit(sp.csr_array(X))
    else:
        model.fit((np.argwhere(X), X[X > 0], X.shape))
    objective = np.asarray(model.history_["objective"], float)
    assert (np.diff(objective) <= 1e-9 * abs(objective[0])).all() and objective[-1] < objective[0]


def test_the_kernels_of_maps_are_the_formulas():
    rng = np.random.default_rng(0)
    positions, side = rng.random((20, 2)), 0.3
    indptr, indices = np.arange(0, 41, 2), rng.integers(0, 20, 40)
    weights = rng.random(40)
    for name, given in {
        "attraction": (positions, indptr, indices, weights),
        "overlaps": (positions, side),
        "deposit": (positions, np.zeros(2), side, 5),
        "gather": (positions, rng.random((3, 5, 5)), np.zeros(2), side),
    }.items():
        one, other = (getattr(module, name)(*given) for module in (map_kernels, map_arrays))
        np.testing.assert_allclose(one, other, atol=1e-6)
    first, last = np.zeros((20, 1), np.int64), np.full((20, 1), 20)
    one, other = (
        module.nearest_in_windows(positions, first, last, 3) for module in (map_kernels, map_arrays)
    )
    assert (np.sort(one, axis=1) == np.sort(other, axis=1)).all()
