"""Contracts that every layered estimator keeps, whatever trains it."""

import copy
import pickle
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from zoo import MODELS, SEARCHES

import nnmf_nb
from nnmf_nb import (
    NMF,
    SSNMF,
    HierarchicalNMF,
    MiniBatchNMF,
    NeuralNMF,
    NonnegativeCP,
    datasets,
)
from nnmf_nb.chain._costs import COSTS, depth_errors, propagate
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import as_data
from nnmf_nb.layer._nnls import cpu_kernels
from nnmf_nb.solvers.gradient import OPTIMIZERS

ESTIMATORS = [HierarchicalNMF, NeuralNMF]
TOY = datasets.toy(random_state=0)


@pytest.fixture(params=ESTIMATORS, ids=lambda E: E.__name__)
def Estimator(request):
    return request.param


def quiet(model, X, **fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, **fit)


def planted(n=60, m=40, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.gamma(1.0, 1.0, (n, 3)) @ rng.gamma(0.5, 1.0, (3, m)) + 0.05 * rng.random((n, m))
    return X.astype(dtype)


EVERY_MODEL = [getattr(nnmf_nb, name)() for name in MODELS]
EVERY_MODEL += [
    SSNMF(beta_loss="kullback-leibler", label_loss="kullback-leibler", max_iter=20),
    NonnegativeCP(beta_loss="kullback-leibler", max_iter=20),
    MiniBatchNMF(beta_loss="kullback-leibler", max_iter=20),
]


def test_every_model_meets_the_contract():
    exported = [getattr(nnmf_nb, name) for name in {*nnmf_nb.__all__} - {*SEARCHES}]
    models = {
        thing for thing in exported if isinstance(thing, type) and issubclass(thing, BaseEstimator)
    }
    assert models == {type(model) for model in EVERY_MODEL} and NMF in models


@pytest.mark.each_value_once
@parametrize_with_checks(EVERY_MODEL, xfail_strict=True)
def test_scikit_learn_contract(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


# --- what a fitted model promises -----------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize("kind", ["dense", "csr", "csc", "float32", "masked"])
def test_fit_transform_is_transform(Estimator, kind):
    X, extra = planted(dtype=np.float32 if kind == "float32" else np.float64), {}
    if kind in ("csr", "csc"):
        X = sp.csr_array(np.where(X > 1, X, 0)).asformat(kind)
    if kind == "masked":
        extra["mask"] = np.random.default_rng(1).random(X.shape) < 0.8
    model = Estimator(ranks=(5, 3), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = model.fit_transform(X, **extra)
    again = model.transform(X, **extra)
    assert fitted.dtype == (np.float32 if kind == "float32" else np.float64)
    np.testing.assert_allclose(fitted, again, atol=1e-10 * fitted.max())
    assert all(one.A.min() >= 0 and one.S.min() >= 0 for one in model.layers_)
    for one in model.layers_:
        np.testing.assert_allclose(np.linalg.norm(one.A.astype(float), axis=0), 1, rtol=1e-5)


def test_errors_are_those_of_the_returned_arrays(Estimator):
    X = planted()
    model = quiet(Estimator(ranks=(5, 3, 2), random_state=0), X)
    A = [one.A for one in model.layers_]
    for l, one in enumerate(model.layers_):
        Phi = np.linalg.multi_dot(A[: l + 1]) if l else A[0]
        direct = np.linalg.norm(X.T - Phi @ one.S) / np.linalg.norm(X)
        assert one.error == pytest.approx(direct, rel=1e-8)
        assert one.error >= one.floor * (1 - 1e-9)
        assert one.kkt < 1e-10
        np.testing.assert_allclose(model.inverse_transform(one.S.T, layer=l), (Phi @ one.S).T)
    assert model.reconstruction_err_ == pytest.approx(model.layers_[-1].error * np.linalg.norm(X))
    np.testing.assert_allclose(model.components_, np.linalg.multi_dot(A).T)


def test_topics_come_in_order_of_share(Estimator):
    model = quiet(Estimator(ranks=(6, 3), random_state=0), planted())
    for layer in (0, 1):
        share = model.topics(layer=layer)["share"].to_numpy()
        assert (np.diff(share) <= 1e-3).all() and share.sum() == pytest.approx(1, abs=5e-3)


@pytest.mark.each_value_once
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scale_never_matters(Estimator, scale, dtype):
    X = planted(dtype=dtype)
    base = quiet(Estimator(ranks=(5, 3), random_state=0), X)
    scaled = quiet(Estimator(ranks=(5, 3), random_state=0), (X.astype(float) * scale).astype(dtype))
    # c X is rounded, so the runs part after a while and end close to each other
    tolerance = 5e-3 if dtype == np.float64 else 2e-2
    for a, b in zip(base.layers_, scaled.layers_):
        assert b.error == pytest.approx(a.error, rel=tolerance)
        assert np.isfinite(to_numpy(b.S)).all() and np.isfinite(to_numpy(b.A)).all()


@pytest.mark.parametrize("power", [-100, 100])
def test_powers_of_two_change_no_bit(Estimator, power):
    X = planted()
    a, b = (quiet(Estimator(ranks=(5, 3), random_state=0), c * X) for c in (1.0, 2.0**power))
    for one, two in zip(a.layers_, b.layers_):
        np.testing.assert_array_equal(one.A, two.A)
        np.testing.assert_array_equal(one.S * 2.0**power, two.S)


def test_sparse_equals_dense(Estimator):
    X = np.where(planted() > 1, planted(), 0)
    # few iterations: later ones amplify how sums were rounded
    few = dict(ranks=(5, 3), random_state=0, max_iter=40)
    dense = quiet(Estimator(**few), X)
    for convert in (
        sp.csr_array,
        sp.csc_matrix,
        sp.coo_array,
        sp.lil_matrix,
        sp.dok_array,
        sp.bsr_array,
        sp.dia_array,
    ):
        sparse = quiet(Estimator(**few), convert(X))
        for a, b in zip(dense.layers_, sparse.layers_):
            assert b.error == pytest.approx(a.error, rel=1e-8)


def test_input_kinds(Estimator):
    X = np.round(planted())
    base = quiet(Estimator(ranks=(4, 2), tol=1e-3, random_state=0), X)
    frozen = X.copy()
    frozen.setflags(write=False)
    frame = pd.DataFrame(X, columns=[f"w{j}" for j in range(X.shape[1])])
    for other in (
        np.asfortranarray(X),
        frozen,
        X.astype(int),
        X.astype(np.uint8),
        frame,
        X.tolist(),
        np.repeat(X, 2, axis=1)[:, ::2],
    ):
        model = quiet(Estimator(ranks=(4, 2), tol=1e-3, random_state=0), other)
        # another memory order rounds differently, so the runs part after a while and end close to
        # each other (how close depends on the processor)
        assert [a.error for a in model.layers_] == pytest.approx(
            [a.error for a in base.layers_], rel=2e-3
        )
    boolean = quiet(Estimator(ranks=(5, 3), random_state=0), X > 2)
    assert boolean.transform(X > 2).dtype == np.float64
    assert quiet(Estimator(ranks=(2,)), frame).topics(top=1)["feature 1"].str.startswith("w").all()
    np.testing.assert_array_equal(frozen, X)


def test_masked_entries_may_hold_anything(Estimator):
    X, rng = planted(), np.random.default_rng(0)
    known = rng.random(X.shape) < 0.8
    results = []
    for junk in (0.0, np.nan, np.inf, -1e6):
        model = quiet(
            Estimator(ranks=(4, 2), random_state=0, max_iter=20),
            np.where(known, X, junk),
            mask=known,
        )
        results.append(
            np.concatenate(
                [one.A.ravel() for one in model.layers_] + [one.S.ravel() for one in model.layers_]
            )
        )
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    assert np.isnan(model.layers_[0].floor)


def test_mask_of_ones_changes_little_and_weights_count(Estimator):
    X = planted()
    plain = quiet(Estimator(ranks=(3, 2), random_state=0), X)
    masked = quiet(Estimator(ranks=(3, 2), random_state=0), X, mask=np.ones(X.shape, bool))
    assert [a.error for a in masked.layers_] == pytest.approx(
        [a.error for a in plain.layers_], rel=1e-3
    )
    heavy = np.ones(X.shape)
    heavy[:10] = 100
    weighted = quiet(Estimator(ranks=(2,), random_state=0), X, weights=heavy)
    even = quiet(Estimator(ranks=(2,), random_state=0), X)
    residual = lambda model: np.linalg.norm((X - model.inverse_transform(model.transform(X)))[:10])
    assert residual(weighted) < residual(even)


def test_same_seed_same_bits_and_global_rng_untouched(Estimator):
    X, state = planted(), np.random.get_state()[1].copy()
    a, b = (quiet(Estimator(ranks=(5, 3), random_state=3), X) for _ in range(2))
    for one, two in zip(a.layers_, b.layers_):
        np.testing.assert_array_equal(one.A, two.A)
    assert (np.random.get_state()[1] == state).all()


def test_clone_pickle_names_and_output(Estimator):
    X = planted()
    model = quiet(Estimator(ranks=(5, 3), random_state=0), X)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.transform(X), model.transform(X))
    assert clone(model).get_params() == model.get_params()
    names = model.get_feature_names_out()
    assert list(names) == [f"{Estimator.__name__.lower()}{j}" for j in range(3)]
    assert list(model.set_output(transform="pandas").transform(X).columns) == list(names)


def test_pipeline_and_grid_search(Estimator):
    X = planted()
    pipe = make_pipeline(MaxAbsScaler(), Estimator(ranks=(3,), random_state=0, max_iter=30))
    search = GridSearchCV(pipe, {f"{Estimator.__name__.lower()}__ranks": [(1,), (3,)]}, cv=2)
    quiet(search, X)
    assert search.best_params_[f"{Estimator.__name__.lower()}__ranks"] == (3,)
    assert 0.9 < search.best_score_ <= 1


def test_reading(Estimator):
    model = quiet(Estimator(ranks=(9, 4, 2), random_state=0), TOY.X)
    tree = model.tree(TOY.features, top=2)
    assert str(tree) == repr(tree) and len(tree.splitlines()) == 2 + 4 + 9
    bundle = model._repr_mimebundle_()
    assert "captured" in bundle["text/plain"] and bundle["text/html"].startswith("<table>")
    assert "text/html" in Estimator()._repr_mimebundle_() and Estimator.__name__ in repr(
        Estimator()
    )
    table = model.topics(layer=1, features=TOY.features, top=3)
    assert table.shape == (4, 4)


def test_progress_bar_is_opt_in(Estimator, capsys):
    quiet(Estimator(ranks=(3,), random_state=0), planted())
    assert capsys.readouterr() == ("", "")
    quiet(Estimator(ranks=(3,), random_state=0, verbose=1), planted())
    assert Estimator.__name__ in capsys.readouterr().err


# --- bad input and faults -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "X, words",
    [
        (-planted(), r"Negative values.*X.*first at \[0, 0\]"),
        (
            np.where(np.eye(60, 40) > 0, np.nan, 1.0),
            r"X contains NaN: 40 entries, the first at \[0, 0\].*mask",
        ),
        (
            np.where(np.eye(60, 40, 1) > 0, np.inf, 1.0),
            r"X contains infinity: 39 entries, the first at \[0, 1\]",
        ),
        (sp.csr_array(np.diag([1.0, -2.0, 3.0])), r"Negative values.*first at \[1, 1\]"),
        (np.ones(5), "2D array"),
        (np.empty((0, 4)), "0 sample"),
        (np.empty((4, 0)), "0 feature"),
        (np.array([["a", "b"], ["c", "d"]]), "could not convert string"),
        (np.ones((3, 3)) * 1j, "[Cc]omplex"),
    ],
    ids=[
        "negative",
        "nan",
        "inf",
        "sparse negative",
        "1d",
        "no samples",
        "no features",
        "text",
        "complex",
    ],
)
def test_bad_data(Estimator, X, words):
    with pytest.raises(ValueError, match=words):
        Estimator(ranks=(2,)).fit(X)


def test_bad_data_at_transform(Estimator):
    model = quiet(Estimator(ranks=(3, 2), random_state=0), planted())
    with pytest.raises(ValueError, match="Negative"):
        model.transform(-planted())
    with pytest.raises(ValueError, match="features"):
        model.transform(np.ones((4, 3)))
    with pytest.raises(ValueError, match="layer must be"):
        model.transform(planted(), layer=2)
    with pytest.raises(ValueError, match="topics"):
        model.inverse_transform(np.ones((2, 7)))
    with pytest.raises(NotFittedError):
        Estimator().transform(planted())
    with pytest.raises(ValueError, match="features must be"):
        model.topics(features=["a"])


@pytest.mark.parametrize("ranks", [(), (0,), (3, -1), (2.5,), "3"])
def test_bad_ranks(Estimator, ranks):
    with pytest.raises(ValueError, match="ranks must be integers"):
        Estimator(ranks=ranks).fit(planted())


def test_unusual_ranks(Estimator):
    with pytest.warns(UserWarning, match="increase"):
        model = quiet(Estimator(ranks=(2, 4), random_state=0), planted())
    assert model.layers_[1].rank == 4
    single = quiet(Estimator(ranks=3, random_state=0), planted())
    assert len(single.layers_) == 1
    wide = quiet(Estimator(ranks=(50, 45), random_state=0), planted(30, 20))
    assert all(np.isfinite(one.error) and np.isfinite(one.S).all() for one in wide.layers_)


@pytest.mark.parametrize(
    "params",
    [
        dict(device="gpu"),
        dict(random_state="x"),
        dict(device="cuda"),
        dict(n_init=0),
        dict(n_init="a"),
        dict(n_init_upper=0),
        dict(max_iter=2.5),
        dict(max_iter=-1),
        dict(tol=-1),
        dict(tol="x"),
        dict(n_init=True),
    ],
    ids=str,
)
def test_bad_parameters(Estimator, params):
    from nnmf_nb.core._arrays import has_cuda

    if not params.keys() <= Estimator().get_params().keys():
        pytest.skip("this model has no such parameter")
    if params.get("device") == "cuda" and has_cuda():
        pytest.skip("a CUDA device is here")
    with pytest.raises(ValueError, match=next(iter(params))):
        Estimator(ranks=(2,), **params).fit(planted())


@pytest.mark.parametrize(
    "params, words",
    [
        (dict(cost="mean"), "cost must be"),
        (dict(optimizer="sgdd"), "optimizer must be"),
        (dict(step=0.1), "step has no meaning"),
        (dict(optimizer="gd", step=-1), "step must be"),
        (dict(init="mean"), "init must be one of"),
        (dict(init=3), "init must be one of .* got int"),
        (dict(init=[]), "init has 0 matrices, but ranks has 1 layers"),
        (dict(init=[np.ones((3, 2))]), "must have shape"),
        (dict(n_init="many"), "n_init must be"),
    ],
)
def test_bad_parameters_of_neural_nmf(params, words):
    with pytest.raises(ValueError, match=words):
        NeuralNMF(ranks=(2,), **params).fit(planted())


@pytest.mark.parametrize(
    "case",
    [
        "zero rows",
        "zero columns",
        "all zero",
        "constant",
        "one row",
        "one column",
        "one entry",
        "huge range",
    ],
)
def test_degenerate_data(Estimator, case):
    X = planted()
    X = {
        "zero rows": lambda: np.where(np.arange(60)[:, None] % 3 == 0, 0, X),
        "zero columns": lambda: np.where(np.arange(40) % 3 == 0, 0, X),
        "all zero": lambda: np.zeros((6, 5)),
        "constant": lambda: np.full((6, 5), 3.0),
        "one row": lambda: X[:1],
        "one column": lambda: X[:, :1],
        "one entry": lambda: X[:1, :1],
        "huge range": lambda: X * 10.0 ** np.linspace(-30, 30, 40),
    }[case]()
    model = quiet(Estimator(ranks=(3, 2), random_state=0), X)
    S = model.transform(X)
    assert np.isfinite(S).all() and (S >= 0).all() and np.isfinite(model.components_).all()
    for one in model.layers_:
        assert np.isfinite(one.error) and 0 <= one.error <= 1 and one.kkt < 1e-10
    if case == "all zero":
        assert (S == 0).all() and model.layers_[0].error == 0
    if case in ("constant", "one row", "one column", "one entry"):
        assert model.layers_[-1].error < 1e-6
    assert model.summary() and model.tree() is not None


def test_interrupt_returns_a_model(Estimator, monkeypatch):
    import nnmf_nb.solvers.coordinate_descent as solvers

    original, calls = solvers._update_by_sweeps, [0]

    def turn(*args):
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(solvers, "_update_by_sweeps", turn)
    model = Estimator(ranks=(5, 3), random_state=0).fit(planted())
    assert model.stop_reason_ == "interrupted" and not model.converged_
    assert model.transform(planted()).shape == (60, 3) and model.layers_[0].error < 0.5


def test_interrupt_in_joint_training_keeps_the_best():
    calls = [0]

    def cost(X, A, S, Y):
        calls[0] += 1
        if calls[0] == 8:
            raise KeyboardInterrupt
        R = A[0] @ S[0] - X
        return (R**2).sum(), [2 * R @ S[0].T], [2 * A[0].T @ R]

    params = dict(cost=cost, check_gradient=False, random_state=0, tol=0)
    model = NeuralNMF(ranks=(3,), **params).fit(planted())
    assert model.stop_reason_ == "interrupted"
    best = min(model.history_["objective"])
    X = planted()
    assert np.linalg.norm(X - model.inverse_transform(model.transform(X))) ** 2 == pytest.approx(
        best, rel=1e-6
    )


def test_convergence_warning_fires_exactly_when_it_should(Estimator):
    X = planted()
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        short = Estimator(ranks=(5, 3), random_state=0, max_iter=2, tol=1e-12).fit(X)
    assert not short.converged_ and short.stop_reason_ == "max_iter"
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        done = Estimator(ranks=(5, 3), random_state=0, tol=1e-2).fit(X)
    assert done.converged_ and done.stop_reason_ == "stationary"


# --- every parameter has an effect ----------------------------------------------------------------


def test_custom_cost_gets_y_and_keeps_its_topics():
    Y = 10.0 * (TOY.labels["level_2"] == np.array([[0], [1]]))[::-1]
    seen = []

    def guided(X, A, S, Y):
        seen.append(Y)
        c, R, D = 1 / (X**2).sum(), A[0] @ S[0] - X, S[0] - Y
        return c * ((R**2).sum() + (D**2).sum()), [2 * c * R @ S[0].T], [2 * c * (A[0].T @ R + D)]

    model = NeuralNMF(ranks=(2,), cost=guided, random_state=0, tol=1e-3).fit(TOY.X, Y)
    assert all(y is Y for y in seen)
    assert (model.transform(TOY.X).argmax(axis=1) == 1 - TOY.labels["level_2"]).all()


def test_iterations_are_counted():
    assert quiet(NeuralNMF(ranks=(3,), random_state=0, max_iter=7, tol=0), planted()).n_iter_ == 7
    assert (
        quiet(HierarchicalNMF(ranks=(3,), random_state=0, max_iter=7, tol=0), planted()).n_iter_
        == 7
    )


def test_step_matters():
    a, b = (
        quiet(
            NeuralNMF(ranks=(4, 2), optimizer="gd", step=step, max_iter=5, random_state=0),
            planted(),
        )
        for step in (0.01, 0.1)
    )
    assert a.history_["objective"][-1] != b.history_["objective"][-1]


# --- training -------------------------------------------------------------------------------------


@pytest.mark.each_value_once
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("cost", sorted(COSTS))
def test_cost_falls(optimizer, cost):
    model = quiet(
        NeuralNMF(
            ranks=(9, 4, 2),
            optimizer=optimizer,
            cost=cost,
            random_state=0,
            max_iter=40,
            step=None if optimizer in ("lbfgs", "backtracking") else 0.01,
        ),
        TOY.X,
    )
    values = np.array(model.history_["objective"])
    assert values.min() < values[0]
    if optimizer in ("lbfgs", "backtracking"):
        assert (np.diff(values) <= 0).all()


@pytest.mark.parametrize("coefficients", ["chain", "data"])
@pytest.mark.parametrize("seed", range(12))
def test_toy_reaches_every_floor(seed, coefficients):
    data = datasets.toy(random_state=seed)
    model = NeuralNMF((9, 4, 2), coefficients=coefficients, random_state=seed).fit(data.X)
    assert model.converged_
    for one, floor in zip(model.layers_, (0.0236, 0.2816, 0.4676)):
        assert one.error < 1.005 * one.floor
        assert one.floor == pytest.approx(floor, rel=2e-2)


def test_lengths_between_the_layers_are_kept_by_every_way_to_a_model(tmp_path):
    X = planted(seed=3)
    model = quiet(NeuralNMF((6, 4, 2), random_state=0), X)
    first, between, last = [one.A for one in model.layers_]
    lengths = np.linalg.norm(between, axis=0)
    assert (lengths**2).mean() == pytest.approx(1) and np.ptp(lengths) > 0.01
    for end in (first, last):
        np.testing.assert_allclose(np.linalg.norm(end, axis=0), 1)
    errors = [one.error for one in model.layers_]
    np.testing.assert_allclose(
        errors, depth_errors(propagate(as_data(X.T), (first, between, last)))
    )
    # they count: columns of unit length would do worse
    assert depth_errors(propagate(as_data(X.T), (first, between / lengths, last)))[2] > errors[2]

    # what an independent certificate finds is what training ended with
    found = np.linalg.norm([one.stationarity for one in model.certificate_.layers])
    assert found == pytest.approx(model.history_["stationarity"][-1], rel=1e-6)

    nnmf_nb.save(model, tmp_path / "model.safetensors")
    given = NeuralNMF((6, 4, 2), init=[first, between, last], max_iter=0)
    for other in (
        quiet(given, X),
        quiet(clone(given).set_params(init=[first, 5 * between, last]), X),
        quiet(copy.deepcopy(model).set_params(warm_start=True, max_iter=0), X),
        nnmf_nb.load(tmp_path / "model.safetensors"),
        nnmf_nb.consensus(X, models=[model] * 3),
        nnmf_nb.steer(model, X).to_model(),
    ):
        np.testing.assert_allclose([one.error for one in other.layers_], errors, rtol=1e-9)
        np.testing.assert_allclose(other.transform(X), model.transform(X), atol=1e-8)


def test_joint_training_beats_layer_by_layer():
    joint, single = (
        NeuralNMF(ranks=(9, 4, 2), random_state=0).fit(TOY.X),
        HierarchicalNMF(ranks=(9, 4, 2), random_state=0).fit(TOY.X),
    )
    assert all(a.error < b.error for a, b in zip(joint.layers_[1:], single.layers_[1:]))


def test_sparse_data_are_never_densified(Estimator):
    X = sp.random_array((4000, 3000), density=0.002, rng=np.random.default_rng(0), format="csr")
    model = Estimator(ranks=(6, 3), random_state=0, max_iter=5)
    quiet(model, X)  # compile and import outside the measurement
    tracemalloc.start()
    quiet(model, X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = X.data.nbytes + X.indices.nbytes + 8 * 6 * (4000 + 3000)
    # the portable solver, which works where numba is missing, needs a little more
    allowed = 12 if cpu_kernels() else 16
    assert peak < allowed * size < 4000 * 3000 * 8 / 4


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
from nnmf_nb import NeuralNMF, datasets
model = NeuralNMF(ranks=(9, 4, 2), random_state=0).fit(datasets.toy(random_state=0).X)
assert all(one.error < 1.01 * one.floor and one.kkt < 1e-10 for one in model.layers_)
assert "nnmf_nb.layer._cpu_kernels" not in sys.modules
"""


def test_works_without_numba():
    subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], check=True)


# --- other array libraries ------------------------------------------------------------------------


@pytest.mark.each_value_once
def test_end_to_end_on_any_device(Estimator, xp_device):
    X = planted(40, 30)
    there = xp_device.asarray(X.tolist())
    model = quiet(Estimator(ranks=(3, 2), random_state=0, max_iter=30), there)
    S = model.transform(there)
    assert type(S) is type(there) and S.dtype == xp_device.dtype and S.device == there.device
    assert all(type(one.A) is type(there) for one in model.layers_)
    host = quiet(Estimator(ranks=(3, 2), random_state=0, max_iter=30), X)
    # the portable sweep knows no early stop, so the paths differ a little
    rel = 1e-2 if "64" in str(xp_device.dtype) else 2e-2
    assert [a.error for a in model.layers_] == pytest.approx(
        [a.error for a in host.layers_], rel=rel
    )
    np.testing.assert_allclose(
        to_numpy(model.inverse_transform(S)), to_numpy(S) @ model.components_, rtol=1e-4, atol=1e-4
    )
    crossed = model.transform(X)  # trained there, used here
    assert isinstance(crossed, np.ndarray)
    np.testing.assert_allclose(crossed, to_numpy(S), rtol=1e-3, atol=1e-3)
