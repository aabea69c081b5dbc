"""Nonnegative CP of counts: the Kullback-Leibler divergence, seen at positive entries only."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import NMF, NonnegativeCP, kl_regression, load, save, verify
from nnmf_nb.layer._nnls import cpu_kernels
from nnmf_nb.tensors import _data as tensor_data
from nnmf_nb.tensors import match_cp
from nnmf_nb.tensors._counts import (
    costs,
    count_divergence,
    counts_of,
    descended,
    fit_counts,
    kkt_of_rows,
    multiplied,
    solved,
)
from nnmf_nb.tensors._data import dense_model, khatri_rao, read_tensor

KINDS = ["dense", "sparse", "masked"]
SHAPES = [(14, 9), (12, 8, 7), (7, 5, 4, 6)]
COUNTS = dict(beta_loss="kullback-leibler")


def planted(shape=(40, 30, 20), k=4, mean=1.0, seed=0):
    """Components and Poisson counts around their tensor."""
    rng = np.random.default_rng(seed)
    U = [rng.gamma(0.5, 1.0, (n, k)) for n in shape]
    M = dense_model(U)
    return rng.poisson(M * (mean / M.mean())).astype(float), U


def given(kind, shape, seed=0):
    """Counts as they are given, their mask, their values and where they are known."""
    X, _ = planted(shape, 3, 0.8, seed)
    if kind == "sparse":
        return (np.argwhere(X), X[X > 0], shape), None, X, np.ones(shape, bool)
    known = np.random.default_rng(seed + 1).random(shape) < (0.7 if kind == "masked" else 2)
    return np.where(known, X, np.nan), ("nan" if kind == "masked" else None), X, known


def divergence(X, M, known=True):
    """D(X || M) over what is known, by its formula."""
    logs = np.log(np.where(X > 0, X, 1.0) / np.where(X > 0, M, 1.0))
    return np.sum(np.where(known, X * logs - X + M, 0.0))


def cp_apr(X, U, n_iter):
    """CP-APR (Chi & Kolda 2012, doi:10.1137/110859063): multiplicative updates of each mode, with
    columns of sum 1 in the others and inadmissible zeros lifted.
    """
    U, n = [u.copy() for u in U], X.ndim
    unfolded = [np.moveaxis(X, m, 0).reshape(X.shape[m], -1) for m in range(n)]
    phi = [np.zeros_like(u) for u in U]
    for _ in range(n_iter):
        for m in range(n):
            lift = np.where((U[m] < 1e-10) & (phi[m] > 1), 1e-2, 0.0)
            sums = np.prod([u.sum(axis=0) for j, u in enumerate(U) if j != m], axis=0)
            others = [u / u.sum(axis=0) for j, u in enumerate(U) if j != m]
            K, B = khatri_rao(others), (U[m] + lift) * sums
            for _ in range(5):
                phi[m] = (unfolded[m] / np.maximum(B @ K.T, 1e-10)) @ K
                B = B * phi[m]
            U = [u / u.sum(axis=0) if j != m else B for j, u in enumerate(U)]
    return U


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=len)
def test_each_update_lowers_the_divergence_and_the_solution_is_that_of_the_layer(shape, kind):
    X, mask, values, known = given(kind, shape)
    data, rng = counts_of(read_tensor(X, mask)), np.random.default_rng(2)
    U = [rng.random((n, 3)) for n in shape]
    scaled = values / data.scale
    before = count_divergence(data, U)
    assert before == pytest.approx(divergence(scaled, dense_model(U), known))
    for m in range(len(shape)):
        K = khatri_rao([u for j, u in enumerate(U) if j != m])
        W = np.moveaxis(known, m, 0).reshape(shape[m], -1)
        np.testing.assert_allclose(costs(data, U, m) + np.zeros((shape[m], 1)), W @ K)
        x = np.moveaxis(scaled, m, 0).reshape(shape[m], -1)
        rows, status = solved(data, U, m)
        expected = kl_regression(K, x.T, mask=W.T if kind == "masked" else None).T
        np.testing.assert_allclose(rows, expected, atol=1e-7 * expected.max())
        best = [*U[:m], rows, *U[m + 1 :]]
        assert not status.any() and kkt_of_rows(data, best, m).max() < 1e-9
        lowest = count_divergence(data, best)
        for update in (multiplied, descended):
            after = count_divergence(data, [*U[:m], update(data, U, m)[0], *U[m + 1 :]])
            assert lowest - 1e-9 <= after < before


@pytest.mark.parametrize("kind", KINDS)
def test_without_compiled_kernels_the_same(kind, monkeypatch):
    X, mask, _, _ = given(kind, (8, 6, 5))
    data, rng = counts_of(read_tensor(X, mask)), np.random.default_rng(2)
    U = [rng.random((n, 3)) for n in (8, 6, 5)]
    compiled = solved(data, U, 1)[0]
    fit = fit_counts(data, U, max_iter=200, tol=1e-5)
    monkeypatch.setattr(tensor_data, "sparse_kernels", lambda: None)
    monkeypatch.setattr("nnmf_nb.tensors._counts.sparse_kernels", lambda: None)
    np.testing.assert_allclose(solved(data, U, 1)[0], compiled, atol=1e-7 * compiled.max())
    portable = fit_counts(data, U, max_iter=200, tol=1e-5)
    assert (np.diff(portable.objective) <= 0).all() and portable.reason == "stationary"
    assert portable.objective[-1] == pytest.approx(fit.objective[-1], rel=1e-4)
    # what extrapolation made zero becomes positive again where that lowers the divergence
    zeros = [U[0], np.where(U[1] < 0.6, 0.0, U[1]), U[2]]
    for _ in range(30):
        zeros[1], residual = descended(data, zeros, 1)
    assert residual.max() < 1e-4
    np.testing.assert_allclose(zeros[1], compiled, atol=1e-4 * compiled.max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=len)
def test_a_fit_is_monotone_and_certified(shape, kind, tmp_path):
    X, mask, values, known = given(kind, shape)
    model = NonnegativeCP(3, **COUNTS, random_state=0, tol=1e-6, max_iter=3000).fit(X, mask=mask)
    history = np.array(model.history_["objective"])
    assert (np.diff(history) <= 0).all() and model.converged_
    S = model.transform(X, mask=mask)
    np.testing.assert_allclose(S, model.factors_[0] * model.weights_, atol=1e-8 * S.max())
    deviance = 2 * divergence(values, np.maximum(model.inverse_transform(S), 1e-300), known)
    assert model.deviance_ == pytest.approx(deviance, rel=1e-8)
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(deviance))
    assert model.deviance_floor_ <= model.deviance_ < model.null_deviance_
    found = verify(model, X, mask)
    assert found.kkt[0] < 1e-8 and max(found.kkt) < 1e-2 and found.stationarity < 1e-4
    assert found.deviance == pytest.approx(deviance) and "deviance" in repr(found)
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert np.array_equal(again.transform(X, mask=mask), S)
    assert repr(verify(again, X, mask)) == repr(found)


# without kernels NMF takes Newton steps, and ends in another minimum
@pytest.mark.skipif(cpu_kernels() is None, reason="numba is not installed")
@pytest.mark.parametrize("sparse", [False, True])
def test_two_modes_are_nmf_of_counts(sparse):
    X, _ = planted((30, 20), 3, 2.0)
    rng = np.random.default_rng(1)
    W, H = rng.random((30, 3)), rng.random((3, 20))
    options = dict(**COUNTS, tol=1e-9, max_iter=5000)
    nmf = NMF(3, init="custom", **options).fit(X, W=W, H=H)
    X_given = (np.argwhere(X), X[X > 0], X.shape) if sparse else X
    two = NonnegativeCP(3, init=[W, H.T], n_init=1, **options).fit(X_given)
    assert two.deviance_ == pytest.approx(nmf.deviances_[0], rel=1e-8)
    assert two.null_deviance_ == pytest.approx(nmf.null_deviance_, rel=1e-8)
    assert two.deviance_floor_ == pytest.approx(nmf.deviance_floors_[0], rel=1e-8)
    np.testing.assert_allclose(
        two.history_["objective"][:20], nmf.history_["objective"][:20], rtol=1e-8
    )
    new = np.random.default_rng(3).poisson(1.0, (5, 20)).astype(float)
    expected = kl_regression(two.factors_[1], new.T).T
    np.testing.assert_allclose(two.transform(new), expected, atol=1e-8)


def test_it_gets_where_cp_apr_gets_and_sooner():
    X, _ = planted((15, 12, 10), 3, 1.0)
    rng = np.random.default_rng(5)
    U, data = [rng.random((n, 3)) for n in X.shape], counts_of(read_tensor(X))
    theirs = divergence(X, dense_model(cp_apr(X, U, 300)))
    fit = fit_counts(data, U, tol=1e-8, max_iter=300)
    ours = fit.objective[-1] * data.scale
    assert ours == pytest.approx(theirs, rel=1e-6)
    after_20 = divergence(X, dense_model(cp_apr(X, U, 20)))  # 100 passes over every mode
    assert fit.objective[39] * data.scale <= after_20 * (1 + 1e-6)


def recovered(seed):
    X, U = planted(mean=0.5, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NonnegativeCP(4, **COUNTS, random_state=seed).fit(X)
    cosines = [
        np.abs((a / np.linalg.norm(a, axis=0)).T @ b)
        for a, b in zip(U, model.factors_, strict=True)
    ]
    order, _ = match_cp(U, model.factors_)
    return min(C[np.arange(4), order].min() for C in cosines) >= 0.95


def test_planted_components_are_recovered():
    assert all(recovered(seed) for seed in range(3))


@pytest.mark.exhaustive
def test_planted_components_are_recovered_from_almost_all_seeds():
    assert sum(recovered(seed) for seed in range(20)) >= 19


def test_masks_are_exact():
    X, _ = planted((20, 15, 10), 3, 3.0)
    known = np.random.default_rng(1).random(X.shape) < 0.5
    plain = NonnegativeCP(3, **COUNTS, random_state=0).fit(X)
    whole = NonnegativeCP(3, **COUNTS, random_state=0).fit(X, mask=np.ones(X.shape, bool))
    assert np.array_equal(plain.factors_[1], whole.factors_[1])
    half = NonnegativeCP(3, **COUNTS, random_state=0).fit(np.where(known, X, 1e6), mask=known)
    stored = (np.argwhere(known), X[known], X.shape)
    same = NonnegativeCP(3, **COUNTS, random_state=0).fit(stored, mask="stored")
    assert np.array_equal(half.factors_[1], same.factors_[1])
    guess = half.inverse_transform(half.transform(X, mask=known))
    unseen = divergence(X[~known], guess[~known])
    assert unseen < 0.3 * divergence(X[~known], np.full((~known).sum(), X[known].mean()))
    assert half.deviance_floor_ == 0 and min(match_cp(plain.factors_, half.factors_)[1]) > 0.9


def test_scale_dtype_fixed_factors_and_nothing():
    X, U = planted((20, 15, 10), 3, 2.0)
    plain = NonnegativeCP(3, **COUNTS, random_state=0).fit(X)
    for power in (-60, 200):
        far = NonnegativeCP(3, **COUNTS, random_state=0).fit(2.0**power * X)
        assert np.array_equal(far.factors_[2], plain.factors_[2])
        assert far.deviance_ == 2.0**power * plain.deviance_
    single = NonnegativeCP(3, **COUNTS, random_state=0).fit(X.astype(np.float32))
    assert all(F.dtype == np.float32 for F in single.factors_)
    assert single.deviance_ == pytest.approx(plain.deviance_, rel=1e-3)
    held = NonnegativeCP(3, **COUNTS, fixed={2: U[2]}, random_state=0).fit(X)
    np.testing.assert_allclose(held.factors_[2], U[2] / np.linalg.norm(U[2], axis=0))
    assert held.deviance_ < 1.1 * plain.deviance_
    nothing = NonnegativeCP(3, **COUNTS, random_state=0).fit(np.zeros((4, 3, 5)))
    assert nothing.deviance_ == nothing.error_ == 0
    X[4], X[:, 2] = 0, 0
    empty = NonnegativeCP(3, **COUNTS, random_state=0).fit(X)
    assert not empty.factors_[0][4].any() and not empty.factors_[1][2].any()
    assert empty.certificate_.stationarity < 1e-3 and empty.certificate_.kkt[0] < 1e-8


def test_what_the_divergence_cannot_do_is_said():
    X, U = planted((20, 15, 10), 3, 2.0)
    thin = [u.copy() for u in U]
    thin[1][3] = 0
    first = np.argwhere(X[:, 3])[0]
    words = rf"give 0 at \d+ positive entries of X, the first at \[{first[0]}, 3, {first[1]}\]"
    for options in (dict(init=thin, n_init=1), dict(fixed={1: thin[1]})):
        with pytest.raises(ValueError, match=words):
            NonnegativeCP(3, **COUNTS, **options).fit(X)
    for bad in ("itakura-saito", 0.5, "poisson"):
        with pytest.raises(ValueError, match="beta_loss must be|loss must be"):
            NonnegativeCP(3, beta_loss=bad).fit(X)
