"""The fast and the plain path give the same answers: compiled kernels or the array dialect, one
thread or three, many points of one matrix or each alone, any dtype and order.
"""

import sys

import numpy as np
import pytest
import scipy.sparse as sp

from nnmf_nb import nnls
from nnmf_nb.chain._costs import ChainObjective, every, on_unit_columns
from nnmf_nb.core import _arrays as backend
from nnmf_nb.core._data import as_data
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.solvers.extrapolation import extrapolated_nmf

solvers = [
    sys.modules[f"nnmf_nb.solvers.{name}"]
    for name in ("stationarity", "coordinate_descent", "extrapolation")
]
needs_numba = pytest.mark.skipif(
    layer.cpu_kernels() is None, reason="there is one path only: no compiled kernels"
)
DTYPES = ["float64", "float32", "int64", "bool"]
ORDERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "csr": sp.csr_array,
    "csc": sp.csc_array,
}


def plain(patch):
    """Without compiled kernels and in one thread."""
    patch.setattr(layer, "cpu_kernels", lambda: None)
    for module in solvers:
        patch.setattr(module, "compiled", lambda x: False)
    patch.setattr(backend, "thread_count", lambda: 1)


def problem(dtype, k, M, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.random((40, k))
    X = A @ (rng.random((k, M)) * (rng.random((k, M)) < 0.5)) + 0.3 * rng.random((40, M))
    X[rng.random(X.shape) < 0.3] = 0
    return A, (3 * X if dtype == "int64" else X > X.mean() if dtype == "bool" else X).astype(dtype)


def objective(A, X, S):
    return float(((X.astype("float64") - A @ S.astype("float64")) ** 2).sum())


@pytest.mark.each_value_once
@needs_numba
@pytest.mark.parametrize("k", [1, 2, 9, 20])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_q(monkeypatch, dtype, order, k):
    A, X = problem(dtype, k, 300)
    A = A.astype("float32") if dtype == "float32" else A
    given = ORDERS[order](X)
    near = nnls(A * (1 + 0.01 * np.random.default_rng(1).random(A.shape)).astype(A.dtype), X)
    answers = []
    for threads in (1, 3):
        with monkeypatch.context() as patch:
            patch.setattr(backend, "thread_count", lambda threads=threads: threads)
            answers += [
                nnls(A, given),
                nnls(A, given, near),
                np.concatenate([nnls(A, given[:, [j]]) for j in range(12)], axis=1),
            ]
    with monkeypatch.context() as patch:
        plain(patch)
        expected = nnls(A, given)
    A = A.astype("float64")
    for S in answers:
        m = S.shape[1]
        assert S.dtype == expected.dtype
        np.testing.assert_array_equal(S > 0, expected[:, :m] > 0)
        best = objective(A, X[:, :m], expected[:, :m])
        assert objective(A, X[:, :m], S) == pytest.approx(
            best, rel=1e-10 if S.dtype == np.float64 else 1e-6
        )


@needs_numba
@pytest.mark.parametrize("mask", [False, True])
def test_cost_and_gradient_of_a_chain(monkeypatch, mask):
    rng = np.random.default_rng(3)
    X, A = rng.random((30, 200)), [rng.random((30, 6)), rng.random((6, 3))]
    data = as_data(X, mask=rng.random(X.shape) < 0.8 if mask else None)
    value, gradient, _ = on_unit_columns(ChainObjective(data, every))(A)
    with monkeypatch.context() as patch:
        plain(patch)
        plain_value, plain_gradient, _ = on_unit_columns(ChainObjective(data, every))(A)
    assert value == pytest.approx(plain_value, rel=1e-10)
    for g, h in zip(gradient, plain_gradient):
        np.testing.assert_allclose(g, h, atol=1e-10 * abs(h).max())


@needs_numba
@pytest.mark.parametrize("form", ["C", "F", "csr"])
def test_extrapolation_with_exact_halves(monkeypatch, form):
    _, X = problem("float64", 6, 90)
    rng = np.random.default_rng(5)
    start, data = (rng.random((40, 6)), rng.random((6, 90))), as_data(ORDERS[form](X))
    errors = [extrapolated_nmf(data, *start, max_iter=25, tol=0.0, exact=True).errors]
    with monkeypatch.context() as patch:
        plain(patch)
        errors.append(extrapolated_nmf(data, *start, max_iter=25, tol=0.0, exact=True).errors)
    np.testing.assert_allclose(*errors, rtol=1e-10)
