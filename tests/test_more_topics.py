"""More topics than features: a warning from every model, and exact coefficients."""

import numpy as np
import pytest
from scipy.optimize import nnls as scipy_nnls

from nnmf_nb import (
    NMF,
    SSNMF,
    DeepNMF,
    DeepSemiNMF,
    GuidedNMF,
    HierarchicalNMF,
    MiniBatchNMF,
    MiniBatchSSNMF,
    NeuralNMF,
    nnls,
)

X = np.random.default_rng(3).random((40, 8))
y = np.where(np.arange(40) < 12, np.arange(40) % 3, -1)
COUNTS = "kullback-leibler"
EXACT = {
    "NMF": NMF(12),
    "NMF, random": NMF(12, init="random", n_init=2),
    "NMF, counts": NMF(12, beta_loss=COUNTS),
    "MiniBatchNMF": MiniBatchNMF(12),
    "MiniBatchNMF, counts": MiniBatchNMF(12, beta_loss=COUNTS),
    "SSNMF": SSNMF(12),
    "HierarchicalNMF": HierarchicalNMF((12, 4)),
    "HierarchicalNMF, counts": HierarchicalNMF((12, 4), beta_loss=COUNTS),
    "NeuralNMF": NeuralNMF((12, 4)),
}
NEAR = {
    "SSNMF, labels": SSNMF(12),
    "MiniBatchSSNMF, labels": MiniBatchSSNMF(12),
    "GuidedNMF": GuidedNMF(12, seeds={"a": {0: 1.0, 1: 1.0}}),
    "DeepNMF": DeepNMF((12, 4)),
    "DeepSemiNMF": DeepSemiNMF((12, 4)),
    "NeuralNMF, data": NeuralNMF((12, 4), coefficients="data"),
}


def fitted(model, labels=None):
    """The model, fitted to X with a warning about its topics."""
    model.set_params(random_state=0)
    with pytest.warns(UserWarning, match="12 topics are more than the 8 features"):
        return model.fit(X) if labels is None else model.fit(X, labels)


@pytest.mark.parametrize("name", EXACT)
def test_features_explain_everything(name):
    """The first layer has no error; a fit of that layer alone ends within a few iterations."""
    model = fitted(EXACT[name])
    assert model.layers_[0].error < 1e-10
    if len(model.layers_) == 1:
        assert model.converged_ and model.n_iter_ <= 20


@pytest.mark.parametrize("name", NEAR)
def test_other_terms_take_part(name):
    """With labels, seeds, upper layers or energies the start is another: almost everything."""
    model = fitted(NEAR[name], y if "labels" in name else None)
    assert model.layers_[0].error < 0.06


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_coefficients_of_more_topics_are_exact(share):
    """More columns than rows: the objective is not above that of an active set method in X's space,
    and no derivative promises a lower one.
    """
    rng = np.random.default_rng(4)
    A = rng.random((10, 60)) * (rng.random((10, 60)) < share)
    points = np.concatenate([rng.random((10, 20)), A[:, :20] + A[:, 20:40]], axis=1)
    S = nnls(A, points)
    assert S.min() >= 0
    residual = points - A @ S
    # of SciPy's solution, since the residual that SciPy 1.15.0 returns beside it is another one
    expected = [np.linalg.norm(x - A @ scipy_nnls(A, x)[0]) for x in points.T]
    assert (np.linalg.norm(residual, axis=0) <= np.array(expected) + 1e-9).all()
    assert (A.T @ residual).max() <= 1e-9 and np.abs(S * (A.T @ residual)).max() <= 1e-9
