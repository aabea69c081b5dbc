"""Tensors: data seen through one product, nonnegative CP, and its hierarchies."""

import os
import pickle
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import (
    NMF,
    Checkpoint,
    NeuralNCPD,
    NeuralNMF,
    NonnegativeCP,
    datasets,
    inspect,
    load,
    nnls,
    plot,
    save,
    verify,
)
from nnmf_nb.chain import ChainObjective, every, on_free_lengths
from nnmf_nb.core._arrays import asarray, to_numpy
from nnmf_nb.core._data import as_data
from nnmf_nb.selection import RankSearch
from nnmf_nb.selection._tensor_cuts import TensorEntries, cut_blocks, read_part
from nnmf_nb.solvers.extrapolation import Momentum
from nnmf_nb.tensors import _data as tensor_data
from nnmf_nb.tensors import core_consistency, match_cp, mttkrp, rank_scan
from nnmf_nb.tensors._cp import (
    CPState,
    balanced,
    cp_floors,
    fit_cp,
    kkt_of_modes,
    random_factors,
)
from nnmf_nb.tensors._data import dense_model, read_tensor
from nnmf_nb.tensors._neural_ncpd import (
    HIERARCHIES,
    ModesObjective,
    SamplesObjective,
    SharedObjective,
    gradient_deviation,
    parameters_of,
)

SHAPES = [(7, 5), (7, 5, 4), (6, 3, 5, 4), (4, 3, 2, 5, 3), (3, 2, 3, 2, 3, 2)]
KINDS = ["dense", "sparse", "masked"]
LETTERS = "abcdef"
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def tensor(shape, kind, seed=0, dtype=np.float64):
    """A tensor of a kind as it is given, its mask, its values with zeros where they are unknown,
    and where they are known.
    """
    rng = np.random.default_rng(seed)
    X, known = rng.random(shape).astype(dtype), np.ones(shape, bool)
    if kind == "dense":
        return X, None, X, known
    if kind == "masked":
        known = rng.random(shape) < 0.8
        given = np.where(known, X, np.nan)
        return given, "nan", np.where(known, X, 0), known
    X = np.where(rng.random(shape) < 0.6, X, 0)
    index = np.argwhere(X)
    order = rng.permutation(len(index))
    return (index[order], X[tuple(index[order].T)], shape), None, X, known


def factors_of(shape, k=3, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.random((n, k)) for n in shape]


def by_einsum(X, U, m):
    n, rest = X.ndim, [j for j in range(X.ndim) if j != m]
    inputs = ",".join([LETTERS[:n], *(LETTERS[j] + "z" for j in rest)])
    return np.einsum(f"{inputs}->{LETTERS[m]}z", X, *(U[j] for j in rest))


def noisy(shape=(20, 12, 8), k=3, noise=0.1, seed=0, dtype=np.float64):
    """Planted components and their tensor with noise."""
    rng = np.random.default_rng(seed)
    U = [rng.gamma(0.5, 1.0, (n, k)) + 0.01 for n in shape]
    X = dense_model(U)
    sigma = noise * np.linalg.norm(X) / np.sqrt(X.size)
    return np.maximum(X + sigma * rng.standard_normal(shape), 0).astype(dtype), U


# --- the product ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=len)
def test_mttkrp_is_the_sum(shape, kind):
    X, mask, values, known = tensor(shape, kind)
    U, data = factors_of(shape), read_tensor(X, mask)
    products = data.products(U)
    for m in range(len(shape)):
        expected = by_einsum(values, U, m)
        np.testing.assert_allclose(products[m] * data.scale, expected, rtol=1e-12)
        np.testing.assert_allclose(mttkrp(X, U, m, mask), expected, rtol=1e-12)
    R = values - dense_model(U) * data.scale
    error = np.linalg.norm(R[known]) / np.linalg.norm(values)
    assert data.error(U) == pytest.approx(error, rel=1e-10)
    assert data.norm2 * data.scale**2 == pytest.approx((values**2).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_without_compiled_kernels_the_same(kind, monkeypatch):
    X, mask, _, _ = tensor((6, 5, 4), kind)
    U, data = factors_of((6, 5, 4)), read_tensor(X, mask)
    compiled = [*data.products(U), data.normal(1, U), data.error(U)]
    monkeypatch.setattr(tensor_data, "sparse_kernels", lambda: None)
    portable = [*data.products(U), data.normal(1, U), data.error(U)]
    for one, other in zip(compiled, portable):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_forms_of_one_sparse_tensor():
    (index, values, shape), _, X, _ = tensor((6, 5, 4), "sparse")
    U = factors_of(shape)

    class LikePyData:
        coords, data, fill_value = index.T, values, 0.0

    LikePyData.shape = shape
    slices = [sp.csr_array(one) for one in X]
    twice = np.concatenate([index, index]), np.concatenate([values / 4, 0.75 * values]), shape
    for given in (X, LikePyData(), slices, twice):
        np.testing.assert_allclose(mttkrp(given, U, 1), by_einsum(X, U, 1), rtol=1e-12)


def test_indices_of_long_modes_do_not_overflow():
    shape = (2**31, 2**31, 2**31, 3)
    index = np.array([[0, 5, 7, 1], [2**31 - 1, 5, 7, 1], [4, 2**31 - 1, 0, 2]])
    assert tensor_data.distinct(index[:, 1:])[0].tolist() in ([0, 0, 1], [1, 1, 0])
    with pytest.raises(ValueError, match=r"index\[1\] = \[0, 0, 0, 3\] is out of range in mode 3"):
        read_tensor((np.array([[0, 0, 0, 0], [0, 0, 0, 3]]), np.ones(2), shape))


# --- nonnegative CP -------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES[:4], ids=len)
def test_error_never_rises_and_ends_stationary(shape, kind, exact):
    X, mask, _, _ = tensor(shape, kind)
    data = read_tensor(X, mask)
    start = random_factors(data, 2, np.random.default_rng(0))
    fit = fit_cp(data, start, tol=1e-6, max_iter=5000, exact=exact)
    assert (np.diff(fit.errors) <= 0).all() and fit.reason == "stationary"
    assert fit.errors[-1] == pytest.approx(data.error(fit.factors), rel=1e-9)
    assert max(kkt_of_modes(data, fit.factors)) < 1e-4
    assert not fit.errors[-1] < cp_floors(data, (2,))[0]


def test_extrapolation_is_faster():
    rng = np.random.default_rng(0)
    U = [1 + rng.random((n, 4)) / 2 for n in (30, 20, 15)]
    data = read_tensor(dense_model(U))
    start = random_factors(data, 4, rng)
    with_it = fit_cp(data, start, max_iter=100, tol=0, exact=False)
    state = CPState.initial(start, Momentum(0.0, 0.0))
    without = fit_cp(data, state, max_iter=100, tol=0, exact=False)
    assert with_it.errors[-1] < 0.7 * without.errors[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(20, 9), (15, 6, 5), (12, 4, 3, 5)], ids=len)
