"""Chains: forward, errors, costs, backward, floors."""

import functools
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from strategies import deviation, numeric_gradient

from nnmf_nb.chain._costs import (
    COSTS,
    ChainObjective,
    backpropagate,
    check_gradient,
    custom,
    depth_errors,
    directional_deviation,
    energy,
    every,
    last,
    on_free_lengths,
    on_unit_columns,
    propagate,
    resolve_cost,
    unfold,
)
from nnmf_nb.core._arrays import OK, to_numpy
from nnmf_nb.core._data import as_data, relative_error
from nnmf_nb.core._linalg import column_lengths, svd_floors, top_svd, unit_columns
from nnmf_nb.layer._nnls import nnls
from nnmf_nb.solvers.coordinate_descent import hals

RANKS = (5, 4, 3, 2)


def chain(depth, seed=0, N=15, M=30):
    """Data and a random chain of `depth` layers with unit columns."""
    rng = np.random.default_rng(seed)
    shapes = zip((N, *RANKS), RANKS[:depth])
    return rng.random((N, 4)) @ rng.random((4, M)) + 0.3 * rng.random((N, M)), [
        unit_columns(rng.random(s)) for s in shapes
    ]


def kinds(X):
    rng = np.random.default_rng(1)
    mask = rng.random(X.shape) < 0.8
    return {
        "dense": as_data(X),
        "scaled": as_data(1e20 * X),
        "sparse": as_data(sp.csr_array(np.where(mask, X, 0))),
        "csc": as_data(sp.csc_array(np.where(mask, X, 0))),
        "masked": as_data(np.where(mask, X, np.nan), mask=mask),
        "weighted": as_data(X, weights=rng.random(X.shape)),
    }


KINDS = ["dense", "scaled", "sparse", "csc", "masked", "weighted"]


def parts(D):
    """(X, W) as plain dense arrays in units of D.scale."""
    X = getattr(D, "known", D.X)
    X = X.toarray() if sp.issparse(X) else X
    return X / D.scale, getattr(D, "W", np.ones(D.shape))


def smooth(X, A, S, Y):
    """A custom cost: squared error of the deepest reconstruction and a label term on the top
    layer.
    """
    phi = functools.reduce(np.matmul, A)
    R, E = phi @ S[-1] - X, S[-1] - Y
    left = [np.eye(len(X)), *(functools.reduce(np.matmul, A[:l]) for l in range(1, len(A)))]
    right = [functools.reduce(np.matmul, [*A[l + 1 :], S[-1]]) for l in range(len(A))]
    dS = [np.zeros_like(s) for s in S]
    dS[-1] = 2 * phi.T @ R + 2 * E
    return (R**2).sum() + (E**2).sum(), [2 * le.T @ R @ ri.T for le, ri in zip(left, right)], dS


# ------------------------------------------------------------------------------------------ forward


@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_q_layer_by_layer(kind):
    X, A = chain(3)
    D = kinds(X)[kind]
    fwd = propagate(D, A)
    below, W = parts(D)
    for l, (a, s) in enumerate(zip(A, fwd.S)):
        assert (
            deviation(
                s,
                nnls(a, below, weights=W if l == 0 and "ed" in kind and kind != "scaled" else None),
            )
            <= 1e-12
        )
        below = s
    assert all((c == OK).all() for c in fwd.status) and deviation(fwd.P, D.AtX(A[0])) == 0


def test_a_warm_start_does_not_change_the_forward_pass():
    X, A = chain(4)
    D = as_data(X)
    cold = propagate(D, A)
    _, B = chain(4, seed=9)
    for warm in (propagate(D, A, cold.S), propagate(D, A, propagate(D, B).S)):
        assert all(deviation(a, b) <= 1e-12 for a, b in zip(warm.S, cold.S))


def test_unfold():
    X, A = chain(3)
    fwd = propagate(as_data(X), A)
    a, b, c = unfold(fwd, 2)
    assert (
        a is fwd.S[2]
        and deviation(b, A[2] @ fwd.S[2]) == 0
        and deviation(c, A[1] @ A[2] @ fwd.S[2]) <= 1e-15
    )
    assert unfold(fwd, 0) == [fwd.S[0]]


