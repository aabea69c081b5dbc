"""Hidden hierarchy in nonnegative data: NMF, hierarchical and Neural NMF, and the exact NNLS layer they are made of.

A name is imported when it is first used, so `import nnmf_nb` costs nothing and never touches a GPU.
"""

# The one module written by hand: nbdev_export keeps __version__ equal to settings.ini and leaves the rest as it is.
from importlib import import_module as _import_module

__version__ = "0.1.0"

_home = {
    "NMF": "models._nmf",
    "SSNMF": "models._ssnmf",
    "GuidedNMF": "models._ssnmf",
    "NeuralNMF": "models._neural",
    "HierarchicalNMF": "models._hierarchical",
    "regroup": "models._hierarchical",
    "DeepNMF": "models._deep",
    "DeepSemiNMF": "models._semi",
    "NonlinearSemiNMF": "models._nonlinear",
    "UnfoldedNMF": "models._unfolded",
    "SparseCodingNetwork": "models._sparse_coding",
    "NonnegativeCP": "tensors._cp",
    "NeuralNCPD": "tensors._neural_ncpd",
    "as_classifier": "chain._labels",
    "nnls": "layer._nnls",
    "nnls_vjp": "layer._nnls",
    "kkt_residual": "layer._nnls",
    "kl_regression": "layer._kl",
    "kl_vjp": "layer._kl",
    "certify": "evaluation._certificates",
    "verify": "evaluation._certificates",
    "save": "persistence._files",
    "load": "persistence._files",
    "Checkpoint": "persistence._checkpoints",
    "inspect": "inspector._view",
    "LiveView": "inspector._live",
    "fit_texts": "texts",
    "RankSearch": "selection._rank_search",
    "ProfileSearch": "selection._profiles",
    "consensus": "selection._consensus",
}
__all__ = [*_home, "datasets"]


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(f"{__name__}.{_home.get(name, name)}")
    value = globals()[name] = getattr(module, name) if name in _home else module
    return value


def __dir__():
    return sorted({*globals(), *__all__})