def test_transform_is_what_fit_found(shape, kind):
    X, mask, values, known = tensor(shape, kind)
    model = NonnegativeCP(2, random_state=0).fit(X, mask=mask)
    S = model.transform(X, mask=mask)
    np.testing.assert_allclose(S, model.factors_[0] * model.weights_, atol=1e-12 * S.max())
    error = np.linalg.norm((values - model.inverse_transform(S))[known]) / np.linalg.norm(values)
    assert model.error_ == pytest.approx(error, rel=1e-8)
    assert model.score(X, mask=mask) == pytest.approx(1 - error**2, rel=1e-8)
    assert model.certificate_.kkt[0] < 1e-10 and (np.diff(model.weights_) <= 0).all()
    assert all(np.allclose(np.linalg.norm(U, axis=0), 1) for U in model.factors_)
    # exact least squares, point by point
    K = dense_model([np.eye(2), *model.factors_[1:]]).reshape(2, -1).T
    points = values.reshape(shape[0], -1).T
    expected = nnls(K, points, mask=known.reshape(shape[0], -1).T)
    np.testing.assert_allclose(S.T, expected, atol=1e-9 * S.max())
    if kind != "sparse":
        new = model.transform(X[3:6], mask=mask)
        np.testing.assert_allclose(new, S[3:6], atol=1e-12 * S.max())


def test_two_modes_are_nmf():
    X = noisy((40, 25))[0]
    two = NonnegativeCP(3, random_state=0, tol=1e-7, max_iter=5000).fit(X)
    nmf = NMF(3, random_state=0, tol=1e-7, max_iter=5000, n_init=5).fit(X)
    assert two.error_ == pytest.approx(nmf.layers_[0].error, rel=1e-4)
    assert two.floor_ == pytest.approx(nmf.layers_[0].floor, rel=1e-6)
    assert np.array_equal(two.transform(X), nnls(two.factors_[1], X.T).T)


def test_planted_components_are_found_and_are_unique():
    X, U = noisy(noise=0.05)
    model = NonnegativeCP(3, random_state=0).fit(X)
    congruence = np.prod(
        [(a / np.linalg.norm(a, axis=0)).T @ b for a, b in zip(U, model.factors_)], axis=0
    )
    assert (congruence.max(axis=0) > 0.98).all() and model.certificate_.is_unique
    assert model.floor_ <= model.error_ < 0.06
    assert verify(model, X).error == pytest.approx(model.certificate_.error)
    assert verify(model, X).kkt == pytest.approx(model.certificate_.kkt, abs=1e-9)
    twins = NonnegativeCP(2, n_init=1, init=[np.repeat(u[:, :1], 2, axis=1) for u in U])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = twins.set_params(max_iter=0).fit(X).certificate_
    assert found.dead == [1] and found.ambiguous == 20 and not found.is_unique


def test_masks_need_no_imputation():
    X, U = noisy((30, 25, 20), k=3, noise=0.01)
    clean, known = dense_model(U), np.random.default_rng(0).random((30, 25, 20)) < 0.1
    model = NonnegativeCP(3, random_state=0).fit(np.where(known, X, np.nan), mask="nan")
    guess = model.inverse_transform(model.factors_[0] * model.weights_)
    error = np.linalg.norm((guess - clean)[~known]) / np.linalg.norm(clean[~known])
    assert error < 0.03 and np.isnan(model.floor_)
    stored = (np.argwhere(known), X[known], X.shape)
    same = NonnegativeCP(3, random_state=0).fit(stored, mask="stored")
    assert np.array_equal(same.factors_[1], model.factors_[1])
    everything = NonnegativeCP(3, random_state=0).fit(X, mask=np.ones(X.shape, bool))
    assert np.array_equal(
        everything.factors_[1], NonnegativeCP(3, random_state=0).fit(X).factors_[1]
    )
    # the mask of the fit, in words, holds for new data
    assert model.transform(np.where(known, X, np.nan)).shape == (30, 3)
    assert np.isfinite(same.transform(stored)).all()


def test_order_and_scale_do_not_matter():
    X, _ = noisy()
    U = random_factors(read_tensor(X), 3, np.random.default_rng(0))
    base = NonnegativeCP(3, init=U, n_init=1).fit(X)
    turned = NonnegativeCP(3, init=[U[0], U[2], U[1]], n_init=1, tol=1e-6, max_iter=5000)
    turned = turned.fit(X.transpose(0, 2, 1))
    tight = clone(base).set_params(tol=1e-6, max_iter=5000).fit(X)
    np.testing.assert_allclose(turned.factors_[1], tight.factors_[2], atol=1e-3)
    for power in (-100, 100):
        scaled = NonnegativeCP(3, random_state=0).fit(2.0**power * X)
        plain = NonnegativeCP(3, random_state=0).fit(X)
        assert np.array_equal(scaled.factors_[1], plain.factors_[1])
        assert np.array_equal(scaled.weights_, 2.0**power * plain.weights_)
    for c in (1e-120, 1e120):
        far = NonnegativeCP(3, random_state=0).fit(c * X)
        assert far.error_ == pytest.approx(plain.error_, rel=1e-3)
        assert np.isfinite(far.weights_).all()


@pytest.mark.parametrize("kind", ["dense", "masked", "sparse"])
def test_single_precision_stays(kind):
    X, _ = noisy(dtype=np.float32)
    mask = np.random.default_rng(0).random(X.shape) < 0.7 if kind == "masked" else None
    given = X if kind != "sparse" else (np.argwhere(X), X[X != 0], X.shape)
    model = NonnegativeCP(3, random_state=0).fit(given, mask=mask)
    assert all(U.dtype == np.float32 for U in model.factors_)
    assert model.transform(given, mask=mask).dtype == np.float32
    assert model.error_ < 0.12


def test_arrays_of_another_library(xp_device):
    X = noisy(dtype=np.float32 if "32" in str(xp_device.dtype) else np.float64)[0]
    model = NonnegativeCP(3, random_state=0, n_init=1, tol=1e-2).fit(xp_device.asarray(X))
    assert type(model.factors_[1]) is type(xp_device.asarray(X))
    plain = NonnegativeCP(3, random_state=0, n_init=1, tol=1e-2).fit(X)
    assert model.error_ == pytest.approx(plain.error_, rel=1e-2)
    S = model.transform(xp_device.asarray(X))
    np.testing.assert_allclose(to_numpy(S), model.transform(X), atol=1e-4 * to_numpy(S).max())


