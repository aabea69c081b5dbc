"""E-HALS and E-ANLS: the errors told are true and never rise, the stop is stationary, and what they
promise over plain HALS.
"""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

import nnmf_nb.solvers.extrapolation as solvers
from nnmf_nb import NMF, datasets
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import as_data, relative_error
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.layer._nnls import cpu_kernels, nnls
from nnmf_nb.solvers._stopping import StoppingRule
from nnmf_nb.solvers.coordinate_descent import coordinate_descent, hals
from nnmf_nb.solvers.extrapolation import extrapolated_nmf
from nnmf_nb.solvers.initialization import random_start

needs_kernels = pytest.mark.skipif(cpu_kernels() is None, reason="numba is not installed")
WAYS = pytest.mark.parametrize("exact", [None, False, True], ids=["auto", "sweeps", "exact"])


@pytest.fixture(params=["compiled", "portable"])
def engine(request, monkeypatch):
    if request.param == "portable":
        for module in (layer, solvers):
            monkeypatch.setattr(module, "cpu_kernels", lambda: None)
    return request.param


def data(kind="dense", seed=0, N=30, M=40, k=4):
    rng = np.random.default_rng(seed)
    X = rng.random((N, k)) @ rng.random((k, M)) + 0.3 * rng.random((N, M))
    if kind == "sparse":
        return as_data(sp.csr_array(np.where(rng.random(X.shape) < 0.5, X, 0)))
    return as_data(X.astype(np.float32) if kind == "float32" else X)


def start(X, k=4, seed=1):
    return random_start(X, k, np.random.default_rng(seed))


def flat(update):
    """The eight arrays and numbers of an `UpdatedFactors`."""
    return (
        update.updated.A,
        update.updated.S,
        update.extrapolated.A,
        update.extrapolated.S,
        update.n_sweeps,
        update.gradient_norm,
        *update.fitted,
    )


@WAYS
@pytest.mark.parametrize("kind", ["dense", "sparse", "float32"])
def test_told_errors_are_true_and_never_rise(kind, exact, engine):
    X = data(kind)
    whole = extrapolated_nmf(X, *start(X), max_iter=40, tol=0.0, exact=exact)
    for n in (1, 2, 3, 10, 25, 40):
        fit = extrapolated_nmf(X, *start(X), max_iter=n, tol=0.0, exact=exact)
        assert fit.A.min() >= 0 and fit.S.min() >= 0 and fit.A.dtype == fit.S.dtype == X.dtype
        told, true = fit.errors[-1], relative_error(X, fit.A, fit.S)
        # the square is a difference of products of float32 data, each with that rounding
        if kind == "float32":
            assert told**2 == pytest.approx(true**2, rel=0, abs=4 * float(np.finfo(np.float32).eps))
        else:
            assert told == pytest.approx(true, rel=1e-9)
        assert fit.errors == whole.errors[:n]
    assert (np.diff(whole.errors) <= 0).all() and whole.errors[-1] < whole.errors[0]


@needs_kernels
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("order", ["C", "F", "strided", "read-only"])
def test_the_small_turn_is_the_turn(order, k, monkeypatch):
    """One compiled call against its parts in NumPy: the same factors to rounding, whatever the
    layout of the data; a topic without features comes back in both.
    """
    monkeypatch.setattr(solvers, "_FIRST_SWEEPS", solvers._MAX_SWEEPS)
    X = data(N=21, M=17, k=4).X
    X = {
        "C": np.ascontiguousarray,
        "F": np.asfortranarray,
        "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        "read-only": np.array,
    }[order](X)
    X.flags.writeable = order != "read-only"
    X = as_data(X)
    A, S = start(X, k)
    if k == 5:
        A[:, 1] = 0.0
    assert solvers._is_small(X, A) == (order != "strided")
    for F in (A, S):
        F.flags.writeable = False
    for turns in (0, 4) if order != "strided" else ():
        at = extrapolated_nmf(X, A, S, max_iter=turns, tol=0.0, exact=False)
        one, other = (
            flat(update(X, at))
            for update in (solvers._update_small_factors, solvers._update_factors)
        )
        assert len(one) == len(other) == 8
        for a, b in zip(one, other):
            assert a == pytest.approx(b, rel=1e-11, abs=1e-13)
    many = extrapolated_nmf(X, A, S, max_iter=30, tol=0.0, exact=False)
    monkeypatch.setattr(solvers, "_SMALL_PRODUCT", 0)
    assert many.errors == pytest.approx(
        extrapolated_nmf(X, A, S, max_iter=30, tol=0.0, exact=False).errors, rel=1e-8
    )
    assert k != 5 or (many.A[:, 1] > 0).any()


