"""NMF: scikit-learn's contract and objective, every loss, every parameter."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import NMF as ScikitNMF
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import NMF, datasets
from nnmf_nb.core._arrays import host_rng
from nnmf_nb.core._data import as_data
from nnmf_nb.models._base import EarlyStopping
from nnmf_nb.models._one_layer import INITS
from nnmf_nb.solvers._flat import Penalties, alternate, half_step
from nnmf_nb.solvers.initialization import random_start

TOY = datasets.toy(random_state=0).X
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def small(n=30, m=20, k=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(1.0, 1.0, (n, k)) @ rng.gamma(0.5, 1.0, (k, m)) + 0.05 * rng.random((n, m))


def objective(X, W, H, a_W=0.0, a_H=0.0, l1=0.0):
    """scikit-learn's documented objective."""
    (n, m), size = X.shape, lambda F: l1 * F.sum() + (1 - l1) / 2 * (F**2).sum()
    return ((X - W @ H) ** 2).sum() / 2 + a_W * m * size(W) + a_H * n * size(H)


# --- the two halves -------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("kind", ["dense", "csr", "weighted"])
@pytest.mark.parametrize("on", [Penalties(), Penalties(0.3, 0.0), Penalties(0.1, 0.5)])
@pytest.mark.parametrize("first", [0, 2])
def test_alternation_never_rises_and_stays_nonnegative(exact, kind, on, first):
    raw = np.where(small() > 0.5, small(), 0)
    W = np.random.default_rng(1).random(raw.T.shape)
    X = (
        as_data(sp.csr_array(raw.T))
        if kind == "csr"
        else as_data(raw.T, weights=W if kind == "weighted" else None)
    )
    A, S = random_start(X, 4, host_rng(0))
    fit = alternate(X, A, S, on, on, first=first, exact=exact, max_iter=30, tol=0.0)
    assert (np.diff(fit.errors) <= 1e-12).all()
    assert fit.A.min() >= 0 and fit.S.min() >= 0
    np.testing.assert_array_equal(fit.A[:, :first], A[:, :first])
    known = raw.T / X.scale
    weight = W if kind == "weighted" else 1.0
    penalty = sum(on.l1 * F.sum() + on.l2 / 2 * (F**2).sum() for F in (fit.A, fit.S))
    direct = (weight * (known - fit.A @ fit.S) ** 2).sum() / 2 + penalty
    assert fit.errors[-1] == pytest.approx(np.sqrt(2 * direct / (weight * known**2).sum()))


def test_exact_half_is_optimal():
    X = as_data(small().T)
    A, S = random_start(X, 4, host_rng(0))
    on = Penalties(0.2, 0.1)
    S = half_step(X, A, S, on, exact=True)
    gradient = A.T @ (A @ S - X.X / X.scale) + on.l1 + on.l2 * S
    assert np.abs(np.minimum(S, gradient)).max() < 1e-10


# --- beside scikit-learn --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alpha_W, alpha_H, l1",
    [
        (0.0, "same", 0.0),
        (0.002, "same", 0.0),
        (0.002, "same", 0.7),
        (0.0, 0.004, 0.3),
        (0.004, 0.001, 1.0),
    ],
)
def test_penalties_mean_what_they_mean_in_scikit_learn(alpha_W, alpha_H, l1):
    X, a_H = small(), alpha_W if alpha_H == "same" else alpha_H
    values = []
    for E, tol in ((NMF, 1e-6), (ScikitNMF, 1e-9)):
        model = E(
            4, alpha_W=alpha_W, alpha_H=alpha_H, l1_ratio=l1, tol=tol, max_iter=5000, random_state=0
        )
        values.append(objective(X, model.fit_transform(X), model.components_, alpha_W, a_H, l1))
    assert values[0] <= values[1] * 1.01


@pytest.mark.parametrize("beta", [1, 0.5, 1.5, 3, "kullback-leibler", "itakura-saito"])
def test_divergences_end_where_scikit_learn_ends(beta):
    X = small() + 0.1
    ours, theirs = (
        E(3, beta_loss=beta, solver="mu", max_iter=400, tol=1e-8, random_state=0).fit(X)
        for E in (NMF, ScikitNMF)
    )
    assert ours.reconstruction_err_ <= 1.05 * theirs.reconstruction_err_
    assert ours.layers_[0].kkt < 1e-6


# --- what a fitted model promises -----------------------------------------------------------------

CASES = [
    dict(),
    dict(solver="anls"),
    dict(solver="mu"),
    dict(solver="mu", beta_loss=1),
    dict(alpha_W=0.01),
    dict(alpha_W=0.01, l1_ratio=1.0),
    dict(solver="mu", beta_loss=1, alpha_W=0.001),
    dict(solver="mu", beta_loss=0.5),
]