def test_starts_and_fixed_factors():
    X, U = noisy(noise=0.0)
    from_truth = NonnegativeCP(3, init=(np.ones(3), U), n_init=1, tol=1e-8).fit(X)
    assert from_truth.error_ < 1e-6

    class LikeCPTensor:
        weights, factors = np.ones(3), U

    again = NonnegativeCP(3, init=LikeCPTensor(), n_init=1, tol=1e-8).fit(X)
    assert np.array_equal(again.factors_[1], from_truth.factors_[1])
    fixed = NonnegativeCP(3, fixed={2: U[2]}, random_state=0).fit(X)
    np.testing.assert_allclose(fixed.factors_[2], U[2] / np.linalg.norm(U[2], axis=0))
    assert fixed.error_ < 0.02
    two = [NonnegativeCP(3, init=init, n_init=1, max_iter=20, tol=0) for init in ("svd", "random")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one, other = (model.set_params(random_state=0).fit(X) for model in two)
    assert not np.array_equal(one.factors_[1], other.factors_[1])


def test_empty_slices_and_empty_tensors():
    X, _ = noisy()
    X[4], X[:, 2], X[:, :, 5] = 0, 0, 0
    model = NonnegativeCP(3, random_state=0).fit(X)
    assert not model.factors_[0][4].any() and not model.transform(X)[4].any()
    assert not model.factors_[1][2].any() and not model.factors_[2][5].any()
    nothing = NonnegativeCP(3, random_state=0).fit(np.zeros((4, 3, 2)))
    assert (
        nothing.error_ == nothing.floor_ == 0 and not nothing.transform(np.zeros((2, 3, 2))).any()
    )
    assert nothing.certificate_.dead == [0, 1, 2]
    sparse = np.argwhere(X), X[X > 0], X.shape
    for hierarchy in HIERARCHIES:
        new = dict(hierarchy=hierarchy, n_init=1, tol=1e-2, random_state=0)
        deep = NeuralNCPD((3, 2), **new).fit(np.zeros((5, 4, 3)))
        assert [one.error for one in deep.layers_] == [0, 0]
        for given in (X, sparse):
            deep = NeuralNCPD((3, 2), **new).fit(given)
            for one in deep.layers_:
                assert not any(one.factors[m][i].any() for m, i in ((0, 4), (1, 2), (2, 5)))
                assert one.factors[0].any()


# --- hierarchies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hierarchy", HIERARCHIES)
@pytest.mark.parametrize("shape", [(9, 6), (9, 6, 5), (7, 5, 4, 6)], ids=len)
def test_gradients_are_those_of_differences(shape, hierarchy, kind):
    X, mask, _, _ = tensor(shape, kind)
    data, rng, n = read_tensor(X, mask), np.random.default_rng(2), len(shape)
    U = factors_of(shape, 4)
    W = [rng.random((4, 3)), rng.random((3, 2))]
    weights = [0.5, 1.0, 2.0]
    if hierarchy == "samples":
        deviation = gradient_deviation(SamplesObjective(data, weights), [*U[1:], *W])
    elif hierarchy == "modes":
        A = [*(rng.random((N, 3)) for N in shape), *(rng.random((3, 2)) for _ in range(n))]
        deviation = gradient_deviation(ModesObjective(data, weights), [*U, *A])
    else:
        deviation = gradient_deviation(SharedObjective(data, weights), [*U, *W])
    assert deviation < 1e-6


def test_samples_of_a_matrix_are_neural_nmf():
    rng = np.random.default_rng(0)
    X = rng.random((40, 9))
    P = [rng.random((9, 5)), rng.random((5, 3)), rng.random((3, 2))]
    value, gradients, _ = SamplesObjective(read_tensor(X), [1.0] * 3)(P)
    expected, derivatives, _ = ChainObjective(as_data(X.T), every)(P)
    assert abs(value - expected) < 1e-12
    for one, other in zip(gradients, derivatives):
        assert np.abs(one - other).max() < 1e-12
    ours = NeuralNCPD((5, 3, 2), random_state=0).fit(X)
    theirs = NeuralNMF((5, 3, 2), random_state=0, n_init=5).fit(X)
    assert ours.history_["objective"][-1] == pytest.approx(
        theirs.history_["objective"][-1], rel=0.05
    )
    S = [ours.transform(X, layer=l) for l in range(3)]
    np.testing.assert_allclose(S[1].T, nnls(ours.layers_[1].A[0], S[0].T), atol=1e-10 * S[1].max())


def test_lengths_between_the_layers_of_samples_are_trained():
    rng = np.random.default_rng(1)
    parts = [rng.gamma(0.3, 1.0, (n, 8)) for n in (40, 9, 7)]
    X = np.einsum("ik,jk,lk->ijl", *parts) + 0.05 * rng.random((40, 9, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NeuralNCPD((6, 4, 2), hierarchy="samples", random_state=0).fit(X)
    P = parameters_of(model.layers_, "samples", 1.0)
    lengths = [np.linalg.norm(one, axis=0) for one in P]
    for n in (0, 1, 3):
        np.testing.assert_allclose(lengths[n], 1)
    assert (lengths[2] ** 2).mean() == pytest.approx(1) and np.ptp(lengths[2]) > 0.01
    errors = [one.error for one in model.layers_]
    objective = SamplesObjective(read_tensor(X), [1.0] * 3)
    np.testing.assert_allclose(objective(P)[2].errors, errors, rtol=1e-9)
    bound = [*P[:2], P[2] / lengths[2], P[3]]
    assert objective(bound)[2].errors[2] > errors[2]
    assert model.certificate_.stationarity == pytest.approx(
        model.history_["stationarity"][-1], rel=1e-6
    )
    free = on_free_lengths(objective, first=2)
    assert gradient_deviation(free, [one * rng.uniform(0.5, 2) for one in P]) < 1e-6


@quiet
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_a_fitted_hierarchy(hierarchy, kind, tmp_path):
    X, mask, values, known = tensor((14, 7, 6), kind)
    model = NeuralNCPD((4, 3, 2), hierarchy=hierarchy, random_state=0, max_iter=60)
    model.fit(X, mask=mask)
    costs = np.array(model.history_["objective"])
    assert (np.diff(costs) <= 1e-12).all() and costs[-1] < costs[0]
    for l, layer in enumerate(model.layers_):
        R = values - dense_model(layer.factors)
        error = np.linalg.norm(R[known]) / np.linalg.norm(values)
        assert layer.error == pytest.approx(error, rel=1e-8)
        assert not layer.error < layer.floor
        assert layer.weights.sum() == pytest.approx(1) and (np.diff(layer.weights) <= 0).all()
        S = model.transform(X, layer=l, mask=mask)
        assert S.shape == (14, layer.rank) and S.min() >= 0
        back = model.inverse_transform(S, layer=l)
        best = np.linalg.norm((values - back)[known]) / np.linalg.norm(values)
        if hierarchy != "samples" or not l:
            assert best <= layer.error * (1 + 1e-9)  # the coefficients are the best ones
        else:
            assert best == pytest.approx(layer.error, rel=1e-8)
        if l:
            assert np.allclose(layer.flow.sum(axis=1), 1)
    assert model.score(X, mask=mask) == pytest.approx(1 - best**2)
    found = verify(model, X, mask)
    np.testing.assert_allclose(found.errors, [one.error for one in model.layers_], rtol=1e-7)
    assert found.stationarity == pytest.approx(model.certificate_.stationarity, rel=1e-6)
    save(model, tmp_path / "m")
    for again in (load(tmp_path / "m"), pickle.loads(pickle.dumps(model))):
        expected = model.transform(X, layer=1, mask=mask)
        assert np.array_equal(again.transform(X, layer=1, mask=mask), expected)
        assert again.tree(1) == model.tree(1) and again.summary() == model.summary()


def test_modes_does_not_see_where_lengths_are_and_shared_starts_balanced():
    X, U = noisy((12, 8, 6), k=4)
    data, rng = read_tensor(X), np.random.default_rng(0)
    A = [rng.random((n, 2)) for n in X.shape]
    lengths = np.array([1.0, 20.0, 0.1, 3.0])
    moved = [U[0] * lengths, U[1] / lengths, U[2]]
    modes = ModesObjective(data, [1.0, 1.0])
    assert modes([*moved, *A])[0] == pytest.approx(modes([*U, *A])[0], rel=1e-9)
    W = rng.random((4, 2))
    shared = SharedObjective(data, [1.0, 1.0])
    values = [shared([*balanced(factors), W])[0] for factors in (U, moved)]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_published_tensor():
    """Neural NCPD with frozen factors: 0.0963 / 0.2307 / 0.5303 in the notebooks of its authors."""
    X = datasets.nested_boxes().X
    model = NeuralNCPD(
        (7, 4, 2), hierarchy="modes", frozen=True, depth_weights=(0, 1, 1), random_state=0
    ).fit(X)
    errors = [one.error for one in model.layers_]
    assert errors[0] < 0.0965 and errors[1] < 0.218 and errors[2] < 0.5306
    flat = NonnegativeCP(7, random_state=0, n_init=5).fit(X)
    np.testing.assert_allclose(model.layers_[0].error, flat.error_, rtol=1e-6)


@quiet
@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_parameters_of_a_hierarchy_matter(hierarchy):
    X, _ = noisy((15, 8, 6), k=5, noise=0.3)
    base = dict(ranks=(4, 2), hierarchy=hierarchy, random_state=0, max_iter=20)

    def outcome(**change):
        model = NeuralNCPD(**{**base, **change}).fit(X)
        return np.concatenate([U.ravel() for U in model.layers_[1].factors])

    before = outcome()
    assert np.array_equal(before, outcome())
    changes = dict(
        depth_weights=(1, 9),
        frozen=True,
        pretrain_iter=2,
        max_iter=3,
        tol=0.5,
        ranks=(5, 2),
        n_init=1,
    )
    for name, value in changes.items():
        assert not np.array_equal(before, outcome(**{name: value})), name
    frozen = NeuralNCPD(**base, frozen=True).fit(X)
    flat = NonnegativeCP(4, random_state=0, max_iter=20).fit(X)
    for U in flat.factors_[1:]:
        assert (np.abs(U.T @ frozen.factors_[1 if len(U) == 8 else 2]).max(axis=1) > 1 - 1e-9).all()


@quiet
@quiet
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_a_warm_fit_goes_on(hierarchy, kind, tmp_path):
    X, mask, _, _ = tensor((12, 7, 5), kind)
    given = dict(hierarchy=hierarchy, tol=0, n_init=2, pretrain_iter=5, random_state=0)
    model = NeuralNCPD((4, 2), max_iter=5, **given).fit(X, mask=mask)
    cost = sum(one.error**2 for one in model.layers_)
    save(model, tmp_path / "model")
    for one in (model, load(tmp_path / "model")):
        one.set_params(warm_start=True, max_iter=8).fit(X, mask=mask)
        costs = one.history_["objective"]
        assert costs[0] == pytest.approx(cost, rel=1e-9) and costs[-1] < cost
        assert sum(layer.error**2 for layer in one.layers_) == pytest.approx(min(costs), rel=1e-9)
    fresh = NeuralNCPD((4, 2), max_iter=5, warm_start=True, **given).fit(X, mask=mask)
    assert fresh.history_["objective"][0] > costs[0]  # without a fit before it starts anew


@quiet
def test_what_a_warm_fit_cannot_go_on_from_is_said():
    X, _ = noisy((12, 7, 5))
    new = dict(max_iter=5, n_init=1, random_state=0, warm_start=True)
    samples = NeuralNCPD((3, 2), **new).fit(X)
    shared = NeuralNCPD((3, 2), hierarchy="shared", **new).fit(X)
    for model, params, given, words in (
        (samples, dict(ranks=(4, 2)), X, r"ranks are \(4, 2\), but warm_start=True goes on"),
        (samples, dict(hierarchy="modes"), X, "hierarchy is 'modes', but warm_start=True"),
        (samples, {}, X[:, :5], r"X has the shape \(12, 5, 5\), but warm_start=True"),
        (shared, {}, X[:8], r"X has the shape \(8, 7, 5\), but warm_start=True"),
    ):
        before = model.get_params()
        with pytest.raises(ValueError, match=words):
            model.set_params(**params).fit(given)
        assert model.mode_shape_ == (7, 5) and model.set_params(**before).transform(X).shape[1] == 2
    assert samples.fit(X[:8] * 1e-9).transform(X).shape == (12, 2)  # other data points, other units


def test_labels_belong_to_samples():
    X, U = noisy((40, 8, 6), k=4)
    y = (U[0].argmax(axis=1) >= 2).astype(int)
    seen = np.where(np.arange(40) % 2, y, -1)
    model = NeuralNCPD((4, 2), random_state=0, max_iter=50).fit(X, seen)
    assert model.classes_.tolist() == [0, 1]
    assert model.score(X, y) > 0.7 and model.predict(X).shape == (40,)
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(40))
    weak = NeuralNCPD((4, 2), random_state=0, max_iter=50, lam=0.0).fit(X, seen)
    assert not np.array_equal(weak.factors_[1], model.factors_[1])
    other = clone(model).set_params(label_loss="cross_entropy").fit(X, seen)
    assert not np.array_equal(other.factors_[1], model.factors_[1])
    with pytest.raises(ValueError, match="labels need hierarchy='samples'"):
        NeuralNCPD((4, 2), hierarchy="modes").fit(X, seen)


# --- judgment ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 6), (9, 6, 5), (7, 5, 4, 6)], ids=len)
def test_core_consistency_is_that_of_the_best_core(shape):
    rng = np.random.default_rng(0)
    U, X = factors_of(shape, 2), np.where(rng.random(shape) < 0.5, rng.random(shape), 0)
    found = core_consistency(X, U)
    units = balanced(U)
    # the best core by one large least-squares problem
    design = units[0]
    for V in units[1:]:
        design = np.kron(design, V)
    core = np.linalg.lstsq(design, X.ravel(), rcond=None)[0].reshape((2,) * len(shape))
    core[(np.arange(2),) * len(shape)] -= 1
    assert found == pytest.approx(100 * (1 - (core**2).sum() / 2))
    sparse = (np.argwhere(X), X[X != 0], shape)
    assert core_consistency(sparse, U) == pytest.approx(found)
    lengths = np.array([2.0, 0.1])
    moved = [U[0] / lengths, *U[1:]]
    assert core_consistency(X, moved, lengths) == pytest.approx(found)


def test_components_are_matched():
    U = factors_of((6, 5, 4))
    order, congruence = match_cp(U, [V[:, [1, 2, 0]] * 7 for V in U])
    assert order.tolist() == [2, 0, 1] and congruence == pytest.approx(np.ones(3))
    order, congruence = match_cp([V[:, :2] for V in U], U)
    assert order.tolist() == [0, 1]
    with pytest.raises(ValueError, match="other has 2 components, fewer than the 3 of one"):
        match_cp(U, [V[:, :2] for V in U])
    with pytest.raises(ValueError, match="other must be 3 matrices"):
        match_cp(U, U[:2])


def test_four_numbers_per_rank():
    X, _ = noisy((20, 15, 10), k=3, noise=0.1)
    scan = rank_scan(X, (2, 3, 5), random_state=0)
    assert scan.index.tolist() == [2, 3, 5] and (np.diff(scan["error"]) < 0).all()
    assert scan["held_out"].idxmin() == 3 and scan.loc[3, "congruence"] > 0.99
    assert scan.loc[3, "core_consistency"] > 90 and (scan["floor"] <= scan["error"]).all()
    known = np.random.default_rng(0).random(X.shape) < 0.8
    scan = rank_scan(X, (2, 3), mask=known, random_state=0, n_runs=2)
    assert scan["core_consistency"].isna().all() and scan["held_out"].idxmin() == 3
    with pytest.raises(ValueError, match="rank_scan needs a dense X or mask='stored'"):
        rank_scan((np.argwhere(X), X[X != 0], X.shape), (2,))


def test_rank_search_takes_tensors():
    rng = np.random.default_rng(0)
    X = dense_model([rng.random((n, 3)) for n in (44, 9, 12)])
    X = np.maximum(X + 0.05 * X.mean() * rng.standard_normal(X.shape), 0)
    options = dict(n_splits=2, n_crosses=1, n_init=2)
    search = RankSearch(NonnegativeCP(), range(2, 6), **options).fit(X)
    assert search.suggested_[0].rank == 3 and search.n_features_in_ == 9 * 12
    assert search.best_estimator_.error_ < 0.1 and search.best_estimator_.rank == 3
    again = RankSearch(NonnegativeCP(), range(2, 6), **options).fit(7 * X)
    for k in (2, 3, 4):
        np.testing.assert_allclose(again.evidence_.S(k), search.evidence_.S(k), atol=1e-3)
    # the last mode is the longest, and which one does not matter to the points
    moved = RankSearch(NonnegativeCP(), range(2, 6), **options).fit(X.transpose(0, 2, 1))
    assert moved.suggested_[0].rank == 3
    cases = {
        "fixed components": (NonnegativeCP(fixed={1: np.ones((9, 10))}), X),
        "factors to begin with": (NonnegativeCP(init=[np.ones((n, 10)) for n in X.shape]), X),
        "contains NaN": (NonnegativeCP(), np.where(X > X.min(), X, np.nan)),
        "at least 4 data points": (NonnegativeCP(), X[:3]),
        "zero everywhere": (NonnegativeCP(), np.zeros((8, 5, 4))),
        "ranks must be at most 3": (NonnegativeCP(), X[:4, :2, :6]),
    }
    for words, (estimator, data) in cases.items():
        with pytest.raises(ValueError, match=words):
            RankSearch(estimator, range(9, 12)).fit(data)
    with pytest.raises(TypeError, match="or NonnegativeCP, got NeuralNCPD"):
        RankSearch(NeuralNCPD()).fit(X)
    with pytest.raises(ValueError, match="takes a mask with a NonnegativeCP only"):
        RankSearch(NMF()).fit(X[:, 0], mask=X[:, 0] > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_tensor_are_those_of_its_array(kind):
    X, mask, values, known = tensor((9, 5, 8), kind)
    data = read_tensor(X, mask)
    entries = values
    if kind != "dense":
        scaled = data.values * data.scale
        entries = TensorEntries(data.index, scaled, data.shape, data.has_unknown)
    for name, block in cut_blocks(entries, 3, 0).items():
        expected, shown = (cut_blocks(one, 3, 0)[name] for one in (values, known))
        U = factors_of(block.shape)
        np.testing.assert_allclose(
            read_part(block).error(U),
            np.linalg.norm((expected / read_part(block).scale - dense_model(U))[shown])
            / np.linalg.norm(expected / read_part(block).scale),
        )


@pytest.mark.parametrize("kind", ["counts", pytest.param("gaps", marks=pytest.mark.exhaustive)])
def test_rank_search_takes_sparse_tensors_and_unknown_entries(kind):
    rng = np.random.default_rng(0)
    M = dense_model([rng.random((n, 3)) ** 3 for n in (44, 9, 12)])
    options = dict(ranks=range(2, 6), n_splits=1, n_crosses=1, n_init=2)
    if kind == "gaps":
        X = np.maximum(M + 0.05 * M.mean() * rng.standard_normal(M.shape), 0)
        X[rng.random(X.shape) < 0.3] = np.nan
        search = RankSearch(NonnegativeCP(), **options).fit(X, mask="nan")
        assert search.best_estimator_.mask_ == "nan"
    else:
        X = rng.poisson(4 * M / M.mean()).astype(float)
        stored = (np.argwhere(X), X[X > 0], X.shape)
        search = RankSearch(NonnegativeCP(beta_loss="kullback-leibler"), **options).fit(stored)
        best = search.best_estimator_
        assert best.deviance_ < 0.6 * best.null_deviance_
    assert search.suggested_[0].rank == 3


# --- pictures -------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_residuals_of_slices_are_those_of_the_slices(kind):
    X, mask, values, known = tensor((12, 6, 5), kind)
    for model in (NonnegativeCP(2, random_state=0), NeuralNCPD((3, 2), random_state=0)):
        model.fit(X, mask=mask)
        for layer in range(len(model.layer_ranks())):
            back = model.inverse_transform(model.transform(X, layer=layer, mask=mask), layer=layer)
            R = np.where(known, values - back, 0)
            for m, table in enumerate(model.residuals(X, layer, mask)):
                rest = tuple(j for j in range(3) if j != m)
                left, all_of_it = (R**2).sum(axis=rest), (values**2).sum(axis=rest)
                np.testing.assert_allclose(table["error"], np.sqrt(left / all_of_it), rtol=1e-7)
                np.testing.assert_allclose(table["residual"], left / left.sum(), rtol=1e-7)
                np.testing.assert_allclose(table["data"], all_of_it / all_of_it.sum())
    empty = np.zeros((4, 3, 2))
    empty[0] = 1
    table = NonnegativeCP(1, random_state=0).fit(empty).residuals(empty)[0]
    assert table["error"].isna().tolist() == [False, True, True, True]
    assert not table["residual"].any()  # the fit is exact


@pytest.fixture(scope="module")
def il2_models():
    il2 = datasets.il2()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = {
            hierarchy: NeuralNCPD((5, 3, 2), hierarchy=hierarchy, max_iter=20, random_state=0)
            for hierarchy in HIERARCHIES
        } | {"flat": NonnegativeCP(3, max_iter=20, random_state=0)}
        return il2, {name: model.fit(il2.X, mask="nan") for name, model in models.items()}


@pytest.mark.parametrize("name", [*HIERARCHIES, "flat"])
def test_pictures_show_the_model(il2_models, name):
    il2, models = il2_models
    model, before = models[name], dict(matplotlib.rcParams)
    fig = Figure(layout="constrained")
    axes = plot.plot_components(model, il2.names, il2.modes, layer=0, fig=fig)
    k, order = model.layer_ranks()[0], range(3)
    if name != "flat":
        order = plot.tree_order(model)[0]
        assert np.allclose(axes[1, 1].lines[0].get_color(), plot.topic_colors(model)[0][order[1]])
    assert axes.shape == (k, 4) and axes[0, 2].get_xscale() == "log"
    profiles, weights = model._components_of_layer(0)
    line, bars = axes[1, 1].lines[0].get_ydata(), [one.get_height() for one in axes[1, 3].patches]
    for drawn, m in ((line, 1), (bars, 3)):
        profile = profiles[m][:, order[1]]
        np.testing.assert_allclose(drawn, profile / profile.max())
    assert f"{weights[order[0]] / weights.sum():.0%}" in axes[0, 0].get_ylabel()
    fig.canvas.draw()
    fig = Figure(layout="constrained")
    axes = plot.plot_slice_residuals(model, il2.X, il2.names, fig=fig)
    heights = [one.get_height() for one in axes[0].patches]
    np.testing.assert_allclose(heights, model.residuals(il2.X)[0]["residual"])
    fig.canvas.draw()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
def test_the_drawn_tree_is_the_printed_one(il2_models, hierarchy):
    il2, models = il2_models
    model = models[hierarchy]
    fig = Figure(figsize=(8, 4), layout="constrained")
    ax = plot.plot_component_tree(model, il2.names, mode=3, top=2, ax=fig.subplots())
    drawn = " ".join(text.get_text() for text in ax.texts)
    for cell in {row.split("  ")[-1] for row in model.tree(3, il2.names[3], top=1).split("\n")}:
        assert cell in drawn
    parents = plot.main_parents(model)
    for l, layer in enumerate(model.layers_[1:]):
        assert parents[l].tolist() == layer.flow.argmax(axis=1).tolist()
    fig.canvas.draw()
    ax = plot.plot_errors(model, flat=[0.2, 0.25, 0.3], ax=Figure().subplots())
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [one.error for one in model.layers_])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.2, 0.25, 0.3])