def test_a_turn_that_would_raise_the_error_is_undone(monkeypatch):
    """Reaching too far on purpose: the error stands still, beta shrinks, and later it falls
    again.
    """
    X = data()
    at = extrapolated_nmf(X, *start(X), max_iter=3, tol=0.0)
    next_turn = solvers._iteration(
        X,
        replace(at, momentum=solvers.Momentum(50.0)),
        solvers._update_factors,
        may_switch=False,
        total=X.norm2,
        rule=StoppingRule(0.0),
    )
    assert (
        next_turn.errors[-1] == at.errors[-1]
        and next_turn.A is at.A
        and next_turn.extrapolated.A is at.A
        and next_turn.extrapolated.S is at.S
    )
    assert next_turn.momentum.beta == pytest.approx(50 / 1.5) and next_turn.momentum.bound == 50.0
    after = solvers._iteration(
        X,
        replace(next_turn, momentum=solvers.Momentum(0.0)),
        solvers._update_factors,
        may_switch=False,
        total=X.norm2,
        rule=StoppingRule(0.0),
    )
    assert after.errors[-1] < at.errors[-1]


@pytest.mark.parametrize("seed", range(8))
def test_no_rejected_turn_is_repeated_for_ever(seed):
    """A turn from the S before reaching ahead, where sweeps are not exact, may never get below the
    pair that was kept: the swimmer from seeds 4 and 6 stood still so.
    """
    model = NMF(16, init="random", random_state=seed, max_iter=200).fit(datasets.swimmer().X)
    assert model.stop_reason_ == "stationary"


@WAYS
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_it_ends_at_a_stationary_point(kind, exact):
    """The derivative of min over S of ||X - A S||^2 / ||X||^2, from an exact S of our
    own, in columns of unit length.
    """
    X = data(kind)
    fit = extrapolated_nmf(X, *start(X), max_iter=5000, tol=1e-5, exact=exact)
    assert fit.reason == "stationary" and len(fit.errors) < 5000
    full = (X.X.toarray() if kind == "sparse" else X.X) / X.scale
    length = np.linalg.norm(fit.A, axis=0)
    A = fit.A / length
    S = nnls(A, full)
    gradient = 2 * (A @ S - full) @ S.T / np.sum(full**2)
    projected = np.where(A > 0, gradient, np.minimum(gradient, 0))
    assert np.linalg.norm(projected) <= 1.01e-5


@needs_kernels
def test_it_beats_plain_hals_where_topics_resemble_each_other():
    rng = np.random.default_rng(0)
    X = as_data(rng.random((150, 12)) @ rng.random((12, 120)) + 0.3 * rng.random((150, 120)))
    for seed in range(5):
        begin = start(X, 12, seed)
        plain = hals(X, *begin, max_iter=100, tol=0.0).errors[-1]
        ahead = [
            extrapolated_nmf(X, *begin, max_iter=100, tol=0.0, exact=exact)
            for exact in (None, False, True)
        ]
        assert max(fit.errors[-1] for fit in ahead) < plain
        assert ahead[0].exact  # sixteen sweeps did not settle the rows: on to exact halves


def test_auto_stays_with_sweeps_where_they_settle():
    block = np.kron(np.eye(5), np.ones((12, 10)))
    X = as_data(block + 0.01 * np.random.default_rng(0).random(block.shape))
    fit = extrapolated_nmf(X, *start(X, 5), max_iter=30, tol=0.0)
    assert not fit.exact
    assert NMF(5, random_state=0).fit(X.X.T).solver_ == "e-hals"


@needs_kernels
def test_rounds_are_counted():
    """A diagonal G is settled by the first round; the second finds nothing to do. Without rows
    there is nothing to count.
    """
    G, F = np.diag([1.0, 2.0, 4.0]), np.random.default_rng(0).random((50, 3))
    update = coordinate_descent(G, F, np.zeros((50, 3)), 16)
    assert update.n_sweeps == 2 and pytest.approx(F / np.diag(G)) == update.factor
    assert coordinate_descent(G, F[:0], np.zeros((0, 3))).n_sweeps == 0


