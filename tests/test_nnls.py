"""The layer q: exact on every input, certified, differentiable; both engines, every namespace."""

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from strategies import (
    brute_force,
    brute_force_gram,
    deviation,
    examples,
    integer_problem,
    integer_problems,
    numeric_gradient,
    optimality,
)

import nnmf_nb.core._arrays as backend
from nnmf_nb.core._arrays import DEGENERATE, NOT_CONVERGED, OK, TIED, to_numpy
from nnmf_nb.core._data import as_data
from nnmf_nb.layer import _near_dependence as near_dependence
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.layer._near_dependence import accurate_residual
from nnmf_nb.layer._nnls import (
    adjoint,
    kkt_residual,
    layer_vjp,
    nnls,
    nnls_certified,
    nnls_vjp,
    solve_gram,
    unit_diagonal,
)

cpu = pytest.importorskip("nnmf_nb.layer._cpu_kernels")


@pytest.fixture(params=["compiled", "portable"])
def engine(request, monkeypatch):
    """Run a test with the numba kernels and with the array API engine on NumPy."""
    monkeypatch.setattr(
        layer, "cpu_kernels", (lambda: cpu) if request.param == "compiled" else (lambda: None)
    )
    return request.param


def column(x):
    return np.asarray(x, dtype=float)[:, None]


def random_problem(seed=0, N=20, k=6, M=40):
    rng = np.random.default_rng(seed)
    return rng.random((N, k)), rng.random((N, M))


# --------------------------------------------------------------------------------------- optimality


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (1, 2, 3))]
)
def test_small_integer_problems_equal_brute_force(engine, seed):
    rng = np.random.default_rng(seed)
    for _ in range(500):
        A, x = integer_problem(rng)
        S, status, kkt = nnls_certified(A, column(x))
        s = S[:, 0]
        assert s.min() >= 0
        assert ((x - A @ s) ** 2).sum() == pytest.approx(brute_force(A, x), abs=1e-10), (A, x)
        assert kkt[0] <= 1e-10 and optimality(A, x, s) <= 1e-10, (A, x)
        assert status[0] < NOT_CONVERGED


@given(integer_problems())
@settings(max_examples=examples(150), deadline=None)
def test_any_integer_problem_equals_brute_force(problem):
    A, x = problem
    S, status, kkt = nnls_certified(A, column(x))
    assert ((x - A @ S[:, 0]) ** 2).sum() == pytest.approx(brute_force(A, x), abs=1e-10)
    assert kkt[0] <= 1e-10 and S.min() >= 0 and status[0] < NOT_CONVERGED


def test_status_bits_say_what_the_solution_is(engine):
    """TIED: some s_i and g_i are both 0; DEGENERATE: and the columns that could be active are
    dependent.
    """
    rng = np.random.default_rng(11)
    for _ in range(500):
        A, x = integer_problem(rng)
        S, status, _ = nnls_certified(A, column(x))
        s, length = S[:, 0], np.linalg.norm(A, axis=0)
        g = A.T @ (A @ s - x)
        possible = (s * length > 1e-9) | (g < 1e-9)
        tied = (possible & (s * length <= 1e-9)).any()
        dependent = np.linalg.matrix_rank(A[:, possible], tol=1e-9) < possible.sum()
        assert bool(status[0] & TIED) == tied, (A, x)
        assert bool(status[0] & DEGENERATE) == dependent, (A, x)


def test_problem_49157_of_the_fuzzer_is_not_unique(engine):
    """Five columns of cond 100 before a sixth that depends on them: its pivot is rounding, but of a
    size that once passed for independent.
    """
    A = np.array(
        [
            [1, 1, 0, 3, 1, 1],
            [3, -1, 0, 1, -1, 3],
            [-1, 1, 1, 2, -1, -1],
            [2, 2, 2, 0, 0, -1],
            [-1, 3, 3, 1, -1, -1.0],
        ]
    )
    S, status, kkt = nnls_certified(A, column([1, 1, 1, 2, 3]))
    assert status[0] == TIED | DEGENERATE and kkt[0] < 1e-13


@pytest.mark.parametrize(
    "angle, flagged", [(1e-2, False), (1e-4, False), (1e-6, False), (1e-9, True)]
)
def test_only_what_rounding_cannot_tell_from_dependent_is_called_so(engine, angle, flagged):
    """The third column ties (its gradient is zero) and is `angle` away from the span of the
    others.
    """
    A = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0.0]])
    A[:, 2] = A[:, 2] / np.sqrt(2) * np.cos(angle) + np.array([0, 0, np.sin(angle)])
    status = nnls_certified(A, column([1, 2, 0])).status[0]
    assert bool(status & DEGENERATE) == flagged


def test_both_engines_report_the_same_status(monkeypatch):
    rng, problems = np.random.default_rng(12), []
    for _ in range(400):
        problems.append(integer_problem(rng))
    found = {}
    for name, kernels in (("compiled", cpu), ("portable", None)):
        monkeypatch.setattr(layer, "cpu_kernels", lambda kernels=kernels: kernels)
        found[name] = [int(nnls_certified(A, column(x)).status[0]) for A, x in problems]
    assert found["compiled"] == found["portable"]


