"""Deep NMF: derivatives, steps that never raise the energy, pooling, the estimator's contract, and
the toy data of the slides.
"""

import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import DeepNMF, HierarchicalNMF, datasets, nnls
from nnmf_nb.chain._costs import propagate
from nnmf_nb.chain._labels import Supervision, read_labels
from nnmf_nb.core._arrays import host_rng, to_numpy
from nnmf_nb.core._data import as_data
from nnmf_nb.models._deep import (
    Terms,
    alike_first,
    along_ball,
    as_chain,
    away_from_zero,
    deep_energy,
    deep_iteration,
    deep_start,
    label_terms_of,
    multiply_in_ball,
    parts_A,
    parts_S,
    pooled,
    pooled_max,
    spread,
    step_A,
    step_S,
    sweep_in_ball,
    sweep_under_max,
    train_deep,
    unpooled,
    winners,
)

TOY = datasets.toy(random_state=0)
SOLVERS = ("hals", "mu")
MAX = {"pool_size": 2, "pooling": "max"}
RANKS = (6, 4, 2)


def quiet(model, X, **fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, **fit)


def planted(n=60, m=40, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return (
        rng.gamma(1.0, 1.0, (n, 3)) @ rng.gamma(0.5, 1.0, (3, m)) + 0.05 * rng.random((n, m))
    ).astype(dtype)


def data(kind, n=12, m=15, dtype=np.float64):
    """A DataMatrix of the kind, a fifth of its entries zero."""
    rng = np.random.default_rng(3)
    X = (rng.random((n, m)) * (rng.random((n, m)) < 0.8)).astype(dtype)
    if kind == "sparse":
        return as_data(sp.csr_array(X))
    return (
        as_data(X, weights=rng.random((n, m)) * (rng.random((n, m)) < 0.8))
        if kind == "weighted"
        else as_data(X)
    )


def factors(X, pool_size=1, seed=0):
    """Random admissible lists A, S of the ranks RANKS."""
    rng, rows, A, S = np.random.default_rng(seed), X.shape[0], [], []
    for k in RANKS:
        a = rng.random((rows, k))
        A.append((a / np.maximum(np.linalg.norm(a, axis=0), 1)).astype(X.dtype))
        S.append(rng.random((k, X.shape[1])).astype(X.dtype))
        rows = k // pool_size
    return A, S


# --- the energy and its parts ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3])
def test_spread_is_the_transpose_of_pooled(size):
    rng = np.random.default_rng(0)
    S, P = rng.random((6, 7)), rng.random((6 // size, 7))
    assert np.sum(pooled(S, size) * P) == pytest.approx(np.sum(S * spread(P, size)))
    np.testing.assert_allclose(pooled(S, size), S.reshape(-1, size, 7).mean(axis=1))


def test_energy_is_its_formula():
    X = data("weighted")
    A, S = factors(X, 2)
    W, D = X.W, X.known
    direct = np.sum(W * (D - A[0] @ (S[0] * X.scale)) ** 2) / X.scale**2
    direct += 0.3 * (
        np.sum((S[0].reshape(3, 2, -1).mean(axis=1) - A[1] @ S[1]) ** 2)
        + np.sum((S[1].reshape(2, 2, -1).mean(axis=1) - A[2] @ S[2]) ** 2)
    )
    assert deep_energy(X, A, S, Terms(0.3, 2)) == pytest.approx(
        direct / (np.sum(W * D**2) / X.scale**2)
    )


@pytest.mark.parametrize("kind", ["dense", "sparse", "weighted"])
@pytest.mark.parametrize("pool_size", [1, 2])
@pytest.mark.parametrize("of", ["A", "S"])
@pytest.mark.parametrize("l", range(3))
def test_derivatives_are_central_differences(kind, pool_size, of, l):
    X, terms = data(kind), Terms(0.3, pool_size)
    A, S = factors(X, pool_size)
    plus, minus = (parts_A if of == "A" else parts_S)(X, A, S, l, terms)
    at = (A if of == "A" else S)[l]
    gradient = 2 / X.norm2 * (plus(at) - minus) * (terms.weight(l) if of == "A" else 1)
    rng, h = np.random.default_rng(1), 1e-6
    for _ in range(3):
        d, values = rng.standard_normal(at.shape), []
        for sign in (1, -1):
            moved = {"A": list(A), "S": list(S)}
            moved[of][l] = at + sign * h * d
            values.append(deep_energy(X, moved["A"], moved["S"], terms))
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(
            np.sum(gradient * d), rel=1e-6, abs=1e-9
        )


@pytest.mark.parametrize("kind", ["dense", "weighted"])
@pytest.mark.parametrize("l", range(3))
def test_derivatives_under_a_maximum_are_central_differences(kind, l):
    X, terms = data(kind), Terms(0.3, 2, pooling="max")
    A, S = factors(X, 2)
    for s in S[:2]:  # a tie is a kink
        assert np.abs(np.diff(np.sort(s.reshape(-1, 2, s.shape[1]), axis=1), axis=1)).min() > 1e-4
    plus, minus = parts_S(X, A, S, l, terms)
    gradient, rng, h = 2 / X.norm2 * (plus(S[l]) - minus), np.random.default_rng(1), 1e-6
    for _ in range(3):
        d = rng.standard_normal(S[l].shape)
        values = [
            deep_energy(X, A, [*S[:l], S[l] + sign * h * d, *S[l + 1 :]], terms) for sign in (1, -1)
        ]
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(
            np.sum(gradient * d), rel=1e-6, abs=1e-9
        )


def test_maximum_and_winners():
    S = np.array([[1, 2, 0.0], [1, 3, 0], [0, 5, 1], [2, 4, 1]])
    np.testing.assert_array_equal(pooled_max(S, 2), [[1, 3, 0], [2, 5, 1]])
    # of a tie the first
    np.testing.assert_array_equal(winners(S, 2), [[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]])
    np.testing.assert_allclose(
        Terms(pool_size=2, pooling="max").linearized_pooling(S)[0](S), pooled_max(S, 2)
    )


# --- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("w", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("size", [2, 3])
def test_sweep_under_a_maximum_ends_where_no_coordinate_can_do_better(w, size):
    rng = np.random.default_rng(0)
    A, F, S, T = (
        rng.random((8, 6)),
        2 * rng.random((6, 5)),
        rng.random((6, 5)),
        2 * rng.random((6 // size, 5)),
    )
    G = A.T @ A
    cost = lambda S: (
        np.sum(S * (G @ S) / 2 - F * S) + w / 2 * np.sum((pooled_max(S, size) - T) ** 2)
    )  # noqa: E731
    for _ in range(400):
        new = sweep_under_max(G, F, S, T, w, size, sweeps=1)
        assert new.min() >= 0 and cost(new) <= cost(S) + 1e-12
        S = new
    for i, j in np.ndindex(S.shape):
        moved = S.copy()
        for moved[i, j] in np.linspace(0, 3, 100):
            assert cost(moved) >= cost(S) - 1e-8


@pytest.mark.each_value_once
@pytest.mark.parametrize("labels", ["none", "all known", "entries"])
@pytest.mark.parametrize("kind", ["dense", "sparse", "weighted"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_no_turn_under_a_maximum_raises_the_energy(solver, kind, labels):
    X = data(kind)
    y = np.where(np.arange(15) % 2, np.arange(15) % 3, -1)
    L = np.random.default_rng(5).random((15, 3)) < 0.6
    read = {
        "none": {},
        "all known": {0: read_labels(y, 15), 2: read_labels(y, 15)},
        "entries": {1: read_labels(np.eye(3)[y], 15, L)},
    }[labels]
    terms = Terms(1.0, 2, label_terms_of(X, Supervision(None, read, 0.5)), "max")
    A, S = factors(X, 2)
    last = deep_energy(X, A, S, terms)
    for _ in range(25):
        A, S, far = deep_iteration(X, A, S, terms, solver)
        energy = deep_energy(X, A, S, terms)
        assert (
            energy <= last * (1 + 1e-12)
            and np.isfinite(far)
            and all(a.min() >= 0 for a in (*A, *S))
        )
        last = energy


def test_unpooled_chain_is_least_squares():
    X = data("dense")
    A, S = factors(X, 2)
    chain = unpooled(A, S)
    for l in (1, 2):
        assert chain[l].shape == (RANKS[l - 1], RANKS[l])
        np.testing.assert_allclose(chain[l].T, nnls(S[l].T, S[l - 1].T), atol=1e-10)


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", ["dense", "sparse", "weighted"])
@pytest.mark.parametrize("pool_size", [1, 2])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("coupling", [0.01, 1.0, 100.0])
def test_no_step_raises_the_energy(kind, pool_size, solver, coupling):
    X, terms = data(kind), Terms(coupling, pool_size)
    A, S = factors(X, pool_size)
    last = deep_energy(X, A, S, terms)
    for _, l, of in itertools.product(range(15), (2, 1, 0), "AS"):
        exact = solver == "hals" and not (l == 0 and kind == "weighted")
        block, step = (A, step_A) if of == "A" else (S, step_S)
        block[l] = step(X, A, S, l, terms, exact)[0]
        energy = deep_energy(X, A, S, terms)
        assert energy <= last * (1 + 1e-12)
        assert block[l].min() >= 0 and np.isfinite(block[l]).all()
        assert np.linalg.norm(A[l], axis=0).max() <= 1 + 1e-12
        last = energy


@pytest.mark.parametrize("solver", SOLVERS)
def test_ball_step_is_the_minimum(solver):
    """For orthogonal S the best admissible column is the clipped and shortened target, which both
    kinds of step must find.
    """
    rng = np.random.default_rng(0)
    target, H, A = (
        rng.standard_normal((8, 3)) * [0.1, 1.0, 10.0],
        np.diag([1.0, 2.0, 5.0]),
        rng.random((8, 3)) / 4,
    )
    if solver == "mu":
        target = np.abs(target)  # the constant part is nonnegative
        for _ in range(4000):
            A = multiply_in_ball(A, A @ H, target @ H)
    else:
        A = sweep_in_ball(H, target @ H, A)
    best = np.maximum(target, 0)
    best /= np.maximum(np.linalg.norm(best, axis=0), 1)
    np.testing.assert_allclose(A, best, atol=1e-6)


def test_multiplicative_step_minimises_its_bound():
    """KKT of the separable bound under ||a|| <= 1: D / a (a' - u) + mu a' = 0 with one mu >= 0
    per column, 0 unless the length is 1.
    """
    rng = np.random.default_rng(0)
    A, D, Q = (rng.random((9, 4)) for _ in range(3))
    A, Q = A / np.linalg.norm(A, axis=0), Q * [0.3, 1, 3, 1e6]
    new = multiply_in_ball(A, D, Q)
    mu = -(D / A * (new - A * Q / D)) / new
    np.testing.assert_allclose(mu, np.broadcast_to(mu.mean(axis=0), mu.shape), rtol=1e-6, atol=1e-9)
    length = np.linalg.norm(new, axis=0)
    assert (mu.mean(axis=0) > -1e-9).all() and (length <= 1 + 1e-12).all()
    assert (
        ((mu.mean(axis=0) < 1e-9) | (length > 1 - 1e-9)).all()
        and (length > 1 - 1e-9).sum() >= 2
        and length[0] < 0.9
    )


def test_gradient_along_the_ball_vanishes_where_the_ball_holds():
    a = np.array([[0.6, 0.3], [0.8, 0.3]])
    assert np.abs(along_ball(a, -2 * a)[:, 0]).max() < 1e-12  # wants to be longer, may not
    np.testing.assert_array_equal(along_ball(a, -2 * a)[:, 1], -2 * a[:, 1])  # short column: free
    np.testing.assert_array_equal(along_ball(a, 2 * a), 2 * a)  # wants to be shorter, may be


def test_multiplicative_start_has_no_zeros():
    A, S = away_from_zero(np.eye(6)[:, :3], np.eye(3, 8))
    assert A.min() > 0 and S.min() > 0 and np.linalg.norm(A, axis=0).max() <= 1 + 1e-12
    X = as_data(TOY.X.T)
    start = deep_start(X, (9, 4, 2), host_rng(0))[:2]
    assert min(s.min() for s in start[1]) == 0
    fit = train_deep(X, *start, Terms(0.1), solver="mu", max_iter=1)
    assert min(f.min() for f in (*fit.A, *fit.S)) > 0


def test_stationary_means_stationary():
    """At the end no admissible direction lowers the energy noticeably."""
    X, terms = data("dense"), Terms(0.3)
    fit = train_deep(X, *factors(X), terms, max_iter=20000, tol=1e-7)
    assert fit.reason == "stationary"
    rng, base = np.random.default_rng(0), deep_energy(X, fit.A, fit.S, terms)
    for _ in range(200):
        h = 10.0 ** rng.uniform(-5, -2)
        A = [np.maximum(a + h * rng.standard_normal(a.shape), 0) for a in fit.A]
        A = [a / np.maximum(np.linalg.norm(a, axis=0), 1) for a in A]
        S = [np.maximum(s + h * rng.standard_normal(s.shape), 0) for s in fit.S]
        assert deep_energy(X, A, S, terms) >= base - 1e-7 * h


# --- training -------------------------------------------------------------------------------------


def test_groups_hold_what_is_active_together():
    S = np.array(
        [[1, 1, 0, 0], [0, 0, 1, 2], [2, 1, 0, 0], [0, 0, 3, 3.0], [0, 0, 0, 0], [1, 1, 1, 0]]
    )
    order = alike_first(S, 2)
    assert sorted(order) == list(range(6)) and order[:4] == [0, 2, 1, 3]
    assert alike_first(S, 1) == list(range(6))


@pytest.mark.parametrize("pool_size", [1, 2])
def test_chain_repeats_what_was_trained(pool_size):
    """q of the returned chain is q, pooling, q of the trained factors, up to the lengths of the
    last columns and the size of a group.
    """
    X, lengths = data("dense"), np.array([0.5, 0.9])
    A = [a / np.linalg.norm(a, axis=0) for a in factors(X, pool_size)[0]]
    chain = as_chain([*A[:2], A[2] * lengths], pool_size)
    assert [a.shape for a in chain] == [(12, 6), (6, 4), (4, 2)]
    for a in chain:
        np.testing.assert_allclose(np.linalg.norm(a, axis=0), 1)
    S0 = nnls(A[0], X.X) / X.scale
    S1 = nnls(A[1], pooled(S0, pool_size))
    S2 = nnls(A[2], pooled(S1, pool_size))
    for l, (mine, direct) in enumerate(zip(propagate(X, chain).S, (S0, S1, S2))):
        np.testing.assert_allclose(mine, direct * pool_size ** (l / 2), atol=1e-10)


def test_chain_keeps_the_product_of_short_columns():
    A, S = factors(data("dense"))
    A[0], A[1] = A[0] * np.linspace(0.2, 0.9, 6), A[1] * [0.5, 0.9, 0.2, 0.3]
    chain, top = as_chain(A), np.linalg.norm(chain_top(A), axis=0)
    np.testing.assert_allclose(np.linalg.multi_dot(chain) * top, np.linalg.multi_dot(A))


def chain_top(A):
    """The last matrix of a chain with the lengths of the columns below moved into it."""
    length = np.ones(A[0].shape[0])
    for a in A:
        a = a * length[:, None]
        length = np.linalg.norm(a, axis=0)
    return a


def test_interrupt_keeps_the_best():
    X, terms = data("dense"), Terms()

    def impatient(turn, energy, far, A, S):
        if turn == 3:
            raise KeyboardInterrupt

    fit = train_deep(X, *factors(X), terms, callback=impatient)
    assert (
        fit.reason == "interrupted"
        and deep_energy(X, fit.A, fit.S, terms) == fit.energies[-1] < fit.energies[0]
    )
    assert (
        train_deep(X, *factors(X), terms, callback=lambda turn, *_: turn == 2).reason == "callback"
    )


def test_turn_leaves_its_input_alone():
    X = data("dense")
    A, S = factors(X)
    kept = [a.copy() for a in (*A, *S)]
    deep_iteration(X, A, S, Terms())
    for before, after in zip(kept, (*A, *S)):
        np.testing.assert_array_equal(before, after)


# --- the estimator --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, 6))]
)
def test_toy_is_at_least_as_good_as_layer_by_layer(seed):
    X = datasets.toy(random_state=seed).X
    deep, single = (
        DeepNMF(ranks=(9, 4, 2), random_state=seed).fit(X),
        HierarchicalNMF(ranks=(9, 4, 2), random_state=seed).fit(X),
    )
    assert deep.converged_ and (np.diff(deep.history_["objective"]) <= 1e-13).all()
    assert deep.layers_[0].error < 1.03 * deep.layers_[0].floor
    for a, b in zip(deep.layers_[1:], single.layers_[1:]):
        assert a.error < b.error and a.error < 1.02 * a.floor
    assert all(one.error < slides for one, slides in zip(deep.layers_, (0.031, 0.414, 0.838)))


@pytest.mark.parametrize(
    "kind", ["dense", "csr", "float32", "masked", "pooled", "max", "max32", "mu"]
)
def test_fit_transform_is_transform(kind):
    X, extra = planted(dtype=np.float32 if "32" in kind else np.float64), {}
    params = dict(pooled=dict(pool_size=2), max=MAX, max32=MAX, mu=dict(solver="mu")).get(kind, {})
    if kind == "csr":
        X = sp.csr_array(np.where(X > 1, X, 0))
    if kind == "masked":
        extra["mask"] = np.random.default_rng(1).random(X.shape) < 0.8
    model = quiet(DeepNMF(ranks=(6, 3), random_state=0, max_iter=100, **params), X, **extra)
    fitted, again = model.layers_[-1].S.T, model.transform(X, **extra)
    assert fitted.dtype == X.dtype
    np.testing.assert_allclose(fitted, again, atol=1e-10 * fitted.max())
    for one in model.layers_:
        assert one.A.min() >= 0 and one.S.min() >= 0 and one.A.dtype == X.dtype
        np.testing.assert_allclose(np.linalg.norm(one.A.astype(float), axis=0), 1, rtol=1e-5)
        assert one.kkt < (1e-5 if "32" in kind else 1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
def test_sparse_equals_dense(solver):
    X = np.where(planted() > 1, planted(), 0)
    dense, sparse = (
        quiet(DeepNMF(ranks=(5, 3), random_state=0, solver=solver, max_iter=200), x)
        for x in (X, sp.csr_array(X))
    )
    for a, b in zip(dense.layers_, sparse.layers_):
        assert b.error == pytest.approx(a.error, rel=1e-4)


@pytest.mark.each_value_once
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("params", [{}, {"solver": "mu"}, MAX], ids=str)
def test_scale_never_matters(scale, params):
    base, scaled = (
        quiet(DeepNMF(ranks=(6, 3), random_state=0, max_iter=100, **params), c * planted())
        for c in (1, scale)
    )
    for a, b in zip(base.layers_, scaled.layers_):
        assert b.error == pytest.approx(a.error, rel=5e-3)
        np.testing.assert_allclose(b.A, a.A, atol=1e-2)


def test_weights_of_one_change_nothing_for_multiplicative_steps():
    X = planted()
    # one start each: which of several is the best may be decided by rounding
    params = dict(random_state=0, solver="mu", max_iter=30, pretrain_iter=0, n_init_upper=1)
    a, b = (
        quiet(DeepNMF(ranks=(4, 2), **params), X, **w) for w in ({}, dict(weights=np.ones(X.shape)))
    )
    np.testing.assert_allclose(a.history_["objective"], b.history_["objective"], rtol=1e-9)


def test_what_a_mask_hides_is_not_seen():
    X, known = planted(), np.random.default_rng(0).random((60, 40)) < 0.8
    a, b = (
        quiet(
            DeepNMF(ranks=(4, 2), random_state=0, max_iter=20), np.where(known, X, junk), mask=known
        )
        for junk in (0.0, np.nan)
    )
    np.testing.assert_array_equal(a.layers_[0].A, b.layers_[0].A)
    assert (np.diff(a.history_["objective"]) <= 1e-13).all()


@pytest.mark.each_value_once
@pytest.mark.parametrize("solver", [*SOLVERS, "max"])
@pytest.mark.parametrize(
    "case",
    [
        "zero rows",
        "zero columns",
        "all zero",
        "one row",
        "one column",
        "one entry",
        "few",
        "duplicates",
    ],
)
def test_degenerate_data(case, solver):
    X = planted()
    X = {
        "zero rows": np.where(np.arange(60)[:, None] % 3 == 0, 0, X),
        "zero columns": np.where(np.arange(40) % 3 == 0, 0, X),
        "all zero": np.zeros((6, 5)),
        "one row": X[:1],
        "one column": X[:, :1],
        "one entry": X[:1, :1],
        "few": X[:3, :2],
        "duplicates": np.repeat(X[:, :3], 5, axis=1),
    }[case]
    params = MAX if solver == "max" else {"solver": solver}
    model = quiet(DeepNMF(ranks=(6, 3), random_state=0, max_iter=100, **params), X)
    for one in model.layers_:
        assert (
            np.isfinite(one.A).all()
            and np.isfinite(one.S).all()
            and one.A.min() >= 0
            and one.S.min() >= 0
        )
        assert 0 <= one.error <= 1 and one.kkt < 1e-10
    energy = np.array(model.history_["objective"])
    assert np.isfinite(energy).all() and (np.diff(energy) <= 1e-13).all()


def test_pooling_has_an_effect():
    X = planted()
    mean, most, alone = (
        quiet(DeepNMF(ranks=(6, 3), max_iter=8, random_state=0, pool_size=size, pooling=p), X)
        for size, p in ((2, "mean"), (2, "max"), (1, "max"))
    )
    assert (
        mean.history_["objective"] != most.history_["objective"]
        and alone.history_["objective"]
        == quiet(DeepNMF(ranks=(6, 3), max_iter=8, random_state=0), X).history_["objective"]
    )
    assert not np.allclose(mean.layers_[1].A, most.layers_[1].A, atol=1e-2)


def test_random_state_has_an_effect():
    X = np.random.default_rng(1).random((40, 30))
    runs = [
        quiet(
            DeepNMF(ranks=(6, 3), n_init=6, n_init_upper=20, max_iter=3, random_state=seed), X
        ).history_["objective"]
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_verbose_shows_a_bar(capsys):
    quiet(DeepNMF(ranks=(3,), random_state=0, max_iter=3), planted())
    assert capsys.readouterr() == ("", "")
    quiet(DeepNMF(ranks=(3,), random_state=0, max_iter=3, verbose=1), planted())
    assert "DeepNMF" in capsys.readouterr().err


@pytest.mark.parametrize(
    "params, words",
    [
        (dict(coupling=0), "coupling must be"),
        (dict(coupling=-1), "coupling must be"),
        (dict(coupling=np.inf), "coupling must be"),
        (dict(pool_size=0), "pool_size"),
        (dict(pool_size=4), "multiples of pool_size"),
        (dict(solver="adam"), "solver must be"),
        (dict(pooling="median"), "pooling must be"),
        (dict(pretrain_iter=-1), "pretrain_iter"),
        (dict(ranks=(0,)), "ranks"),
        (dict(device="tpu"), "device"),
    ],
)
def test_bad_parameters(params, words):
    with pytest.raises(ValueError, match=words):
        DeepNMF(**(dict(ranks=(6, 3)) | params)).fit(planted())


def test_too_few_turns_warn():
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        DeepNMF(ranks=(9, 4, 2), max_iter=2, random_state=0).fit(TOY.X)


@pytest.mark.each_value_once
@pytest.mark.parametrize(
    "params", [{}, dict(solver="mu", pool_size=2), MAX, MAX | dict(solver="mu")], ids=str
)
def test_on_any_array_library(xp_device, params):
    X = planted(40, 30)
    there = xp_device.asarray(X.tolist())
    model, host = (
        quiet(DeepNMF(ranks=(4, 2), random_state=0, pretrain_iter=20, max_iter=5, **params), x)
        for x in (there, X)
    )
    S = model.transform(there)
    assert type(S) is type(there) and S.dtype == xp_device.dtype and S.device == there.device
    # the portable sweep of the start knows no early stop, so the paths differ a little
    assert [a.error for a in model.layers_] == pytest.approx(
        [a.error for a in host.layers_], rel=3e-2
    )
    assert np.isfinite(to_numpy(S)).all()
