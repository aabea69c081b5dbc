"""Nonlinear Deep Semi-NMF: exact derivatives, a monotone training, codes that are local minima of
their own, and the estimator's contract.
"""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import DeepSemiNMF, NonlinearSemiNMF, nnls
from nnmf_nb.core._arrays import host_rng, to_numpy
from nnmf_nb.core._data import DataMatrix, residual2
from nnmf_nb.models import _nonlinear as nonlinear
from nnmf_nb.models._base import EarlyStopping
from nnmf_nb.models._nonlinear import (
    ACTIVATIONS,
    Decoder,
    NonlinearObjective,
    backpropagate,
    codes_of,
    decode,
    into_range,
    nonlinear_start,
    settle,
)

NAMES = sorted(ACTIVATIONS)
SMALL = dict(ranks=(6, 3), max_iter=40, pretrain_iter=10, random_state=0)


def quiet(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


def curved(n=60, m=10, seed=0):
    """n signed data points x m features on a curved two-dimensional surface, with noise."""
    rng = np.random.default_rng(seed)
    u = 4 * rng.random((n, 2)) - 2
    return np.tanh(u @ rng.standard_normal((2, 6))) @ rng.standard_normal(
        (6, m)
    ) + 0.05 * rng.standard_normal((n, m))


def network(seed=0, M=8):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((6, 4)), rng.standard_normal((4, 3))], rng.random((3, M)) + 0.1


X = curved()


# --- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_activation_has_its_slope_and_its_inverse(name):
    g, x = ACTIVATIONS[name], np.linspace(-3.01, 3, 50)
    np.testing.assert_allclose(
        g.slope(x), (g.value(x + 1e-6) - g.value(x - 1e-6)) / 2e-6, atol=1e-8
    )
    h = np.linspace(g.low, min(g.high, 9), 30)
    np.testing.assert_allclose(g.value(g.inverse(h)), h, atol=1e-12)
    assert (
        np.isfinite(g.value(np.array([-1e4, 1e4]))).all()
        and np.isfinite(g.slope(np.array([-1e4, 1e4]))).all()
    )


@pytest.mark.parametrize("name", NAMES)
def test_pull_back_is_central_differences(name):
    g, (Z, H), rng = ACTIVATIONS[name], network(), np.random.default_rng(1)
    D = rng.standard_normal((6, 8))
    dZ, dH = backpropagate(Z, *decode(Z, H, g), D)
    value = lambda Z, H: np.sum(D * decode(Z, H, g)[0][0])  # noqa: E731
    for n, (at, found) in enumerate(zip([*Z, H], [*dZ, dH])):
        V = rng.standard_normal(at.shape)
        both = [[*Z, H][:n] + [at + s * 1e-6 * V] + [*Z, H][n + 1 :] for s in (1, -1)]
        assert (
            value(both[0][:2], both[0][2]) - value(both[1][:2], both[1][2])
        ) / 2e-6 == pytest.approx(np.sum(found * V), rel=1e-6)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", NAMES)
def test_objective_is_its_formula_and_has_its_derivative(name, kind):
    (Z, H), rng, ridge = network(M=60), np.random.default_rng(2), 1e-2
    data = DataMatrix(sp.csr_array(X.T) if kind == "sparse" else X.T)
    objective = NonlinearObjective(data, Z, H, ACTIVATIONS[name], ridge)
    v = objective.vector(Z, H)
    value, gradient = objective(v)
    C = decode(Z, H, ACTIVATIONS[name])[0][0]
    Z1 = objective.first(C)[0]
    price = sum(np.sum(z**2) / len(z) for z in Z) + np.sum(H**2) / 60
    assert value == pytest.approx(
        60 * ((residual2(data, Z1, C) + ridge * 60 * np.sum(Z1**2)) / data.norm2 + ridge * price)
    )
    for _ in range(3):
        d = rng.standard_normal(v.shape)
        assert (objective(v + 1e-6 * d)[0] - objective(v - 1e-6 * d)[0]) / 2e-6 == pytest.approx(
            gradient @ d, rel=1e-5
        )
    worse = [residual2(data, Z1 + s * 1e-3 * rng.standard_normal(Z1.shape), C) for s in (1, -1)]
    assert max(worse) > residual2(data, Z1, C)


