"""Unfolded NMF: exact nonnegative derivatives, monotone training, masks that add up, and the
contract of an estimator.
"""

import warnings
from functools import cache, partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import UnfoldedNMF
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.models._unfolded import (
    UnfoldedObjective,
    as_sources,
    cost_unit,
    mask_cost,
    multiplied,
    netted,
    reconstruction_cost,
    separate,
    source_bases,
    train_unfolded,
    unchanged,
    unfold_backward,
    unfold_forward,
)
from nnmf_nb.solvers.divergences import entry_divergence


@cache
def mixture(seed=0, T=60, N=40):
    """Two sources (N x T) of three overlapping bumps each, with independent loudness per frame."""
    rng = np.random.default_rng(seed)
    x = np.arange(N)[:, None]
    shapes = [
        sum(np.exp(-0.5 * ((x - h * np.array(p)) / 1.2) ** 2) * 0.8**h for h in range(1, 6))
        for p in ((5, 7, 11), (6, 8, 12))
    ]
    return [A @ rng.gamma(0.4, 1, (3, T)) + 0.01 * rng.random((N, T)) for A in shapes]


def quiet(model, X, y=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def rows(sources):
    return sum(sources).T, np.stack([s.T for s in sources])


def relative(sources, estimates):
    return np.mean([np.linalg.norm(s - e) / np.linalg.norm(s) for s, e in zip(sources, estimates)])


# --- the core -------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0, 1, 1.5, 2, 3])
@pytest.mark.parametrize("sparsity", [0, 0.3])
def test_tied_layers_are_plain_multiplicative_updates(beta, sparsity):
    rng = np.random.default_rng(0)
    M, W = rng.random((9, 5)) + 0.1, rng.random((9, 4))
    H = np.ones((4, 1)) * M.mean(axis=0)
    fwd = unfold_forward(M, [W] * 8, beta=beta, sparsity=sparsity)
    for got in fwd.H:
        np.testing.assert_allclose(got * fwd.unit, H, rtol=1e-12)
        V = W @ H
        H = (
            H
            * (W.T @ (M * V ** (beta - 2.0)))
            / (W.T @ V ** (beta - 1.0) + sparsity * M.mean(axis=0) ** (beta - 1))
        )


def problem(seed=0):
    rng = np.random.default_rng(seed)
    sources = [rng.gamma(0.7, 1, (8, 6)) for _ in range(3)]
    return sources, [rng.random((8, 6)) + 0.1 for _ in range(4)], (1, 3, 2), rng


def test_rounding_is_no_derivative():
    """At a minimum the parts differ by rounding: no entry of W may be multiplied for that."""
    X = np.full((6, 4), 1e-3)
    X[1, 1] += 2
    costs = set()
    for seed in range(8):
        order = np.random.default_rng(seed)
        shuffled = X[order.permutation(6)][:, order.permutation(4)]
        costs.add(round(UnfoldedNMF(1, max_iter=300).fit(shuffled).history_["objective"][-1], 12))
    assert len(costs) == 1


@pytest.mark.parametrize("carry", [netted, unchanged])
@pytest.mark.parametrize("cost_beta", [1, 1.5, 2])
@pytest.mark.parametrize("beta", [0, 0.5, 1, 1.5, 2, 2.5])
def test_derivatives_are_exact_and_split(beta, cost_beta, carry):
    sources, W, ranks, rng = problem()
    M = sum(sources)
    cases = [
        (partial(mask_cost, ranks=ranks, weights=(1, 0.3, 2), beta=cost_beta), sources, ranks),
        (partial(reconstruction_cost, beta=cost_beta), [M], (6,)),
    ]
    for cost, targets, split in cases:
        objective = UnfoldedObjective(M, targets, cost, split, carry=carry, beta=beta, sparsity=0.2)
        _, plus, minus = objective(W)
        for k in range(len(W)):
            assert plus[k].min() >= 0 and minus[k].min() >= 0
            D = rng.standard_normal(W[k].shape)
            up, down = (
                objective([w + s * 1e-6 * D if i == k else w for i, w in enumerate(W)])[0]
                for s in (1, -1)
            )
            gradient = plus[k] - minus[k]
            size = np.linalg.norm(gradient) * np.linalg.norm(D)
            assert abs((up - down) / 2e-6 - np.sum(gradient * D)) < 1e-6 * size + 1e-8


def test_netting_changes_the_parts_and_not_their_difference():
    sources, W, ranks, _ = problem()
    fwd = unfold_forward(sum(sources), W)
    split = mask_cost(fwd, sources, ranks=ranks, weights=(1, 1, 1))
    tight, loose = (
        unfold_backward(fwd, split, ranks, carry=carry) for carry in (netted, unchanged)
    )
    for p, m, P, Q in zip(*tight, *loose):
        np.testing.assert_allclose(p - m, P - Q, atol=1e-10 * P.max())
    assert tight[0][0].sum() < 0.9 * loose[0][0].sum()


@pytest.mark.parametrize("beta, cost_beta", [(1, 1), (0, 1), (2, 2), (1.5, 1.5), (1, 2)])
@pytest.mark.parametrize("carry", [netted, unchanged])
def test_training_is_monotone(beta, cost_beta, carry):
    sources = mixture()
    W, _ = source_bases(sources, (2, 2))
    cost = partial(mask_cost, ranks=(2, 2), weights=(1, 1), beta=cost_beta)
    objective = UnfoldedObjective(
        sum(sources),
        sources,
        cost,
        (2, 2),
        unit=cost_unit(sources, (1, 1), cost_beta),
        carry=carry,
        beta=beta,
        sparsity=0.0,
    )
    bases, values, reason = train_unfolded(objective, [W] * 4, max_iter=30, tol=0)
    assert reason in ("max_iter", "no progress") and values[-1] < 0.97 * values[0]
    assert all(b <= a for a, b in zip(values, values[1:]))
    assert all(w.min() >= 0 and np.isfinite(w).all() for w in bases)
    assert objective(bases)[0] == values[-1]
    assert any(np.abs(bases[0] - w).max() > 1e-3 for w in bases[1:])  # untied


def test_a_step_that_would_raise_the_objective_is_shortened():
    # the parts below are those of a function whose full multiplicative step overshoots by far
    def objective(W):
        x = W[0][0, 0]
        return (
            float((np.log(x) - 1) ** 2),
            [np.array([[max(20 * (np.log(x) - 1), 0) + 1]])],
            [np.array([[max(20 * (1 - np.log(x)), 0) + 1]])],
        )

    W, values, _ = train_unfolded(objective, [np.array([[1.0]])], max_iter=60, tol=0)
    assert all(b <= a for a, b in zip(values, values[1:])) and abs(np.log(W[0][0, 0]) - 1) < 0.1
    assert (
        objective(multiplied([np.array([[1.0]])], *objective([np.array([[1.0]])])[1:], 1.0))[0]
        > values[0]
    )


def test_blocks_of_columns_change_nothing(monkeypatch):
    import nnmf_nb.core._data

    sources = mixture()
    W, _ = source_bases(sources, (2, 2))
    cost = partial(mask_cost, ranks=(2, 2), weights=(1, 1))
    whole = UnfoldedObjective(sum(sources), sources, cost, (2, 2))([W] * 3)
    monkeypatch.setattr(nnmf_nb.core._data, "_BLOCK", 40 * 7)
    for kind in (np.asarray, sp.csr_array, sp.csc_array):
        value, plus, _ = UnfoldedObjective(
            kind(sum(sources)), [kind(s) for s in sources], cost, (2, 2)
        )([W] * 3)
        assert np.isclose(value, whole[0], rtol=1e-12)
        np.testing.assert_allclose(plus[0], whole[1][0], rtol=1e-9)


def test_every_namespace(xp_device):
    sources, W, ranks, _ = problem()
    like = xp_device.asarray
    objective = UnfoldedObjective(
        like(sum(sources)),
        [like(s) for s in sources],
        partial(mask_cost, ranks=ranks, weights=(1, 1, 1)),
        ranks,
    )
    bases, values, _ = train_unfolded(objective, [like(w) for w in W], max_iter=5, tol=0)
    host = UnfoldedObjective(
        sum(sources), sources, partial(mask_cost, ranks=ranks, weights=(1, 1, 1)), ranks
    )
    _, want, _ = train_unfolded(host, W, max_iter=5, tol=0)
    np.testing.assert_allclose(values, want, rtol=1e-9 if "64" in str(xp_device.dtype) else 1e-3)
    assert all(w.dtype == xp_device.dtype for w in bases)


def test_interruption_keeps_the_best():
    sources, W, ranks, _ = problem()
    objective = UnfoldedObjective(
        sum(sources), sources, partial(mask_cost, ranks=ranks, weights=(1, 1, 1)), ranks
    )

    def stop(n, value, bases):
        if n == 3:
            raise KeyboardInterrupt

    bases, values, reason = train_unfolded(objective, W, tol=0, callback=stop)
    assert reason == "interrupted" and len(values) == 5 and objective(bases)[0] == values[-1]
    assert train_unfolded(objective, W, callback=lambda *a: True)[2] == "callback"


# --- the estimator --------------------------------------------------------------------------------


def test_hidden_frames_are_separated_better_than_before():
    X, y = rows(mixture())
    hidden = mixture(seed=1)
    model = quiet(UnfoldedNMF(2, n_layers=3, max_iter=150), X, y)
    W, _ = source_bases(mixture(), (2, 2))
    after = relative([s.T for s in hidden], model.separate(sum(hidden).T))
    plain = [
        relative(hidden, separate(unfold_forward(sum(hidden), [W] * n), (2, 2))) for n in (4, 300)
    ]
    assert after < 0.85 * plain[0] and after < plain[1]


@pytest.mark.parametrize("kind", ["dense", "csr", "csc", "float32"])
def test_estimates_add_up_and_fit_transform_is_transform(kind):
    X, y = rows(mixture())
    dtype = np.float32 if kind == "float32" else np.float64
    X, y = (np.where(a > 0.1, a, 0).astype(dtype) for a in (X, y))
    given = sp.csr_array(X).asformat(kind) if kind.startswith("cs") else X
    before = X.copy()
    model = UnfoldedNMF(2, max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        H = model.fit_transform(given, y)
    assert (H == model.transform(given)).all() and H.dtype == dtype and H.shape == (60, 4)
    parts = model.separate(given)
    np.testing.assert_allclose(
        sum(parts), X, atol=1e-6 * X.max() if dtype == np.float32 else 1e-14 * X.max()
    )
    assert all(p.min() >= 0 and p.dtype == dtype for p in parts) and (X == before).all()
    assert np.isclose(
        model.reconstruction_err_,
        np.linalg.norm(X - model.inverse_transform(H)),
        rtol=1e-4 if dtype == np.float32 else 1e-9,
    )
    assert len(model.bases_) == 6 and (model.components_ == model.bases_[-1].T).all()


def test_sources_side_by_side_stacked_or_listed_are_the_same():
    X, y = rows(mixture())
    want = quiet(UnfoldedNMF(2, max_iter=3), X, y).bases_
    for given in (
        np.hstack(list(y)),
        sp.csr_array(np.hstack(list(y))),
        list(y),
        [sp.csr_array(s) for s in y],
    ):
        for a, b in zip(quiet(UnfoldedNMF(2, max_iter=3), X, given).bases_, want):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    labels, none = (
        quiet(UnfoldedNMF(3, max_iter=3), X, labels).components_ for labels in (np.arange(60), None)
    )
    assert (labels == none).all()


def test_without_sources_it_learns_to_reconstruct():
    X, _ = rows(mixture())
    model = quiet(UnfoldedNMF(6, n_layers=4, max_iter=80), X)
    cost = model.history_["objective"]
    assert cost[-1] < 0.6 * cost[0] and model.get_feature_names_out().tolist() == [
        f"unfoldednmf{i}" for i in range(6)
    ]
    (only,) = model.separate(X)
    np.testing.assert_allclose(only, X)
    # one source: shown when given the mixture
    clean = quiet(UnfoldedNMF(6, n_layers=4, max_iter=80), X, mixture()[0].T)
    assert np.linalg.norm(
        mixture()[0].T - clean.inverse_transform(clean.transform(X))
    ) < 0.9 * np.linalg.norm(mixture()[0])


@pytest.mark.each_value_once
@pytest.mark.parametrize("beta, sparsity", [(1, 0), (1, 0.3), (2, 0.3), (0, 0)])
@pytest.mark.parametrize("scale", [1e-30, 3.7, 1e30])
def test_scale_never_matters(beta, sparsity, scale):
    X, y = rows(mixture())
    one, other = (
        quiet(UnfoldedNMF(2, n_layers=3, beta=beta, sparsity=sparsity, max_iter=10), c * X, c * y)
        for c in (1.0, scale)
    )
    np.testing.assert_allclose(one.history_["objective"], other.history_["objective"], rtol=1e-5)
    np.testing.assert_allclose(
        other.transform(scale * X) / scale,
        one.transform(X),
        rtol=1e-3,
        atol=1e-5 * one.transform(X).max(),
    )


BASE = dict(n_components=2, n_layers=2, max_iter=20, tol=0.0)


def test_weights_say_which_source_matters():
    X, y = rows(mixture())
    errors = []
    for weights in ((1, 0), (0, 1)):
        parts = quiet(
            UnfoldedNMF(2, n_layers=2, source_weights=weights, max_iter=60), X, y
        ).separate(X)
        errors.append([entry_divergence(s, p + 1e-12, 1).sum() for s, p in zip(y, parts)])
    assert errors[0][0] < errors[1][0] and errors[0][1] > errors[1][1]


def test_sparsity_shrinks_and_verbose_shows(capsys):
    X, y = rows(mixture())
    plain, sparse = (
        quiet(UnfoldedNMF(2, sparsity=s, max_iter=0), X, y).transform(X).sum() for s in (0.0, 2.0)
    )
    assert sparse < 0.8 * plain
    quiet(UnfoldedNMF(2, max_iter=2, verbose=1), X, y)
    assert "UnfoldedNMF" in capsys.readouterr().err


JUNK = {
    "zeros": np.zeros((5, 4)),
    "zero row and column": np.pad(np.ones((4, 3)), ((0, 1), (1, 0))),
    "one row": np.ones((1, 6)),
    "one column": np.arange(6.0)[:, None],
    "duplicates": np.ones((6, 5)),
    "integers": np.arange(20).reshape(4, 5),
    "wide range": 10.0 ** np.linspace(-200, 100, 20).reshape(4, 5),
}


@pytest.mark.each_value_once
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("beta, cost_beta", [(1, 1), (0, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("name", JUNK)
def test_junk_gives_no_nan(name, beta, cost_beta, dtype):
    X = JUNK[name]
    if dtype == np.float32:
        X = np.clip(X, 0, 1e30).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for y in (None, np.stack([0.3 * X, 0.7 * X]), np.stack([X, 0 * X]), np.ones((2, *X.shape))):
            model = quiet(
                UnfoldedNMF(8, n_layers=3, beta=beta, cost_beta=cost_beta, max_iter=10), X, y
            )
            out = [model.transform(X), model.components_, *model.separate(X)]
            assert all(np.isfinite(a).all() and a.min() >= 0 for a in out)
            assert np.isfinite(model.history_["objective"]).all()
            np.testing.assert_allclose(sum(model.separate(X)), X, rtol=1e-5, atol=1e-20 * X.max())


@pytest.mark.parametrize(
    "params, y, words",
    [
        (dict(n_components=0), None, "n_components"),
        (dict(n_components=(2, 2)), None, "one per source"),
        (dict(n_layers=0), None, "n_layers"),
        (dict(beta=-1), None, "beta"),
        (dict(beta=9), None, "at most 3"),
        (dict(cost_beta=0.5), None, "cost_beta"),
        (dict(sparsity=-1), None, "sparsity"),
        (dict(sparsity=np.inf), None, "finite"),
        (dict(source_weights=(1, -1)), np.ones((2, 6, 4)), "source_weights"),
        (dict(max_iter=-1), None, "max_iter"),
        (dict(tol=np.nan), None, "tol"),
        (dict(device="tpu"), None, "device"),
        ({}, np.ones((6, 7)), "shaped like X"),
        ({}, np.ones((2, 6, 5)), "shaped like X"),
        ({}, -np.ones((2, 6, 4)), "y"),
        ({}, np.full((2, 6, 4), np.nan), "NaN"),
    ],
)
def test_bad_input_is_named(params, y, words):
    with pytest.raises(ValueError, match=words):
        UnfoldedNMF(**params).fit(np.ones((6, 4)), y)


def test_running_out_of_iterations_warns_and_no_progress_converges():
    X, y = rows(mixture())
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        model = UnfoldedNMF(2, max_iter=2, tol=0).fit(X, y)
    assert not model.converged_ and model.n_iter_ == 2
    model = UnfoldedNMF(2, tol=0.1).fit(X, y)
    assert model.converged_ and model.stop_reason_ == "no progress"


def test_estimator_takes_other_namespaces(xp_device):
    X, y = rows(mixture())
    model = quiet(
        UnfoldedNMF(2, n_layers=2, max_iter=3), xp_device.asarray(X), xp_device.asarray(y)
    )
    parts = model.separate(xp_device.asarray(X))
    np.testing.assert_allclose(sum(to_numpy(p) for p in parts), X, rtol=1e-5)
    assert parts[0].dtype == xp_device.dtype and len(as_sources(xp_device.asarray(y), 60, 40)) == 2