def test_pictures_refuse_what_does_not_fit(il2_models):
    open_before = plt.get_fignums()
    il2, models = il2_models
    flat, deep = models["flat"], models["shared"]
    matrix = NMF(2, random_state=0).fit(np.random.default_rng(0).random((8, 6)))
    cases = {
        "which has|use plot_topics": lambda: plot.plot_components(matrix),
        "a NonnegativeCP has no tree": lambda: plot.plot_component_tree(flat),
        "draw it with plot_components": lambda: plot.plot_tree(deep),
    }
    for words, call in cases.items():
        with pytest.raises(TypeError, match=words):
            call()
    cases = {
        "names must be 4 lists": lambda: plot.plot_components(flat, il2.names[:2]),
        r"names\[1\] must be 4 names": lambda: plot.plot_components(flat, [None, [1], None, None]),
        "modes must be 4 titles": lambda: plot.plot_components(flat, modes="abcd"),
        "layer must be": lambda: plot.plot_components(flat, layer=1),
        "top must be": lambda: plot.plot_slice_residuals(flat, il2.X, top=0),
        "mode must hold integers from 0 to 3": lambda: plot.plot_component_tree(deep, mode=4),
        "flat must be 3 errors": lambda: plot.plot_errors(deep, flat=[0.1]),
    }
    for words, call in cases.items():
        with pytest.raises(ValueError, match=words):
            call()
    assert plt.get_fignums() == open_before