@WAYS
def test_zeros_and_edges(exact, engine):
    for N, M, k in ((5, 7, 3), (1, 6, 2), (6, 1, 2), (1, 1, 1), (3, 4, 6)):
        rng = np.random.default_rng(0)
        for X in (np.zeros((N, M)), np.ones((N, M)), rng.random((N, M))):
            d = as_data(X)
            fit = extrapolated_nmf(d, *start(d, k), max_iter=50, tol=1e-8, exact=exact)
            assert (
                np.isfinite(fit.A).all()
                and np.isfinite(fit.S).all()
                and np.isfinite(fit.errors).all()
            )
            if k >= min(N, M):
                assert fit.errors[-1] < 1e-2


@WAYS
def test_the_scale_does_not_matter(exact):
    X = data().X
    one = extrapolated_nmf(as_data(X), *start(as_data(X)), max_iter=20, tol=0.0, exact=exact)
    for c in (2.0**-90, 2.0**90, 1e-30, 1e30):
        other = extrapolated_nmf(
            as_data(c * X), *start(as_data(c * X)), max_iter=20, tol=0.0, exact=exact
        )
        assert other.errors == pytest.approx(
            one.errors, rel=0 if c in (2.0**-90, 2.0**90) else 1e-6
        )


def test_reasons():
    X, told = data(), []
    fit = extrapolated_nmf(
        X,
        *start(X),
        max_iter=10,
        tol=0.0,
        callback=lambda n, error, pg, A: told.append((n, error, pg)) or n == 4,
    )
    assert (
        fit.reason == "callback"
        and [n for n, *_ in told] == [0, 1, 2, 3, 4]
        and [e for _, e, _ in told] == fit.errors
    )
    assert [pg for *_, pg in told] == fit.stationarity
    assert extrapolated_nmf(X, *start(X), max_iter=0).errors == []
    assert extrapolated_nmf(X, *start(X), max_iter=3, tol=0.0).reason == "max_iter"


@pytest.mark.parametrize(
    ("params", "used"),
    [
        (dict(), ("e-hals", "e-anls")),
        (dict(solver="hals"), ("hals",)),
        (dict(solver="cd"), ("hals",)),
        (dict(solver="anls"), ("anls",)),
        (dict(alpha_W=0.1), ("hals",)),
        (dict(beta_loss=1), ("e-scd",)),
        (dict(beta_loss=1, solver="mu"), ("mu",)),
        (dict(beta_loss=0.5), ("newton",)),
        (dict(solver="mu"), ("mu",)),
    ],
)
def test_the_solver_that_was_used_is_told(params, used):
    X = data().X.T
    assert NMF(3, random_state=0, tol=1e-3, **params).fit(X).solver_ in used


def test_weights_are_left_to_hals():
    X = data().X.T
    assert NMF(3, random_state=0, tol=1e-3).fit(X, weights=np.ones_like(X)).solver_ == "hals"


@pytest.mark.each_value_once
@WAYS
def test_another_namespace(exact, xp_device, monkeypatch):
    for module in (layer, solvers):
        monkeypatch.setattr(module, "cpu_kernels", lambda: None)
    # the device decides elsewhere
    monkeypatch.setattr(solvers, "_exact_is_faster", lambda A, n_sweeps: True)
    xp, device, dtype = xp_device.xp, xp_device.device, xp_device.dtype
    X = data()
    A, S = start(X)
    here = extrapolated_nmf(X, A, S, max_iter=15, tol=0.0, exact=exact)
    move = lambda F: xp.asarray(np.ascontiguousarray(F), dtype=dtype, device=device)
    there = extrapolated_nmf(
        as_data(move(X.X)), move(A), move(S), max_iter=15, tol=0.0, exact=exact
    )
    assert there.errors == pytest.approx(here.errors, rel=1e-9 if dtype == xp.float64 else 1e-4)
    assert to_numpy(there.A).min() >= 0 and there.A.dtype == dtype


@pytest.mark.parametrize("solver", ["auto", "hals", "anls", "mu"])
def test_no_iteration_undoes_a_start(solver):
    """The error after few iterations is not above that of a start with columns of any length."""
    X = data().X.T
    rng = np.random.default_rng(3)
    before = NMF(4, random_state=0, tol=1e-6, max_iter=2000).fit(X)
    scale = 10.0 ** rng.integers(-3, 4, 4)
    W, H = before.transform(X) * scale, before.components_ / scale[:, None]
    for max_iter in (1, 3):
        after = NMF(4, init="custom", solver=solver, max_iter=max_iter, tol=0.0).fit(X, W=W, H=H)
        assert after.reconstruction_err_ <= before.reconstruction_err_ * (1 + 1e-9)