@pytest.mark.each_value_once
@pytest.mark.parametrize("params", CASES, ids=str)
@pytest.mark.parametrize("kind", ["dense", "csr", "float32", "masked"])
def test_fit_transform_is_transform(params, kind):
    X, extra = small(), {}
    if kind == "csr":
        X = sp.csr_array(np.where(X > 1, X, 0))
    if kind == "float32":
        X = X.astype(np.float32)
    if kind == "masked":
        extra["mask"] = np.random.default_rng(1).random(X.shape) < 0.8
        X = np.where(extra["mask"], X, np.nan)
    model = NMF(3, random_state=0, max_iter=60, **params)
    S = model.fit_transform(X, **extra)
    np.testing.assert_allclose(S, model.transform(X, **extra), rtol=0, atol=1e-10 * S.max())
    assert (
        S.dtype == model.components_.dtype == X.dtype
        and S.min() >= 0
        and model.components_.min() >= 0
    )
    rows = model.transform(X[:7], **{name: value[:7] for name, value in extra.items()})
    # with penalties scaled by n_features a data point's coefficients do not depend on the others
    np.testing.assert_allclose(
        S[:7], rows, rtol=0, atol=(1e-3 if kind == "float32" else 1e-7) * S.max()
    )


@pytest.mark.parametrize("solver", ["hals", "anls", "mu"])
@pytest.mark.parametrize("junk", [0.0, np.nan, np.inf, -5.0])
def test_masked_entries_may_hold_anything(solver, junk):
    X, known = small(), np.random.default_rng(0).random((30, 20)) < 0.7
    fits = [
        NMF(3, solver=solver, max_iter=20, random_state=0).fit(
            np.where(known, X, value), mask=known
        )
        for value in (7.0, junk)
    ]
    np.testing.assert_array_equal(fits[0].components_, fits[1].components_)


@pytest.mark.parametrize("params", CASES[:4], ids=str)
def test_scale_never_matters(params):
    X = small()
    base = NMF(3, random_state=0, max_iter=50, **params).fit(X)
    for scale in (1e-30, 1e30):
        other = NMF(3, random_state=0, max_iter=50, **params).fit(scale * X)
        assert other.layers_[0].error == pytest.approx(base.layers_[0].error, rel=1e-2)


