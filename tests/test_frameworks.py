"""Tensors of PyTorch and JAX (BB): the recipes of the tutorial, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from nnmf_nb import NMF, HierarchicalNMF, nnls, nnls_vjp
from nnmf_nb.core._arrays import to_numpy

PAGE = Path(__file__).resolve().parent.parent / "nbs" / "tutorials" / "10_torch_and_jax.ipynb"
RNG = np.random.default_rng(1)
A, X, G = RNG.random((7, 3)), RNG.random((7, 6)), RNG.standard_normal((3, 6))


def recipe(name):
    """The function of that name from the tutorial."""
    cells = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
    source = next(s for s in ("".join(c["source"]) for c in cells) if s.startswith(f"def {name}("))
    space = {"np": np, "nnls": nnls, "nnls_vjp": nnls_vjp}
    exec(source, space)
    return space[name]()


def test_the_recipe_for_torch():
    """BB: values, gradcheck of PyTorch itself, float32, and a layer under another one."""
    torch = pytest.importorskip("torch")
    layer = recipe("torch_nnls")
    a, x = (torch.tensor(one, requires_grad=True) for one in (A, X))
    np.testing.assert_array_equal(layer(a, x).detach().numpy(), nnls(A, X))
    assert torch.autograd.gradcheck(layer, (a, x), eps=1e-6, atol=1e-5)
    (torch.tensor(G) * layer(a, torch.relu(x))).sum().backward()
    expected = nnls_vjp(A, X, nnls(A, X), G)
    np.testing.assert_allclose(a.grad, expected.A)
    np.testing.assert_allclose(x.grad, expected.X)
    assert layer(a.detach().float(), x.detach().float()).dtype == torch.float32


def test_the_recipe_for_jax():
    """BB: values and gradients, with and without jit, and a layer under another one."""
    jax = pytest.importorskip("jax")
    layer = recipe("jax_nnls")
    with jax.enable_x64(True):
        np.testing.assert_array_equal(layer(A, X), nnls(A, X))
        slope = jax.grad(lambda A, X: (G * layer(A, jax.numpy.abs(X))).sum(), argnums=(0, 1))
        expected = nnls_vjp(A, X, nnls(A, X), G)
        for found in (slope(A, X), jax.jit(slope)(A, X)):
            np.testing.assert_allclose(found[0], expected.A)
            np.testing.assert_allclose(found[1], expected.X)


def test_arrays_of_jax_are_refused_with_words():
    """BB: in every door, before any work, with what to give instead."""
    jnp = pytest.importorskip("jax.numpy")
    a, x = jnp.asarray(A), jnp.asarray(X)
    model = NMF(2, random_state=0).fit(X)
    doors = [
        lambda: nnls(a, x),
        lambda: nnls(A, x),
        lambda: nnls(a, X),
        lambda: NMF(2).fit(x),
        lambda: HierarchicalNMF((3, 2)).fit(x),
        lambda: model.transform(x),
    ]
    for door in doors:
        with pytest.raises(TypeError, match=r"is an array of JAX.*numpy\.asarray"):
            door()


def test_tensors_of_torch():
    """BB: tensors in, tensors out, the numbers of NumPy; gradients are not lost silently."""
    torch = pytest.importorskip("torch")
    a, x = torch.tensor(A), torch.tensor(X)
    np.testing.assert_allclose(to_numpy(nnls(a, x)), nnls(A, X), atol=1e-12)
    model, other = NMF(2, random_state=0).fit(X), NMF(2, random_state=0).fit(x)
    np.testing.assert_allclose(to_numpy(model.transform(x)), model.transform(X), atol=1e-10)
    assert isinstance(other.transform(x), torch.Tensor)
    # no compiled kernels, other first steps: another path to a point as good
    assert other.reconstruction_err_ == pytest.approx(model.reconstruction_err_, rel=0.01)
    with pytest.raises(TypeError, match="arrays of one library"):
        nnls(A, x)
    for door in (lambda: nnls(a, x.requires_grad_()), lambda: NMF(2).fit(x.requires_grad_())):
        with pytest.raises(TypeError, match=r"tracks gradients.*give X\.detach\(\)"):
            door()