UNIQUE = {
    "plain": ([[2, 1], [1, 3], [0, 1]], [1, 2, 3], OK),
    "tie at the apex of the cone": ([[1, 0], [0, 1]], [1, 0], TIED),
    "duplicates that are not used": ([[1, 0, 0], [0, 1, 1]], [1, -1], OK),
    "duplicates in use": ([[1, 1], [2, 2]], [1, 2], TIED | DEGENERATE),
    "collinear, in use": ([[1, 3, 0], [2, 6, 1]], [1, 3], TIED | DEGENERATE),
    "zero column": ([[1, 0], [2, 0]], [1, 2], TIED | DEGENERATE),
    "more columns than rows, used": ([[1, 0, 1], [0, 1, 1]], [1, 1], TIED | DEGENERATE),
}


@pytest.mark.parametrize("name", UNIQUE)
def test_status_of_constructed_points(engine, name):
    A, x, expected = UNIQUE[name]
    assert nnls_certified(np.array(A, float), column(x)).status[0] == expected


def test_solutions_use_independent_columns_only(engine):
    """The stated policy for degenerate points: a basic solution, whose support has independent
    columns.
    """
    rng = np.random.default_rng(3)
    for _ in range(800):
        A, x = integer_problem(rng)
        support = nnls(A, column(x))[:, 0] > 0
        # NumPy 2.0 has no rank of an empty matrix
        assert not support.any() or np.linalg.matrix_rank(A[:, support]) == support.sum(), (A, x)


def hard_inputs():
    rng = np.random.default_rng(5)
    yield "random", rng.random((40, 10)), rng.random((40, 200))
    yield "signed", rng.standard_normal((40, 10)), rng.standard_normal((40, 200))
    yield "k = 60", rng.random((80, 60)), rng.random((80, 120))
    yield "k = 60, more columns than rows", rng.random((30, 60)), rng.random((30, 100))
    yield (
        "k = 60, signed, more columns than rows",
        rng.standard_normal((30, 60)),
        rng.standard_normal((30, 100)),
    )
    yield (
        "range 1e24",
        10.0 ** rng.uniform(-12, 12, (40, 20)),
        10.0 ** rng.uniform(-12, 12, (40, 100)),
    )
    yield "Vandermonde, condition 1e8", np.vander(np.linspace(0, 1, 50), 12), rng.random((50, 100))
    yield "Vandermonde, condition 1e17", np.vander(np.linspace(0, 1, 50), 20), rng.random((50, 100))
    yield "Hilbert", 1 / (np.arange(12)[:, None] + np.arange(12) + 1.0), rng.random((12, 100))
    near = rng.random((40, 8))
    yield (
        "pairs 1e-6 apart",
        np.hstack([near, near + 1e-6 * rng.standard_normal(near.shape)]),
        rng.random((40, 100)),
    )
    counts = rng.poisson(0.3, (60, 25)).astype(float)
    yield "Poisson counts", counts, rng.poisson(0.3, (60, 100)).astype(float)
    yield (
        "one hot",
        np.eye(12)[:, rng.integers(12, size=20)],
        np.eye(12)[:, rng.integers(12, size=50)],
    )


HARD = {name: (A, X) for name, A, X in hard_inputs()}


@pytest.mark.each_value_once
@pytest.mark.parametrize("name", HARD)
def test_kkt_on_hard_inputs(engine, name):
    A, X = HARD[name]
    S, status, kkt = nnls_certified(A, X)
    assert kkt.max() <= 1e-10 and (status < NOT_CONVERGED).all() and S.min() >= 0
    assert max(optimality(A, x, s) for x, s in zip(X.T, S.T)) <= 1e-10


@pytest.mark.parametrize("gap", [1e-6, 1e-7, 1e-8, 1e-9])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_columns_that_the_gram_matrix_cannot_tell_apart_are_solved_or_flagged(engine, gap, sign):
    """V: working in Gram space has its price near dependence; it is never paid in silence."""
    rng = np.random.default_rng(0)
    near, X = rng.random((40, 8)), rng.random((40, 30))
    A = np.hstack([near, sign * near + gap * rng.standard_normal(near.shape)])
    S, status, _ = nnls_certified(A, X)
    other = np.array([scipy.optimize.nnls(A, x, maxiter=10_000)[0] for x in X.T]).T
    error, expected = ((accurate_residual(A, X, F) ** 2).sum(axis=0) for F in (S, other))
    is_right = error <= expected + 1e-11 * (X**2).sum(axis=0)
    assert is_right[status < NOT_CONVERGED].all() and is_right.all()


@pytest.mark.parametrize("name", ["random", "signed", "k = 60", "Poisson counts", "one hot"])
def test_kkt_in_float32(engine, name):
    A, X = (v.astype(np.float32) for v in HARD[name])
    S, status, kkt = nnls_certified(A, X)
    assert S.dtype == np.float32 and kkt.max() <= 1e-5 and (status < NOT_CONVERGED).all()


def test_the_problem_that_scipy_gets_wrong(engine):
    """field.md, finding 1: SciPy 1.16 and 1.17 return a point with error 3.594 and claim 0.178."""
    A = np.array([[3.0, 2, 1, 3], [1, 1, 2, 3], [2, 3, 3, 0], [2, 3, 0, 3]])
    x = np.array([2.0, 3, 0, 3])
    s = nnls(A, column(x))[:, 0]
    assert s == pytest.approx([0, 0, 0, 8 / 9]) and np.linalg.norm(A @ s - x) == pytest.approx(
        0.81650, abs=1e-5
    )