HARD = {
    "zero": np.zeros((6, 5)),
    "zero row": np.vstack([np.zeros(5), np.ones((4, 5))]),
    "zero column": np.hstack([np.zeros((6, 1)), np.ones((6, 3))]),
    "one row": np.arange(1.0, 6)[None],
    "one column": np.arange(1.0, 6)[:, None],
    "constant": np.full((5, 4), 3.0),
    "identity": np.eye(6),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("params", CASES[:4], ids=str)
@pytest.mark.parametrize("k", [1, 3, 7])
def test_hard_data_give_no_nan(name, params, k):
    X = HARD[name]
    model = NMF(k, random_state=0, max_iter=30, **params).fit(X)
    for array in (model.components_, model.transform(X), model.history_["objective"]):
        assert np.isfinite(array).all()
    assert np.isfinite([model.reconstruction_err_, model.score(X), model.layers_[0].kkt]).all()


# --- every parameter ------------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize("init", [name for name in INITS if name != "custom"])
@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_every_start_reaches_the_floor(init, solver):
    X = small()
    model = NMF(4, init=init, solver=solver, n_init=4, max_iter=3000, tol=1e-5, random_state=0).fit(
        X
    )
    # multiplicative updates crawl near the end; a locked start would stay above 30
    slow = 3 if solver == "mu" else 1.3
    assert model.layers_[0].error < slow * model.layers_[0].floor, (
        "zeros of the start are lifted, not locked"
    )


def test_starts_differ():
    first = {
        init: NMF(4, init=init, max_iter=1, random_state=0).fit(TOY).history_["objective"][0]
        for init in INITS
        if init not in (None, "custom")
    }
    assert len(set(first.values())) == len(first)


def test_custom_start():
    X, rng = small(), np.random.default_rng(3)
    W, H = rng.random((30, 4)), rng.random((4, 20))
    kept = W.copy(), H.copy()
    fits = [NMF(init="custom", max_iter=3, random_state=seed).fit(X, W=W, H=H) for seed in (0, 1)]
    np.testing.assert_array_equal(fits[0].components_, fits[1].components_)
    assert fits[0].components_.shape == (4, 20)
    np.testing.assert_array_equal(W, kept[0])
    np.testing.assert_array_equal(H, kept[1])
    once = NMF(init="custom", solver="mu", max_iter=1, tol=0).fit(X, W=W, H=H)
    assert 2 * once.history_["objective"][0] < ((X - W @ H) ** 2).sum()


@pytest.mark.parametrize("solver", ["hals", "anls", "mu"])
@pytest.mark.parametrize("mask", [False, True])
def test_fixed_components_stay_and_the_rest_is_learned(solver, mask):
    X, rng = small(), np.random.default_rng(0)
    fixed = rng.random((2, 20)) * 100
    extra = {"mask": rng.random(X.shape) < 0.9} if mask else {}
    model = NMF(5, fixed=fixed, solver=solver, random_state=0).fit(X, **extra)
    unit = lambda H: H / np.linalg.norm(H, axis=1, keepdims=True)
    np.testing.assert_allclose(unit(model.components_[:2]), unit(fixed), rtol=1e-12)
    free = NMF(5, random_state=0).fit(X, **extra)
    assert free.layers_[0].error <= model.layers_[0].error < 0.3
    only = NMF(fixed=fixed).fit(X, **extra)
    assert only.components_.shape == (2, 20)


@pytest.mark.parametrize("beta", [0, 0.5, 1, 2, 3])
def test_fixed_components_under_every_loss(beta):
    X, rng = small(), np.random.default_rng(0)
    fixed = rng.random((2, 20))
    model = NMF(5, fixed=fixed, solver="mu", beta_loss=beta, max_iter=60, random_state=0).fit(X)
    np.testing.assert_allclose(
        model.components_[:2], fixed / np.linalg.norm(fixed, axis=1, keepdims=True), rtol=1e-12
    )
    assert (np.diff(model.history_["objective"]) <= 1e-9 * model.history_["objective"][0]).all()
    assert NMF(fixed=fixed, solver="mu", beta_loss=beta, max_iter=5).fit(X).components_.shape == (
        2,
        20,
    )


def test_restarts_seeds_tolerance_and_iterations_have_effects():
    X = TOY
    one, many = (NMF(4, init="random", n_init=n, random_state=3, tol=1e-3).fit(X) for n in (1, 10))
    assert many.layers_[0].error <= one.layers_[0].error + 1e-6
    a, b = (
        NMF(4, init="random", random_state=seed, max_iter=2).fit(X).components_ for seed in (0, 1)
    )
    assert not np.allclose(a, b)
    loose, tight = (NMF(4, tol=tol, random_state=0).fit(X) for tol in (1e-1, 1e-4))
    assert loose.n_iter_ < tight.n_iter_ and loose.converged_ and tight.converged_
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        assert NMF(4, max_iter=2, tol=0).fit(X).n_iter_ == 2
    shrunk = NMF(4, alpha_W=0.05, l1_ratio=1.0, random_state=0).fit(X)
    assert (shrunk.transform(X) == 0).mean() > (
        NMF(4, random_state=0).fit(X).transform(X) == 0
    ).mean()


@pytest.mark.parametrize(
    "params, fit, words",
    [
        (dict(solver="cg"), {}, "solver must be one of"),
        (dict(init="svd"), {}, "init must be one of"),
        (dict(solver="hals", beta_loss="kullback-leibler"), {}, "solver='mu'"),
        (dict(beta_loss="hinge", solver="mu"), {}, "hinge"),
        (dict(n_components=0), {}, "n_components"),
        (dict(n_components="all"), {}, "n_components"),
        (dict(alpha_W=-1), {}, "alpha_W"),
        (dict(alpha_H=-1), {}, "alpha_H"),
        (dict(l1_ratio=2), {}, "l1_ratio"),
        (dict(tol=-1), {}, "tol"),
        (dict(init="custom"), {}, "both W"),
        (dict(init="custom"), dict(W=np.ones((30, 2)), H=np.ones((3, 20))), "W and H must be"),
        (dict(init="custom"), dict(W=-np.ones((30, 2)), H=np.ones((2, 20))), "W must be"),
        (dict(fixed=np.ones((2, 3))), {}, "fixed must be"),
        (dict(fixed=-np.ones((2, 20))), {}, "number 0"),
        (dict(n_components=1, fixed=np.ones((2, 20))), {}, "fixed has 2"),
        (dict(device="tpu"), {}, "device"),
    ],
)
def test_bad_parameters_are_named(params, fit, words):
    with pytest.raises(ValueError, match=words):
        NMF(**params).fit(small(), **fit)


def test_interrupt_returns_the_best_so_far(monkeypatch):
    import nnmf_nb.solvers.extrapolation as solvers

    calls, turn = [], solvers._iteration

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return turn(*args, **options)

    monkeypatch.setattr(solvers, "_iteration", interrupted)
    model = NMF(4, tol=0, random_state=0).fit(TOY)
    assert model.stop_reason_ == "interrupted" and len(model.history_["objective"]) == 3


@pytest.mark.parametrize("params", CASES[:5], ids=str)
def test_callbacks_see_every_iteration(params):
    seen = []
    stopper = EarlyStopping(
        lambda model: seen.append(model.score(TOY)) or seen[-1], patience=4, tol=1.0
    )
    model = NMF(4, random_state=0, tol=0, **params).set_callbacks(stopper).fit(TOY)
    assert model.stop_reason_ == "callback" and len(seen) == 5 == model.n_iter_
    assert stopper.best.transform(TOY).shape == (90, 4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_best_of_several_starts_goes_on_where_it_ended():
    """The first iteration of the long fit begins at the objective of the best short one."""
    X = np.random.default_rng(3).gamma(0.5, size=(40, 25))
    short = NMF(4, init="random", max_iter=30, tol=0, random_state=0).fit(X)
    again = NMF(4, init="random", max_iter=1, tol=0, n_init=2, random_state=0).fit(X)
    assert again.history_["objective"][0] <= short.history_["objective"][-1] + 1e-12