@pytest.mark.parametrize("name", NAMES)
def test_start_stays_in_the_range_of_the_activation(name):
    g = ACTIVATIONS[name]
    H = np.random.default_rng(0).random((4, 30)) * 100
    H[0] = 0
    target, size = into_range(H, g)
    assert np.isfinite(target).all() and (size > 0).all()
    np.testing.assert_allclose(g.value(target), np.clip(H / size, g.low, g.high), atol=1e-12)
    Z, top, stopped = nonlinear_start(DataMatrix(X.T), (6, 3), host_rng(0), g, max_iter=5)
    assert (
        [z.shape for z in Z] == [(6, 3)] and top.shape == (3, 60) and top.min() >= 0 and not stopped
    )


# --- codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_codes_are_local_minima_and_no_step_raises_a_value(name):
    (Z, H), rng, g = network(M=20), np.random.default_rng(3), ACTIVATIONS[name]
    Z1 = rng.standard_normal((10, 6))
    F = Z1.T @ X[:20].T
    decoder = Decoder(Z1.T @ Z1, Z, g, 0.01)
    last = decoder.value(F, H)
    for n in (1, 5, 1000):
        found, value = settle(decoder, F, H, max_iter=n)
        assert found.min() >= 0 and (value <= last + 1e-9 * (1 + np.abs(last))).all()
        last = value
    # at a kink of relu the linearized step may end where another direction goes down
    for _ in range(100 if name != "relu" else 0):
        moved = np.maximum(found + 1e-4 * rng.standard_normal(found.shape), 0)
        assert (decoder.value(F, moved) >= value - 1e-9).all()


def test_codes_without_a_curve_are_least_squares():
    rng = np.random.default_rng(0)
    Z = [rng.standard_normal((10, 6)), rng.standard_normal((6, 3))]
    data = DataMatrix(X.T, scale=1.0)
    np.testing.assert_allclose(
        codes_of(data, Z, ACTIVATIONS["identity"], 0.0, np.ones(3)),
        nnls(Z[0] @ Z[1], X.T),
        atol=1e-8,
    )
    np.testing.assert_allclose(
        codes_of(data, Z[:1], ACTIVATIONS["tanh"], 0.0, np.ones(6)), nnls(Z[0], X.T), atol=1e-8
    )


def test_the_better_of_both_starts_counts():
    rng = np.random.default_rng(0)
    Z, g, data = (
        [rng.standard_normal((10, 6)), 2 * rng.standard_normal((6, 3))],
        ACTIVATIONS["sigmoid"],
        DataMatrix(X.T, scale=1.0),
    )
    decoder, F = Decoder(Z[0].T @ Z[0], Z[1:], g, 0.1), Z[0].T @ X.T
    typical = np.array([0.3, 1.0, 2.0])
    alone = settle(decoder, F, np.repeat(typical[:, None], 60, axis=1))[1]
    both = decoder.value(F, codes_of(data, Z, g, 0.1, typical))
    assert (both <= alone + 1e-9).all() and (both < alone - 1e-6).any()


