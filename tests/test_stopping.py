"""One stopping rule: whoever swaps it at its one place changes when every solver ends."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import (
    NMF,
    SSNMF,
    DeepNMF,
    DeepSemiNMF,
    GuidedNMF,
    MiniBatchNMF,
    NeuralNMF,
    NonnegativeCP,
    blocks,
)
from nnmf_nb.solvers._stopping import StoppingRule, Verdict

RNG = np.random.default_rng(0)
X = RNG.random((30, 20))
COUNTS = RNG.poisson(3.0, (30, 20)).astype(float) + 1.0
KL, IS = dict(beta_loss="kullback-leibler"), dict(beta_loss="itakura-saito")
FIXED = dict(fixed=RNG.random((1, 20)))
MASK = dict(mask=RNG.random(X.shape) < 0.8)
LABELS = np.where(np.arange(30) % 3 == 2, -1, np.arange(30) % 2)
# id: (what solves it, parameters, data, what fit gets besides)
SOLVERS = {
    "extrapolation": ("e-hals", {}, X, {}),
    "extrapolation of sparse data": ("e-hals", {}, sp.csr_array(np.where(X > 0.5, X, 0)), {}),
    "sweeps": ("hals", dict(solver="hals"), X, {}),
    "sweeps with penalties": ("hals", dict(alpha_W=0.01), X, {}),
    "sweeps beside a fixed topic": ("hals", FIXED, X, {}),
    "exact halves": ("anls", dict(solver="anls"), X, {}),
    "masked": ("hals", {}, X, MASK),
    "multiplicative": ("mu", dict(solver="mu"), X, {}),
    "multiplicative of sparse counts": (
        "mu",
        KL | dict(solver="mu"),
        sp.csr_array(np.where(COUNTS > 2, COUNTS, 0)),
        {},
    ),
    "count descent": ("e-scd", KL, COUNTS, {}),
    "count descent, masked": ("e-scd", KL, COUNTS, MASK),
    "Newton": ("newton", IS, COUNTS, {}),
    "blocks": ("anls", {}, blocks(X, rows=10), {}),
}
MODELS = {
    "SSNMF": (SSNMF(3, random_state=0), LABELS),
    "SSNMF-mu": (SSNMF(3, solver="mu", random_state=0), LABELS),
    "GuidedNMF": (GuidedNMF(3, seeds=[[0]], random_state=0), None),
    "DeepNMF": (DeepNMF((4, 3), random_state=0), None),
    "DeepSemiNMF": (DeepSemiNMF((4, 3), random_state=0), None),
    "NonnegativeCP": (NonnegativeCP(3, random_state=0), None),
    "MiniBatchNMF": (MiniBatchNMF(3, batch_size=10, random_state=0), None),
    "NeuralNMF": (NeuralNMF((4, 3), random_state=0), None),
}


@pytest.fixture
def asked(monkeypatch):
    """Swap the rule: every fit ends after three iterations. Holds what the rule was asked."""
    found = []

    def judge(self, stationarity, objective, confirm=None, is_starting=False):
        found.append((self.tol, stationarity, *objective))
        return Verdict(stationarity, "stationary" if len(objective) >= 3 else "max_iter")

    monkeypatch.setattr(StoppingRule, "judge", judge)
    return found


@pytest.mark.parametrize("name", SOLVERS)
def test_another_rule_at_one_place_stops_every_solver_of_nmf(name, asked):
    solver, params, data, extra = SOLVERS[name]
    model = NMF(3, random_state=0, tol=1e-5, **params).fit(data, **extra)
    assert (model.solver_, model.n_iter_, model.stop_reason_) == (solver, 3, "stationary")
    assert model.converged_
    assert [len(values) for values in model.history_.values()] == [3, 3]
    assert {tol for tol, *_ in asked} == {1e-5}
    assert [*asked[-1][2:]] == model.history_["objective"]


@pytest.mark.parametrize("name", MODELS)
def test_the_rule_is_that_of_the_other_models_too(name, asked):
    model, y = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    # a chain counts its start, and has no iteration before its third value
    assert model.n_iter_ == (2 if name == "NeuralNMF" else 3) and model.stop_reason_ == "stationary"


def test_a_cheap_number_below_tol_is_confirmed_before_a_fit_ends():
    calls = []

    def confirm(value):
        return lambda: calls.append(value) or value

    rule = StoppingRule(1e-3)
    assert rule.judge(2e-3, [1.0], confirm(0.0)) == (2e-3, "max_iter") and not calls
    assert rule.judge(1e-3, [1.0], confirm(2e-3)) == (2e-3, "max_iter")
    assert rule.judge(1e-3, [1.0], confirm(5e-4)) == (5e-4, "stationary") and len(calls) == 2
    assert rule.judge(float("nan"), [1.0]).reason == "max_iter"
    assert rule.judge(0.0, [1.0], confirm(0.0), is_starting=True).reason == "max_iter"


@pytest.mark.parametrize(
    "level, gain, reason", [(1.0, 2e-3, "max_iter"), (1.0, 9e-4, "no progress")]
)
def test_no_progress_is_measured_over_the_window(level, gain, reason):
    rule = StoppingRule(0.5, window=2, decrease=1e-3)
    assert rule.judge(1.0, [level + gain, level, level]).reason == reason
    assert rule.judge(1.0, [level, level]).reason == "max_iter"
    assert StoppingRule(0.5, window=1, smallest=1.0).rests([1e-9, 0.0])
    assert not StoppingRule(0.5, window=1).rests([1e-9, 0.0])
    assert not StoppingRule(0.5).rests([1.0] * 50)
