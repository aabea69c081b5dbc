"""The layer q(X, A): nonnegative least squares for all data points at once, its certificate and its derivative."""

from nnmf_nb.layer._nnls import (
    NNLSGradient,
    NNLSResult,
    kkt_residual,
    nnls,
    nnls_certified,
    nnls_vjp,
)

__all__ = ["NNLSGradient", "NNLSResult", "kkt_residual", "nnls", "nnls_certified", "nnls_vjp"]
