"""Numbers that are no one's fault: repeated singular values, extreme scales, nearly dependent
columns (P, U, V).
"""

import itertools
import warnings
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
import zoo
from scipy.sparse.linalg import ArpackNoConvergence
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import NMF, DeepSemiNMF
from nnmf_nb.core._arrays import DEGENERATE, NOT_CONVERGED, TIED
from nnmf_nb.core._data import as_data
from nnmf_nb.core._linalg import svd_floors, top_svd
from nnmf_nb.evaluation._certificates import certify, verify
from nnmf_nb.layer import _near_dependence as near_dependence
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.layer._nnls import kkt_residual, nnls, nnls_certified, nnls_vjp

# ---------------------------------------------------------------------------------- P: leading SVD

# larger than what is decomposed completely (200; sparse: 2^22 cells), all nonzero singular values
# equal or none
EQUAL = {
    "identity": np.eye(204),
    "one-hot": np.eye(204)[np.arange(408) % 204],
    "blocks": np.kron(np.eye(30), np.ones((8, 7))),
    "zeros": np.zeros((210, 205)),
    "sparse identity": sp.eye_array(2100, format="csr"),
    "sparse zeros": sp.csr_array((2100, 2100)),
}


@pytest.mark.parametrize("kind", ["identity", "zeros"])
@pytest.mark.parametrize("name", zoo.one_of_each(zoo.EVERY))
def test_every_model_takes_equal_singular_values_and_zeros(name, kind):
    """P: ArpackError in fit, certificate, verify."""
    X = EQUAL[kind]
    model = zoo.fit(name, X, max_iter=2)
    assert zoo.transform(model, X).shape[0] == len(X)
    assert all(np.isfinite(F).all() for F in zoo.factors(model))
    assert str(verify(model, X)) == str(model.certificate_)


@pytest.mark.parametrize("kind", EQUAL)
def test_leading_svd_of_equal_singular_values(kind):
    """P: triplets and floors are right where Lanczos iterations break down, in both types."""
    X, k = EQUAL[kind], 5
    for dtype, tol in ((np.float64, 1e-12), (np.float32, 1e-5)):
        data = as_data(X.T.astype(dtype))
        U, s, V = top_svd(data, k)
        np.testing.assert_allclose([U.T @ U, V.T @ V], [np.eye(k)] * 2, atol=tol)
        np.testing.assert_allclose(data.X @ V, data.scale * s * U, atol=20 * tol)
        equal = min(X.shape[1], 30 if kind == "blocks" else 10**9)
        floor = np.sqrt(1 - k / equal) if X.sum() else 0.0
        assert svd_floors(data, (k,)) == pytest.approx(floor, abs=tol)
        if isinstance(X, np.ndarray):
            A = np.eye(X.shape[1], k, dtype=dtype)
            error = certify(A, A.T @ X.T, X.T).layers[0].error
            assert floor - tol <= error <= 1