# --- a fit from outside ---------------------------------------------------------------------------


QUICK = dict(max_iter=12, tol=0, pretrain_iter=5, n_init_upper=1, random_state=0)
MODELS = [
    NonnegativeCP(3, max_iter=12, tol=0, n_init=1, random_state=0),
    *(NeuralNCPD((4, 2), hierarchy=hierarchy, n_init=1, **QUICK) for hierarchy in HIERARCHIES),
]


class Watcher:
    """A callback that notes errors, and stops or interrupts at an iteration."""

    def __init__(self, stop=None, interrupt=None):
        self.stop, self.interrupt, self.errors = stop, interrupt, []

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name != "iteration":
            return False
        assert fitted_estimator.transform(self.X).shape[0] == len(self.X)
        self.errors.append(fitted_estimator.reconstruction_err_)
        if len(self.errors) == self.interrupt:
            raise KeyboardInterrupt
        return len(self.errors) == self.stop


@quiet
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_callbacks_and_interruption(model):
    X, _ = noisy((12, 7, 5))
    for given, reason in ((dict(stop=3), "callback"), (dict(interrupt=3), "interrupted")):
        watcher = Watcher(**given)
        watcher.X = X
        fitted = clone(model).set_callbacks(watcher).fit(X)
        assert fitted.stop_reason_ == reason and len(watcher.errors) == 3
        assert fitted.transform(X).shape[0] == 12 and not fitted.converged_


