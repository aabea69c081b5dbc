"""Chains of counts without compiled kernels have the right derivative."""

import numpy as np
from test_count_models import KL, two_levels

from nnmf_nb import NeuralNMF
from nnmf_nb.layer import _kl
from nnmf_nb.solvers import _loss


def test_a_portable_chain_is_not_stuck_at_its_start(monkeypatch):
    for module in (_kl, _loss):
        monkeypatch.setattr(module, "compiled", lambda *_: False)
        monkeypatch.setattr(module, "entries_of", lambda _: None)
    X, _ = two_levels(80)
    model = NeuralNMF((6, 2), beta_loss=KL, max_iter=2, random_state=0, cost="last").fit(X)
    assert np.max(model.history_["stationarity"]) < 1.0
