"""Hidden hierarchy in nonnegative data: NMF, hierarchical and Neural NMF, and the exact NNLS layer they are made of.

A name is imported when it is first used, so `import nnmf_nb` costs nothing and never touches a GPU.
"""

# The one module written by hand: nbdev_export keeps __version__ equal to settings.ini and leaves the rest as it is.
import sys as _sys
from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

__version__ = "0.1.0"

_home = {
    "NMF": "nmf",
    "SSNMF": "ssnmf",
    "GuidedNMF": "ssnmf",
    "NeuralNMF": "neural",
    "HierarchicalNMF": "hierarchical",
    "DeepNMF": "deep",
    "DeepSemiNMF": "semi",
    "NonlinearSemiNMF": "nonlinear",
    "UnfoldedNMF": "unfolded",
    "SparseCodingNetwork": "sparse_coding",
    "as_classifier": "labels",
    "nnls": "nnls",
    "nnls_vjp": "nnls",
    "kkt_residual": "nnls",
    "certify": "certificates",
    "verify": "certificates",
    "save": "files",
    "load": "files",
    "Checkpoint": "checkpoints",
    "inspect": "inspector",
    "LiveView": "live",
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


class _Package(_ModuleType):
    def __setattr__(self, name, value):
        # Importing the submodule nnmf_nb.nnls makes Python bind it here under its own name, over the function nnls.
        if not (name in _home and isinstance(value, _ModuleType)):
            super().__setattr__(name, value)


_sys.modules[__name__].__class__ = _Package