@quiet
@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_a_checkpoint_goes_on_to_the_same_bits(model, kind, tmp_path):
    X, mask, values, _ = tensor((12, 7, 5), kind)
    whole = clone(model).fit(X, mask=mask)
    path = tmp_path / "fit"
    watcher = Watcher(interrupt=6)
    watcher.X = values
    clone(model).set_callbacks(Checkpoint(path, every=1), watcher).fit(X, mask=mask)
    assert os.path.exists(path)
    checkpoint = Checkpoint(path, every=1)
    again = clone(model).set_callbacks(checkpoint).fit(X, mask=mask)
    assert checkpoint.resumed > 0
    for one, other in zip(whole.factors_, again.factors_):
        assert np.array_equal(one, other)
    with pytest.raises(ValueError, match="belongs to|different|other"):
        clone(model).set_callbacks(Checkpoint(path)).fit(values + 1.0)


def test_files_of_other_shapes_are_refused(tmp_path):
    X, _ = noisy((12, 7, 5))
    model = NonnegativeCP(3, random_state=0).fit(X)
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert np.array_equal(again.transform(X), model.transform(X))
    np.testing.assert_equal(vars(again.certificate_), vars(model.certificate_))  # NaN included
    model.factors_[1] = model.factors_[1][:, :2]
    with pytest.raises(ValueError, match="factors_ does not fit"):
        save(model, tmp_path / "m")


