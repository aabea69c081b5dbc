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
    "MiniBatchNMF": "models._mini_batch",
    "MiniBatchSSNMF": "models._mini_batch",
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
    "Loss": "solvers._loss",
    "compare": "plot._compare",
    "certify": "evaluation._certificates",
    "verify": "evaluation._certificates",
    "save": "persistence._files",
    "load": "persistence._files",
    "Checkpoint": "persistence._checkpoints",
    "inspect": "inspector._view",
    "LiveView": "inspector._live",
    "fit_texts": "texts",
    "blocks": "out_of_core._sources",
    "RankSearch": "selection._rank_search",
    "ProfileSearch": "selection._profiles",
    "consensus": "selection._consensus",
    "steer": "steering._steering",
    "replay": "steering._steering",
}
__all__ = [*_home, "datasets"]

# For type checkers and editors, which cannot follow `__getattr__`; a test compares it with `_home`.
# (They take any name TYPE_CHECKING for true; importing it from typing would cost time.)
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nnmf_nb import datasets as datasets
    from nnmf_nb.chain._labels import as_classifier as as_classifier
    from nnmf_nb.evaluation._certificates import certify as certify
    from nnmf_nb.evaluation._certificates import verify as verify
    from nnmf_nb.inspector._live import LiveView as LiveView
    from nnmf_nb.inspector._view import inspect as inspect
    from nnmf_nb.layer._kl import kl_regression as kl_regression
    from nnmf_nb.layer._kl import kl_vjp as kl_vjp
    from nnmf_nb.layer._nnls import kkt_residual as kkt_residual
    from nnmf_nb.layer._nnls import nnls as nnls
    from nnmf_nb.layer._nnls import nnls_vjp as nnls_vjp
    from nnmf_nb.models._deep import DeepNMF as DeepNMF
    from nnmf_nb.models._hierarchical import HierarchicalNMF as HierarchicalNMF
    from nnmf_nb.models._hierarchical import regroup as regroup
    from nnmf_nb.models._mini_batch import MiniBatchNMF as MiniBatchNMF
    from nnmf_nb.models._mini_batch import MiniBatchSSNMF as MiniBatchSSNMF
    from nnmf_nb.models._neural import NeuralNMF as NeuralNMF
    from nnmf_nb.models._nmf import NMF as NMF
    from nnmf_nb.models._nonlinear import NonlinearSemiNMF as NonlinearSemiNMF
    from nnmf_nb.models._semi import DeepSemiNMF as DeepSemiNMF
    from nnmf_nb.models._sparse_coding import SparseCodingNetwork as SparseCodingNetwork
    from nnmf_nb.models._ssnmf import GuidedNMF as GuidedNMF
    from nnmf_nb.models._ssnmf import SSNMF as SSNMF
    from nnmf_nb.models._unfolded import UnfoldedNMF as UnfoldedNMF
    from nnmf_nb.out_of_core._sources import blocks as blocks
    from nnmf_nb.persistence._checkpoints import Checkpoint as Checkpoint
    from nnmf_nb.persistence._files import load as load
    from nnmf_nb.persistence._files import save as save
    from nnmf_nb.plot._compare import compare as compare
    from nnmf_nb.selection._consensus import consensus as consensus
    from nnmf_nb.selection._profiles import ProfileSearch as ProfileSearch
    from nnmf_nb.selection._rank_search import RankSearch as RankSearch
    from nnmf_nb.tensors._cp import NonnegativeCP as NonnegativeCP
    from nnmf_nb.tensors._neural_ncpd import NeuralNCPD as NeuralNCPD
    from nnmf_nb.solvers._loss import Loss as Loss
    from nnmf_nb.steering._steering import replay as replay
    from nnmf_nb.steering._steering import steer as steer
    from nnmf_nb.texts import fit_texts as fit_texts


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(f"{__name__}.{_home.get(name, name)}")
    value = globals()[name] = getattr(module, name) if name in _home else module
    return value


def __dir__():
    return sorted({*globals(), *__all__})
