"""Namespaces, devices, dtypes, host randomness."""

import numpy as np
import pytest
import scipy.sparse as sp

import nnmf_nb.core._arrays as backend
from nnmf_nb.core._arrays import (
    asarray,
    double,
    floating,
    gram,
    has_cuda,
    host_rng,
    inner,
    namespace,
    to_device,
    to_numpy,
)


def test_namespace_follows_the_array(xp_device):
    x = xp_device.asarray([[1.0, 2.0]])
    assert namespace(x).__name__.split(".")[-1] in xp_device.xp.__name__
    assert namespace(x, None, x) is namespace(x) and namespace(None, x) is namespace(x)


def test_namespace_of_numpy_is_one_object():
    assert namespace(np.ones(1)) is namespace(np.zeros((2, 2)), np.ones(3, np.float32))


@pytest.mark.parametrize(
    "other", ["text", [1.0], sp.csr_array((2, 2))], ids=["text", "list", "sparse"]
)
def test_namespace_refuses_what_is_no_array(other):
    with pytest.raises(
        TypeError, match="Cannot work on .* together: give all arguments as arrays of one library"
    ):
        namespace(np.ones(3), other)


def test_namespace_refuses_two_libraries(xp_device):
    x = xp_device.asarray([1.0])
    if isinstance(x, np.ndarray):
        pytest.skip("one library")
    with pytest.raises(TypeError, match="arrays of one library"):
        namespace(np.ones(1), x)


def test_the_two_crossings_are_inverse(xp_device):
    x = np.arange(6.0).reshape(2, 3)
    there = asarray(x, like=xp_device.asarray([0.0]))
    assert there.dtype == xp_device.dtype and there.device == xp_device.asarray([0.0]).device
    back = to_numpy(there)
    assert type(back) is np.ndarray and np.array_equal(back, x)
    assert str(asarray(x, like=there, dtype=namespace(there).int64).dtype).endswith("int64")


def test_to_numpy_does_not_copy_and_keeps_sparse():
    x, s = np.ones(3), sp.csr_array((2, 2))
    assert to_numpy(x) is x and to_numpy(s) is s and np.array_equal(to_numpy([1, 2]), [1, 2])


def test_to_device():
    x = np.ones(2)
    assert to_device(x) is x and to_device(x, "cpu") is x
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or 'cuda', got 'gpu'"):
        to_device(x, "gpu")


def test_cuda_without_a_device_says_what_to_install(monkeypatch):
    monkeypatch.setattr(backend, "has_cuda", lambda: False)
    with pytest.raises(
        ValueError, match=r"device='cuda' needs CuPy.*nnmf_nb\[gpu12\].*device='cpu'"
    ):
        to_device(np.ones(2), "cuda")


def test_has_cuda_never_raises():
    assert has_cuda() in (True, False)


@pytest.mark.parametrize(
    "given, kept",
    [
        ("bool", "float64"),
        ("int8", "float64"),
        ("uint64", "float64"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("longdouble", "float64"),
    ],
)
def test_floating(given, kept):
    x = np.ones((2, 2), dtype=given)
    assert floating(x).dtype == kept and (floating(x) is x) == (given == kept)
    if given not in ("float16", "longdouble"):
        assert floating(sp.csr_array(x)).dtype == kept


@pytest.mark.parametrize(
    "bad",
    [
        np.ones(2, complex),
        np.array(["a"]),
        np.array([1, None], dtype=object),
        np.array(["2020"], dtype="datetime64[D]"),
    ],
)
def test_floating_refuses_what_is_not_a_number(bad):
    with pytest.raises(TypeError, match="Y has dtype .*; give real numbers"):
        floating(bad, "Y")


def test_floating_in_every_namespace(xp_device):
    xp = xp_device.xp
    for dtype in (xp.bool, xp.int32, xp.uint8):
        assert (
            floating(xp.asarray([0, 1], dtype=dtype, device=xp_device.device)).dtype == xp.float64
        )
    x = xp_device.asarray([1.0])
    assert floating(x) is x and double(x).dtype == xp.float64
    with pytest.raises(TypeError, match="real numbers"):
        floating(xp.asarray([1j], device=xp_device.device))


def test_gram_and_inner_accumulate_in_double(xp_device):
    x = xp_device.asarray([[0.1]] * 10_000)
    exact = 10_000 * float(to_numpy(x)[0, 0]) ** 2
    assert gram(x).dtype == xp_device.xp.float64 and float(gram(x)[0, 0]) == pytest.approx(
        exact, rel=1e-13
    )
    assert isinstance(inner(x, x), float) and inner(x, x) == pytest.approx(exact, rel=1e-13)
    assert gram(x, x[:, :0]).shape == (1, 0)


def test_host_rng():
    g = np.random.default_rng(0)
    assert host_rng(g) is g
    assert np.array_equal(host_rng(3).random(4), host_rng(np.int64(3)).random(4))
    assert np.array_equal(
        host_rng(np.random.RandomState(3)).random(4), host_rng(np.random.RandomState(3)).random(4)
    )
    assert not np.array_equal(host_rng(None).random(4), host_rng(None).random(4))
    for bad in ("0", 1.5, [1]):
        with pytest.raises(
            ValueError, match="random_state must be None, an integer or a NumPy random generator"
        ):
            host_rng(bad)


def test_host_rng_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    for state in (None, 0, np.random.RandomState(0), np.random.default_rng(0)):
        host_rng(state).random(3)
    assert np.array_equal(np.random.get_state()[1], before)