class Named:
    """What counts of an array of xarray."""

    def __init__(self, values, dims, coords):
        self.values, self.dims, self.coords = np.asarray(values), tuple(dims), dict(coords)
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def __array__(self, dtype=None, copy=None):
        return self.values

    def transpose(self, *dims):
        order = [self.dims.index(dim) for dim in dims]
        return Named(self.values.transpose(order), dims, self.coords)

    def isel(self, where):
        (dim, index), *_ = where.items()
        values = np.take(self.values, index, axis=self.dims.index(dim))
        return Named(
            values, self.dims, self.coords | {dim: np.asarray(self.coords[dim], object)[index]}
        )


@pytest.mark.parametrize("library", ["xarray", "a stand-in"])
@pytest.mark.parametrize("Model", [NonnegativeCP(3), NeuralNCPD((3, 2))], ids=repr)
def test_names_of_modes_and_entries_win_over_positions(Model, library, tmp_path):
    make = pytest.importorskip("xarray").DataArray if library == "xarray" else Named
    il2 = datasets.il2()
    X, coords = np.nan_to_num(il2.X), dict(zip(il2.modes, il2.names))
    named = make(X, dims=il2.modes, coords=coords)
    model = clone(Model).set_params(random_state=0, n_init=1, tol=1e-2).fit(named)
    plain = clone(model).fit(X)
    assert np.array_equal(model.factors_[3], plain.factors_[3])
    assert model.mode_titles_ == il2.modes and list(model.entry_names_[3]) == list(il2.names[3])
    assert model.components(3, top=1)["entry 1"].isin(il2.names[3]).all()
    assert not hasattr(clone(model).fit(named).fit(X), "entry_names_")
    turned = named.transpose("cell", "ligand", "dose", "hour").isel({"cell": [7, *range(7)]})
    assert turned.shape == (8, 13, 12, 4)
    save(model, tmp_path / "model")
    for one in (model, load(tmp_path / "model")):
        assert np.array_equal(one.transform(turned), plain.transform(X))
        assert one.score(turned) == plain.score(X)
    few = turned.isel({"ligand": [3, 1]})
    np.testing.assert_allclose(model.transform(few), plain.transform(X[[3, 1]]), rtol=1e-12)
    known = make(X > 0.2, dims=il2.modes, coords=coords).transpose("dose", "ligand", "cell", "hour")
    masked = clone(model).fit(named, mask=known)
    assert np.array_equal(masked.factors_[0], clone(model).fit(X, mask=X > 0.2).factors_[0])
    with pytest.raises(
        ValueError, match="other entries than expected in mode 'cell': 3 instead of 8"
    ):
        model.transform(named.isel({"cell": [0, 1, 2]}))
    with pytest.raises(ValueError, match="X has modes .*, expected"):
        other = {"kind": coords["cell"], **{name: coords[name] for name in il2.modes[:3]}}
        model.transform(make(X, dims=(*il2.modes[:3], "kind"), coords=other))
    axes = plot.plot_components(model, fig=Figure())
    assert [ax.get_title() for ax in axes[0]] == list(il2.modes)
    assert inspect(model).payload["modes"][2]["title"] == "cell"


def test_components_have_names():
    X, _ = noisy((12, 7, 5))
    model = NonnegativeCP(3, random_state=0).fit(X)
    table = model.components(1, names=list("abcdefg"), top=2)
    assert table.shape == (3, 3) and table["share"].sum() == pytest.approx(1, abs=2e-3)
    assert table["entry 1"].tolist() == [
        list("abcdefg")[i] for i in model.factors_[1].argmax(axis=0)
    ]
    assert list(model.get_feature_names_out()) == [f"nonnegativecp{i}" for i in range(3)]
    with pytest.raises(ValueError, match="mode must be an integer from 0 to 2"):
        model.components(3)
    with pytest.raises(ValueError, match="features must be 7 names"):
        model.components(1, names=["a"])
    of_all = [None, list("abcdefg"), np.array([0.5, 1, 2, 4, 8])]
    assert model.components(1, names=of_all, top=2).equals(table)
    assert set(model.components(2, names=tuple(of_all), top=1)["entry 1"]) <= set(
        "0.5 1.0 2.0 4.0 8.0".split()
    )
    assert model.components(0, names=of_all).equals(model.components(0))
    with pytest.raises(
        ValueError, match="names must be those of the entries of mode 1, or 3 lists"
    ):
        model.components(1, names=of_all[:2])
    frame = model.set_output(transform="pandas").transform(X)
    assert list(frame.columns) == list(model.get_feature_names_out())


# --- bad input ------------------------------------------------------------------------------------

X3 = np.random.default_rng(0).random((5, 4, 3))


def changed(value, place=(1, 2, 0)):
    X = X3.copy()
    X[place] = value
    return X


INDEX = np.array([[0, 0, 0], [1, 2, 1]])
BAD = {
    "one mode": (dict(X=np.ones(5)), "Expected 2D array, got 1D array"),
    "an empty mode": (dict(X=np.ones((3, 0, 2))), "mode 1 of shape .* has length 0"),
    "NaN": (dict(X=changed(np.nan)), r"X contains NaN: 1 entries, the first at \[1, 2, 0\].*mask"),
    "infinity": (dict(X=changed(np.inf)), r"X contains infinity: .* \[1, 2, 0\]"),
    "negative": (dict(X=changed(-1.0)), r"negative values: 1 entries, the first at \[1, 2, 0\]"),
    "shape of mask": (dict(X=X3, mask=X3[0] > 0), r"mask must have the shape of X, \(5, 4, 3\)"),
    "values of mask": (dict(X=X3, mask=2 * X3), r"mask must hold True .* mask\[0, 0, 0\] is"),
    "word of mask": (dict(X=X3, mask="none"), "mask must be an array shaped like X"),
    "all hidden": (dict(X=X3, mask=X3 < 0), "mask hides every entry"),
    "negative known": (dict(X=changed(-1.0), mask=X3 < 2), r"negative .* \[1, 2, 0\]"),
    "stored dense": (dict(X=X3[0], mask="stored"), "mask='stored' is for sparse X"),
    "index out of range": (
        dict(X=(INDEX, np.ones(2), (2, 2, 2))),
        r"index\[1\] = \[1, 2, 1\] is out of range in mode 1, which has length 2",
    ),
    "width of index": (dict(X=(INDEX[:, :2], np.ones(2), (2, 3, 2))), "index must have .* 3 col"),
    "rows of index": (dict(X=(INDEX, np.ones(3), (2, 3, 2))), "index has 2 rows for 3 values"),
    "fractions": (dict(X=(INDEX + 0.5, np.ones(2), (2, 4, 2))), "index must hold integers"),
    "sparse negative": (dict(X=(INDEX, [1.0, -1.0], (2, 3, 2))), r"negative .* \[1, 2, 1\]"),
    "mask of sparse": (
        dict(X=(INDEX, np.ones(2), (2, 3, 2)), mask=np.ones((2, 3, 2), bool)),
        "mask of a sparse X must be None .* or 'stored'",
    ),
    "stored twice": (
        dict(X=(INDEX[[0, 0]], np.ones(2), (2, 3, 2)), mask="stored"),
        "every entry once",
    ),
    "slices": (dict(X=[sp.eye_array(3), sp.eye_array(4)]), r"X\[1\] has shape \(4, 4\)"),
    "fill value": (None, "fill_value 1"),
}


