"""Out of memory halves the block and goes on: every path that works on blocks, disturbed at its
first, a middle and its last block, and where one point is too much.
"""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import standin

from nnmf_nb.chain._labels import Labels
from nnmf_nb.core import _data as data
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import WeightedDataMatrix, as_data, in_chunks
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.models import _nonlinear as nonlinear
from nnmf_nb.models import _ssnmf as ssnmf
from nnmf_nb.models import _unfolded as unfolded
from nnmf_nb.models._nonlinear import ACTIVATIONS
from nnmf_nb.models._unfolded import UnfoldedObjective
from nnmf_nb.solvers import _loss, divergences
from nnmf_nb.solvers._loss import _gathered, loss_of

# --------------------------------------------------------------------------------------- the slices


def test_chunks_halve_until_they_fit():
    tried = []

    def hungry(c):
        tried.append((c.start, c.stop))
        if c.stop - c.start > 3:
            raise MemoryError
        return np.arange(c.start, c.stop)

    np.testing.assert_array_equal(np.concatenate(list(in_chunks(hungry, 17, 1))), np.arange(17))
    failures = [c for c in tried if c[1] - c[0] > 3]
    # what was learned holds for the chunks that follow
    assert failures == [(0, 17), (0, 8), (0, 4)]


@pytest.mark.parametrize("fails", range(7))
def test_a_chunk_that_failed_late_is_done_again_and_counted_once(monkeypatch, fails):
    monkeypatch.setattr(data, "_BLOCK", 6)
    calls = []

    def run(c):
        calls.append(c)
        if len(calls) == fails + 1:
            raise MemoryError
        return sum(range(c.start, c.stop))

    assert sum(in_chunks(run, 41, 1)) == sum(range(41))
    assert len(calls) == fails + 1 + 2 * (7 - fails)


def test_one_point_too_many_is_an_error():
    def starving(c):
        raise MemoryError("no room for one point")

    with pytest.raises(MemoryError, match="no room"):
        list(in_chunks(starving, 9, 1))


def test_no_more_than_one_result_is_kept():
    """The one before is let go while the next is made, or blocks would take twice their room."""
    alive = []

    class Result:
        def __init__(self):
            alive.append(self.__class__)
            self.most = len(alive)

        def __del__(self):
            alive.pop()

    assert [result.most for result in in_chunks(lambda c: Result(), 5, 2**30)][-1] <= 2


# ---------------------------------------------------------------------------------------- the paths

rng = np.random.default_rng(0)
N, M, k = 12, 18, 3
X, W, A, S, Z = (
    rng.random((N, M)),
    rng.random((N, M)),
    rng.random((N, k)),
    rng.random((k, M)),
    rng.random((k, M)),
)
SPARSE = sp.csr_array(X * (rng.random((N, M)) < 0.6))
SOURCES = [rng.random((N, M)), rng.random((N, M))]
LABELS = Labels(
    np.arange(2), np.eye(2)[:, rng.integers(2, size=10)], None, np.sort(rng.permutation(M)[:10]), M
)
BASES = [rng.random((N, 4)) for _ in range(3)]


def weighted():
    return as_data(X, weights=W)


def plain():
    return as_data(X)


def sparse():
    return as_data(SPARSE)


def separated():
    cost = partial(unfolded.mask_cost, ranks=(2, 2), weights=(1, 0.3))
    value, plus, minus = UnfoldedObjective(sum(SOURCES), SOURCES, cost, (2, 2), sparsity=0.2)(BASES)
    return np.array([value]), *plus, *minus


def joint_step():
    J = ssnmf.joint(as_data(X), LABELS, 0.7)
    return ssnmf.joint_step(J, A, rng_of(1).random((2, k)), S, exact=True)


def rng_of(seed):
    return np.random.default_rng(seed)


def codes():
    upper = [rng_of(2).standard_normal((N, 4)), rng_of(3).standard_normal((4, 2))]
    return nonlinear.codes_of(as_data(X, None), upper, ACTIVATIONS["tanh"], 0.1, np.ones(2))


def zeros_of(D):
    try:
        loss_of(0).check_data(D)
    except ValueError as error:
        return str(error)


