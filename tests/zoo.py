"""Every model of the package, small and quick, behind one way to fit it: for tests that ask the
same of all of them.
"""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import nnmf_nb
from nnmf_nb.core._arrays import to_numpy

ONE, DEEP, LABELED = (
    dict(n_components=3, random_state=0),
    dict(ranks=(3, 2), random_state=0),
    "labeled",
)
COUNTS = dict(beta_loss="kullback-leibler")
# id: (class, parameters, needs labels)
ZOO = {
    "NMF": ("NMF", ONE, ""),
    "NMF-anls": ("NMF", ONE | dict(solver="anls"), ""),
    "NMF-mu": ("NMF", ONE | dict(solver="mu"), ""),
    "NMF-kl": ("NMF", ONE | dict(solver="mu", beta_loss="kullback-leibler"), ""),
    "NMF-counts": ("NMF", ONE | COUNTS, ""),
    "SSNMF": ("SSNMF", ONE, LABELED),
    "SSNMF-kl": (
        "SSNMF",
        ONE | dict(beta_loss="kullback-leibler", label_loss="kullback-leibler"),
        LABELED,
    ),
    "GuidedNMF": ("GuidedNMF", ONE | dict(seeds=[[0]]), ""),
    "MiniBatchNMF": ("MiniBatchNMF", ONE | dict(batch_size=5), ""),
    "MiniBatchNMF-kl": ("MiniBatchNMF", ONE | COUNTS | dict(batch_size=5), ""),
    "MiniBatchSSNMF": ("MiniBatchSSNMF", ONE | dict(batch_size=5), LABELED),
    "HierarchicalNMF": ("HierarchicalNMF", DEEP, ""),
    "HierarchicalNMF-kl": ("HierarchicalNMF", DEEP | COUNTS, ""),
    "DeepNMF": ("DeepNMF", DEEP, ""),
    "DeepNMF-mu": ("DeepNMF", DEEP | dict(solver="mu"), ""),
    "NeuralNMF": ("NeuralNMF", DEEP, ""),
    "NeuralNMF-labels": ("NeuralNMF", DEEP, LABELED),
    "NeuralNMF-kl": ("NeuralNMF", DEEP | COUNTS, ""),
    "DeepSemiNMF": ("DeepSemiNMF", DEEP, ""),
    "UnfoldedNMF": ("UnfoldedNMF", dict(n_components=3, n_layers=2), ""),
    "SparseCodingNetwork": ("SparseCodingNetwork", dict(ranks=(4, 3), random_state=0), LABELED),
}
# models of tensors, which take matrices, too; what holds of tensors only is in test_tensors.py
TENSORS = ("NeuralNCPD", "NonnegativeCP")
# searches over models, which are no models themselves; their contracts are in test_selection.py
SEARCHES = ("ProfileSearch", "RankSearch")
_QUICK = DEEP | dict(n_init=1, n_init_upper=1, pretrain_iter=5)
TENSOR_ZOO = {
    "NonnegativeCP": ("NonnegativeCP", dict(rank=3, n_init=2, random_state=0), ""),
    "NonnegativeCP-kl": ("NonnegativeCP", dict(rank=3, n_init=2, random_state=0) | COUNTS, ""),
    "NeuralNCPD": ("NeuralNCPD", _QUICK, ""),
    "NeuralNCPD-labels": ("NeuralNCPD", _QUICK, LABELED),
    "NeuralNCPD-modes": ("NeuralNCPD", _QUICK | dict(hierarchy="modes"), ""),
    "NeuralNCPD-shared": ("NeuralNCPD", _QUICK | dict(hierarchy="shared"), ""),
}
EVERY = ZOO | TENSOR_ZOO
# all models: the classes with parameters among the public names, but for the searches
MODELS = [
    name
    for name in nnmf_nb.__all__
    if name not in SEARCHES and hasattr(getattr(nnmf_nb, name), "get_params")
]
SIGNED = ("DeepSemiNMF", "SparseCodingNetwork")  # take data of any sign
# fit has a mask
NEED_ALL = ("UnfoldedNMF", "MiniBatchNMF", "MiniBatchSSNMF")  # nonnegative, but know no mask
MASKED = [name for name in ZOO if name.split("-")[0] not in (*SIGNED, *NEED_ALL)]


def one_of_each(names):
    """`names` as parameters of a long test: the variants of a model (with a hyphen) only in the
    exhaustive run.
    """
    return [pytest.param(name, marks=[pytest.mark.exhaustive] * ("-" in name)) for name in names]


def new(name, **change):
    """An unfitted model of the zoo; `change` overrides its parameters."""
    kind, params, _ = EVERY[name]
    return getattr(nnmf_nb, kind)(**{**params, **change})


def samples(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)


def labels(n):
    """Two classes in turns, every third one unknown."""
    return np.where(np.arange(n) % 3 == 2, -1, np.arange(n) % 2)


def fit(name, X, y=None, extra=None, **change):
    """A fitted model of the zoo, with labels where it learns from them, and no warning about the
    number of iterations.
    """
    model = new(name, **{"max_iter": 40, **change})
    if y is None and EVERY[name][2]:
        y = labels(samples(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **(extra or {}))


def transform(model, X, **extra):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return to_numpy(model.transform(X, **extra))


def factors(model):
    """All fitted factors as host arrays: those that face the features first, then coefficients."""
    if hasattr(model, "mode_shape_"):
        deeper = [one.profiles for one in getattr(model, "layers_", ())]
        return [to_numpy(U) for of_layer in (model.factors_[::-1], *deeper) for U in of_layer]
    if hasattr(model, "layers_"):
        pairs = [(one.A, one.S) if hasattr(one, "A") else (one.Z, one.H) for one in model.layers_]
        return [to_numpy(a) for a, _ in pairs] + [to_numpy(s) for _, s in pairs]
    return [
        to_numpy(F)
        for F in next(
            getattr(model, held) for held in ("dictionaries_", "bases_") if hasattr(model, held)
        )
    ]


def error(model, X):
    """||X - reconstruction|| / ||X||, from transform and inverse_transform alone."""
    X = np.asarray(X, dtype=float)
    top = np.abs(X).max() or 1.0  # norms of 1e-200 would be zero
    R = X / top - to_numpy(model.inverse_transform(transform(model, X))) / top
    return np.linalg.norm(R) / (np.linalg.norm(X / top) or 1.0)


def same(one, other):
    """True when two fitted models hold the same bits."""
    return all(np.array_equal(a, b) for a, b in zip(factors(one), factors(other), strict=True))


def planted(n=14, m=10, k=3, seed=0, noise=0.05):
    """Nonnegative n x m data with k parts and a little noise."""
    rng = np.random.default_rng(seed)
    return rng.gamma(1.0, 1.0, (n, k)) @ rng.gamma(0.5, 1.0, (k, m)) + noise * rng.random((n, m))
