"""Losses as objects: a loss of the user's own goes through NMF like one with a name."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import NMF, verify
from nnmf_nb.core._data import as_data
from nnmf_nb.solvers._loss import NAMED, BetaDivergence, Loss, loss_of


class Hellinger(Loss):
    """(sqrt(x) - sqrt(v))^2."""

    def of_entries(self, x, v):
        return (np.sqrt(x) - np.sqrt(v)) ** 2

    def parts_in_block(self, x, V):
        return np.sqrt(x / V), np.ones_like(V)

    def curvature(self, x, V):
        return 0.5 * np.sqrt(x) * V**-1.5

    def exponent(self, l2=0.0):
        return 2 / 3 if l2 else 2.0


class Power(Hellinger):
    """beta = 1.5 by the four methods alone."""

    beta = 1.5

    def of_entries(self, x, v):
        return (x**1.5 + 0.5 * v**1.5 - 1.5 * x * v**0.5) / 0.75

    def parts_in_block(self, x, V):
        return x * V**-0.5, V**0.5

    def curvature(self, x, V):
        return 0.5 * V**-0.5 + 0.5 * x * V**-1.5

    def exponent(self, l2=0.0):
        return 1.0


RNG = np.random.default_rng(0)
X = RNG.gamma(1.0, 1.0, (30, 3)) @ RNG.gamma(0.5, 1.0, (3, 20)) + 0.1
FITS = {
    "dense": (X, {}),
    "sparse": (sp.csr_array(np.where(X > 0.3, X, 0)), {}),
    "masked": (X, dict(mask=RNG.random(X.shape) < 0.8)),
}


def fit(loss, data, extra, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NMF(3, beta_loss=loss, random_state=0, max_iter=40, **params)
        return model.fit(data, **extra)


@pytest.mark.parametrize("alpha_W", [0.0, 0.01])
@pytest.mark.parametrize("solver", ["auto", "mu"])
@pytest.mark.parametrize("kind", FITS)
def test_a_loss_of_ones_own_is_minimized_and_judged(kind, solver, alpha_W):
    data, extra = FITS[kind]
    model = fit(Hellinger(), data, extra, solver=solver, alpha_W=alpha_W)
    values = np.array(model.history_["objective"])
    assert model.solver_ == ("newton" if solver == "auto" else "mu")
    assert (np.diff(values) <= 1e-12 * values[0]).all() and values[-1] < 0.2 * values[0]
    assert model.layers_[0].kkt < 1e-6 and np.isfinite(model.components_).all()
    certificate = verify(model, data, **extra)
    assert certificate.criteria.judges_S and certificate.layers[0].kkt < 1e-6
    assert "beta_loss=Hellinger" in str(certificate)
    clone(model).fit(data, **extra)


@pytest.mark.parametrize("kind", FITS)
def test_four_methods_say_all_that_the_solvers_need(kind):
    """The same divergence by its number and by hand."""
    data, extra = FITS[kind]
    own, known = fit(Power(), data, extra), fit(1.5, data, extra)
    np.testing.assert_allclose(own.components_, known.components_, rtol=1e-5, atol=1e-7)
    assert own.history_["objective"] == pytest.approx(known.history_["objective"], rel=1e-6)


def test_names_numbers_and_objects_are_one_loss():
    for name, loss in NAMED.items():
        assert loss_of(name) is loss_of(loss.beta) is loss_of(int(loss.beta)) is loss_of(loss)
    assert loss_of(0.5) == BetaDivergence(0.5) and type(loss_of(0.5)) is BetaDivergence


def test_a_name_for_a_loss_of_ones_own_leaves_the_numbers_alone(monkeypatch):
    own = Hellinger()
    monkeypatch.setitem(NAMED, "hellinger", own)
    assert own.beta == 1 and loss_of("hellinger") is own
    assert loss_of(1) is loss_of("kullback-leibler") is not own


@pytest.mark.parametrize("beta", [0, 1, 2])
def test_a_class_of_its_own_agrees_with_the_general_formula(beta):
    data = as_data(X, weights=RNG.random(X.shape))
    A, S = RNG.random((30, 3)) + 0.1, RNG.random((3, 20)) + 0.1
    own, near = loss_of(beta), BetaDivergence(beta + 1e-7)
    assert own.value(data, A, S) == pytest.approx(near.value(data, A, S), rel=1e-5)
    for a, b in zip(own.parts(data, A, S), near.parts(data, A, S), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(own.hessians(data, A, S), near.hessians(data, A, S), rtol=1e-5)
