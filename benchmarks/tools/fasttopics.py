"""An own version of the updates of fastTopics (an R package), to be timed beside ours: EM, then
sequential coordinate descent with four sweeps and Ang and Gillis' extrapolation.

P. Carbonetto, A. Sarkar, Z. Wang, M. Stephens, "Non-negative matrix factorization algorithms
greatly improve topic model fits", 2021, arXiv:2105.13440.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

SMALL = 1e-15  # the package's own
OPTIONS = dict(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})


@njit(**OPTIONS)
def em(indptr, indices, values, A, size, S):
    """A multiplicative (EM) step of S (m x k), in place; A is n x k, size its column sums."""
    n = np.empty(S.shape[1])
    for j in range(S.shape[0]):
        n[:] = 0.0
        for p in range(indptr[j], indptr[j + 1]):
            row, y = A[indices[p]], SMALL
            for c in range(len(n)):
                y += row[c] * S[j, c]
            for c in range(len(n)):
                n[c] += values[p] / y * row[c]
        for c in range(len(n)):
            S[j, c] *= n[c] / max(size[c], SMALL)


@njit(**OPTIONS)
def scd(indptr, indices, values, A, size, S):
    """Four sweeps of scalar Newton steps, one coefficient of S after the other, in place."""
    k = S.shape[1]
    for j in range(S.shape[0]):
        first, last = indptr[j], indptr[j + 1]
        B, y, v = np.empty((k, last - first)), np.full(last - first, SMALL), values[first:last]
        for t in range(last - first):
            for c in range(k):
                B[c, t] = A[indices[first + t], c]
                y[t] += B[c, t] * S[j, c]
        for _ in range(4):
            for c in range(k):
                b, slope, curvature = B[c], size[c], SMALL
                for t in range(last - first):
                    q = b[t] / y[t]
                    slope -= v[t] * q
                    curvature += v[t] * q * q
                new = max(S[j, c] - slope / curvature, SMALL)
                for t in range(last - first):
                    y[t] += (new - S[j, c]) * b[t]
                S[j, c] = new


@njit(**OPTIONS)
def log_likelihood(indptr, indices, values, A, size, S):
    """The sum of x log y - y over all entries, y = A S: Poisson, without log x!."""
    total = -(S.sum(axis=0) * size).sum()
    for j in range(S.shape[0]):
        for p in range(indptr[j], indptr[j + 1]):
            total += values[p] * math.log((A[indices[p]] * S[j]).sum() + SMALL)
    return total


class FastTopics:
    """A fit to X (m x n, CSR), whose transpose is Xt, from S (m x k) and A (n x k)."""

    def __init__(self, X, Xt, S, A, threads):
        self.X, self.Xt, self.S, self.A = X, Xt, S.copy(), A.copy()
        self.ahead = self.last = self.S, self.A
        self.beta, self.bound, self.lowest, self.n = 0.5, 1.0, math.inf, 0
        self.threads, self.pool = threads, ThreadPoolExecutor(threads)

    def run(self, kernel, X, A, S):
        """Return S after a step of a kernel, made in threads with equal numbers of entries."""
        S, size = S.copy(), A.sum(axis=0)
        inner = np.searchsorted(X.indptr, X.nnz * np.arange(1, self.threads) / self.threads)
        ends = [0, *inner.tolist(), len(S)]

        def part(a, b):
            kernel(X.indptr[a : b + 1], X.indices, X.data, A, size, S[a:b])

        list(self.pool.map(part, ends[:-1], ends[1:]))
        return S

    def loss(self, S, A):
        """The negated log-likelihood."""
        X = self.X
        return -log_likelihood(X.indptr, X.indices, X.data, A, A.sum(axis=0), S)

    def iterate(self, kernel, extrapolates):
        """Return the factors after an iteration: those to judge, and those to go on from."""
        (S0, A0), (S1, A1), beta = self.ahead, self.last, self.beta if extrapolates else 0.0
        S = self.run(kernel, self.X, A0, S0)
        S_ahead = np.maximum(S + beta * (S - S1), SMALL)
        A = self.run(kernel, self.Xt, S_ahead, A0)
        return (S_ahead, A), (S_ahead, np.maximum(A + beta * (A - A1), SMALL)), (S, A)

    def step(self, first=20):
        """Make one iteration: EM in the `first` ones; a worse one is taken back."""
        self.n += 1
        judged, ahead, last = self.iterate(em if self.n <= first else scd, self.n > first)
        loss = self.loss(*judged)
        if loss > self.lowest:
            self.bound, self.beta = self.beta, self.beta / 1.5
            self.ahead = self.last = self.S, self.A
            return
        if self.n > first:
            self.beta, self.bound = min(self.bound, 1.1 * self.beta), min(1.0, 1.05 * self.bound)
        self.lowest, (self.S, self.A), self.ahead, self.last = loss, judged, ahead, last
