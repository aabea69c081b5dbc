"""DataMatrix: checks with words, products, norms, scale."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from strategies import deviation, examples, matrices

import nnmf_nb.core._data as data
from nnmf_nb.core._arrays import to_numpy
from nnmf_nb.core._data import (
    DataMatrix,
    WeightedDataMatrix,
    as_data,
    column_blocks,
    power_of_two,
    relative_error,
    residual2,
    transposed,
)
from nnmf_nb.core._validation import check_matrix, check_nonnegative, is_sparse

SPARSE = [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.csc_array, sp.coo_array]


def example(seed=0, N=12, M=17, k=3, density=0.4):
    rng = np.random.default_rng(seed)
    return (
        np.where(rng.random((N, M)) < density, rng.random((N, M)), 0.0),
        rng.random((N, k)),
        rng.random((k, M)),
        rng.random((k, M)),
    )


# ----------------------------------------------------------------------------------------- messages

hole = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0], [7.0, 8.0, np.nan]])
endless = np.array([[1.0, 2.0], [np.inf, 4.0]])
BAD = {
    "vector": (np.ones(3), ValueError, r"Y must have two dimensions, got shape \(3,\)\. Reshape"),
    "cube": (np.ones((2, 2, 2)), ValueError, r"Y must have two dimensions, got shape \(2, 2, 2\)"),
    "scalar": (1.0, ValueError, "Y must have two dimensions"),
    "no rows": (np.ones((0, 3)), ValueError, r"Y is empty: its shape is \(0, 3\)"),
    "no columns": (sp.csr_array((3, 0)), ValueError, r"Y is empty: its shape is \(3, 0\)"),
    "NaN": (
        hole,
        ValueError,
        r"Y contains NaN: 2 entries, the first at \[1, 1\]\. Replace it, or pass mask=",
    ),
    "NaN, CSR": (
        sp.csr_array(hole),
        ValueError,
        r"Y contains NaN: 2 entries, the first at \[1, 1\]",
    ),
    "NaN, CSC": (
        sp.csc_matrix(hole),
        ValueError,
        r"Y contains NaN: 2 entries, the first at \[1, 1\]",
    ),
    "NaN, COO": (
        sp.coo_array(hole),
        ValueError,
        r"Y contains NaN: 2 entries, the first at \[1, 1\]",
    ),
    "infinity": (
        endless,
        ValueError,
        r"Y contains infinity: 1 entries, the first at \[1, 0\]\. Replace it",
    ),
    "minus infinity": (
        -endless,
        ValueError,
        r"Y contains infinity: 1 entries, the first at \[1, 0\]",
    ),
    "both infinities": (
        np.array([[np.inf, -np.inf]]),
        ValueError,
        r"Y contains infinity: 2 entries, the first at \[0, 0\]",
    ),
    "text": ([["a", "b"]], TypeError, "Y has dtype .*; give real numbers"),
    "object": (
        np.array([[1, "b"]], dtype=object),
        TypeError,
        "Y has dtype object; give real numbers",
    ),
    "complex": (np.ones((2, 2)) + 1j, TypeError, "Y has dtype complex128; give real numbers"),
    "complex, sparse": (sp.csr_array(np.ones((2, 2)) + 1j), TypeError, "Y has dtype complex128"),
    "frame of text": (pd.DataFrame({"a": ["x"], "b": [1]}), TypeError, "Y has dtype object"),
}


@pytest.mark.parametrize("name", BAD)
def test_check_matrix_says_what_where_and_the_cure(name):
    X, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        check_matrix(X, "Y")


@pytest.mark.parametrize("kind", [np.array, *SPARSE], ids=lambda c: c.__name__)
def test_check_nonnegative_says_where(kind):
    X = np.array([[0.0, 3.0, 0.0], [0.0, -0.25, -2.0]])
    message = (
        r"Negative values in data passed to counts: 2 entries, the first at \[1, 1\], "
        r"the smallest -2\. Shift or clip"
    )
    with pytest.raises(ValueError, match=message):
        check_nonnegative(check_matrix(kind(X)), "counts")
    check_nonnegative(check_matrix(kind(np.abs(X))))


def test_check_nonnegative_accepts_minus_zero_and_empty_sparse():
    check_nonnegative(np.array([[-0.0, 0.0]]))
    check_nonnegative(sp.csr_array((3, 3)))


def test_check_nonnegative_meets_nan():
    """It may come before the check for NaN; it must not fail with an IndexError."""
    try:
        check_nonnegative(hole)
    except ValueError as error:
        assert "NaN" in str(error)


def test_messages_in_every_namespace(xp_device):
    x = xp_device.asarray([[1.0, -2.0], [3.0, 4.0]])
    with pytest.raises(
        ValueError,
        match=r"Negative values in data passed to X: 1 entries, the first at \[0, 1\], "
        r"the smallest -2",
    ):
        check_nonnegative(x)
    with pytest.raises(ValueError, match=r"X contains NaN: 1 entries, the first at \[0, 1\]"):
        check_matrix((x + 2.0) ** 0 * xp_device.asarray([[1.0, np.nan], [1, 1]]))
    with pytest.raises(ValueError, match="two dimensions"):
        check_matrix(x[0, :])


def test_large_finite_numbers_are_finite():
    X = np.full((2, 2), 1e308)
    with np.errstate(over="ignore"):
        assert check_matrix(X) is X
    Y = np.full((2, 2), 3e38, np.float32)
    with np.errstate(over="ignore"):
        assert check_matrix(Y) is Y


@pytest.mark.filterwarnings("error")
def test_large_finite_numbers_do_not_warn():
    check_matrix(np.full((2, 2), 1e308))


WEIGHTS = {
    "shape of mask": (
        dict(mask=np.ones((2, 2), bool)),
        r"mask and weights must have the shape of X, \(12, 17\), got \(2, 2\)",
    ),
    "shape of weights": (
        dict(weights=np.ones((12, 1))),
        r"mask and weights must have the shape of X, \(12, 17\), got \(12, 1\)",
    ),
    "negative weights": (
        dict(weights=-np.ones((12, 17))),
        r"Negative values in data passed to weights: 204 entries, the first at \[0, 0\]",
    ),
    "NaN weights": (dict(weights=np.full((12, 17), np.nan)), "weights contains NaN"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_masks_and_weights_are_checked(name):
    extra, message = WEIGHTS[name]
    with pytest.raises(ValueError, match=message):
        as_data(example()[0], **extra)


def test_mask_and_weights_of_different_shape_name_both():
    with pytest.raises(ValueError, match="mask"):
        as_data(example()[0], mask=np.ones((2, 2), bool), weights=np.ones((12, 17)))


def test_weights_on_sparse_data_are_refused():
    with pytest.raises(ValueError, match="mask and weights need a dense X"):
        as_data(sp.csr_array(example()[0]), mask=np.ones((12, 17), bool))


def test_a_mask_beside_a_data_matrix_is_not_ignored():
    X = example()[0]
    with pytest.raises((ValueError, TypeError), match="mask"):
        as_data(as_data(X), mask=X > 0)


def test_nan_outside_the_mask_is_refused():
    with pytest.raises(ValueError, match=r"X contains NaN: 1 entries, the first at \[1, 1\]"):
        as_data(hole, mask=np.array([[1, 1, 1], [1, 1, 1], [1, 1, 0]], bool))


# ----------------------------------------------------------------------------------- kinds of input


@pytest.mark.parametrize(
    "kind", [np.asarray, np.asfortranarray, list, pd.DataFrame, *SPARSE], ids=lambda c: c.__name__
)
def test_products_of_every_kind(kind):
    X, A, S, _ = example()
    D = as_data(kind(X))
    assert D.shape == (12, 17) and D.dtype == np.float64
    assert (
        deviation(D.AtX(A) * D.scale, A.T @ X) <= 1e-14
        and deviation(D.XSt(S) * D.scale, X @ S.T) <= 1e-14
    )
    assert D.norm2 * D.scale**2 == pytest.approx((X**2).sum(), rel=1e-14)
    assert repr(D).startswith(
        "DataMatrix(12 features x 17 data points, " + ("sparse" if is_sparse(D.X) else "dense")
    )
    T = transposed(D)
    assert (
        T.shape == (17, 12)
        and deviation(T.AtX(S.T) * D.scale, S @ X.T) <= 1e-14
        and T.norm2 == pytest.approx(D.norm2, rel=1e-14)
    )


@pytest.mark.parametrize(
    "dtype, kept",
    [
        ("float16", "float32"),
        ("float32", "float32"),
        ("int32", "float64"),
        ("uint8", "float64"),
        ("bool", "float64"),
    ],
)
def test_dtypes(dtype, kept):
    X = (9 * example()[0]).astype(dtype)
    assert (
        as_data(X).dtype == kept
        and as_data(X, mask=X > 0).dtype == kept
        and as_data(pd.DataFrame(X)).dtype == kept
    )
    if dtype != "float16":
        assert as_data(sp.csr_array(X)).dtype == kept


def test_numpy_matrix_is_an_array_here():
    X, A, S, _ = example()
    D = as_data(np.asmatrix(X))
    assert type(D.AtX(A)) is np.ndarray and D.norm2 == pytest.approx(as_data(X).norm2)
    assert relative_error(D, A, S / D.scale) == pytest.approx(
        relative_error(as_data(X), A, S / D.scale)
    )


@pytest.mark.parametrize("kind", [sp.coo_matrix, sp.coo_array, sp.csr_array])
def test_duplicate_entries_are_summed_and_the_input_left_alone(kind):
    X, A, S, _ = example()
    rows, cols = np.nonzero(X)
    twice = sp.coo_array(
        (np.r_[X[rows, cols], np.ones(3)], (np.r_[rows, 0, 0, 4], np.r_[cols, 1, 1, 1])),
        shape=X.shape,
    )
    expected = X.copy()
    np.add.at(expected, ([0, 0, 4], [1, 1, 1]), 1.0)
    if kind is sp.csr_array:
        twice = sp.csr_array((np.r_[1.0, 2.0, 3.0], [1, 1, 0], [0, 3, 3]), shape=(2, 2))
        expected, A, S = np.array([[3.0, 3.0], [0, 0]]), A[:2], S[:, :2]
    X = kind(twice) if kind is not sp.csr_array else twice
    stored = X.nnz
    D = as_data(X)
    assert X.nnz == stored and D.norm2 * D.scale**2 == pytest.approx((expected**2).sum())
    assert (
        deviation(D.AtX(A) * D.scale, A.T @ expected) <= 1e-14
        and deviation(D.XSt(S) * D.scale, expected @ S.T) <= 1e-14
    )


def test_nothing_is_copied_and_nothing_modified():
    X = example()[0]
    kept, D = X.copy(), as_data(X)
    assert np.shares_memory(D.X, X) and np.shares_memory(transposed(D).X, X)
    as_data(X, mask=X > 0.5)
    assert np.array_equal(X, kept)
    s = sp.csr_array(X)
    assert as_data(s).X is s


def test_the_second_orientation_of_sparse_data_can_be_left_out(monkeypatch):
    X, A, S, _ = example()
    monkeypatch.setattr(data, "_BOTH_LIMIT", 0)
    for kind in (sp.csr_array, sp.csc_array):
        D = as_data(kind(X))
        assert (
            deviation(D.AtX(A) * D.scale, A.T @ X) <= 1e-14
            and deviation(D.XSt(S) * D.scale, X @ S.T) <= 1e-14
        )


def test_sparse_data_are_never_densified():
    X = sp.random_array((3000, 3000), density=1e-4, rng=np.random.default_rng(0), format="csr")
    X.toarray = X.todense = None
    D = as_data(X)
    assert D.XSt(np.ones((2, 3000))).shape == (3000, 2) and D.norm2 > 0 and transposed(D).norm2 > 0
    assert 0.9 < relative_error(D, np.full((3000, 2), 1e-4), np.full((2, 3000), 1e-4)) < 1.1


# ----------------------------------------------------------------------------------------- products


def weights(seed=5, shape=(12, 17)):
    rng = np.random.default_rng(seed)
    return rng.random(shape) * (rng.random(shape) < 0.7)


def test_model_products():
    X, A, S, Z = example()
    D = as_data(X)
    assert (
        deviation(D.AtM(A, A, S), A.T @ A @ S) <= 1e-14
        and deviation(D.MSt(A, S, Z), A @ S @ Z.T) <= 1e-14
    )


@pytest.mark.parametrize("block", [1, 40, 2**22])
def test_weighted_products(block, monkeypatch):
    monkeypatch.setattr(data, "_BLOCK", block)
    X, A, S, Z = example()
    W, B = weights(), A[:, ::-1] + 1
    D = as_data(np.where(W > 0, X, np.nan), weights=W)
    assert isinstance(D, WeightedDataMatrix) and repr(D).startswith(
        "WeightedDataMatrix(12 features"
    )
    assert (
        deviation(D.AtX(A) * D.scale, A.T @ (W * X)) <= 1e-14
        and deviation(D.XSt(S) * D.scale, (W * X) @ S.T) <= 1e-14
    )
    assert (
        deviation(D.AtM(A, B, S), A.T @ (W * (B @ S))) <= 1e-14
        and deviation(D.MSt(A, S, Z), (W * (A @ S)) @ Z.T) <= 1e-14
    )
    assert D.norm2 * D.scale**2 == pytest.approx((W * X**2).sum(), rel=1e-14)
    assert residual2(D, A, S / D.scale) * D.scale**2 == pytest.approx(
        (W * (X - A @ S) ** 2).sum(), rel=1e-12
    )
    T = transposed(D)
    assert deviation(T.AtX(S.T) * D.scale, S @ (W * X).T) <= 1e-14 and T.norm2 == pytest.approx(
        D.norm2
    )
    assert residual2(T, S.T / D.scale, A.T) == pytest.approx(residual2(D, A, S / D.scale))


def test_mask_and_weights_multiply():
    X, A, _, _ = example()
    W, mask = 1 + weights(), weights(6) > 0
    assert np.array_equal(
        as_data(X, mask=mask, weights=W).AtX(A), as_data(X, weights=W * mask).AtX(A)
    )


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -1e300])
def test_what_stands_under_weight_zero_changes_no_bit(garbage):
    X, A, S, Z = example()
    W = weights()
    clean, dirty = (as_data(np.where(W > 0, X, v), weights=W) for v in (0.0, garbage))
    assert clean.scale == dirty.scale and clean.norm2 == dirty.norm2
    assert np.array_equal(clean.AtX(A), dirty.AtX(A)) and np.array_equal(clean.XSt(S), dirty.XSt(S))
    assert residual2(clean, A, S) == residual2(dirty, A, S)


def test_products_in_every_namespace(xp_device):
    X, A, S, Z = example()
    given, tol = weights(), 1e-14 if "64" in str(xp_device.dtype) else 1e-5
    a, s, z = (xp_device.asarray(v) for v in (A, S, Z))
    for W, D in (
        (np.ones_like(X), as_data(xp_device.asarray(X))),
        (given, as_data(xp_device.asarray(X), weights=xp_device.asarray(given))),
    ):
        for got, expected in (
            (D.AtX(a) * D.scale, A.T @ (W * X)),
            (D.XSt(s) * D.scale, (W * X) @ S.T),
            (D.AtM(a, a, s), A.T @ (W * (A @ S))),
            (D.MSt(a, s, z), (W * (A @ S)) @ Z.T),
            (transposed(D).XSt(a.T) * D.scale, (W * X).T @ A),
        ):
            assert (
                got.dtype == xp_device.dtype
                and got.device == a.device
                and deviation(to_numpy(got), expected) <= tol
            )
        assert D.norm2 * D.scale**2 == pytest.approx((W * X**2).sum(), rel=1e-6)
        assert relative_error(D, a, s / D.scale) == pytest.approx(
            math.sqrt((W * (X - A @ S) ** 2).sum() / (W * X**2).sum()), rel=1e-5
        )


def test_column_blocks_cover_every_column_once(monkeypatch):
    for block in (1, 7, 100, 2**22):
        monkeypatch.setattr(data, "_BLOCK", block)
        for M in (1, 2, 13):
            for numbers in (1, 3, 50, 10**9):
                slices = column_blocks(M, numbers)
                assert [j for c in slices for j in range(M)[c]] == list(range(M)) and all(
                    c.stop <= M for c in slices
                )


# ------------------------------------------------------------------------------------- scale, error


@given(matrices())
@settings(max_examples=examples(60), deadline=None)
def test_the_scale_is_a_power_of_two_below_the_largest_entry(X):
    c = power_of_two(X)
    top = np.abs(X).max()
    assert math.frexp(c)[0] == 0.5 and (c == 1.0 if top == 0 else c <= top < 2 * c)
    D = as_data(X)
    assert D.norm2 == 0 if top == 0 else 1 <= D.norm2 < 4 * X.size
    assert np.array_equal(D.AtX(np.eye(len(X))) * D.scale, X)  # nothing is rounded


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("c", [1e-30, 1e30])
@pytest.mark.parametrize(
    "kind",
    [np.asarray, sp.csr_array, sp.coo_matrix, "weighted"],
    ids=["dense", "csr", "coo", "weighted"],
)
def test_extreme_scales(kind, c, dtype):
    X, A, S, _ = (v.astype(dtype) for v in example())
    make = (
        (lambda x: as_data(x, weights=weights()))
        if kind == "weighted"
        else (lambda x: as_data(kind(x)))
    )
    D, E = make(X), make(X * dtype(c))
    r, tol = E.scale / D.scale / c, 1e-5 if dtype is np.float32 else 1e-12
    assert np.isfinite(E.norm2) and E.norm2 * r * r == pytest.approx(D.norm2, rel=tol)
    assert deviation(E.AtX(A) * r, D.AtX(A)) <= tol and deviation(E.XSt(S) * r, D.XSt(S)) <= tol
    assert relative_error(E, A, S * dtype(1 / D.scale / r)) == pytest.approx(
        relative_error(D, A, S * dtype(1 / D.scale)), rel=tol
    )


def test_weights_and_data_of_opposite_scale_in_float32():
    X, A, S, _ = (v.astype(np.float32) for v in example())
    W = weights().astype(np.float32)
    D = as_data(X, weights=W)
    for cX, cW in ((1e-30, 1e-30), (1e30, 1e30)):
        E = as_data(X * np.float32(cX), weights=W * np.float32(cW))
        assert deviation(E.AtX(A) / cW * (E.scale / cX / D.scale), D.AtX(A)) <= 1e-5


@pytest.mark.parametrize(
    "kind", [np.asarray, sp.csr_array, "weighted"], ids=["dense", "csr", "weighted"]
)
@pytest.mark.parametrize("size", [1e-1, 1.1e-3, 1e-3, 1e-5, 1e-8, 1e-12, 0.0])
def test_the_error_is_exact_however_small(kind, size):
    rng = np.random.default_rng(3)
    A, S, E = rng.random((40, 4)), rng.random((4, 50)), rng.standard_normal((40, 50))
    X = A @ S + size * E
    W = np.ones_like(X) if kind != "weighted" else weights(shape=(40, 50))
    D = as_data(X, weights=W) if kind == "weighted" else as_data(kind(X))
    direct = math.sqrt((W * (X - A @ S) ** 2).sum() / (W * X**2).sum())
    assert relative_error(D, A, S / D.scale) == pytest.approx(direct, rel=1e-8, abs=1e-16)


@pytest.mark.parametrize("size", [1e-2, 2.1e-3, 1.5e-3, 1e-3, 1e-5])
def test_the_error_of_float32_data(size):
    rng = np.random.default_rng(3)
    A, S = rng.random((200, 8)), rng.random((8, 300))
    E = rng.standard_normal((200, 300))
    X = A @ S + size * E * np.linalg.norm(A @ S) / np.linalg.norm(E)
    A, S, X = (v.astype(np.float32) for v in (A, S, X))
    D, exact = as_data(X), X.astype(float) - A.astype(float) @ S.astype(float)
    assert relative_error(D, A, S / np.float32(D.scale)) == pytest.approx(
        np.linalg.norm(exact) / np.linalg.norm(X.astype(float)), rel=1e-3
    )


def test_the_error_of_zero_data():
    D = as_data(np.zeros((4, 5)))
    assert (
        D.scale == 1.0
        and D.norm2 == 0
        and relative_error(D, np.ones((4, 2)), np.zeros((2, 5))) == 0.0
    )


def test_a_data_matrix_passes_through():
    D = DataMatrix(np.ones((2, 2)))
    assert as_data(D) is D
