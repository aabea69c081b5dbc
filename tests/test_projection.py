"""Coefficients fitted to the data at every depth (`NeuralNMF(coefficients="data")`): derivatives
against central differences, S_l = q(X, A_0 .. A_l) at every door, and the certificate.
"""

import contextlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from zoo import planted

from nnmf_nb import NeuralNMF, load, nnls, save, verify
from nnmf_nb.chain._costs import on_unit_columns
from nnmf_nb.chain._labels import read_labels, squared_labels, with_labels
from nnmf_nb.chain._projection import (
    PROJECTED_COSTS,
    ProjectedObjective,
    layers_between,
    project,
)
from nnmf_nb.core._data import as_data, with_coefficient_penalty
from nnmf_nb.evaluation.metrics import errors_per_depth, forward

CHAINS = [
    [(20, 5)],
    [(20, 5), (5, 3)],
    [(20, 6), (6, 4), (4, 2)],
    [(20, 6), (6, 5), (5, 3), (3, 2)],
]
KINDS = ("dense", "sparse", "masked", "labels", "masked labels")


def quiet(model, X, y=None, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **given)


def deviation(objective, A, rng, step=1e-6):
    """Largest relative deviation of gradients from central differences in random directions."""
    _, gradients, _ = objective(A)
    worst = 0.0
    for l in range(len(A)):
        direction = rng.standard_normal(A[l].shape)
        up, down = ([*A[:l], A[l] + s * step * direction, *A[l + 1 :]] for s in (1, -1))
        numeric = (objective(up)[0] - objective(down)[0]) / (2 * step)
        size = np.linalg.norm(gradients[l]) * np.linalg.norm(direction)
        worst = max(worst, abs(numeric - np.vdot(gradients[l], direction)) / size)
    return worst


@pytest.mark.parametrize("name", PROJECTED_COSTS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_derivatives(name, kind):
    rng = np.random.default_rng(3)
    M = rng.random((20, 30)) * (rng.random((20, 30)) < 0.6)
    if "masked" in kind:
        X = as_data(M, mask=rng.random(M.shape) < 0.7)
        X = with_coefficient_penalty(X)
    else:
        X = as_data(sp.csc_array(M) if kind == "sparse" else M)
    y = np.where(rng.random(30) < 0.5, np.arange(30) % 3, -1)
    for shapes in CHAINS:
        cost, losses = PROJECTED_COSTS[name], {}
        if "labels" in kind:
            losses = {l: squared_labels(read_labels(y, 30), M) for l in {0, len(shapes) - 1}}
        through = layers_between(cost, losses, len(shapes))
        objective = ProjectedObjective(X, with_labels(cost, losses, 0.7), through)
        A = [rng.random(shape) for shape in shapes]
        assert deviation(on_unit_columns(objective), A, rng) < 1e-6


def test_nothing_flows_where_the_coefficients_minimize_the_cost():
    """The envelope theorem: the short way and the long way are one derivative."""
    rng = np.random.default_rng(0)
    X, A = as_data(rng.random((12, 25))), [rng.random((12, 4)), rng.random((4, 2))]
    for name in ("every", "last"):
        short, long = (ProjectedObjective(X, PROJECTED_COSTS[name], t)(A)[1] for t in ((), None))
        for a, b in zip(short, long):
            np.testing.assert_allclose(a, b, atol=1e-12 * np.abs(a).max() + 1e-14)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, lambda X: X.astype("f4")])
def test_every_door_fits_the_coefficients_to_the_data(form, tmp_path):
    X = planted(60, 30, 6)
    data = form(X)
    model = quiet(NeuralNMF((6, 4, 2), coefficients="data", random_state=0), data)
    P, tol = np.eye(30), dict(rtol=1e-3, atol=1e-3 * X.max())
    for l, layer in enumerate(model.layers_):
        P = P @ layer.A
        S = nnls(P.astype("f8"), X.T)
        np.testing.assert_allclose(layer.S, S, **tol)
        np.testing.assert_allclose(model.transform(data, layer=l), S.T, **tol)
        np.testing.assert_allclose(
            forward(model, data).S[l] * forward(model, data).X.scale, S, **tol
        )
    np.testing.assert_allclose(errors_per_depth(model, data), [one.error for one in model.layers_])
    assert model.score(data) == pytest.approx(1 - model.layers_[-1].error ** 2, rel=1e-4)
    assert model.certificate_.color == "green"
    save(model, tmp_path / "m")
    assert (load(tmp_path / "m").transform(data) == model.transform(data)).all()


