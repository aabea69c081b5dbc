"""The same numbers again: with the same seed, with more threads, in other chunks, in another order,
and whatever NumPy's global generator holds.

Measured on 1403 x 611 and 1500 x 700 data (dense, sparse, float32): with one and two threads every
model has the same bits after six iterations (and the same coefficients from `transform`, to the
last bit; UnfoldedNMF: to 5e-16, in float32 3e-7). What is promised is less, because a BLAS may add
up in another order when it has more threads: `CLOSE` for coefficients at given features, and for
factors after a few iterations. After many iterations rounding may lead an optimizer another way;
then only a run with the same number of threads gives the same bits.
"""

import ast
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_limits
from zoo import EVERY, factors, fit, one_of_each, planted, same, transform

import nnmf_nb
from nnmf_nb import certify, nnls, verify
from nnmf_nb.core import _arrays as backend
from nnmf_nb.core import _data as data
from nnmf_nb.layer import _nnls as layer

every_model = pytest.mark.parametrize("name", one_of_each(EVERY))
# relative to the largest entry; iterated coefficients (Kullback-Leibler, UnfoldedNMF) need their
# tolerance
CLOSE = 1e-10
LARGE = planted(1300, 560, k=4, seed=1)  # enough work for the package's own threads


def close(a, b, allowed=CLOSE):
    np.testing.assert_allclose(a, b, rtol=0, atol=allowed * max(np.abs(b).max(), 1e-300))


def iterated(name):
    return 1e-4 if name.endswith("-kl") else CLOSE


@contextmanager
def threads(n, monkeypatch):
    """n threads in the package's own pool and in BLAS; yields how often the pool was used."""
    used, pool = [], backend._pool
    with monkeypatch.context() as patch, threadpool_limits(n):
        patch.setattr(backend, "thread_count", lambda: n)
        patch.setattr(backend, "_pool", lambda size: used.append(size) or pool(size))
        yield used


@pytest.mark.each_value_once
@every_model
@pytest.mark.parametrize(
    "kind", [np.asarray, sp.csr_array, np.float32], ids=["dense", "sparse", "float32"]
)
def test_the_same_seed_gives_the_same_bits(name, kind):
    X = kind(planted(30, 20, seed=2))
    a, b = (fit(name, X, max_iter=8) for _ in range(2))
    assert same(a, b)
    np.testing.assert_array_equal(transform(a, X), transform(b, X))
    np.testing.assert_array_equal(transform(a, X), transform(a, X))


@pytest.mark.parametrize("name", one_of_each(EVERY))
def test_threads_do_not_matter(name, monkeypatch):
    X, n = LARGE, 2
    with threads(1, monkeypatch) as used:
        one = fit(name, X, max_iter=n)
        alone = transform(one, X)
        assert not used
    with threads(2, monkeypatch) as used:
        two = fit(name, X, max_iter=n)
        together = transform(one, X)
        again = fit(name, X, max_iter=n)
        assert used  # else nothing was compared
    assert same(two, again)  # at one number of threads, to the last bit
    for a, b in zip(factors(one), factors(two), strict=True):
        close(a, b)
    close(together, alone)


# --- wherever arrays lie in memory ----------------------------------------------------------------

COUNTS = [name for name, (_, given, _) in EVERY.items() if "kullback-leibler" in given.values()]


def placed(X, offset, layout):
    """A copy of X whose first entry lies `offset` bytes after a multiple of 64."""
    step = 2 if layout == "every second" else 1
    room = np.empty(step**2 * X.nbytes + 128, np.uint8)
    begin = -room.ctypes.data % 64 + offset
    shape = [step * n for n in X.shape]
    out = np.ndarray(shape, X.dtype, room, begin, order="F" if layout == "F" else "C")
    out[::step, ::step] = X
    return out[::step, ::step]


@pytest.mark.parametrize("layout", ["C", "F", "every second"])
@pytest.mark.parametrize("name", COUNTS)
def test_equal_fits_of_counts_have_equal_bits(name, layout, monkeypatch):
    """Whatever lies between their arrays, and in any number of threads."""
    X, rng, between, found = planted(14, 10, seed=2), np.random.default_rng(0), [], []
    monkeypatch.setattr(backend.in_threads, "__defaults__", (1, None))  # threads for few rows, too
    for n, offset in zip((1, 1, 1, 1, 1, 1, 2, 3, 5), (0, 8, 16, 24, 40, 0, 48, 32, 8)):
        between.append([np.empty(size) for size in rng.integers(1, 300, 20)])
        monkeypatch.setattr(backend, "thread_count", lambda n=n: n)
        model = fit(name, placed(X, offset, layout), max_iter=1)
        found.append([*factors(model), transform(model, placed(X, offset, layout))])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def adds_up(loop):
    """True when a loop holds a sum, in a number or in an entry that is the same at each turn."""
    for step in ast.walk(loop):
        if isinstance(step, ast.AugAssign) and not isinstance(step.value, ast.Constant):
            names = {one.id for one in ast.walk(step.target) if isinstance(one, ast.Name)}
            if loop.target.id not in names:
                return True
    return False