# ------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_values_equal_the_formulas(kind, depth):
    X, A = chain(depth)
    D = kinds(X)[kind]
    fwd, (X, W) = propagate(D, A), parts(D)
    total = (W * X**2).sum()
    errors2 = [
        (W * (X - functools.reduce(np.matmul, [*A[: l + 1], fwd.S[l]])) ** 2).sum() / total
        for l in range(depth)
    ]
    assert depth_errors(fwd) == pytest.approx(np.sqrt(errors2), rel=1e-10)
    assert every(fwd).value == pytest.approx(sum(errors2), rel=1e-10) and last(
        fwd
    ).value == pytest.approx(errors2[-1], rel=1e-10)
    weights = np.arange(depth) / 2
    assert every(fwd, weights).value == pytest.approx(weights @ errors2, rel=1e-10, abs=1e-15)
    inner = sum(((fwd.S[l - 1] - A[l] @ fwd.S[l]) ** 2).sum() for l in range(1, depth)) / total
    assert energy(fwd).value == pytest.approx(errors2[0] + inner, rel=1e-10)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 0.0])
def test_depth_errors_of_nearly_exact_chains(size):
    rng = np.random.default_rng(0)
    A, B, S = rng.random((40, 6)), rng.random((6, 3)), rng.random((3, 50))
    X = A @ B @ S * (1 + size * rng.standard_normal((40, 50)))
    D = as_data(X)
    fwd = propagate(D, (A, B))
    direct = [relative_error(D, A, r) for r in (fwd.S[0], B @ fwd.S[1])]
    assert depth_errors(fwd) == pytest.approx(direct, rel=1e-3, abs=1e-14)


def test_depth_errors_of_nearly_exact_float32_chains():
    rng = np.random.default_rng(0)
    A, S = (rng.random(s).astype(np.float32) for s in ((200, 6), (6, 300)))
    D = as_data(A @ S)
    fwd = propagate(D, (A,))
    assert depth_errors(fwd)[0] == pytest.approx(relative_error(D, A, fwd.S[0]), abs=1e-6)


def test_costs_do_not_depend_on_the_scale_of_the_data():
    X, A = chain(3)
    for cost in COSTS.values():
        value, dA, _ = ChainObjective(as_data(X), cost)(A)
        for c in (1e-30, 1e30):
            v, g, _ = ChainObjective(as_data(c * X), cost)(A)
            assert v == pytest.approx(value, rel=1e-12) and all(
                deviation(a, b) <= 1e-10 for a, b in zip(g, dA)
            )


@pytest.mark.parametrize("cost", COSTS)
def test_zero_data(cost):
    _, A = chain(3)
    value, dA, fwd = ChainObjective(as_data(np.zeros((15, 30))), COSTS[cost])(A)
    assert value == 0 and not depth_errors(fwd).any() and all(not g.any() for g in dA)


def test_zero_rows_columns_and_features():
    X, A = chain(3)
    X[2], X[:, 3], A[0][:, 1], A[1][2] = 0, 0, 0, 0
    for cost in COSTS.values():
        value, dA, _ = on_unit_columns(ChainObjective(as_data(X), cost))(A)
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in dA)


def test_resolve_cost():
    assert resolve_cost("every") is every and callable(resolve_cost(smooth))
    with pytest.raises(
        ValueError,
        match=r"cost must be one of \['energy', 'every', 'last'\] or a callable cost\(X, A, S, "
        r"Y\), got 'all'",
    ):
        resolve_cost("all")


# ---------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_gradients(depth, cost, kind):
    X, A = chain(depth)
    D = kinds(X)[kind]
    assert check_gradient(cost, D, A) <= 1e-6


@pytest.mark.parametrize("cost", COSTS)
def test_gradients_entry_by_entry(cost):
    X, A = chain(3, N=6, M=8)
    objective = ChainObjective(as_data(X), COSTS[cost])
    _, dA, _ = objective(A)
    for l in range(3):
        assert (
            deviation(
                dA[l], numeric_gradient(lambda a, l=l: objective([*A[:l], a, *A[l + 1 :]])[0], A[l])
            )
            <= 1e-6
        )


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked", "weighted"])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("lengths", [on_unit_columns, on_free_lengths])
def test_gradients_where_lengths_are_set(lengths, cost, kind):
    X, A = chain(3, N=6, M=8)
    A = [3 * a for a in A]
    objective = lengths(ChainObjective(kinds(X)[kind], COSTS[cost]))
    value, dA, _ = objective(A)
    for l in range(3):
        assert (
            deviation(
                dA[l], numeric_gradient(lambda a, l=l: objective([*A[:l], a, *A[l + 1 :]])[0], A[l])
            )
            <= 1e-6
        )
        along = (dA[l] * A[l]).sum(axis=0)
        if lengths is on_free_lengths and l == 1:
            assert np.abs(along).max() > 1e-6  # it says how much a topic counts above
            along = along.sum()
        assert np.abs(along).max() <= 1e-12
    assert objective([a * s for a, s in zip(A, (0.1, 7, 1e5))])[0] == pytest.approx(
        value, rel=1e-10
    )