# --- the estimator --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.exhaustive) for name in NAMES[1:])]
)
def test_training_falls_and_fit_transform_is_transform(name):
    model = NonlinearSemiNMF(activation=name, **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        H = model.fit_transform(X)
    assert (np.diff(model.history_["objective"]) <= 1e-12).all() and len(
        model.history_["objective"]
    ) > 3
    assert (H == model.transform(X)).all() and (H == model.codes_).all() and H.min() >= 0
    assert np.linalg.norm(X - model.inverse_transform(H)) == pytest.approx(
        model.reconstruction_err_, rel=1e-6
    )
    np.testing.assert_allclose(
        model.inverse_transform(model.transform(X, layer=0), layer=0),
        model.inverse_transform(H),
        atol=1e-9,
    )
    np.testing.assert_allclose(model.transform(X[:7]), H[:7], atol=1e-6)
    assert model.score(X) == pytest.approx(1 - (model.reconstruction_err_ / np.linalg.norm(X)) ** 2)
    again = pickle.loads(pickle.dumps(model))
    assert (again.transform(X) == H).all()


def test_a_curved_surface_needs_an_activation():
    flat, bent = (
        quiet(NonlinearSemiNMF((8, 3), activation=name, random_state=0, max_iter=300), X)
        for name in ("identity", "tanh")
    )
    assert bent.reconstruction_err_ < 0.7 * flat.reconstruction_err_
    linear = DeepSemiNMF((8, 3), random_state=0).fit(X)
    floor = np.linalg.norm(np.linalg.svd(X, compute_uv=False)[3:])
    assert flat.reconstruction_err_ >= floor > bent.reconstruction_err_
    fresh = curved(n=200)[60:]
    assert bent.score(fresh) > linear.score(fresh)


@pytest.mark.parametrize("kind", ["csr", "csc", "float32", "fortran"])
def test_all_kinds_of_data(kind):
    data = X * (np.abs(X) > 0.3)
    given = {
        "csr": sp.csr_array(data),
        "csc": sp.csc_array(data),
        "float32": data.astype(np.float32),
        "fortran": np.asfortranarray(data),
    }[kind]
    model, dense = quiet(NonlinearSemiNMF(**SMALL), given), quiet(NonlinearSemiNMF(**SMALL), data)
    H = model.transform(given)
    assert H.dtype == given.dtype == model.components_.dtype == model.codes_.dtype and all(
        z.dtype == given.dtype for z in model.factors_
    )
    assert model.reconstruction_err_ == pytest.approx(
        dense.reconstruction_err_, rel=0.05 if kind == "float32" else 1e-3
    )


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
def test_scale_does_not_matter(scale):
    one, other = (quiet(NonlinearSemiNMF(**SMALL | {"max_iter": 15}), c * X) for c in (1, scale))
    assert other.reconstruction_err_ / scale == pytest.approx(one.reconstruction_err_, rel=1e-3)
    np.testing.assert_allclose(one.codes_, other.codes_, atol=1e-2 * one.codes_.max())


@pytest.mark.parametrize("name", ["softplus", "tanh", "square"])
@pytest.mark.parametrize(
    "data",
    [
        np.zeros((5, 4)),
        np.ones((1, 4)),
        -np.ones((5, 1)),
        np.ones((6, 5)),
        np.vstack([np.zeros((3, 4)), -np.eye(4)]),
    ],
    ids=["zero", "one row", "one column", "constant", "zero rows"],
)
def test_degenerate_data(data, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NonlinearSemiNMF((5, 3), activation=name, max_iter=20, random_state=0).fit(data)
        H = model.transform(data)
    assert (
        np.isfinite(H).all()
        and H.min() >= 0
        and np.isfinite(model.components_).all()
        and np.isfinite(model.reconstruction_err_)
    )
    assert (np.diff(model.history_["objective"]) <= 1e-12).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"activation": "swish"}, "activation"),
        ({"ridge": 0}, "ridge"),
        ({"ridge": np.inf}, "ridge"),
        ({"tol": "x"}, "tol"),
        ({"ranks": ()}, "ranks"),
        ({"max_iter": -1}, "max_iter"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        NonlinearSemiNMF(**params).fit(X)


def test_bad_data():
    model, holes = quiet(NonlinearSemiNMF(**SMALL), X), X.copy()
    holes[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"\[3, 1\].*no mask"):
        model.fit(holes)
    for call in (
        lambda: model.transform(X, layer=2),
        lambda: model.inverse_transform(np.ones((3, 5))),
        lambda: model.transform(X[:, 1:]),
    ):
        with pytest.raises(ValueError, match="layer|columns|features"):
            call()


def test_too_few_iterations_warn():
    with pytest.warns(ConvergenceWarning, match="max_iter=0"):
        model = NonlinearSemiNMF(max_iter=0, random_state=0).fit(X)
    assert (
        model.stop_reason_ == "max_iter"
        and not model.converged_
        and len(model.history_["objective"]) == 1
    )


def test_callbacks_see_models_and_stop_the_fit():
    stopper = EarlyStopping(lambda model: -model.reconstruction_err_, patience=3, tol=1e9)
    model = quiet(NonlinearSemiNMF(**SMALL).set_callbacks(stopper), X)
    assert model.stop_reason_ == "callback" and len(stopper.scores) == 4 and model.n_iter_ == 4
    assert stopper.best.transform(X).shape == (60, 3)


@pytest.mark.parametrize("stop", [1, 12])
def test_interrupted_fit_is_a_fitted_model(monkeypatch, stop):
    calls, real = [], nonlinear.decode

    def impatient(*args):
        calls.append(0)
        if len(calls) == stop + 1:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(nonlinear, "decode", impatient)
    model = NonlinearSemiNMF(**SMALL).fit(X)
    assert (
        model.stop_reason_ == "interrupted"
        and not model.converged_
        and model.transform(X).min() >= 0
    )


def test_other_namespaces(xp_device):
    few = X[:12]
    there = xp_device.asarray(few)
    model, host = (
        quiet(NonlinearSemiNMF(**SMALL | {"ranks": (3, 2), "max_iter": 2}), x) for x in (there, few)
    )
    H = model.transform(there)
    assert H.dtype == xp_device.dtype and to_numpy(H).min() >= 0
    assert model.reconstruction_err_ == pytest.approx(host.reconstruction_err_, rel=0.05)
    assert to_numpy(model.inverse_transform(H)).shape == few.shape
