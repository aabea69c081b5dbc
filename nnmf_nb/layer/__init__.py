"""The layer q(X, A): nonnegative least squares for all data points at once, its certificate and its derivative."""

from nnmf_nb.layer._kl import (
    KLGradient,
    KLResult,
    kl_regression,
    kl_regression_certified,
    kl_vjp,
)
from nnmf_nb.layer._nnls import (
    NNLSGradient,
    NNLSResult,
    kkt_residual,
    nnls,
    nnls_certified,
    nnls_vjp,
)

__all__ = [
    "KLGradient",
    "KLResult",
    "NNLSGradient",
    "NNLSResult",
    "kkt_residual",
    "kl_regression",
    "kl_regression_certified",
    "kl_vjp",
    "nnls",
    "nnls_certified",
    "nnls_vjp",
]