def writes(loop):
    return any(
        isinstance(a, ast.Subscript) and isinstance(a.ctx, ast.Store) for a in ast.walk(loop)
    )


def innermost_loops(function):
    loops = [one for one in ast.walk(function) if isinstance(one, ast.For)]
    return [one for one in loops if sum(isinstance(a, ast.For) for a in ast.walk(one)) == 1]


def test_loops_that_may_add_up_in_any_order_write_to_no_array():
    """Else the compiler asks at each call whether the arrays could overlap, and adds up in another
    order if they lie close together.
    """
    seen = 0
    for path in Path(nnmf_nb.__file__).parent.rglob("*_kernels.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef) and "reassoc" in ast.unparse(
                function.decorator_list
            ):
                seen += 1
                for loop in innermost_loops(function):
                    assert not (adds_up(loop) and writes(loop)), (path.name, ast.unparse(loop))
    assert seen >= 10  # else nothing was looked at


def test_certificates_do_not_depend_on_threads(monkeypatch):
    model = fit("HierarchicalNMF", LARGE, max_iter=3)
    found = []
    for n in (1, 2):
        with threads(n, monkeypatch):
            found.append(verify(model, LARGE))
    for a, b in zip(found[0].layers, found[1].layers, strict=True):
        for number in ("error", "floor", "kkt", "stationarity", "condition", "complementarity"):
            assert getattr(a, number) == pytest.approx(getattr(b, number), rel=1e-9, abs=1e-13), (
                number
            )


@every_model
def test_the_global_generator_is_neither_read_nor_moved(name):
    X = planted(14, 10, seed=3)
    np.random.seed(0)
    before = np.random.get_state()
    a = fit(name, X, max_iter=5)
    S = transform(a, X)
    after = np.random.get_state()
    assert after[0] == before[0] and (after[1] == before[1]).all() and after[2:] == before[2:]
    np.random.seed(1)  # another state gives the same model
    b = fit(name, X, max_iter=5)
    assert same(a, b)
    np.testing.assert_array_equal(transform(b, X), S)


@every_model
def test_transform_does_not_depend_on_chunks(name, monkeypatch):
    X = planted(40, 12, seed=4)
    model = fit(name, X, max_iter=8)
    whole = transform(model, X)
    for block in (20, 300):
        monkeypatch.setattr(data, "_BLOCK", block)
        close(transform(model, X), whole, iterated(name))
    monkeypatch.undo()
    for cut in (1, 7, 39):
        close(
            np.vstack([transform(model, X[:cut]), transform(model, X[cut:])]), whole, iterated(name)
        )


@every_model
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_transform_does_not_depend_on_the_order_of_data_points(name, dtype):
    X = planted(40, 12, seed=5).astype(dtype)
    model = fit(name, X, max_iter=8)
    order = np.random.default_rng(6).permutation(40)
    close(
        transform(model, X[order]),
        transform(model, X)[order],
        max(iterated(name), 1e-5 if dtype is np.float32 else 0),
    )


@pytest.mark.parametrize("engine", ["compiled", "portable"])
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_do_not_depend_on_chunks(engine, weighted, monkeypatch):
    rng = np.random.default_rng(7)
    A, X = rng.random((15, 5)), rng.random((15, 80))
    extra = {"weights": (rng.random(X.shape) < 0.8) * 1.0} if weighted else {}
    if engine == "portable":
        monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    whole = nnls(A, X, **extra)
    for block in (1, 60, 700):
        monkeypatch.setattr(data, "_BLOCK", block)
        close(nnls(A, X, **extra), whole)


@pytest.mark.parametrize(
    "kind", [np.asarray, sp.csr_array, np.float32], ids=["dense", "sparse", "float32"]
)
def test_certificates_do_not_depend_on_chunks(kind, monkeypatch):
    X = kind(planted(40, 12, seed=8))
    model = fit("NMF", X, max_iter=8)
    A, S = model.layers_[0].A, model.layers_[0].S
    whole = certify(A, S, X.T).layers[0]
    monkeypatch.setattr(data, "_BLOCK", 30)
    parts = certify(A, S, X.T).layers[0]
    for number in ("error", "kkt", "stationarity", "complementarity"):
        assert getattr(parts, number) == pytest.approx(
            getattr(whole, number), rel=1e-9, abs=1e-13
        ), number
