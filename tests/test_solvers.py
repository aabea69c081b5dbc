"""HALS, starts and the training of chains: monotone, nonnegative, deterministic, interruptible."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from strategies import deviation

import nnmf_nb.core._arrays as backend
import nnmf_nb.solvers.coordinate_descent as solvers
from nnmf_nb.chain._costs import COSTS, ChainObjective, energy, every, last, on_unit_columns
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import as_data, relative_error
from nnmf_nb.core._linalg import svd_floors, unit_columns
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.solvers.coordinate_descent import _update_by_sweeps, coordinate_descent, hals
from nnmf_nb.solvers.gradient import (
    OPTIMIZERS,
    Trace,
    _pack,
    _unpack,
    adam,
    backtracking_descent,
    gradient_descent,
    lbfgs,
    run,
)
from nnmf_nb.solvers.initialization import best_start, random_start, svd_start
from nnmf_nb.solvers.stationarity import projected_gradient_norm, scaled_gradient_norm

cpu = pytest.importorskip("nnmf_nb.layer._cpu_kernels")
RANKS = (5, 3, 2)


@pytest.fixture(params=["compiled", "portable"])
def engine(request, monkeypatch):
    kernels = (lambda: cpu) if request.param == "compiled" else (lambda: None)
    monkeypatch.setattr(layer, "cpu_kernels", kernels)
    monkeypatch.setattr(solvers, "cpu_kernels", kernels)


def data(kind="dense", seed=0, N=20, M=30):
    rng = np.random.default_rng(seed)
    X = rng.random((N, 4)) @ rng.random((4, M)) + 0.3 * rng.random((N, M))
    mask = rng.random(X.shape) < 0.75
    if kind == "sparse":
        return as_data(sp.csr_array(np.where(mask, X, 0)))
    if kind == "masked":
        return as_data(np.where(mask, X, np.nan), mask=mask)
    if kind == "weighted":
        return as_data(X, weights=rng.random(X.shape))
    return as_data(X.astype(np.float32) if kind == "float32" else X)


def start(X, k=4, seed=1):
    return random_start(X, k, np.random.default_rng(seed))


def chain(seed=0, N=20, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return tuple(unit_columns(rng.random(s)).astype(dtype) for s in zip((N, *RANKS), RANKS))


# --------------------------------------------------------------------------------------------- HALS


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked", "weighted"])
def test_hals_falls_and_stays_nonnegative_at_every_iteration(kind, engine):
    X = data(kind)
    A, S = start(X)
    errors = [relative_error(X, A, S)]
    for _ in range(25):
        fit = hals(X, A, S, max_iter=1, tol=0.0)
        A, S = fit.A, fit.S
        assert (
            A.min() >= 0
            and S.min() >= 0
            and np.linalg.norm(A, axis=0) == pytest.approx(np.ones(4), abs=1e-12)
        )
        errors.append(relative_error(X, A, S))
        assert fit.errors == pytest.approx([errors[-1]], rel=1e-9)
    assert (np.diff(errors) <= 1e-12).all() and errors[-1] < 0.8 * errors[0]


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked", "weighted"])
def test_the_engines_of_hals_agree(kind, monkeypatch):
    X = data(kind)
    one = hals(X, *start(X), max_iter=10, tol=0.0)
    for module in (layer, solvers):
        monkeypatch.setattr(module, "cpu_kernels", lambda: None)
    two = hals(X, *start(X), max_iter=10, tol=0.0)
    # the kernels end a round of sweeps early where little moves
    assert one.errors == pytest.approx(two.errors, rel=0.02)


@pytest.mark.parametrize("kind", ["dense", "masked"])
def test_hals_on_exact_data_falls_to_rounding_level(kind):
    rng = np.random.default_rng(0)
    X = rng.random((20, 3)) @ rng.random((3, 30))
    D = as_data(X) if kind == "dense" else as_data(X, mask=rng.random(X.shape) < 0.8)
    fit = hals(D, *start(D, 3), max_iter=3000, tol=0.0)
    assert (np.diff(fit.errors) <= 1e-12).all() and fit.errors[-1] < 1e-4
    assert fit.errors[-1] == pytest.approx(relative_error(D, fit.A, fit.S), rel=1e-3, abs=1e-14)


def test_hals_ends_at_a_stationary_point():
    X = data()
    fit = hals(X, *start(X), max_iter=5000, tol=1e-7)
    assert (
        fit.reason == "stationary"
        and fit.stationarity[-1] <= 1e-7
        and len(fit.errors) == len(fit.stationarity) < 5000
    )
    assert fit.errors[-1] >= svd_floors(X, (4,))[0]


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
def test_hals_does_not_feel_the_scale(kind):
    X = data(kind)
    raw = X.known if kind == "masked" else X.X
    extra = dict(mask=X.W > 0) if kind == "masked" else {}
    a = hals(X, *start(X), max_iter=10, tol=0.0)
    for c in (2.0**-100, 2.0**100):
        b = hals(as_data(raw * c, **extra), *start(X), max_iter=10, tol=0.0)
        assert a.errors == b.errors and np.array_equal(a.A, b.A) and np.array_equal(a.S, b.S)


def test_hals_reasons_and_callback():
    X, seen = data(), []
    assert hals(X, *start(X), max_iter=3, tol=0.0).reason == "max_iter"
    fit = hals(
        X, *start(X), max_iter=50, tol=0.0, callback=lambda *a: seen.append(a) or len(seen) == 4
    )
    assert (
        fit.reason == "callback"
        and [n for n, *_ in seen] == [0, 1, 2, 3]
        and [e for _, e, *_ in seen] == fit.errors
        and seen[-1][3] is fit.A
    )
    assert hals(X, *start(X), max_iter=0).errors == []


def test_hals_keeps_what_it_has_when_interrupted(monkeypatch):
    X, turn, left = data(), solvers._update_by_sweeps, [3]

    def impatient(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return turn(*args)

    monkeypatch.setattr(solvers, "_update_by_sweeps", impatient)
    fit = hals(X, *start(X), tol=0.0)
    assert (
        fit.reason == "interrupted"
        and len(fit.errors) == 3
        and relative_error(X, fit.A, fit.S) == pytest.approx(fit.errors[-1])
    )


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
def test_hals_on_zeros(kind, engine):
    N, M = 20, 30
    X = np.zeros((N, M))
    D = {
        "dense": lambda: as_data(X),
        "sparse": lambda: as_data(sp.csr_array(X)),
        "masked": lambda: as_data(X, mask=X == 0),
    }[kind]()
    fit = hals(D, *start(D))
    assert fit.errors[-1] == 0 and np.isfinite(fit.A).all() and not (fit.A @ fit.S).any()
    X[3:, 4:] = data().X[3:, 4:]  # zero rows and columns
    D = (
        as_data(X, mask=np.random.default_rng(0).random(X.shape) < 0.8)
        if kind == "masked"
        else as_data(X)
    )
    fit = hals(D, *start(D))
    assert (
        np.isfinite(fit.A).all()
        and np.isfinite(fit.S).all()
        and (np.diff(fit.errors) <= 1e-12).all()
    )


@pytest.mark.parametrize(
    "N, M, k", [(1, 5, 1), (5, 1, 1), (1, 1, 1), (3, 4, 7), (1, 6, 3), (6, 1, 3)]
)
def test_hals_of_edge_shapes(N, M, k):
    X = as_data(np.random.default_rng(0).random((N, M)))
    for A, S in (random_start(X, k, np.random.default_rng(0)), svd_start(X, k)):
        fit = hals(X, A, S, max_iter=100)
        assert (
            fit.A.shape == (N, k)
            and fit.S.shape == (k, M)
            and np.isfinite(fit.errors).all()
            and (np.diff(fit.errors) <= 1e-12).all()
        )


def test_float32_stays_float32():
    X = data("float32")
    begin = best_start(X, 4, 2, np.random.default_rng(0))
    fit = hals(X, begin.A, begin.S)
    assert fit.A.dtype == fit.S.dtype == np.float32 and fit.errors[-1] == pytest.approx(
        relative_error(X, fit.A, fit.S), rel=1e-3
    )
    for name, optimizer in OPTIMIZERS.items():
        trace = run(
            optimizer, ChainObjective(X, every), chain(dtype=np.float32), Trace(), max_iter=3
        )
        assert all(a.dtype == np.float32 for a in trace.A), name


def test_sweep_equals_coordinate_descent_by_hand(engine):
    rng = np.random.default_rng(0)
    B, X, S = rng.random((9, 4)), rng.random((9, 6)), rng.random((6, 4))
    G, F, expected = B.T @ B, X.T @ B, S.copy()
    for j in range(6):
        for i in range(4):
            expected[j, i] = max(0.0, expected[j, i] - (G[i] @ expected[j] - F[j, i]) / G[i, i])
    kept = S.copy()
    assert deviation(coordinate_descent(G, F, S, 1).factor, expected) <= 1e-13 and np.array_equal(
        S, kept
    )


def test_sweep_skips_zero_columns(engine):
    G, F, S = np.diag([1.0, 0.0]), np.ones((3, 2)), np.full((3, 2), 0.5)
    assert np.array_equal(coordinate_descent(G, F, S).factor, np.tile([1.0, 0.5], (3, 1)))


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked", "float32"])
def test_starts(kind):
    X = data(kind)
    for A, S in (start(X), svd_start(X, 4)):
        assert A.shape == (20, 4) and S.shape == (4, 30) and A.dtype == S.dtype == X.dtype
        assert (
            A.min() > 0
            and S.min() > 0
            and np.linalg.norm(A, axis=0) == pytest.approx(np.ones(4), rel=1e-6)
        )
    assert relative_error(X, *svd_start(X, 4)) < relative_error(X, *start(X))
    runs = [best_start(X, 4, n, np.random.default_rng(0)).errors[-1] for n in (1, 3, 6)]
    assert runs[0] >= runs[1] >= runs[2]


@pytest.mark.parametrize(
    "X",
    [np.zeros((30, 20)), np.ones((30, 20)), np.kron(np.eye(3), np.ones((9, 8))), np.zeros((2, 3))],
)
def test_starts_of_special_matrices(X):
    D = as_data(X)
    fit = best_start(D, 5, 3, np.random.default_rng(0))
    assert np.isfinite(fit.A).all() and np.isfinite(fit.S).all() and fit.errors[-1] <= 1e-3


# ------------------------------------------------------------------------------------------- chains


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
@pytest.mark.parametrize("units", [False, True])
def test_every_iterate_is_nonnegative_and_the_cost_falls(name, kind, units):
    X, seen = data(kind), []
    objective = ChainObjective(X, every)
    trace = run(
        OPTIMIZERS[name],
        on_unit_columns(objective) if units else objective,
        chain(),
        Trace(
            lambda n, value, A, fwd, pg: (
                seen.append(
                    (
                        n,
                        value,
                        min(float(a.min()) for a in A),
                        min(float(s.min()) for s in fwd.S),
                        pg,
                    )
                )
                and False
            )
        ),
        max_iter=25,
        tol=0.0,
        **({"step": 0.1} if name == "gd" else {}),
    )
    assert (
        [s[0] for s in seen] == list(range(len(seen)))
        and min(s[2] for s in seen) >= 0
        and min(s[3] for s in seen) >= 0
    )
    assert [s[1] for s in seen] == trace.values and [s[4] for s in seen] == trace.stationarity
    if name != "adam":
        assert (np.diff(trace.values) <= 1e-12).all()
    assert (
        trace.values[-1] < trace.values[0]
        and trace.value == min(trace.values)
        and len(trace.values) == 26
    )
    value = (on_unit_columns(objective) if units else objective)(trace.A)[0]
    assert value == pytest.approx(trace.value, rel=1e-12)


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("optimizer", [lbfgs, backtracking_descent])
def test_line_searches_never_rise(optimizer, cost):
    trace = run(
        optimizer,
        on_unit_columns(ChainObjective(data(), cost)),
        chain(),
        Trace(),
        max_iter=60,
        tol=1e-9,
    )
    assert (np.diff(trace.values) <= 1e-14).all()


def test_method_1_is_three_lines():
    X, A, step = data(), chain(), 0.3
    values, B = [], A
    objective = ChainObjective(X, energy)
    for _ in range(20):
        value, dA, _ = objective(B)
        values.append(value)
        B = tuple(np.maximum(b - step * g, 0) for b, g in zip(B, dA))
    iterates = []
    trace = run(
        gradient_descent,
        ChainObjective(X, energy),
        A,
        Trace(lambda n, v, A, f, pg: iterates.append(A) and False),
        max_iter=20,
        tol=0.0,
        step=step,
    )
    assert trace.values[:20] == values and all(
        np.array_equal(a, b) for a, b in zip(iterates[20], B)
    )


def test_adam_is_its_formula():
    X, A, m, v = data(), chain(), 0.0, 0.0
    B, objective = A[0], ChainObjective(X, every)
    for n in range(1, 6):
        _, (g,), _ = objective((B,))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        B = np.maximum(B - 0.02 * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-12), 0)
    iterates = []
    run(
        adam,
        ChainObjective(X, every),
        A[:1],
        Trace(lambda n, v, A, f, pg: iterates.append(A[0]) and False),
        max_iter=5,
        tol=0.0,
        step=0.02,
    )
    assert deviation(iterates[5], B) <= 1e-12


def quadratic(n=40, seed=0):
    """A strictly convex quadratic over A >= 0 in two blocks, as an objective for the optimizers and
    as f(x) for SciPy.
    """
    rng = np.random.default_rng(seed)
    Q = rng.standard_normal((n, n))
    Q, b = Q @ Q.T + 0.1 * np.eye(n), 5 * rng.standard_normal(n)
    f = lambda x: (0.5 * x @ Q @ x - b @ x, Q @ x - b)
    like = (np.zeros((5, 4)), np.zeros((n - 20, 1)))

    def objective(A):
        value, g = f(_pack(A))
        return value, _unpack(g, like), None

    return f, objective, tuple(_unpack(rng.random(n), like))


@pytest.mark.parametrize("seed", range(5))
def test_lbfgs_on_a_convex_quadratic_equals_scipy(seed):
    f, objective, A = quadratic(seed=seed)
    trace = run(lbfgs, objective, A, Trace(), max_iter=2000, tol=1e-9)
    peer = minimize(
        f,
        _pack(A),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * 40,
        options=dict(maxiter=5000, ftol=1e-15, gtol=1e-10, maxfun=10**5),
    )
    assert trace.value <= peer.fun + 1e-6 * abs(peer.fun) and len(trace.values) < 400
    assert np.allclose(_pack(trace.A), peer.x, atol=1e-4) and trace.converged


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (1, 2))]
)
def test_lbfgs_on_a_chain_is_no_worse_than_scipy(seed):
    X, A = data(), chain(seed)
    objective = on_unit_columns(ChainObjective(X, every))

    def f(x):
        value, dA, _ = objective(_unpack(x, A))
        return value, _pack(dA)

    peer = minimize(
        f,
        _pack(A),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * _pack(A).size,
        options=dict(maxiter=400, ftol=1e-12, gtol=1e-8),
    )
    trace = run(lbfgs, objective, A, Trace(), max_iter=400, tol=1e-7)
    assert trace.value <= 1.01 * peer.fun


def test_pack_and_unpack(xp_device):
    A = [
        xp_device.asarray(np.arange(6.0).reshape(2, 3)),
        xp_device.asarray([[7.0]]),
        xp_device.asarray([[8.0], [9.0]]),
    ]
    assert to_numpy(_pack(A)).tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert all(
        np.array_equal(to_numpy(a), to_numpy(b)) and a.shape == b.shape
        for a, b in zip(_unpack(_pack(A), A), A)
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_interrupted_run_returns_the_best_so_far(name):
    objective, calls = ChainObjective(data(), every), [0]

    def impatient(A):
        calls[0] += 1
        if calls[0] == 8:
            raise KeyboardInterrupt
        return objective(A)

    trace = run(OPTIMIZERS[name], impatient, chain(), Trace(), max_iter=100, tol=0.0)
    assert (
        trace.reason == "interrupted"
        and not trace.converged
        and trace.value == min(trace.values)
        and len(trace.values) >= 1
    )
    assert objective(trace.A)[0] == pytest.approx(trace.value, rel=1e-12)


def test_an_interrupt_before_the_first_value_is_raised():
    def impatient(A):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(lbfgs, impatient, chain(), Trace())


def test_interrupting_the_callback():
    def stop(n, *rest):
        if n == 3:
            raise KeyboardInterrupt

    trace = run(lbfgs, ChainObjective(data(), every), chain(), Trace(stop), tol=0.0)
    assert trace.reason == "interrupted" and len(trace.values) == 4 and trace.A is not None


def test_reasons():
    objective = on_unit_columns(ChainObjective(data(), every))
    trace = run(lbfgs, objective, chain(), Trace(), max_iter=2)
    assert trace.reason == "max_iter" and not trace.converged and len(trace.values) == 3
    trace = run(lbfgs, objective, chain(), Trace(), max_iter=2000, tol=1e-4)
    assert trace.reason == "stationary" and trace.converged and trace.stationarity[-1] <= 1e-4
    trace = run(lbfgs, objective, chain(), Trace(lambda n, *a: n == 5), tol=0.0)
    assert trace.reason == "callback" and not trace.converged and len(trace.values) == 6
    # one layer: no kinks
    trace = run(lbfgs, objective, chain()[:1], Trace(), max_iter=20_000, tol=0.0)
    assert trace.reason == "no progress" and trace.stationarity[-1] < 1e-6
    trace = run(lbfgs, objective, trace.A, Trace(), max_iter=0)
    assert len(trace.values) == 1


@pytest.mark.parametrize("optimizer", [lbfgs, backtracking_descent])
def test_a_wrong_gradient_is_not_called_converged(optimizer):
    objective = ChainObjective(data(), every)

    def wrong(A):
        value, dA, fwd = objective(A)
        return value, [-g for g in dA], fwd

    trace = run(optimizer, wrong, chain(), Trace(), max_iter=50)
    assert not trace.converged


def test_a_first_value_of_nan_is_replaced_by_a_better_one():
    objective, calls = ChainObjective(data(), every), [0]

    def odd(A):
        value, dA, fwd = objective(A)
        calls[0] += 1
        return (np.nan if calls[0] == 1 else value), dA, fwd

    assert np.isfinite(run(gradient_descent, odd, chain(), Trace(), max_iter=5, step=0.1).value)


def test_stationarity_is_zero_at_a_minimum_and_ignores_lengths():
    X, A = data(), chain()
    objective = on_unit_columns(ChainObjective(X, every))
    value, dA, _ = objective(A)
    pg = projected_gradient_norm(A, dA)
    for c in ([1e-3] * 5, [1e4] * 5, [1, 10, 0.1, 5, 2]):
        B = (A[0] * np.array(c), A[1] * 7, A[2])
        assert projected_gradient_norm(B, objective(B)[1]) == pytest.approx(pg, rel=1e-9)
    best = run(lbfgs, objective, A[:1], Trace(), max_iter=3000, tol=1e-7)
    assert projected_gradient_norm(best.A, objective(best.A)[1]) <= 1e-6 < pg


def test_stationarity_counts_what_pushes_inwards_only():
    A = (np.array([[0.0, 1.0], [1.0, 0.0]]),)
    assert projected_gradient_norm(A, (np.array([[5.0, 0.0], [0.0, 3.0]]),)) == 0
    assert projected_gradient_norm(A, (np.array([[-5.0, 0.0], [0.0, 0.0]]),)) == pytest.approx(5)
    assert projected_gradient_norm(A, (np.array([[0.0, 2.0], [0.0, 0.0]]),)) == pytest.approx(2)


def test_everything_runs_in_every_namespace(xp_device):
    X, A = data(), chain()
    wide = "64" in str(xp_device.dtype)
    here, a = as_data(xp_device.asarray(X.X)), tuple(xp_device.asarray(v) for v in A)
    for name, optimizer in OPTIMIZERS.items():
        options = dict(max_iter=3, tol=0.0, **({"step": 0.1} if name == "gd" else {}))
        trace = run(optimizer, on_unit_columns(ChainObjective(here, every)), a, Trace(), **options)
        peer = run(optimizer, on_unit_columns(ChainObjective(X, every)), A, Trace(), **options)
        assert trace.values == pytest.approx(peer.values, rel=1e-6 if wide else 2e-2), name
        assert all(
            v.dtype == xp_device.dtype
            and v.device == a[0].device
            and float(xp_device.xp.min(v)) >= 0
            for v in trace.A
        )
    mask = np.random.default_rng(0).random(X.shape) < 0.8
    masked = as_data(
        xp_device.asarray(X.X), mask=xp_device.xp.asarray(mask, device=xp_device.device)
    )
    for D, peer in ((here, X), (masked, as_data(X.X, mask=mask))):
        fit = hals(D, *(xp_device.asarray(v) for v in start(peer)), max_iter=5, tol=0.0)
        assert fit.errors == pytest.approx(
            hals(peer, *start(peer), max_iter=5, tol=0.0).errors, rel=0.02
        )
        assert fit.A.dtype == fit.S.dtype == xp_device.dtype and fit.A.device == a[0].device
        assert (
            float(xp_device.xp.min(fit.A)) >= 0
            and float(xp_device.xp.min(fit.S)) >= 0
            and (np.diff(fit.errors) <= (1e-12 if wide else 1e-5)).all()
        )
        assert np.isfinite(best_start(D, 3, 2, np.random.default_rng(0)).errors[-1])


def test_the_same_seed_gives_the_same_bits_and_global_randomness_is_left_alone():
    X = data()
    before = np.random.get_state()[1].copy()

    def everything():
        fit = best_start(X, 5, 3, np.random.default_rng(7))
        fit = hals(X, fit.A, fit.S, max_iter=20)
        trace = run(
            lbfgs,
            on_unit_columns(ChainObjective(X, last)),
            (fit.A, *chain()[1:]),
            Trace(),
            max_iter=20,
        )
        return [fit.A, fit.S, *trace.A, np.array(trace.values), svd_floors(X, (3,))]

    assert all(np.array_equal(a, b) for a, b in zip(everything(), everything()))
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_thread_count_does_not_change_the_result(monkeypatch, kind):
    X = (
        data(M=3000)
        if kind == "dense"
        else as_data(
            sp.random_array((400, 3000), density=0.1, rng=np.random.default_rng(0), format="csr")
        )
    )
    fits = []
    for threads in (1, 3):
        monkeypatch.setattr(backend, "thread_count", lambda threads=threads: threads)
        fits.append(hals(X, *start(X), max_iter=5, tol=0.0))
    assert (
        fits[0].errors == pytest.approx(fits[1].errors, rel=1e-13)
        and deviation(fits[0].S, fits[1].S) <= 1e-12
    )


def test_a_scaled_gradient_is_cut_off_where_the_step_would_leave_the_orthant():
    rng = np.random.default_rng(0)
    V, gradient = rng.random((6, 3)) + 0.1, rng.standard_normal((6, 3))
    curvature = np.full((1, 3), 0.5)
    expected = projected_gradient_norm([V], [2 / 7.0 * np.minimum(gradient, 0.5 * V)])
    assert scaled_gradient_norm(V, gradient, curvature, 7.0) == pytest.approx(expected)


def test_an_iteration_with_a_penalty_says_its_objective():
    rng = np.random.default_rng(0)
    X = as_data(rng.random((9, 7))).penalized(0.3)
    A, S, scaled = unit_columns(rng.random((9, 3))), rng.random((3, 7)), np.asarray(X.X) / X.scale
    A, S, error, _ = _update_by_sweeps(X, A, S, 3, X.norm2)
    objective = ((scaled - A @ S) ** 2).sum() + 0.3 * (S**2).sum()
    assert error == pytest.approx(objective / (scaled**2).sum(), rel=1e-12)