@pytest.mark.parametrize("Model", [NonnegativeCP, NeuralNCPD], ids=lambda M: M.__name__)
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, Model):
    given, words = BAD[case]
    if given is None:
        given = dict(X=type("COO", (), dict(coords=0, data=0, shape=(2, 2), fill_value=1))())
    with pytest.raises(ValueError, match=words):
        Model().fit(**given)


@pytest.mark.parametrize("door", ["transform", "score", "residuals", "verify"])
@pytest.mark.parametrize("case", ["NaN", "infinity", "negative", "shape of mask", "all hidden"])
def test_bad_input_is_named_at_every_door(case, door):
    given, words = BAD[case]
    model = NonnegativeCP(2, random_state=0).fit(X3)
    call = (lambda **given: verify(model, **given)) if door == "verify" else getattr(model, door)
    with pytest.raises(ValueError, match=words):
        call(**given)


@pytest.mark.parametrize("X", [X3 + 1j, X3.astype(str), np.full((2, 2, 2), "a", dtype=object)])
def test_what_is_no_number_is_refused(X):
    for model in (NonnegativeCP(2), NeuralNCPD((2, 1))):
        with pytest.raises(TypeError, match="X has dtype .* real numbers"):
            model.fit(X)


PARAMETERS = {
    "rank must be an integer >= 1": NonnegativeCP(0),
    "rank must be an integer >= 1, got 2.5": NonnegativeCP(2.5),
    "n_init must be": NonnegativeCP(2, n_init=0),
    "tol must be": NonnegativeCP(2, tol=-1),
    "init must be 'svd', 'random' or factors": NonnegativeCP(2, init="best"),
    "init must be 'svd', 'random' or factors .* got 5": NonnegativeCP(2, init=5),
    "fixed must be a dictionary": NonnegativeCP(2, fixed=[np.ones((4, 2))]),
    "init must be 3 matrices": NonnegativeCP(2, init=[np.ones((5, 2))] * 3),
    "init has 3 components, rank is 2": NonnegativeCP(2, init=factors_of((5, 4, 3))),
    "the factor of mode 0 is not": NonnegativeCP(3, init=[-u for u in factors_of((5, 4, 3))]),
    "fixed must map modes from 1 to 2": NonnegativeCP(2, fixed={0: np.ones((5, 2))}),
    r"fixed\[1\] must be 4 x 2": NonnegativeCP(2, fixed={1: np.ones((5, 2))}),
    "ranks must be integers >= 1": NeuralNCPD((4, 0)),
    "hierarchy must be one of": NeuralNCPD((3, 2), hierarchy="deep"),
    "depth_weights must be 2 finite": NeuralNCPD((3, 2), depth_weights=(1, 2, 3)),
    "lam must be": NeuralNCPD((3, 2), lam=-1),
    "device must be": NonnegativeCP(2, device="tpu"),
}


@pytest.mark.parametrize("words", PARAMETERS)
def test_bad_parameters_are_named(words):
    with pytest.raises(ValueError, match=words):
        clone(PARAMETERS[words]).fit(X3)


@quiet
def test_what_is_doubtful_is_said():
    with pytest.warns(UserWarning, match="rank 12 can reproduce every tensor of shape"):
        NonnegativeCP(12, random_state=0).fit(X3)
    with pytest.warns(UserWarning, match="ranks .* increase"):
        NeuralNCPD((2, 3), random_state=0).fit(X3)
    known = X3 < 2
    known[:, 2] = False
    with pytest.warns(UserWarning, match="Nothing is known of 1 slices of mode 1, the first at in"):
        model = NonnegativeCP(2, random_state=0).fit(X3, mask=known)
    assert not model.factors_[1][2].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # rows of other modes are those of the fit
        model.transform(X3, mask=known)
    known[1] = False
    with pytest.warns(UserWarning, match="Nothing is known of 1 slices of mode 0"):
        assert not model.transform(X3, mask=known)[1].any()
    with pytest.warns(ConvergenceWarning, match="NonnegativeCP stopped at max_iter=1"):
        NonnegativeCP(2, random_state=0, max_iter=1, tol=1e-12).fit(X3)


def test_new_data_of_another_shape_is_refused():
    for model in (NonnegativeCP(2, random_state=0), NeuralNCPD((2, 1), random_state=0)):
        model.fit(X3)
        for other in (X3[:, :3], X3[0], X3[:, :, :, None], X3.reshape(5, -1)):
            with pytest.raises(ValueError, match=r"was fitted to \(4, 3\)"):
                model.transform(other)
        with pytest.raises(ValueError, match="layer must be an integer"):
            model.transform(X3, layer=5)
        with pytest.raises(ValueError, match="S has 7 columns"):
            model.inverse_transform(np.ones((2, 7)))
        with pytest.raises(ValueError, match="X must be the training data, 5 data points; got 2"):
            verify(model, X3[:2])


def test_a_second_fit_forgets_the_first():
    X = np.random.default_rng(0).random((6, 5))
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = NonnegativeCP(2, random_state=0).fit(frame)
    assert model.n_features_in_ == 5 and list(model.feature_names_in_) == list("abcde")
    assert model.transform(frame).shape == (6, 2)
    model.fit((np.argwhere(X[:, :3]), X[:, :3].ravel(), (6, 3)))
    assert model.n_features_in_ == 3 and not hasattr(model, "feature_names_in_")
    model.fit(X3)
    assert model.n_features_in_ == 12 and model.mode_shape_ == (4, 3)
    with pytest.raises(ValueError, match="init must be|rank must"):
        model.set_params(rank=0).fit(X3)


def test_input_is_never_changed():
    X, mask, _, _ = tensor((8, 5, 4), "masked")
    before = X.copy()
    NonnegativeCP(2, random_state=0).fit(X, mask=mask)
    NonnegativeCP(2, random_state=0).fit(asarray(np.nan_to_num(X), X))
    assert np.array_equal(X, before, equal_nan=True)