def test_thousands_of_columns_go_to_threads_and_agree_with_one_at_a_time(monkeypatch):
    A, X = random_problem(M=5000)
    monkeypatch.setattr(backend, "thread_count", lambda: 3)
    names = backend.in_threads(lambda rows: threading.current_thread().name, 5000, 1000)
    assert (
        len(names) == 3
        and names[0] == threading.current_thread().name
        and all(name.startswith("nnmf_nb") for name in names[1:])
    )
    S = nnls(A, X)
    assert deviation(S[:, :50], np.hstack([nnls(A, X[:, [j]]) for j in range(50)])) <= 1e-13


# ----------------------------------------------------------------------------------------- fallback


def unit_gram(A, x):
    G, d = unit_diagonal((A.T @ A)[None])
    return G[0], (A.T @ x) * d[0], d[0]


def test_active_set_kernel_equals_brute_force():
    rng = np.random.default_rng(21)
    for _ in range(700):
        A, x = integer_problem(rng)
        G, f, d = unit_gram(A, x)
        k = len(f)
        s = np.empty(k)
        done, _ = cpu.active_set(G, f, s, cpu.scratch(k), 1e-14 * k**0.5)
        assert done and s.min() >= 0
        assert ((x - A @ (s * d)) ** 2).sum() == pytest.approx(brute_force(A, x), abs=1e-10), (A, x)


def test_portable_active_set_equals_brute_force():
    rng = np.random.default_rng(22)
    for _ in range(300):
        A, x = integer_problem(rng)
        G, f, d = unit_gram(A, x)
        s, status = layer._active_set_point(G, f)
        assert status < NOT_CONVERGED and s.min() >= 0
        assert ((x - A @ (s * d)) ** 2).sum() == pytest.approx(brute_force(A, x), abs=1e-10), (A, x)


def test_points_on_which_pivoting_circles_reach_the_active_set(monkeypatch):
    """An exchange rule that never exchanges stands in for a cycle."""
    monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    expected = nnls(*(problem := random_problem(M=12, k=4)))
    monkeypatch.setattr(layer, "_exchange", lambda points, bad: points)
    assert np.allclose(nnls(*problem), expected, atol=1e-13)


def test_unique_points_of_the_fallback_are_not_called_degenerate(monkeypatch):
    monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    monkeypatch.setattr(layer, "_exchange", lambda points, bad: points)
    assert (nnls_certified(*random_problem(M=12, k=4)).status == OK).all()


def test_running_out_of_iterations_warns_and_returns(monkeypatch):
    monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    monkeypatch.setattr(layer, "_exchange", lambda points, bad: points)
    monkeypatch.setattr(layer, "_active_set_point", lambda G, f: (np.zeros(len(f)), NOT_CONVERGED))
    A, X = random_problem(M=5, k=4)
    # V: without Gram matrices they are solved all the same
    assert (nnls_certified(A, X).status < NOT_CONVERGED).all()
    monkeypatch.setattr(near_dependence, "_active_set", lambda problem, s: s)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        S, status, kkt = nnls_certified(A, X)
    assert (
        (status >= NOT_CONVERGED).any()
        and np.isfinite(S).all()
        and S.min() >= 0
        and kkt.max() > 1e-3
    )


# -------------------------------------------------------------------------------------- warm starts


@pytest.mark.parametrize(
    "name", ["random", "signed", "k = 60", "Poisson counts", "one hot", "pairs 1e-6 apart"]
)
def test_a_warm_start_changes_nothing(engine, name):
    A, X = HARD[name]
    cold = nnls(A, X)
    rng = np.random.default_rng(0)
    for S0 in (
        cold,
        np.zeros_like(cold),
        np.ones_like(cold),
        rng.integers(0, 2, cold.shape).astype(float),
    ):
        assert np.allclose(nnls(A, X, S0), cold, rtol=0, atol=1e-12 * np.abs(cold).max())


def test_a_warm_start_changes_nothing_at_degenerate_points(engine):
    rng = np.random.default_rng(31)
    for _ in range(300):
        A, x = integer_problem(rng)
        cold = nnls(A, column(x))
        for _ in range(3):
            warm = nnls(A, column(x), rng.integers(0, 2, cold.shape).astype(float))
            assert np.allclose(warm, cold, rtol=0, atol=1e-12), (A, x)


def test_a_warm_start_is_not_modified(engine):
    A, X = random_problem()
    S0 = np.random.default_rng(0).random((6, 40))
    before = S0.copy()
    nnls(A, X, S0)
    assert np.array_equal(S0, before)