PATHS = {
    "norm2": lambda: plain().norm2,
    "norm2, sparse": lambda: sparse().norm2,
    "norm2, weighted": lambda: weighted().norm2,
    "AtM": lambda: weighted().AtM(A, A, S),
    "MSt": lambda: weighted().MSt(A, S, Z),
    "sum of MSt": lambda: weighted().sum_of_MSt(A, [(S, Z), (Z, S)]),
    "lengths2": lambda: weighted().lengths2(A),
    "residual": lambda: data._explicit_residual2(plain(), A, S),
    "residual, sparse": lambda: data._explicit_residual2(sparse(), A, S),
    "residual, weighted": lambda: data._explicit_residual2(weighted(), A, S),
    "column norms": lambda: layer.column_norms(plain()),
    "column norms, weighted": lambda: layer.column_norms(weighted()),
    "grams of patterns": lambda: layer.grams_of_patterns(A, W),
    "nnls, weighted": lambda: layer.nnls(A, X, weights=W),
    "products at entries": lambda: _gathered(SPARSE, A, S.T),
    "check": lambda: loss_of(0).check_data(plain()),
    "divergence": lambda: loss_of(0.5).of_columns(plain(), A, S),
    "divergence, sparse": lambda: loss_of(1.5).of_columns(sparse(), A, S),
    "divergence, weighted": lambda: loss_of(1).of_columns(weighted(), A, S),
    "ratios": lambda: np.stack(divergences.ratios(weighted(), A, S, 0.5)),
    "ratios of Kullback-Leibler": lambda: np.stack(divergences.ratios(weighted(), A, S, 1)),
    "curvature": lambda: loss_of(1.5).hessians(weighted(), A, S),
    "coefficients": lambda: divergences.coefficients(weighted(), A, 1),
    "joint step": joint_step,
    "unfolded, derivative": lambda: np.concatenate([v.ravel() for v in separated()]),
    "unfolded, forward": lambda: unfolded.run_blocks(as_data(X), BASES, lambda fwd: fwd.H[-1:])[0],
    "codes through a curve": codes,
}


# to a tolerance of their own, and rounding differs between blocks of different widths
ITERATED = {"coefficients", "codes through a curve"}


def disturbed(monkeypatch, fails):
    """in_chunks whose work is undone by a MemoryError at its end for those calls that
    `fails(number, slice)` picks; returns the slices tried.
    """
    tried = []

    def chunks(run, *sizes):
        def late(c):
            tried.append(c)
            number, result = len(tried) - 1, run(c)
            if fails(number, c):
                raise MemoryError
            return result

        return in_chunks(late, *sizes)

    for module in (data, layer, _loss, divergences, ssnmf, unfolded, nonlinear):
        monkeypatch.setattr(module, "in_chunks", chunks)
    return tried


@pytest.mark.parametrize("name", PATHS)
def test_a_failed_block_changes_nothing(monkeypatch, name):
    expected = PATHS[name]()
    monkeypatch.setattr(data, "_BLOCK", 60)
    tried = disturbed(monkeypatch, lambda number, c: False)
    PATHS[name]()
    wide = [number for number, c in enumerate(tried) if c.stop - c.start > 1]
    assert len(wide) > 1, "everything came in one block: this test shows nothing"
    for which in (wide[0], wide[len(wide) // 2], wide[-1]):
        tried = disturbed(monkeypatch, lambda number, c, which=which: number == which)
        found = PATHS[name]()
        assert len(tried) > which + 1, "the failure never came"
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=1e-7 if name in ITERATED else 1e-12)


@pytest.mark.parametrize("name", PATHS)
def test_one_point_too_many_raises_wherever_it_is(monkeypatch, name):
    disturbed(monkeypatch, lambda number, c: True)
    with pytest.raises(MemoryError):
        PATHS[name]()


def test_zeros_are_counted_once_when_memory_is_short(monkeypatch):
    X0 = X.copy()
    X0[3, 2] = X0[5, 2] = X0[7, 16] = 0.0
    expected = zeros_of(as_data(X0))
    assert "3 zeros, the first at data point 2, feature 3" in expected
    monkeypatch.setattr(data, "_BLOCK", 60)
    for which in (0, 1, 3):
        disturbed(monkeypatch, lambda number, c, which=which: number == which)
        assert zeros_of(as_data(X0)) == expected


# ------------------------------------------------------------------------- where memory really ends


@pytest.mark.parametrize("name", ["AtM", "MSt", "residual", "column norms"])
def test_on_a_device_that_holds_the_result_but_not_the_block(monkeypatch, name):
    """The stand-in refuses arrays of more than five columns of the data, as CuPy's OutOfMemoryError
    (a MemoryError) would.
    """
    standin.install(monkeypatch)
    a, s, z = (standin.asarray(v) for v in (A, S, Z))
    D = WeightedDataMatrix(standin.asarray(X), standin.asarray(W), 1.0)
    host = WeightedDataMatrix(X, W, 1.0)
    path = {
        "AtM": lambda D, A, S, Z: D.AtM(A, A, S),
        "MSt": lambda D, A, S, Z: D.MSt(A, S, Z),
        "residual": lambda D, A, S, Z: data._explicit_residual2(D, A, S),
        "column norms": lambda D, A, S, Z: layer.column_norms(D),
    }[name]
    tried = disturbed(monkeypatch, lambda number, c: False)
    monkeypatch.setattr(standin.memory, "limit", 5 * N * 8)
    found = to_numpy(path(D, a, s, z))
    np.testing.assert_allclose(found, path(host, A, S, Z), rtol=1e-12)
    assert tried[0].stop - tried[0].start == M and len(tried) > 4
    standin.uninstall()
