"""Inputs that break solvers, and the oracles that judge the answers: shared by the tests of the
core.

Small integers make ties, duplicate, collinear and zero columns on purpose. The oracles try all
supports; they share no code with the package. (SciPy's own nnls is no oracle: some of its versions
are wrong on such problems.)
"""

import itertools

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st


def examples(most):
    """How many examples a property gets: `most`, and no more than the 30 of `make test` without
    --exhaustive (tests/conftest.py).
    """
    return min(most, settings.default.max_examples)


def supports(k):
    """All 2^k supports as rows of zeros and ones."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=k)))


def brute_force(A, x):
    """The smallest ||x - A s||^2 over s >= 0: least squares on every support, infeasible ones left
    out.
    """
    s = np.linalg.pinv(A[None] * supports(A.shape[1])[:, None, :], rcond=1e-11) @ x
    s = s[(s >= -1e-11).all(axis=1)]
    return ((x - s @ A.T) ** 2).sum(axis=1).min()


def brute_force_gram(G, f):
    """The smallest s'Gs/2 - f's over s >= 0, for a positive semidefinite G and f in its range."""
    P = supports(len(f))
    s = (
        np.linalg.pinv(G[None] * P[:, :, None] * P[:, None, :], rcond=1e-11) @ (f * P)[:, :, None]
    )[:, :, 0]
    s = s[(s >= -1e-11).all(axis=1)]
    return (0.5 * np.einsum("ij,jk,ik->i", s, G, s) - s @ f).min()


def optimality(A, x, s):
    """Largest violation of s >= 0, g >= 0, s g = 0 in units of ||x||, with columns of A brought to
    unit length: written out in full.
    """
    length = np.linalg.norm(A, axis=0)
    unit = np.divide(A, length, out=np.zeros_like(A), where=length > 0)
    g, u = unit.T @ (A @ s - x), s * length
    size = np.linalg.norm(x) or 1.0
    return max(0.0, -u.min(), -g.min(), np.minimum(np.abs(u), np.abs(g)).max()) / size


def may_vary(A, x, s):
    """Whether the integer columns that could be active beside the minimizer s (their gradient is
    zero) are dependent: only then there may be another one.
    """
    length = np.linalg.norm(A, axis=0)
    pull = np.abs(A.T @ (A @ s - x)) / np.where(length > 0, length, 1.0)
    possible = A[:, (s > 0) | (pull <= 1e-11 * max(np.linalg.norm(x), 1.0))]
    return bool(possible.shape[1]) and np.linalg.matrix_rank(possible) < possible.shape[1]


def integer_problem(rng):
    """A random small-integer (A, x), at most 6 x 6, spiked with duplicate, collinear, summed and
    zero columns.
    """
    N, k = rng.integers(1, 7, 2)
    low, high = rng.choice([0, -1, -2]), rng.choice([2, 4])
    A = rng.integers(low, high, (N, k)).astype(float)
    i, j = rng.integers(k, size=2)
    spike = rng.integers(6)
    if spike == 1:
        A[:, i] = A[:, j]
    if spike == 2:
        A[:, i] = 3 * A[:, j]
    if spike == 3:
        A[:, i] = 0
    if spike == 4:
        A[:, k - 1] = A[:, 0] + A[:, k // 2]
    if spike == 5:
        A[:, i] = -A[:, j]
    return A, rng.integers(low, 4, N).astype(float)


@st.composite
def integer_problems(draw, signed=True):
    """Small-integer (A, x) for hypothesis: shrinks toward few rows, few columns and zeros."""
    N, k = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    entries = st.integers(-2 if signed else 0, 3)
    A = np.array(draw(st.lists(entries, min_size=N * k, max_size=N * k)), dtype=float).reshape(N, k)
    return A, np.array(draw(st.lists(entries, min_size=N, max_size=N)), dtype=float)


@st.composite
def matrices(draw, rows=6, columns=6):
    """Nonnegative matrices with many zeros, of a scale between 1e-30 and 1e30."""
    N, M = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    entries = st.one_of(st.just(0.0), st.floats(0.125, 8.0))
    X = np.array(draw(st.lists(entries, min_size=N * M, max_size=N * M))).reshape(N, M)
    return X * 10.0 ** draw(st.integers(-30, 30))


def numeric_gradient(f, x, step=1e-6):
    """Central differences of the scalar f by every entry of x."""
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        out[i] = (f(up) - f(down)) / (2 * step)
    return out


def deviation(got, expected):
    """||got - expected|| relative to ||expected||."""
    return np.linalg.norm(np.asarray(got) - expected) / (np.linalg.norm(expected) or 1.0)