@pytest.mark.parametrize(
    "shape",
    [
        (8, 30),
        *(
            pytest.param(shape, marks=pytest.mark.exhaustive)
            for shape in ((3, 30), (5, 2), (5, 31))
        ),
    ],
)
def test_a_warm_start_of_the_wrong_shape_is_refused(shape):
    """In a process of its own: a kernel that believes the shape writes beyond the array."""
    code = f"""
        import numpy as np
        from nnmf_nb.layer._nnls import nnls
        rng = np.random.default_rng(0)
        try: nnls(rng.random((20, 5)), rng.random((20, 30)), np.ones({shape}))
        except ValueError as error: assert "S0" in str(error), error
        else: raise SystemExit("accepted")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# --------------------------------------------------------------------------------------- symmetries


@pytest.mark.parametrize("cX", [1e-30, 1e-12, 1e30])
@pytest.mark.parametrize("cA", [1e-30, 1.0, 1e30])
def test_scale_equivariance(engine, cX, cA):
    A, X = random_problem()
    S, status, kkt = nnls_certified(cA * A, cX * X)
    assert (
        deviation(S / (cX / cA), nnls(A, X)) <= 1e-12
        and kkt.max() <= 1e-14
        and (status == OK).all()
    )


@pytest.mark.parametrize("c", [1e-30, 1e-12, 1e30])
def test_scale_equivariance_of_float32_data(engine, c):
    A, X = (v.astype(np.float32) for v in random_problem())
    S = nnls(A, np.float32(c) * X)
    assert S.dtype == np.float32 and deviation(S.astype(float) / c, nnls(A, X)) <= 1e-5


@pytest.mark.parametrize("cX, cA", [(1e-30, 1e-30), (1e30, 1e10), (1e30, 1e30)])
def test_scale_equivariance_of_float32_features(engine, cX, cA):
    A, X = (v.astype(np.float32) for v in random_problem())
    S = nnls(np.float32(cA) * A, np.float32(cX) * X)
    assert deviation(S.astype(float) / (cX / cA), nnls(A, X)) <= 1e-5


def test_scale_of_single_columns(engine):
    A, X = random_problem()
    c = 10.0 ** np.array([-30, 30, 0, 12, -12, 1])
    assert deviation(nnls(A * c, X) * c[:, None], nnls(A, X)) <= 1e-12
    assert deviation(nnls(A, X * (cx := 10.0 ** np.arange(-20, 20))) / cx, nnls(A, X)) <= 1e-11


@pytest.mark.parametrize("c", [1e-310, 5e-324])
def test_subnormal_data_are_finite(c):
    A, X = random_problem()
    assert np.isfinite(nnls(A, X * c)).all()


def test_memory_layout_does_not_matter(engine):
    A, X = random_problem()
    S = nnls(A, X)
    readonly = X.copy()
    readonly.setflags(write=False)
    big = np.zeros((60, 80))
    big[::3, ::2] = X
    for other in (
        np.asfortranarray(X),
        np.ascontiguousarray(X),
        readonly,
        big[::3, ::2],
        np.flip(np.flip(X).copy()),
    ):
        assert deviation(nnls(A, other), S) <= 1e-14
    frozen = np.asfortranarray(A)
    frozen.setflags(write=False)
    assert deviation(nnls(frozen, X), S) <= 1e-14
    S.setflags(write=False)
    assert deviation(nnls(A, X, S), S) <= 1e-14
    assert np.isfinite(nnls_vjp(frozen, readonly, S, S).A).all()


def test_permutations_of_data_points_and_features(engine):
    A, X = random_problem()
    rng, S = np.random.default_rng(1), nnls(A, X)
    p, q, r = rng.permutation(40), rng.permutation(6), rng.permutation(20)
    assert deviation(nnls(A, X[:, p]), S[:, p]) <= 1e-14
    assert deviation(nnls(A[:, q], X), S[q]) <= 1e-12
    assert deviation(nnls(A[r], X[r]), S) <= 1e-12


def test_nothing_is_modified(engine):
    A, X = random_problem()
    mask, weights = X > 0.2, X + 1
    kept = [v.copy() for v in (A, X, mask, weights)]
    S, _, _ = nnls_certified(A, X, mask=mask, weights=weights, l1=0.1, l2=0.1)
    nnls_vjp(A, X, S, S, mask=mask, weights=weights)
    kkt_residual(A, X, S)
    assert all(np.array_equal(a, b) for a, b in zip((A, X, mask, weights), kept))


# ----------------------------------------------------------------------------------- kinds of input


SPARSE = [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.csc_array, sp.coo_array]


@pytest.mark.parametrize("kind", SPARSE, ids=lambda c: c.__name__)
def test_sparse_equals_dense(engine, kind):
    A, X = random_problem()
    X[X < 0.7] = 0
    S = nnls(A, X)
    sparse = kind(X)
    kept = sparse.copy()
    R, status, kkt = nnls_certified(A, sparse)
    assert (
        type(R) is np.ndarray
        and deviation(R, S) <= 1e-13
        and kkt.max() <= 1e-13
        and (status == nnls_certified(A, X).status).all()
    )
    assert np.allclose(kkt_residual(A, sparse, 1.1 * S), kkt_residual(A, X, 1.1 * S))
    assert (abs(sparse - kept)).max() == 0 and sparse.format == kept.format
    assert nnls(A.astype(np.float32), kind(X.astype(np.float32))).dtype == np.float32
    assert nnls(A, kind((9 * X).astype(int))).dtype == np.float64


def test_every_kind_of_features_is_accepted():
    A, X = random_problem()
    A = np.round(9 * A)
    S = nnls(A, X)
    for kind in (A.astype(int), A.astype(np.float32), A.tolist(), pd.DataFrame(A), sp.csr_array(A)):
        R = nnls(kind, X)
        assert isinstance(R, np.ndarray) and deviation(R, S) <= 1e-6, type(kind)


def test_numpy_matrix_is_an_array_here():
    A, X = random_problem()
    assert deviation(nnls(np.asmatrix(A), np.asmatrix(X)), nnls(A, X)) <= 1e-14


def test_dtype_follows_the_data():
    A, X = random_problem()
    assert nnls(A, X.astype(np.float32)).dtype == np.float32
    assert nnls(A.astype(np.float32), X).dtype == np.float64
    assert nnls(A, (9 * X).astype(np.uint8)).dtype == np.float64


def test_namespaces(xp_device):
    A, X = random_problem()
    a, x = xp_device.asarray(A), xp_device.asarray(X)
    tol = 1e-12 if "64" in str(xp_device.dtype) else 1e-4
    for extra in ({}, {"l1": 0.1, "l2": 0.2}, {"mask": X > 0.3}, {"weights": X}):
        here = {
            n: xp_device.xp.asarray(v, device=xp_device.device) if isinstance(v, np.ndarray) else v
            for n, v in extra.items()
        }
        S, status, kkt = nnls_certified(a, x, **here)
        expected = nnls_certified(A, X, **extra)
        assert S.dtype == xp_device.dtype and S.device == x.device
        assert (
            deviation(to_numpy(S), expected.S) <= tol
            and (to_numpy(status) == expected.status).all()
        )
        assert to_numpy(kkt).max() <= (1e-12 if tol < 1e-6 else 1e-5)
        assert deviation(to_numpy(nnls(a, x, S, **here)), expected.S) <= tol


def test_namespaces_at_degenerate_points(xp_device):
    rng = np.random.default_rng(41)
    for _ in range(40):
        A, x = integer_problem(rng)
        a = xp_device.asarray(A)
        S, status, _ = nnls_certified(
            a, xp_device.asarray(column(x)), xp_device.asarray(np.ones((A.shape[1], 1)))
        )
        s = to_numpy(S)[:, 0]
        assert ((x - A @ s) ** 2).sum() == pytest.approx(
            brute_force(A, x), abs=1e-10 if "64" in str(xp_device.dtype) else 1e-4
        )


EDGES = {
    "one row": (1, 3, 5),
    "one data point": (7, 3, 1),
    "k = 1": (7, 1, 5),
    "one by one": (1, 1, 1),
    "k > N": (2, 6, 5),
    "k > N, M": (2, 6, 1),
}


@pytest.mark.parametrize("name", EDGES)
def test_edge_shapes(engine, name):
    N, k, M = EDGES[name]
    A, X = random_problem(1, N, k, M)
    S, status, kkt = nnls_certified(A, X)
    assert S.shape == (k, M) and kkt.max() <= 1e-14 and status.shape == (M,)
    assert all(
        ((x - A @ s) ** 2).sum() == pytest.approx(brute_force(A, x), abs=1e-12)
        for x, s in zip(X.T, S.T)
    )
    g = nnls_vjp(A, X, S, S)
    assert g.A.shape == (N, k) and g.X.shape == (N, M) and np.isfinite(g.A).all()


def test_zeros(engine):
    A, X = random_problem()
    X[:, 3] = 0
    zero = nnls_certified(A, np.zeros_like(X))
    assert not zero.S.any() and not zero.kkt.any()
    assert not nnls(A, X)[:, 3].any()
    S, status, kkt = nnls_certified(np.zeros_like(A), X)
    assert not S.any() and not kkt.any() and (status & DEGENERATE).all()
    A[:, 2] = 0
    S, status, kkt = nnls_certified(A, X)
    assert not S[2].any() and kkt.max() <= 1e-14 and (status & DEGENERATE).all()
    A[5] = X[5] = 0  # a feature that nobody has
    assert nnls_certified(A, X).kkt.max() <= 1e-14
    assert not nnls(A, sp.csr_array(X.shape)).any()


def test_features_that_only_point_away_are_not_used(engine):
    A, X = random_problem()
    S, status, _ = nnls_certified(-A, X)
    assert not S.any() and (status == OK).all()


MESSAGES = {
    "rows": (dict(A=np.ones((19, 6))), ValueError, "A has 19 rows, X has 20"),
    "NaN in A": (
        dict(A=np.full((20, 6), np.nan)),
        ValueError,
        r"A contains NaN: 120 entries, the first at \[0, 0\]",
    ),
    "one data point": (
        dict(X=np.ones(20)),
        ValueError,
        "X must have two dimensions.*single column",
    ),
    "l1": (dict(l1=-1.0), ValueError, "l1 must be a finite number >= 0, got -1.0"),
    "l2": (dict(l2=np.inf), ValueError, "l2 must be a finite number >= 0"),
    "l1 text": (dict(l1="much"), ValueError, "l1 must be a finite number"),
    "complex": (dict(A=np.ones((20, 6)) + 1j), TypeError, "A has dtype complex128"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name):
    change, kind, message = MESSAGES[name]
    A, X = random_problem()
    with pytest.raises(kind, match=message):
        nnls(**{"A": A, "X": X, **change})


# ----------------------------------------------------------------------------------- masks, weights


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, -7e200, 1e-300])
def test_what_stands_under_a_mask_changes_no_bit(engine, garbage):
    A, X = random_problem()
    mask = np.random.default_rng(2).random(X.shape) < 0.6
    S, status, kkt = nnls_certified(A, np.where(mask, X, 0.0), mask=mask)
    R = nnls_certified(A, dirty := np.where(mask, X, garbage), mask=mask)
    assert np.array_equal(S, R.S) and np.array_equal(kkt, R.kkt) and kkt.max() <= 1e-13
    g, h = nnls_vjp(A, X, S, S, mask=mask), nnls_vjp(A, dirty, S, S, mask=mask)
    assert np.array_equal(g.A, h.A) and np.array_equal(g.X, h.X) and not g.X[~mask].any()


def test_a_mask_is_leaving_out_rows(engine):
    A, X = random_problem()
    mask = np.random.default_rng(2).random(X.shape) < 0.6
    S = nnls(A, X, mask=mask)
    assert (
        deviation(S, np.hstack([nnls(A[m], x[m][:, None]) for x, m in zip(X.T, mask.T)])) <= 1e-12
    )


def test_integer_weights_are_repeated_rows(engine):
    A, X = random_problem()
    w = np.random.default_rng(3).integers(0, 4, 20)
    S, status, kkt = nnls_certified(A, X, weights=np.repeat(w[:, None], 40, axis=1))
    assert (
        deviation(S, nnls(np.repeat(A, w, axis=0), np.repeat(X, w, axis=0))) <= 1e-12
        and kkt.max() <= 1e-13
    )


def test_one_weight_pattern_among_many_is_solved_as_alone(engine):
    A, X = random_problem()
    patterns = np.random.default_rng(4).integers(0, 3, (20, 5)).astype(float)
    W = patterns[:, np.arange(40) % 5]
    S = nnls(A, X, weights=W)
    for p in range(5):
        assert deviation(S[:, p::5], nnls(A, X[:, p::5], weights=W[:, p::5])) <= 1e-12
    assert (
        deviation(S, np.hstack([nnls(A, X[:, [j]], weights=W[:, [j]]) for j in range(40)])) <= 1e-12
    )


def test_weights_of_one_are_no_weights_and_their_scale_does_not_matter(engine):
    A, X = random_problem()
    S = nnls(A, X)
    for w in (1.0, 1e-30, 1e30):
        assert deviation(nnls(A, X, weights=np.full(X.shape, w)), S) <= 1e-12
    assert deviation(nnls(A, X, mask=np.ones(X.shape, bool)), S) <= 1e-12


def test_masks_in_blocks(engine, monkeypatch):
    A, X = random_problem()
    mask = np.random.default_rng(2).random(X.shape) < 0.6
    S, g = nnls(A, X, mask=mask), nnls_vjp(A, X, nnls(A, X, mask=mask), X[:6], mask=mask)
    monkeypatch.setattr("nnmf_nb.core._data._BLOCK", 100)
    h = nnls_vjp(A, X, S, X[:6], mask=mask)
    assert (
        deviation(nnls(A, X, mask=mask), S) <= 1e-12
        and deviation(h.A, g.A) <= 1e-12
        and deviation(h.X, g.X) <= 1e-12
    )
    assert deviation(nnls(A, X), nnls(A, X, mask=np.ones(X.shape, bool))) <= 1e-12


def test_a_data_point_of_which_nothing_is_known(engine):
    A, X = random_problem()
    mask = np.ones(X.shape, bool)
    mask[:, 4] = False
    S, status, kkt = nnls_certified(A, X, mask=mask)
    assert (
        not S[:, 4].any()
        and np.isfinite(kkt).all()
        and status[4] & DEGENERATE
        and (np.delete(status, 4) == OK).all()
    )


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("l1, l2", [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2), (100.0, 0.0)])
def test_penalties_equal_brute_force(engine, l1, l2, weights):
    rng = np.random.default_rng(6)
    for _ in range(25):
        A, X = random_problem(rng, 8, 5, 3)
        W = rng.integers(0, 3, X.shape).astype(float) if weights else np.ones(X.shape)
        extra = dict(weights=W) if weights else {}
        S, _, kkt = nnls_certified(A, X, l1=l1, l2=l2, **extra)
        assert kkt.max() <= 1e-13
        for x, s, w in zip(X.T, S.T, W.T):
            G, f = (A.T * w) @ A + l2 * np.eye(5), A.T @ (w * x) - l1
            if np.linalg.matrix_rank(G) == 5:
                assert 0.5 * s @ G @ s - f @ s == pytest.approx(brute_force_gram(G, f), abs=1e-12)


def test_penalties_have_the_units_of_the_data(engine):
    A, X = random_problem()
    S = nnls(A, X, l1=0.5, l2=0.25)
    assert deviation(nnls(A, 1e20 * X, l1=0.5e20, l2=0.25) / 1e20, S) <= 1e-12
    assert deviation(nnls(1e10 * A, X, l1=0.5e10, l2=0.25e20) * 1e10, S) <= 1e-12


def test_a_mask_beside_a_data_matrix_is_not_ignored():
    A, X = random_problem()
    with pytest.raises((ValueError, TypeError), match="mask"):
        nnls(A, as_data(X), mask=X > 0.5)


# -------------------------------------------------------------------------------------- certificate


def spoilt(S):
    """Every way in which a solution can be wrong."""
    i, j = np.argwhere(S > 0.05)[0]
    n, m = np.argwhere(S == 0)[0]
    for name, where, value in (
        ("too large", (i, j), S[i, j] * 1.01),
        ("too small", (i, j), S[i, j] * 0.99),
        ("dropped", (i, j), 0.0),
        ("negative", (n, m), -0.01),
        ("switched on", (n, m), 0.01),
    ):
        R = S.copy()
        R[where] = value
        yield name, R, where[1]


@pytest.mark.parametrize(
    "extra", [{}, dict(l1=0.1, l2=0.1), dict(mask=True)], ids=["plain", "penalties", "mask"]
)
def test_kkt_residual_notices_every_kind_of_error(extra):
    A, X = random_problem()
    extra = dict(mask=np.random.default_rng(0).random(X.shape) < 0.8) if "mask" in extra else extra
    S = nnls(A, X, **extra)
    assert kkt_residual(A, X, S, **extra).max() <= 1e-14
    for name, R, j in spoilt(S):
        kkt = kkt_residual(A, X, R, **extra)
        assert kkt[j] > 1e-4 and np.delete(kkt, j).max() <= 1e-14, name


@pytest.mark.parametrize(
    "value, extra",
    [(-1.0, {}), (1.0, dict(l1=0.1)), (1.0, dict(l2=0.1))],
    ids=["negative", "l1", "l2"],
)
def test_kkt_residual_notices_errors_at_a_zero_column(value, extra):
    A, X = random_problem()
    A[:, 2] = 0
    S = nnls(A, X, **extra)
    S[2] = value
    assert kkt_residual(A, X, S, **extra).min() > 1e-6


def test_kkt_residual_is_a_pure_number():
    A, X = random_problem()
    S = 1.1 * nnls(A, X)
    kkt, c = kkt_residual(A, X, S), 10.0 ** np.array([-30, 30, 0, 5, -5, 1])
    for cX in (1e-30, 1e30):
        assert kkt_residual(A, cX * X, cX * S) == pytest.approx(kkt, rel=1e-12)
    for cA in (1e-30, 1e30):
        assert kkt_residual(cA * A, X, S / cA) == pytest.approx(kkt, rel=1e-12)
    assert kkt_residual(A * c, X, S / c[:, None]) == pytest.approx(kkt, rel=1e-9)


@pytest.mark.parametrize("c", [1e-30, 4.0, 1e30])
def test_kkt_residual_does_not_feel_the_scale_of_the_weights(c):
    A, X = random_problem()
    S = 1.1 * nnls(A, X)
    assert kkt_residual(A, X, S, weights=np.full(X.shape, c)) == pytest.approx(
        kkt_residual(A, X, S), rel=1e-9
    )


def test_kkt_residual_of_a_zero_data_point():
    A, X = random_problem()
    X[:, 1] = 0
    S = nnls(A, X)
    assert kkt_residual(A, X, S)[1] == 0
    S[0, 1] = 1e-8
    assert kkt_residual(A, X, S)[1] > 0.1


def test_kkt_residual_refuses_another_shape():
    A, X = random_problem()
    with pytest.raises(ValueError, match="S"):
        kkt_residual(A, X, np.ones((6, 1)))


# --------------------------------------------------------------------------------------- derivative


CASES = ["plain", "penalties", "masked", "weighted", "weighted and penalized"]


def case(name, X):
    rng = np.random.default_rng(8)
    return {
        "plain": {},
        "penalties": dict(l1=0.05, l2=0.1),
        "masked": dict(mask=rng.random(X.shape) < 0.8),
        "weighted": dict(weights=0.2 + rng.random(X.shape)),
        "weighted and penalized": dict(weights=0.2 + rng.random(X.shape), l1=0.05, l2=0.1),
    }[name]


@pytest.mark.each_value_once
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", [1.0, 1e12])
def test_vjp_equals_central_differences(engine, name, scale):
    A, X = random_problem(7, 9, 4, 6)
    X, extra, R = scale * X, case(name, X), np.random.default_rng(9).standard_normal((4, 6))
    if "l1" in extra:
        extra["l1"] *= scale
    S = nnls(A, X, **extra)
    assert (S == 0).any() and (S > 0).any()
    g = nnls_vjp(A, X, S, R, **extra)
    cost = lambda A, X, **more: (R * nnls(A, X, **{**extra, **more})).sum()
    assert deviation(g.A, numeric_gradient(lambda a: cost(a, X), A)) <= 1e-6
    assert deviation(g.X, numeric_gradient(lambda x: cost(A, scale * x), X / scale) / scale) <= 1e-6
    if "l1" in extra:
        l1, l2 = np.array([extra["l1"] / scale]), np.array([extra["l2"]])
        assert g.l1 == pytest.approx(
            numeric_gradient(lambda v: cost(A, X, l1=scale * v[0]), l1)[0] / scale, rel=1e-6
        )
        assert g.l2 == pytest.approx(
            numeric_gradient(lambda v: cost(A, X, l2=v[0]), l2)[0], rel=1e-6
        )


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_matrix])
def test_vjp_of_sparse_data(engine, kind):
    A, X = random_problem()
    X[X < 0.6] = 0
    S, R = nnls(A, X), np.random.default_rng(9).standard_normal((6, 40))
    data = as_data(kind(X))
    Z = adjoint(data, A, S / data.scale, R)
    assert (
        deviation(layer_vjp(data, A, S / data.scale, Z) * data.scale, nnls_vjp(A, X, S, R).A)
        <= 1e-12
    )
    assert deviation(nnls_vjp(A, kind(X), S, R).A, nnls_vjp(A, X, S, R).A) <= 1e-12


@pytest.mark.parametrize("name", CASES)
def test_vjp_in_float32(engine, name):
    A, X = random_problem()
    extra, R = case(name, X), np.random.default_rng(9).standard_normal((6, 40))
    S = nnls(A, X, **extra)
    g = nnls_vjp(A, X, S, R, **extra)
    few = {n: v.astype(np.float32) if n == "weights" else v for n, v in extra.items()}
    h = nnls_vjp(
        A.astype(np.float32),
        X.astype(np.float32),
        S.astype(np.float32),
        R.astype(np.float32),
        **few,
    )
    assert h.A.dtype == h.X.dtype == np.float32
    assert (
        deviation(h.A, g.A) <= 1e-4
        and deviation(h.X, g.X) <= 1e-4
        and h.l1 == pytest.approx(g.l1, rel=1e-3)
    )


@pytest.mark.parametrize("name", CASES)
def test_vjp_in_every_namespace(xp_device, name):
    A, X = random_problem()
    extra, R = case(name, X), np.random.default_rng(9).standard_normal((6, 40))
    S = nnls(A, X, **extra)
    expected = nnls_vjp(A, X, S, R, **extra)
    here = {
        n: xp_device.xp.asarray(v, device=xp_device.device) if isinstance(v, np.ndarray) else v
        for n, v in extra.items()
    }
    g = nnls_vjp(*(xp_device.asarray(v) for v in (A, X, S, R)), **here)
    tol = 1e-12 if "64" in str(xp_device.dtype) else 1e-4
    assert g.A.dtype == g.X.dtype == xp_device.dtype
    assert (
        deviation(to_numpy(g.A), expected.A) <= tol and deviation(to_numpy(g.X), expected.X) <= tol
    )


def test_vjp_is_finite_at_ties_and_duplicates(engine):
    rng = np.random.default_rng(10)
    for _ in range(200):
        A, x = integer_problem(rng)
        for S in (nnls(A, column(x)), np.ones((A.shape[1], 1)), np.zeros((A.shape[1], 1))):
            g = nnls_vjp(A, column(x), S, rng.standard_normal(S.shape))
            assert (
                np.isfinite(g.A).all()
                and np.isfinite(g.X).all()
                and np.isfinite([g.l1, g.l2]).all()
            )


def test_vjp_of_nearly_equal_features_is_bounded(engine):
    A, X = random_problem()
    A[:, 1] = A[:, 0] * (1 + 1e-9)
    S = nnls(A, X)
    assert np.abs(nnls_vjp(A, X, S, np.ones_like(S)).A).max() < 1e4


def test_vjp_refuses_another_shape():
    A, X = random_problem()
    S = nnls(A, X)
    with pytest.raises(ValueError, match="dS"):
        nnls_vjp(A, X, S, np.ones((6, 1)))
    with pytest.raises(ValueError, match="S"):
        nnls_vjp(A, X, S[:, :1], np.ones((6, 40)))


# --------------------------------------------------------------------------------------- solve_gram


@given(st.integers(0, 10_000))
@settings(max_examples=examples(40), deadline=None)
def test_solve_gram_with_a_matrix_per_point(seed):
    rng = np.random.default_rng(seed)
    k, g, M = rng.integers(1, 5), rng.integers(1, 4), rng.integers(1, 6)
    B = rng.integers(-1, 3, (g, 6, k)).astype(float)
    which = rng.integers(g, size=M)
    x = rng.integers(0, 4, (M, 6)).astype(float)
    S, status = solve_gram(
        B.transpose(0, 2, 1) @ B, np.einsum("mnk,mn->mk", B[which], x), gram_of=which
    )
    for j in range(M):
        assert ((x[j] - B[which[j]] @ S[j]) ** 2).sum() == pytest.approx(
            brute_force(B[which[j]], x[j]), abs=1e-10
        )


# ------------------------------------------------------------------------------------ out of memory


@pytest.mark.parametrize("weighted", [False, True])
def test_running_out_of_memory_changes_nothing(monkeypatch, weighted):
    """Stacks of more than four matrices do not fit: chunks are halved, and the coefficients and the
    derivative come out as they would have.
    """
    A, X = random_problem(3)
    extra = (
        {"weights": (np.random.default_rng(4).random(X.shape) < 0.7).astype(float)}
        if weighted
        else {}
    )
    monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    S = nnls(A, X, **extra)
    grad = nnls_vjp(A, X, S, S - 1, **extra)
    real, refused = layer.masked_cholesky, []

    def small_machine(G, passive):
        if len(passive) > 4:
            refused.append(len(passive))
            raise MemoryError
        return real(G, passive)

    monkeypatch.setattr(layer, "masked_cholesky", small_machine)
    np.testing.assert_allclose(nnls(A, X, **extra), S, rtol=0, atol=1e-13)
    again = nnls_vjp(A, X, S, S - 1, **extra)
    np.testing.assert_allclose(again.A, grad.A, atol=1e-12)
    np.testing.assert_allclose(again.X, grad.X, atol=1e-12)
    assert len(refused) < 20


def test_gram_matrices_of_patterns_when_memory_is_short(monkeypatch):
    A, X = random_problem(5)
    W = np.random.default_rng(6).random(X.shape)
    whole = layer.grams_of_patterns(A, W)
    real, refused = layer.double, []

    def small_machine(x):
        if x.shape[0] > 6 and x.shape[1] == W.shape[1]:
            refused.append(x.shape)
            raise MemoryError
        return real(x)

    monkeypatch.setattr(layer, "double", small_machine)
    np.testing.assert_allclose(layer.grams_of_patterns(A, W), whole, rtol=1e-13)
    assert refused


@pytest.mark.parametrize("company", [0, 120])
def test_problem_202848_of_the_fuzzer_is_not_unique_in_company_either(company):
    # three equations, four unknowns, all of them positive: no tie, and the pivot of the fourth
    # column is rounding that passed for a pivot
    A, x = integer_problem(np.random.default_rng(202848))
    result = nnls_certified(A, np.repeat(x[:, None], 1 + company, axis=1))
    assert (np.asarray(result.status) & DEGENERATE).all() and np.linalg.matrix_rank(
        A
    ) == 3 < A.shape[1]
