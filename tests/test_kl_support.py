"""Chains of counts without compiled kernels have the right derivative."""

import numpy as np
import pytest
import scipy.sparse as sp
from test_count_models import KL, two_levels

from nnmf_nb import NeuralNMF
from nnmf_nb.layer import _kl
from nnmf_nb.solvers import _loss, count_descent


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("ranks, cost", [((6, 2), "last"), ((8, 4, 2), "every")])
@pytest.mark.parametrize("at_entries", [True, False], ids=["arrays", "other library"])
def test_a_portable_chain_is_not_stuck_at_its_start(ranks, cost, kind, at_entries, monkeypatch):
    """A coefficient that is almost zero counted as positive: derivatives of 330 to 1e25."""
    monkeypatch.setattr(_kl, "cpu_kernels", lambda: None)
    for module in (_kl, _loss):
        monkeypatch.setattr(module, "compiled", lambda *_: False)
    if not at_entries:
        for module in (_kl, _loss, count_descent):
            monkeypatch.setattr(module, "entries_of", lambda _: None)
    X = kind(two_levels(80)[0])
    model = NeuralNMF(ranks, beta_loss=KL, max_iter=2, random_state=0, cost=cost).fit(X)
    assert np.max(model.history_["stationarity"]) < 1.0