def test_leading_svd_without_convergence(monkeypatch):
    """P: what ARPACK does not finish is finished by the block method."""
    rng = np.random.default_rng(0)
    X = rng.random((230, 9)) @ rng.random((9, 210)) + 1e-3 * rng.random((230, 210))

    def gives_up(*args, **options):
        raise ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))

    monkeypatch.setattr("nnmf_nb.core._linalg.svds", gives_up)
    U, s, V = top_svd(as_data(X), 6)
    exact = np.linalg.svd(X, compute_uv=False)[:6] / as_data(X).scale
    np.testing.assert_allclose(s, exact, rtol=1e-12)
    np.testing.assert_allclose((U * s) @ V.T, X @ V @ V.T / as_data(X).scale, atol=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_floors_of_constant_float32_data_are_bounds(kind):
    """P: the floor of a matrix of rank one was 7e-4, above the error of its factorization."""
    X = kind(np.full((500, 400), 0.1, dtype=np.float32))
    assert svd_floors(X, (2, 1)).tolist() == [0, 0]


@pytest.mark.parametrize("shape, value", [((3, 30_000), 0.7), ((10, 20_000), 0.7)])
def test_floors_of_long_constant_data_are_bounds(shape, value):
    """P: in float64 rounding grows with the longer side as well (floors were 6e-7 and 3e-7)."""
    assert svd_floors(np.full(shape, value), (2, 1)).tolist() == [0, 0]


@pytest.mark.parametrize("noise", [1e-1, 1e-4, 0.0], ids=["clear", "weak", "none"])
@pytest.mark.parametrize("shape", [(900, 30), (30, 900), (90, 60)], ids=str)
def test_leading_svd_of_thin_data(shape, noise, scale=1e-200):
    """Triplets and floors are those of LAPACK whether or not the short side's Gram matrix says
    enough about them, whatever the unit of the data.
    """
    rng, k = np.random.default_rng(0), 8
    X = rng.random((shape[0], 4)) @ rng.random((4, shape[1])) + noise * rng.random(shape)
    data, exact = as_data(scale * X), np.linalg.svd(X, compute_uv=False)
    U, s, V = top_svd(data, k)
    np.testing.assert_allclose(
        s * (data.scale / scale), exact[:k], rtol=1e-10, atol=1e-13 * exact[0]
    )
    np.testing.assert_allclose([U.T @ U, V.T @ V], [np.eye(k)] * 2, atol=1e-11)
    np.testing.assert_allclose((scale * X / data.scale) @ V, U * s, atol=1e-13)
    for ranks in ((k, 2), (4, 1)):
        left = [1 - (exact[:rank] ** 2).sum() / (exact**2).sum() for rank in ranks]
        floors = svd_floors(data, ranks)
        assert (floors**2 <= np.maximum(left, 0)).all()
        assert floors**2 == pytest.approx(np.maximum(left, 0), abs=5e-13)


@pytest.mark.parametrize("seed", range(3))
def test_rounding_does_not_choose_the_minimum(seed):
    """Features that are always zero have singular vectors of rounding, which a start must not fill
    now and then (digits: errors from 674.0 to 676.3).
    """
    digits = load_digits().data[:600]
    assert not digits.any(axis=0).all()
    noise = np.random.default_rng(seed).standard_normal(digits.shape)
    one, other = (NMF(16, random_state=0).fit(X) for X in (digits, digits * (1 + 1e-15 * noise)))
    assert one.reconstruction_err_ == pytest.approx(other.reconstruction_err_, rel=1e-9)
    assert not one.components_[:, ~digits.any(axis=0)].any()


# --------------------------------------------------------------------------------------- U: scaling


# its penalties make codes, and so errors, depend on the typical length of the data
SCALED = zoo.one_of_each([name for name in zoo.EVERY if name != "SparseCodingNetwork"])


def random_problem(N=12, k=4, M=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((N, k)), rng.random((N, M)), rng.standard_normal((k, M))


@pytest.mark.parametrize("dtype, c", [("float32", 1e-20), ("float64", 1e-150), ("float64", 1e150)])
@pytest.mark.parametrize("weighted", [False, True])
def test_derivative_of_small_and_large_data(dtype, c, weighted):
    """U: nnls_vjp at 1e-20 in float32 was -inf and nan, at 1e-170 zero."""
    A, X, dS = (F.astype(dtype) for F in random_problem())
    extra = dict(weights=np.random.default_rng(1).random(X.shape)) if weighted else {}
    expected = nnls_vjp(A, X, nnls(A, X, **extra), dS, **extra)
    A, X = A * A.dtype.type(c), X * X.dtype.type(c)
    found = nnls_vjp(A, X, nnls(A, X, **extra), dS, **extra)
    assert found.A.dtype == found.X.dtype == dtype
    tol = 1e-4 if dtype == "float32" else 1e-10
    for name in ("A", "X"):
        there, here = getattr(expected, name), getattr(found, name).astype(float) * c
        np.testing.assert_allclose(here, there, rtol=tol, atol=tol * np.abs(there).max())


@pytest.mark.parametrize("far", [20, 260])
def test_derivative_with_columns_far_apart(far):
    """U: columns of A and X scaled one by one, by powers of two, change no digit."""
    A, X, dS = random_problem()
    a = 2.0 ** np.array([-far, 0, far, 3])
    x = 2.0 ** np.linspace(-far, far, X.shape[1]).round()
    expected = nnls_vjp(A, X, nnls(A, X), dS * x / a[:, None])
    S = nnls(A * a, X * x)
    np.testing.assert_allclose(S, nnls(A, X) * x / a[:, None], rtol=1e-12)
    assert kkt_residual(A * a, X * x, S).max() < 1e-14
    found = nnls_vjp(A * a, X * x, S, dS)
    np.testing.assert_allclose(found.A * a, expected.A, rtol=1e-9)
    np.testing.assert_allclose(found.X * x, expected.X, rtol=1e-9)


CONTAINERS = {
    "dense": (np.asarray, False),
    "F order": (np.asfortranarray, False),
    "csr": (sp.csr_array, False),
    "csc": (sp.csc_matrix, False),
    "weighted": (np.asarray, True),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("dtype, c", [("float32", 1e25), ("float64", 1e300)])
def test_small_columns_do_not_depend_on_their_company(dtype, c, container):
    """U: columns of 1e25 and 1e-25 (float64: 1e300 and 1e-300) in one matrix."""
    convert, weighted = CONTAINERS[container]
    A, X, _ = random_problem()
    A, X = A.astype(dtype), (X * np.where(np.arange(X.shape[1]) % 2, c, 1 / c)).astype(dtype)
    X[:, 3] = 0
    extra = dict(weights=np.ones_like(X)) if weighted else {}
    S, status, kkt = nnls_certified(A, convert(X), **extra)
    alone = np.hstack([nnls(A, X[:, [j]]) for j in range(X.shape[1])])
    assert S.dtype == dtype and (S > 0).any(axis=0)[np.arange(X.shape[1]) != 3].all()
    tops = np.maximum(alone.max(axis=0), np.finfo(dtype).tiny)
    np.testing.assert_allclose(S / tops, alone / tops, atol=1e-5 if dtype == "float32" else 1e-12)
    assert (status < 4).all() and kkt.max() < (1e-6 if dtype == "float32" else 1e-13)


def test_features_far_apart():
    """U: A = diag(1, 1e-170) lost its second column; penalties are scaled with their columns."""
    A, x = np.diag([1, 1e-170]), np.ones((2, 1))
    np.testing.assert_allclose(nnls(A, x)[:, 0], [1, 1e170], rtol=1e-14)
    for c in (1e-170, 1e-30):
        np.testing.assert_allclose(nnls(np.diag([1, c]), x, l1=0.25)[:, 0], [0.75, 0], rtol=1e-14)
    with np.errstate(over="ignore"):
        s = nnls(1e-308 * np.eye(2), np.array([[1e308], [0]]))[:, 0]
    assert s.tolist() == [np.inf, 0]


@pytest.mark.parametrize("name", zoo.one_of_each(zoo.MASKED))
@pytest.mark.parametrize("c", [2.0**-166, 2.0**166])
def test_weights_beyond_float32(name, c):
    """U: float32 data with weights of 1e-50 had score 1.0, with 1e50 a LinAlgError, and in float64
    multiplicative updates began far from the data.
    """
    X = zoo.planted()
    one, weight = np.ones(X.shape), np.full(X.shape, c)
    expected = zoo.fit(name, X, extra=dict(weights=one), max_iter=5)
    model = zoo.fit(name, X.astype("float32"), extra=dict(weights=weight), max_iter=5)
    assert zoo.error(model, X) == pytest.approx(zoo.error(expected, X), rel=1e-3)
    nnls_of_both = [nnls(X[:, :2].astype("float32"), X, weights=w) for w in (one, weight)]
    np.testing.assert_allclose(*nnls_of_both, rtol=1e-6)


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("c", [3e38, 1e-40])
def test_data_at_the_ends_of_float32(name, c):
    """U: X of 3e38 was 'converged' with error 1."""
    X = zoo.planted()
    X /= X.max()
    expected = zoo.error(zoo.fit(name, X.astype("float32"), max_iter=10), X)
    data = X.astype("float32") * np.float32(c)
    found = zoo.error(zoo.fit(name, data, max_iter=10), data)
    assert found == pytest.approx(expected, rel=0.05)


def test_data_at_the_end_of_float64():
    """U: the same in float64, in the compiled call for small data too."""
    X = zoo.planted()
    X *= 1.7e308 / X.max()
    with np.errstate(over="ignore", invalid="ignore"):  # lengths of data points are no numbers
        assert NMF(3, random_state=0).fit(X).layers_[0].error < 0.05


@pytest.mark.parametrize("name", SCALED)
def test_small_data_points_do_not_depend_on_their_company(name):
    """U: data points of 1e-25 beside others of 1e25 in float32 had no coefficients."""
    X = (zoo.planted() * np.where(np.arange(14) < 5, 1e-25, 1e25)[:, None]).astype("float32")
    model = zoo.fit(name, X, max_iter=10)
    together, alone = zoo.transform(model, X)[:5] * 1e25, zoo.transform(model, X[:5]) * 1e25
    assert alone.max() > 0.1
    np.testing.assert_allclose(together, alone, atol=1e-3 * alone.max())


# --------------------------------------------------------------------- V: nearly dependent columns


@pytest.fixture(params=["compiled", "portable"])
def engine(request, monkeypatch):
    """The numba kernels, or the array API engine."""
    if request.param == "portable":
        monkeypatch.setattr(layer, "cpu_kernels", lambda: None)


def exact(values):
    return [[Fraction(float(v)) for v in row] for row in np.atleast_2d(values)]


def solve_exactly(G, f):
    """G^-1 f in fractions, by elimination; None for a singular G."""
    rows = [[*row, v] for row, v in zip(G, f)]
    for c in range(len(rows)):
        pivot = next((r for r in range(c, len(rows)) if rows[r][c] != 0), None)
        if pivot is None:
            return None
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [v / rows[c][c] for v in rows[c]]
        for r in range(len(rows)):
            if r != c and rows[r][c] != 0:
                rows[r] = [a - rows[r][c] * b for a, b in zip(rows[r], rows[c])]
    return [row[-1] for row in rows]


def oracle(A, x, l1=0.0):
    """The lowest ||x - A s||^2 + 2 l1 sum(s) over all supports, and its s, in fractions."""
    (x,), A, l1 = exact(x), exact(A), Fraction(l1)
    columns = list(zip(*A))
    G = [[sum(a * b for a, b in zip(p, q)) for q in columns] for p in columns]
    f = [sum(a * b for a, b in zip(p, x)) - l1 for p in columns]
    best, solution = sum(v * v for v in x), [Fraction(0)] * len(columns)
    for n in range(1, len(columns) + 1):
        for P in itertools.combinations(range(len(columns)), n):
            s = solve_exactly([[G[i][j] for j in P] for i in P], [f[i] for i in P])
            if s is None or min(s) < 0:
                continue
            value = sum(v * v for v in x) - sum(f[i] * v for i, v in zip(P, s))
            if value < best:
                best, solution = value, [Fraction(0)] * len(columns)
                for i, v in zip(P, s):
                    solution[i] = v
    return best, solution


def excess(A, x, s, best, l1=0.0):
    """sqrt of what the objective of s is above its minimum, relative to ||x||."""
    (exact_x,), (s,) = exact(x), exact(s)
    r = [v - sum(a * b for a, b in zip(row, s)) for v, row in zip(exact_x, exact(A))]
    value = sum(v * v for v in r) + 2 * Fraction(l1) * sum(s)
    return max(float(value - best), 0.0) ** 0.5 / np.linalg.norm(x)


def nearly_dependent_problem(rng, signed):
    """A column or two that are 1e-12 .. 1e-3 away from (minus) another one."""
    N, k, gap = rng.integers(2, 6), rng.integers(2, 4), 10.0 ** rng.uniform(-12, -3)
    draw = (lambda *shape: rng.standard_normal(shape)) if signed else (lambda *s: rng.random(s))
    A = rng.integers(-2 if signed else 0, 4, (N, k)) + (rng.random() < 0.5) * draw(N, k)
    for j in range(1, k):
        sign = -1 if signed and rng.random() < 0.5 else 1
        A[:, j] = sign * rng.integers(1, 3) * A[:, j - 1] + gap * draw(N)
    return A, rng.integers(-2 if signed else 0, 4, N) + draw(N)


def test_the_error_that_was_certified(engine):
    """V: A = [[1, -1], [1e-11, 1e-11]], x = [0, 1] had error 1 and a certificate."""
    A, x = np.array([[1, -1], [1e-11, 1e-11]]), np.array([[0.0], [1.0]])
    for X in (x, sp.csr_array(x), sp.csc_array(np.hstack([x, x]))):
        S, status, _ = nnls_certified(A, X)
        np.testing.assert_allclose(S, 5e10, rtol=1e-4)
        assert excess(A, x[:, 0], S[:, 0], 0) < 1e-6 and (status == 0).all()
    np.testing.assert_allclose(nnls(A, x, weights=np.full((2, 1), 0.25)), 5e10, rtol=1e-4)
    np.testing.assert_allclose(nnls(1e-20 * A, 1e30 * x), 5e60, rtol=1e-4)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("l1", [0.0, 2.0**-40])
def test_nearly_dependent_problems_equal_the_exact_oracle(engine, signed, l1):
    """V: of 1500 signed problems 389 were wrong, 236 of them certified, and nnls was silent."""
    rng, certified = np.random.default_rng(0), 0
    for _ in range(60):
        A, x = nearly_dependent_problem(rng, signed)
        best, solution = oracle(A, x, l1)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            s = nnls(A, x[:, None], l1=l1)[:, 0]
        error = excess(A, x, s, best, l1)
        size = sum(float(v) * np.linalg.norm(a) for v, a in zip(solution, A.T))
        assert error <= 1e-6 + 1e-14 * size / np.linalg.norm(x), (A, x)
        assert told or error <= 2e-5, (A, x)
        certified += not told
    assert certified >= 50


@pytest.mark.parametrize("l2", [2.0**-60, 2.0**-30])
def test_nearly_dependent_columns_with_a_quadratic_penalty(engine, l2):
    """V: a penalty l2 is a row for each column; weights of 4 are rows twice as long."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        A, x = nearly_dependent_problem(rng, True)
        k = A.shape[1]
        rows = np.concatenate([2 * A, l2**0.5 * np.eye(k)])
        data = np.concatenate([2 * x, np.zeros(k)])
        best, _ = oracle(rows, data)
        weights = np.full((len(x), 1), 4.0)
        s, status, _ = nnls_certified(A, x[:, None], l2=l2, weights=weights)
        error = excess(rows, data, s[:, 0], best)
        assert error <= 1e-5 and (status < NOT_CONVERGED).all(), (A, x)


def test_what_is_not_certified_is_told():
    """V: rounding of coefficients of 1e13 costs more than a certificate allows."""
    rng = np.random.default_rng(2)
    a, x = rng.standard_normal(4), rng.standard_normal((4, 1))
    A = np.stack([a, -a + 1e-13 * x[:, 0]], axis=1)
    with pytest.warns(ConvergenceWarning, match="not certified"):
        nnls(A, x)
    with pytest.warns(ConvergenceWarning, match="not certified"):
        assert nnls_certified(A, x).status[0] & NOT_CONVERGED
    with pytest.warns(ConvergenceWarning, match="not certified"):
        A[:, 1] = -a + 1e-6 * x[:, 0]
        nnls(A.astype("float32"), x.astype("float32"))


def test_models_look_as_closely_at_nearly_dependent_columns():
    """V: transform of topics of any sign that cancel each other; the error was 4e-3, in silence."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = DeepSemiNMF((3, 2), random_state=0, max_iter=5, pretrain_iter=2).fit(X)
        Z = model.layers_[0].Z
        Z[:, 1] = -Z[:, 0] + 1e-11 * rng.standard_normal(5)
        points = np.array([[1e9, 1e9, 1.0], [1.0, 3e8, 2.0]]) @ Z.T
        H = model.transform(points, layer=0)
    errors = np.linalg.norm(H @ Z.T - points, axis=1) / np.linalg.norm(points, axis=1)
    assert H.min() >= 0 and errors.max() < 1e-6
    assert np.allclose(H.T, nnls(Z, points.T), rtol=1e-12)


def test_float32_columns_that_float32_products_cannot_tell_apart():
    """V: 3e-4 apart is enough where products are rounded to 1e-7."""
    rng = np.random.default_rng(3)
    a = rng.standard_normal((30, 1))
    A = np.hstack([a, -a + 3e-4 * rng.standard_normal((30, 1))]).astype("float32")
    X = (A @ (200 * rng.random((2, 40)))).astype("float32")
    S, status, _ = nnls_certified(A, X)
    error = np.linalg.norm(A.astype(float) @ S - X, axis=0) / np.linalg.norm(X, axis=0)
    assert S.dtype == np.float32 and (status < NOT_CONVERGED).all() and error.max() < 1e-3


@pytest.mark.parametrize("kind", ["random", "signed", "twins", "opposite", "zero", "weighted"])
def test_ordinary_problems_need_no_closer_look(engine, monkeypatch, kind):
    """V: what is well conditioned, but for equal, opposite and zero columns, costs no more."""
    rng = np.random.default_rng(4)
    B, X = rng.random((20, 4)) - 0.4 * (kind != "random"), rng.random((20, 60))
    zero = np.zeros((20, 1))
    A = {"twins": np.hstack([B, B[:, :2]]), "opposite": np.hstack([B, -B])}.get(kind, B)
    A = np.hstack([B, zero]) if kind == "zero" else A
    monkeypatch.setattr(layer, "_closer_look", None)
    S = nnls(A, X, **(dict(weights=rng.random(X.shape)) if kind == "weighted" else {}))
    assert (S > 0).any()


def test_residuals_in_twice_the_precision():
    """V: cancellation of 1e10 leaves no digit of an ordinary residual."""
    rng = np.random.default_rng(5)
    A, x = nearly_dependent_problem(rng, True)
    s = rng.random(A.shape[1]) * 1e10
    r = [v - sum(a * b for a, b in zip(row, exact(s)[0])) for v, row in zip(exact(x)[0], exact(A))]
    found = near_dependence.accurate_residual(A, x[:, None], s[:, None])[:, 0]
    np.testing.assert_allclose(found, [float(v) for v in r], rtol=1e-14)


def test_status_of_points_that_were_solved_again(engine):
    """V: nearly dependent is not degenerate, and what is degenerate is still called so."""
    A, x = np.array([[1, -1, 0], [1e-11, 1e-11, 0], [0, 0, 1]]), np.array([[0], [1.0], [0]])
    assert nnls_certified(A, x).status[0] == TIED
    A = np.hstack([A, A[:, :1]])
    assert nnls_certified(A, x).status[0] == TIED | DEGENERATE