@pytest.mark.parametrize("weights", [(1, 0, 2), (0, 1, 0), (0, 0, 0)])
def test_gradients_of_weighted_depths(weights):
    X, A = chain(3, N=6, M=8)
    objective = ChainObjective(as_data(X), lambda fwd: every(fwd, weights))
    _, dA, _ = objective(A)
    for l in range(3):
        numeric = numeric_gradient(lambda a, l=l: objective([*A[:l], a, *A[l + 1 :]])[0], A[l])
        assert np.abs(dA[l] - numeric).max() <= 1e-8


@pytest.mark.parametrize("scale", [1.0, 1e6])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_gradients_of_a_custom_cost(depth, scale):
    X, A = chain(depth)
    Y = scale * np.random.default_rng(2).random((RANKS[depth - 1], 30))
    assert check_gradient(smooth, scale * X, A, Y) <= 1e-6


def test_check_gradient_notices_a_wrong_gradient():
    X, A = chain(2)

    def wrong(X, A, S, Y):
        value, dA, dS = smooth(X, A, S, Y)
        return value, [dA[0], 1.01 * dA[1]], dS

    assert check_gradient(wrong, X, A, np.zeros((4, 30))) > 1e-4


def test_a_custom_cost_sees_the_data_as_given():
    X, A = chain(2)
    mask, seen = np.random.default_rng(0).random(X.shape) < 0.7, {}

    def look(X, A, S, Y):
        seen.update(X=X, S=S)
        return 0.0, [np.zeros_like(a) for a in A], [np.zeros_like(s) for s in S]

    ChainObjective(as_data(1e6 * X), custom(look))(A)
    assert (
        np.array_equal(seen["X"], 1e6 * X) and deviation(seen["S"][0], nnls(A[0], 1e6 * X)) <= 1e-12
    )
    W = np.where(mask, 0.5, 0.0)
    ChainObjective(as_data(X, weights=W), custom(look))(A)
    assert np.array_equal(seen["X"][mask], X[mask])


def test_inputs_and_forward_pass_are_not_modified():
    X, A = chain(3)
    D, kept = as_data(X), [a.copy() for a in A]
    fwd = propagate(D, A)
    S = [s.copy() for s in fwd.S]
    for cost in COSTS.values():
        backpropagate(fwd, cost(fwd))
    assert all(np.array_equal(a, b) for a, b in zip([*A, *fwd.S], [*kept, *S]))


def test_float32_stays_float32():
    X, A = chain(3)
    X, A = X.astype(np.float32), [a.astype(np.float32) for a in A]
    for cost in COSTS.values():
        for objective in (
            ChainObjective(as_data(X), cost),
            on_unit_columns(ChainObjective(as_data(X), cost)),
        ):
            value, dA, fwd = objective(A)
            exact = ChainObjective(as_data(X.astype(float)), cost)([a.astype(float) for a in A])
            assert all(
                v.dtype == np.float32 for v in [*dA, *fwd.S, fwd.P]
            ) and value == pytest.approx(exact[0], rel=1e-4)


def test_chains_in_every_namespace(xp_device):
    X, A = chain(3)
    wide = "64" in str(xp_device.dtype)
    a, mask = [xp_device.asarray(v) for v in A], np.random.default_rng(0).random(X.shape) < 0.8
    for extra in ({}, {"mask": mask}):
        here = {n: xp_device.xp.asarray(v, device=xp_device.device) for n, v in extra.items()}
        for cost in COSTS.values():
            value, dA, fwd = on_unit_columns(
                ChainObjective(as_data(xp_device.asarray(X), **here), cost)
            )(a)
            expected = on_unit_columns(ChainObjective(as_data(X, **extra), cost))(A)
            assert isinstance(value, float) and value == pytest.approx(
                expected[0], rel=1e-10 if wide else 1e-4
            )
            for g, e, v in zip(dA, expected[1], a):
                assert g.dtype == xp_device.dtype and g.device == v.device
                assert np.abs(to_numpy(g) - e).max() <= (1e-10 if wide else 1e-3)
            assert depth_errors(fwd) == pytest.approx(
                depth_errors(expected[2]), rel=1e-10 if wide else 1e-4
            )


def test_unit_columns(xp_device):
    A = xp_device.asarray([[3.0, 0.0, 1e-30], [4.0, 0.0, 0.0]])
    B = to_numpy(unit_columns(A))
    assert unit_columns(A).dtype == xp_device.dtype and B == pytest.approx(
        np.array([[0.6, 0, 1], [0.8, 0, 0]])
    )
    assert to_numpy(column_lengths(A)) == pytest.approx([5, 1, 1e-30])


# ------------------------------------------------------------------------------------------- floors