def test_each_depth_is_no_worse_than_in_the_chain():
    X = planted(60, 30, 6, seed=2)
    chain, data = (
        quiet(NeuralNMF((6, 3), coefficients=kind, random_state=0), X) for kind in ("chain", "data")
    )
    A = [layer.A for layer in chain.layers_]
    fitted = project(as_data(X.T), A)
    assert np.allclose(fitted.S[0] * fitted.X.scale, chain.layers_[0].S)
    assert data.layers_[-1].error <= chain.layers_[-1].error * (1 + 1e-4)


def test_one_layer_is_the_same():
    X = planted(40, 20, 4)
    one, two = (
        quiet(NeuralNMF((4,), coefficients=kind, random_state=0), X) for kind in ("chain", "data")
    )
    np.testing.assert_allclose(one.layers_[0].error, two.layers_[0].error, rtol=1e-6)


def test_labels_masks_and_batches():
    X, y = planted(60, 30, 6), np.where(np.arange(60) % 2, np.arange(60) // 20, -1)
    known = np.random.default_rng(0).random(X.shape) < 0.8
    for kwargs in (
        dict(),
        dict(label_loss="cross_entropy"),
        dict(optimizer="sgd", batch_size=20, max_iter=5),
    ):
        params = dict(max_iter=30) | kwargs
        model = NeuralNMF((6, 3), coefficients="data", random_state=0, **params)
        model = quiet(model, X, y, mask=known)
        assert model.predict(X, mask=known).shape == (60,)
        assert np.isfinite(model.history_["objective"]).all()
        assert verify(model, X, mask=known).color != "red"


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="coefficients must be 'chain' or 'data', got 'both'"):
        NeuralNMF((3, 2), coefficients="both").fit(planted(20, 10, 3))


OTHER = np.where(np.arange(60) % 3 == 2, 9, np.arange(60) % 3)
DOUBTFUL = {  # parameters, labels of a second fit that goes on from the first, words
    "a name": (dict(init="best"), None, "init must be one of"),
    "shapes": (dict(init=[np.ones((30, 6)), np.ones((2, 6))]), None, r"init\[1\] has shape"),
    "other classes": (dict(warm_start=True), OTHER, "y has other classes"),
    "increasing ranks": (dict(ranks=(3, 6)), None, None),
    "a column of zeros": (dict(init=[np.eye(30)[:, :6], np.eye(6)[:, [0, 1, 2]] * [1, 1, 0]]),)
    + (None, None),
}


@pytest.mark.parametrize("coefficients", ["chain", "data"])
@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_is_doubtful_is_refused_or_served(case, coefficients):
    params, labels, words = DOUBTFUL[case]
    X = planted(60, 30, 6)
    params = dict(ranks=(6, 3), max_iter=20, random_state=0) | params
    model = NeuralNMF(coefficients=coefficients, **params)
    if labels is not None:
        quiet(model, X, np.arange(60) % 3)
    if words:
        with pytest.raises(ValueError, match=words):
            quiet(model, X, labels)
        return
    increasing = pytest.warns(UserWarning, match="increase")
    with increasing if case == "increasing ranks" else contextlib.nullcontext():
        quiet(model, X)
    assert [layer.rank for layer in model.layers_] == list(params["ranks"])
    assert all(layer.error < 0.9 for layer in model.layers_)
    assert case != "a column of zeros" or not any(layer.dead for layer in model.layers_)


def test_the_judge_sees_a_wrong_chain():
    X = planted(40, 20, 4)
    model = quiet(NeuralNMF((4, 2), coefficients="data", random_state=0), X)
    model.layers_[1] = replace(model.layers_[1], S=1.1 * model.layers_[1].S)
    assert verify(model, X).color == "red"