def exact_floors(X, ranks):
    s = np.linalg.svd(X, compute_uv=False)
    return np.array([np.sqrt((s[k:] ** 2).sum() / (s**2).sum()) for k in ranks])


@pytest.mark.parametrize(
    "kind", [np.asarray, sp.csr_array, sp.csc_matrix], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("shape", [(12, 9), (9, 12), (150, 100), (100, 150)])
def test_floors_equal_the_svd(shape, kind):
    rng = np.random.default_rng(0)
    X = np.where(rng.random(shape) < 0.3, rng.random(shape), 0)
    ranks = (6, 4, 1)
    assert svd_floors(kind(X), ranks) == pytest.approx(exact_floors(X, ranks), rel=1e-9)
    assert svd_floors(kind(1e25 * X), ranks) == pytest.approx(exact_floors(X, ranks), rel=1e-9)
    U, s, V = top_svd(as_data(kind(X)), 3)
    assert U.shape == (shape[0], 3) and V.shape == (shape[1], 3) and (np.diff(s) <= 0).all()
    assert (
        U.T @ U == pytest.approx(np.eye(3), abs=1e-7)
        and np.abs(np.abs((U * s).T @ X @ V / as_data(X).scale) - np.diag(s**2)).max()
        <= 1e-6 * s[0] ** 2
    )


@pytest.mark.parametrize("noise", [0.1, 1e-3])
def test_floors_of_float32_data(noise):
    rng = np.random.default_rng(0)
    X = (rng.random((400, 20)) @ rng.random((20, 300)) + noise * rng.random((400, 300))).astype(
        np.float32
    )
    found, exact = svd_floors(X, (20, 5)), exact_floors(X.astype(float), (20, 5))
    # a bound, short of it by rounding at most
    assert (found <= exact).all() and found**2 == pytest.approx(exact**2, abs=2e-6)


@pytest.mark.parametrize("shape", [(30, 20), (200, 150)])
def test_floors_are_below_every_factorization_even_an_exact_one(shape):
    rng = np.random.default_rng(0)
    A, S = rng.random((shape[0], 3)), rng.random((3, shape[1]))
    D = as_data(A @ S)
    assert svd_floors(D, (3,))[0] <= relative_error(D, A, S / D.scale) + 1e-12
    noisy = as_data(A @ S + 0.2 * rng.random(shape))
    fit = hals(noisy, rng.random((shape[0], 3)), rng.random((3, shape[1])))
    assert svd_floors(noisy, (3,))[0] <= fit.errors[-1]


@pytest.mark.parametrize(
    "X",
    [np.zeros((60, 50)), np.zeros((3, 4)), sp.csr_array((60, 50))],
    ids=["dense", "small", "sparse"],
)
def test_floors_of_zero_data(X):
    assert not svd_floors(X, (3, 2)).any()


def test_floors_do_not_densify():
    X = sp.random_array((150, 60_000), density=1e-3, rng=np.random.default_rng(0), format="csr")
    tracemalloc.start()
    svd_floors(X, (3,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.3 * 8 * 150 * 60_000


def test_floors_of_special_matrices():
    assert svd_floors(np.ones((50, 40)), (9, 1)) == pytest.approx([0, 0], abs=1e-7)
    assert svd_floors(np.eye(60), (9, 3)) == pytest.approx(np.sqrt([51 / 60, 57 / 60]))
    assert svd_floors(np.eye(4), (9, 3)) == pytest.approx([0, 0.5])
    assert np.isnan(svd_floors(as_data(np.ones((5, 5)), mask=np.eye(5, dtype=bool)), (2,))).all()


def test_floors_in_every_namespace(xp_device):
    rng = np.random.default_rng(0)
    for shape in ((12, 9), (60, 50)):
        X = rng.random(shape)
        assert svd_floors(xp_device.asarray(X), (4, 2)) == pytest.approx(
            exact_floors(X, (4, 2)), rel=1e-8 if "64" in str(xp_device.dtype) else 1e-4
        )


def test_a_derivative_is_told_from_a_wrong_one():
    rng = np.random.default_rng(0)
    factors = [rng.random((5, 3)), rng.random((3, 2))]
    target = rng.random((5, 2))
    value = lambda given: ((given[0] @ given[1] - target) ** 2).sum()
    right = 2 * factors[0].T @ (factors[0] @ factors[1] - target)
    deviation = lambda derivative: directional_deviation(
        value, factors, derivative, 1, np.random.default_rng(1)
    )
    assert deviation(right) == 0
    assert deviation(1.01 * right) == pytest.approx(0.01 / 1.01, rel=0.01)
    assert deviation(-right) == pytest.approx(2, rel=0.01)
