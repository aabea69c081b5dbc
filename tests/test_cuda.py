"""The CUDA kernels without a GPU: compiled for every architecture, emulated against the oracles,
searched for races, and called through a strict stand-in for CuPy with budgets on what crosses the
bus. What is marked `gpu` repeats the contracts on hardware, where there is some.
"""

import ctypes
import fnmatch
import importlib.util
import re
import subprocess
import warnings
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import standin
import zoo
from standin import traffic
from strategies import brute_force, brute_force_gram, integer_problem
from test_repository import settings

from nnmf_nb import DeepSemiNMF, SparseCodingNetwork, inspect, plot, verify
from nnmf_nb.chain._costs import ChainObjective, on_unit_columns, resolve_cost
from nnmf_nb.core._arrays import (
    DEGENERATE,
    NOT_CONVERGED,
    TIED,
    gram,
    has_cuda,
    to_device,
    to_numpy,
)
from nnmf_nb.core._data import as_data
from nnmf_nb.core._linalg import unit_columns
from nnmf_nb.evaluation.metrics import errors_per_depth
from nnmf_nb.layer import _cuda_kernels as cuda_kernels
from nnmf_nb.layer import _kl as kl
from nnmf_nb.layer import _nnls as layer
from nnmf_nb.layer._cuda_kernels import (
    expressions,
    in_chunks,
    launch_of,
    shared_bytes,
    source,
    variant,
)
from nnmf_nb.layer._nnls import (
    adjoint_gram,
    nnls,
    nnls_certified,
    nnls_vjp,
    solve_gram,
    unit_diagonal,
)
from nnmf_nb.solvers import extrapolation

matplotlib.use("Agg")
emulated = pytest.mark.skipif(bool(standin.no_compiler()), reason=standin.no_compiler() or "-")


@pytest.fixture
def stand_in(monkeypatch):
    if standin.no_compiler():
        pytest.skip(standin.no_compiler())
    standin.emulator()
    standin.install(monkeypatch)
    yield standin.asarray
    standin.uninstall()


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """A function that moves host arrays to the device: the stand-in's, and a real one where it
    exists.
    """
    if request.param == "stand-in":
        return request.getfixturevalue("stand_in")
    assert has_cuda()
    return lambda x: to_device(x, "cuda")


def cpu(function, *arguments, **named):
    """What the CPU engines answer."""
    return function(*arguments, **named)


def random_problem(seed, k, M, signed=False):
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if signed else rng.random
    A, X = draw((k + 8, k)), draw((k + 8, M))
    return (A.T @ A)[None], X.T @ A


def assert_same(found, expected, tol=1e-12):
    """The same supports and statuses, and values to rounding."""
    (S, status), (R, bits) = found, expected
    S, status = to_numpy(S), to_numpy(status)
    assert S.dtype == np.float64 and status.dtype == np.int64
    assert np.array_equal(S > 0, R > 0) and np.array_equal(status, bits)
    assert np.abs(S - R).max() <= tol * max(np.abs(R).max(), 1e-300)


# ----------------------------------------------------------------------- NVRTC: every instantiation


def nvrtc():
    """NVIDIA's run-time compiler from the wheel nvidia-cuda-nvrtc-cu12 (or -cu13, or a system
    library): it needs neither driver nor GPU.
    """
    spec = importlib.util.find_spec("nvidia")
    found = [
        path
        for place in (spec.submodule_search_locations if spec else ())
        for path in sorted(Path(place).rglob("libnvrtc.so.*"))
    ]
    for name in [*map(str, found), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    pytest.skip(
        "CUDA SOURCES NOT COMPILED: NVRTC is not installed "
        "(pip install 'nvidia-cuda-nvrtc-cu12>=12.8')"
    )


def compile_for(architecture):
    """(log, cubin) of all kernels; a success is kept in the folder for temporary files until source
    or compiler change.
    """
    library, version = nvrtc(), (ctypes.c_int * 2)()
    assert library.nvrtcVersion(ctypes.byref(version, 0), ctypes.byref(version, 4)) == 0
    kept = standin.kept("nvrtc", source(), architecture, [*version], expressions())
    if kept.exists():
        return "", kept.read_bytes()
    log, cubin = compile_now(library, architecture)
    if cubin and not log.strip("\0\n "):
        standin.write(kept, cubin)
    return log, cubin


def compile_now(library, architecture):
    program = ctypes.c_void_p()
    assert (
        library.nvrtcCreateProgram(
            ctypes.byref(program), source().encode(), b"nnls.cu", 0, None, None
        )
        == 0
    )
    for name in expressions():
        assert library.nvrtcAddNameExpression(program, name.encode()) == 0
    options = [b"--std=c++17", f"--gpu-architecture={architecture}".encode()]
    code, size = (
        library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        ),
        ctypes.c_size_t(),
    )
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    if code:
        return log.value.decode(), b""
    for name in expressions():
        lowered = ctypes.c_char_p()
        assert (
            library.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(lowered)) == 0
            and lowered.value
        ), name
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    library.nvrtcGetCUBIN(program, cubin)
    return log.value.decode(), cubin.raw


@pytest.mark.parametrize(
    "architecture",
    [
        "sm_90",
        *(
            pytest.param(older, marks=pytest.mark.exhaustive)
            for older in ("sm_75", "sm_80", "sm_100")
        ),
    ],
)
def test_every_kernel_compiles(architecture):
    log, cubin = compile_for(architecture)
    assert cubin.startswith(b"\x7fELF"), log
    assert "warning" not in log, log
    for kernel in ("solve_points", "adjoint_points"):
        assert cubin.count(b".text._Z" + f"{len(kernel)}{kernel}".encode()) >= 8


def test_a_mistake_in_the_source_would_be_seen(monkeypatch):
    monkeypatch.setitem(
        globals(), "source", lambda: cuda_kernels.source().replace("fabs(f[q])", "fabs(f[q]", 1)
    )
    log, cubin = compile_for("sm_90")
    assert not cubin and re.search(r"nnls\.cu\(\d+\): error", log)


def test_the_source_ships_with_the_package():
    assert any(
        fnmatch.fnmatch("layer/cuda/nnls.cu", pattern)
        for pattern in settings()["package_data"].split()
    ), "settings.ini: package_data lacks layer/cuda/*.cu"


# ------------------------------------------------------------------------------------ launch shapes


def test_each_k_has_the_smallest_variant():
    for k in range(1, 257):
        assert 32 * variant(k) >= k and not any(
            32 * q >= k for q in cuda_kernels.VARIANTS if q < variant(k)
        )
    assert variant(257) is None


LARGEST = {49152: 107, 65536: 125, 166912: 201, 232448: 238}


@pytest.mark.parametrize("limit", LARGEST)
def test_blocks_fit_into_shared_memory(limit):
    for k in range(1, 257):
        shape = launch_of(k, limit)
        if shape is None:
            assert shared_bytes(k) > limit
        else:
            assert shape.warps * shared_bytes(k) == shape.shared <= limit and 1 <= shape.warps <= (
                8 if k <= 128 else 1
            )  # as the source promises the compiler
    assert (
        launch_of(70, limit)
        and launch_of(257, limit) is None
        and [k for k in range(1, 257) if launch_of(k, limit)][-1] == LARGEST[limit]
    )
    assert (launch_of(128, limit) is None) == (limit < 70000)


def test_chunks_cover_all_points_in_order():
    for M, per_point, free in ((100, 8, 80), (7, 8, 0), (5, 8, 10**9), (1, 0, 1)):
        blocks = []
        in_chunks(blocks.append, M, per_point, free, None)
        assert [i for rows in blocks for i in range(rows.start, rows.stop)] == list(range(M))


def test_out_of_memory_halves_the_block_and_goes_on():
    seen, sizes, released = [], [], []

    def run(rows):
        if rows.stop - rows.start > 13:
            raise MemoryError
        seen.extend(range(rows.start, rows.stop))
        sizes.append(rows.stop - rows.start)

    in_chunks(run, 100, 1, 1000, lambda: released.append(1))
    assert seen == list(range(100)) and max(sizes) == 12 and len(released) == 3


def test_a_point_that_does_not_fit_raises():
    with pytest.raises(MemoryError):
        in_chunks(lambda rows: (_ for _ in ()).throw(MemoryError()), 9, 1, 1000, lambda: None)


# ------------------------------------------------------------------ the kernels against the oracles


@pytest.mark.parametrize("k", [*range(1, 41), 64, 65, 100, 129, 200])
def test_same_answer_as_the_cpu_kernels(device, k):
    G, F = random_problem(k, k, 4 if k <= 40 else 2 if k <= 100 else 1, signed=k % 2 == 0)
    expected = cpu(solve_gram, G, F)
    assert_same(solve_gram(device(G), device(F)), expected)
    assert_same(solve_gram(device(G), device(F), device(expected[0])), expected)


@pytest.mark.parametrize("seed", range(3))
def test_small_integer_problems_equal_brute_force(device, seed):
    """Ties, duplicate, collinear, summed and zero columns; all warps of a block have a Gram matrix
    of their own.
    """
    rng = np.random.default_rng(seed)
    by_k = {}
    for _ in range(150):
        A, x = integer_problem(rng)
        by_k.setdefault(A.shape[1], []).append((A, x))
    for problems in by_k.values():
        G, F = np.stack([A.T @ A for A, _ in problems]), np.stack([A.T @ x for A, x in problems])
        which = np.arange(len(F))
        S, status = solve_gram(device(G), device(F), gram_of=device(which))
        expected = cpu(solve_gram, G, F, gram_of=which)
        assert np.array_equal(to_numpy(status), expected[1])
        for (A, x), s in zip(problems, to_numpy(S)):
            assert s.min() >= 0 and ((x - A @ s) ** 2).sum() == pytest.approx(
                brute_force(A, x), abs=1e-10
            ), (A, x)
            used = A[:, s > 0]
            independent = not used.size or np.linalg.matrix_rank(used) == used.shape[1]
            assert independent, "the policy: independent columns only"


NEARLY = {
    angle: np.array(
        [
            [1, 0, np.cos(angle) / np.sqrt(2)],
            [0, 1, np.cos(angle) / np.sqrt(2)],
            [0, 0, np.sin(angle)],
        ]
    )
    for angle in (1e-2, 1e-4, 1e-6, 1e-9)
}


@pytest.mark.parametrize("angle", NEARLY)
def test_only_what_rounding_cannot_tell_from_dependent_is_called_so(device, angle):
    A = NEARLY[angle]
    found = solve_gram(device((A.T @ A)[None]), device(np.array([[1, 2, 0]]) @ A))
    assert bool(to_numpy(found[1])[0] & DEGENERATE) == (angle < 1e-8)


@pytest.mark.parametrize("k", [6, 40, 70, 130])
def test_problem_49157_of_the_fuzzer_is_not_unique(device, k):
    """Its sixth column depends on five of cond 100: the pivot is rounding, but of a size that once
    passed for independent. Also beside unused columns, for every variant.
    """
    A = np.zeros((5 + k - 6, k))
    A[:5, :6] = [
        [1, 1, 0, 3, 1, 1],
        [3, -1, 0, 1, -1, 3],
        [-1, 1, 1, 2, -1, -1],
        [2, 2, 2, 0, 0, -1],
        [-1, 3, 3, 1, -1, -1],
    ]
    A[5:, 6:] = np.eye(k - 6)
    x = np.concatenate([[1, 1, 1, 2, 3], -np.ones(k - 6)])
    assert (
        to_numpy(solve_gram(device((A.T @ A)[None]), device((x @ A)[None]))[1])[0]
        == TIED | DEGENERATE
    )


def test_a_warm_start_changes_nothing(device):
    """Not at unique points and not at degenerate ones."""
    rng = np.random.default_rng(4)
    A = rng.integers(0, 3, (9, 7)).astype(float)
    A[:, 5], A[:, 6] = A[:, 1], 0.0
    G, F = (A.T @ A)[None], rng.integers(0, 4, (40, 9)) @ A
    cold = solve_gram(device(G), device(F))
    assert (to_numpy(cold[1]) & DEGENERATE).any()
    for S0 in (np.zeros(F.shape), np.ones(F.shape), rng.integers(0, 2, F.shape).astype(float)):
        before = S0.copy()
        warm = solve_gram(device(G), device(F), device(S0))
        assert np.allclose(
            to_numpy(warm[0]), to_numpy(cold[0]), rtol=0, atol=1e-12
        ) and np.array_equal(to_numpy(warm[1]), to_numpy(cold[1]))
        assert np.array_equal(S0, before)


def degenerate_inputs():
    rng = np.random.default_rng(7)
    A = rng.random((12, 8))
    yield "all zero", np.zeros((12, 8)), rng.random((12, 5))
    yield "zero data", A, np.zeros((12, 5))
    yield "one column thrice", np.hstack([A[:, :1]] * 3), rng.random((12, 5))
    yield "zero column", np.hstack([A, np.zeros((12, 1))]), rng.random((12, 5))
    yield "one row", rng.random((1, 6)), rng.random((1, 5))
    yield (
        "more columns than rows, 40 of them",
        rng.standard_normal((15, 40)),
        rng.standard_normal((15, 5)),
    )
    yield "range 1e24", 10.0 ** rng.uniform(-12, 12, (20, 9)), 10.0 ** rng.uniform(-12, 12, (20, 5))
    yield "Vandermonde, condition 1e8", np.vander(np.linspace(0, 1, 50), 12), rng.random((50, 5))
    yield (
        "one hot",
        np.eye(12)[:, rng.integers(12, size=20)],
        np.eye(12)[:, rng.integers(12, size=9)],
    )


DEGENERATES = {name: (A, X) for name, A, X in degenerate_inputs()}


@pytest.mark.parametrize("name", DEGENERATES)
def test_degenerate_inputs(device, name):
    A, X = DEGENERATES[name]
    S, status, kkt = (to_numpy(v) for v in nnls_certified(device(A), device(X)))
    expected = cpu(nnls_certified, A, X)
    assert (
        np.isfinite(S).all()
        and S.min() >= 0
        and kkt.max() <= 1e-10
        and np.array_equal(status, expected.status)
    )


def test_float32_is_solved_in_double(device):
    """The kernel reads float32 and computes in float64: what rounding remains is that of its
    input.
    """
    for k in (5, 37):
        G, F = random_problem(k, k, 5)
        F, S0 = F.astype(np.float32), np.ones(F.shape, np.float32)
        expected = cpu(solve_gram, G, F.astype(float))
        assert_same(solve_gram(device(G), device(F)), expected)
        assert_same(solve_gram(device(G), device(F), device(S0)), expected)


@pytest.mark.parametrize("k", [1, 6, 31, 32, 33, 40, 70, 150])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_masked_solve(device, k, dtype):
    """Z = G[P, P]^-1 u[P], zero elsewhere, for any supports: empty, full, with dependent
    columns.
    """
    rng = np.random.default_rng(k)
    A = rng.random((k + 5, k))
    if k > 5:
        A[:, 3], A[:, 4] = A[:, 1], 0.0
    S, U = (
        (rng.random((4, k)) * (rng.random((4, k)) < 0.5)).astype(dtype),
        rng.standard_normal((4, k)).astype(dtype),
    )
    S[0], S[1] = 0, 1
    Z = to_numpy(adjoint_gram(device((A.T @ A)[None]), device(S), device(U)))
    expected = cpu(adjoint_gram, (A.T @ A)[None], S, U)
    assert (
        Z.dtype == np.float64
        and np.array_equal(Z != 0, expected != 0)
        and np.allclose(Z, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    )


@emulated
def test_the_active_set_method_equals_brute_force():
    """By itself: block pivoting leaves it next to nothing to do."""
    rng, run = np.random.default_rng(21), standin.emulator().active_set_alone
    for _ in range(250):
        A, x = integer_problem(rng)
        (G,), (d,) = unit_diagonal((A.T @ A)[None])
        f, k = (A.T @ x) * d, len(d)
        s, done, G = np.empty(k), np.zeros(1, np.int32), np.ascontiguousarray(G)
        run(
            ctypes.c_size_t(shared_bytes(k)),
            *(ctypes.c_void_p(v.ctypes.data) for v in (G, f, s, done)),
            ctypes.c_int(k),
            ctypes.c_int(1),
        )
        assert (
            done[0]
            and s.min() >= 0
            and 0.5 * s @ G @ s - f @ s == pytest.approx(brute_force_gram(G, f), abs=1e-10)
        ), (A, x)


# ------------------------------------------------------------------------------ through the package


def test_points_in_blocks_of_free_memory(stand_in, monkeypatch):
    G, F = random_problem(0, 5, 50)
    expected = cpu(solve_gram, G, F)
    # not in the order that a kernel reads, so blocks are copied
    turned = standin.view(np.asfortranarray(F))
    assert_same(solve_gram(stand_in(G), turned), expected)
    assert traffic.kernels == 1
    monkeypatch.setattr(standin.memory, "free", 20 * 88)  # half of it, and 88 bytes a point
    assert_same(solve_gram(stand_in(G), turned), expected)
    assert traffic.kernels == 1 + 5


def test_out_of_memory_on_the_device(stand_in, monkeypatch):
    G, F = random_problem(0, 5, 50)
    expected, G, turned, S0 = (
        cpu(solve_gram, G, F),
        stand_in(G),
        standin.view(np.asfortranarray(F)),
        standin.view(np.ones((5, 50)).T),
    )
    monkeypatch.setattr(standin.memory, "limit", 600)  # bytes: fifteen points of five float64
    assert_same(solve_gram(G, turned, S0), expected)
    assert traffic.kernels == 5  # 50 and 25 points do not fit, 12 do


@pytest.mark.parametrize("kind", ["dense", "weighted"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nnls_and_its_derivative(device, kind, dtype):
    rng = np.random.default_rng(1)
    A, X, dS = (rng.random(shape).astype(dtype) for shape in ((20, 5), (20, 12), (5, 12)))
    more = {} if kind == "dense" else {"weights": rng.integers(0, 3, X.shape).astype(dtype)}
    moved = {name: device(w) for name, w in more.items()}
    S = nnls(device(A), device(X), **moved)
    R = cpu(nnls, A, X, **more)
    tol = 1e-10 if dtype == np.float64 else 1e-4
    assert to_numpy(S).dtype == dtype and np.allclose(to_numpy(S), R, rtol=0, atol=tol * R.max())
    found, expected = (
        nnls_vjp(device(A), device(X), device(R), device(dS), **moved),
        cpu(nnls_vjp, A, X, R, dS, **more),
    )
    for a, b in ((found.A, expected.A), (found.X, expected.X)):
        assert np.allclose(to_numpy(a), b, rtol=0, atol=tol * np.abs(b).max())


@pytest.mark.parametrize("on_host", ["A", "X"])
def test_arrays_of_two_libraries_are_refused(device, on_host):
    given = {
        name: F if name == on_host else device(F)
        for name, F in dict(A=np.ones((3, 2)), X=np.ones((3, 4))).items()
    }
    with pytest.raises(TypeError, match="Cannot work on cupy.ndarray, numpy.ndarray together"):
        nnls(**given)


def test_large_k_goes_the_portable_way(stand_in):
    """On a device with little shared memory k = 70 does, too."""
    for k, shared in ((239, 232448), (70, 16384)):
        standin.memory.shared = shared
        cuda_kernels.shared_limit.cache_clear()
        G, F = random_problem(0, k, 2)
        assert not cuda_kernels.takes(stand_in(F))
        traffic.reset()
        assert_same(solve_gram(stand_in(G), stand_in(F)), cpu(solve_gram, G, F))
        assert traffic.syncs > 3


def test_more_than_48_kb_are_asked_for(stand_in):
    G, F = random_problem(0, 128, 1)
    assert launch_of(128, 232448).shared > 49152
    assert_same(solve_gram(stand_in(G), stand_in(F)), cpu(solve_gram, G, F))


def test_kernels_that_do_not_compile_are_told_once_and_replaced(stand_in, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no NVRTC")

    monkeypatch.setattr(standin.namespace, "RawModule", broken)
    G, F = random_problem(0, 4, 6)
    with pytest.warns(RuntimeWarning, match="no NVRTC"):
        found = solve_gram(stand_in(G), stand_in(F))
    assert_same(found, cpu(solve_gram, G, F))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve_gram(stand_in(G), stand_in(F))


def test_host_arrays_never_ask_for_cupy(monkeypatch):
    monkeypatch.setattr(cuda_kernels, "cupy", lambda: pytest.fail("CuPy was asked for"))
    nnls(*(np.random.default_rng(0).random(shape) for shape in ((5, 2), (5, 3))))


# -------------------------------------------------------------------------------------- every model

DOORS = {
    "transform": lambda model, X, mask: model.transform(X, **mask),
    "inverse_transform": lambda model, X, mask: model.inverse_transform(model.transform(X)),
    "score": lambda model, X, mask: (
        model.score(X)
        if hasattr(model, "score") and not isinstance(model, SparseCodingNetwork)
        else None
    ),
    "predict": lambda model, X, mask: model.predict(X) if hasattr(model, "predict") else None,
    "verify": lambda model, X, mask: verify(model, X, **mask),
    "certificate_": lambda model, X, mask: (
        str(model.certificate_) if hasattr(type(model), "certificate_") else None
    ),
    "repr": lambda model, X, mask: model._repr_mimebundle_(),
}
LAYERED = {
    "inspect": lambda model, X: inspect(model, X),
    "topics": lambda model, X: (model.topics(), model.tree(), model.summary()),
    "errors_per_depth": lambda model, X: errors_per_depth(model, X),
    "plot_reconstructions": lambda model, X: plot.plot_reconstructions(model, X),
    "plot_topics": lambda model, X: plot.plot_topics(model, X=X),
    "plot_over_time": lambda model, X: plot.plot_over_time(model, 0, np.arange(X.shape[0]), X=X),
    "plot_paths": lambda model, X: plot.plot_paths(model, 0, X=X),
    "plot_tree": lambda model, X: plot.plot_tree(model),
    "plot_errors": lambda model, X: plot.plot_errors([model]),
}


@pytest.mark.parametrize("name", zoo.one_of_each(zoo.ZOO))
def test_every_model_takes_what_lives_on_the_device(device, name, monkeypatch):
    """The same error as the portable code on the host, through every door; a mask and labels may
    stay on the host.
    """
    monkeypatch.setattr(layer, "cpu_kernels", lambda: None)
    monkeypatch.setattr(kl, "_collected", lambda X: None)  # counts: Newton steps, as on a device
    monkeypatch.setattr(extrapolation, "_exact_is_faster", lambda A, n_sweeps: True)
    X = zoo.planted(18, 11, 3)
    moved = device(X)  # held until the end: certificate_ reads it again
    here, there = zoo.fit(name, X, max_iter=25), zoo.fit(name, moved, max_iter=25)
    for door in DOORS.values():
        door(there, moved, {})
    if hasattr(there, "layers_") and not isinstance(there, DeepSemiNMF):
        for door in LAYERED.values():
            door(there, moved)
    plt.close("all")
    if name in zoo.MASKED:
        mask = dict(mask=np.random.default_rng(1).random(X.shape) < 0.9)
        masked = zoo.fit(name, moved, extra=mask, max_iter=5)
        for door in ("transform", "verify"):
            DOORS[door](masked, moved, mask)
    R, expected = (
        to_numpy(model.inverse_transform(model.transform(data)))
        for model, data in ((there, moved), (here, X))
    )
    assert np.linalg.norm(X - R) == pytest.approx(np.linalg.norm(X - expected), rel=1e-4)


# ------------------------------------------------------------------------------------------ budgets


def chain(depth, dtype, N=25, M=60):
    rng = np.random.default_rng(0)
    ranks = (6, 4, 3, 2)[:depth]
    A = [unit_columns(rng.random(shape)).astype(dtype) for shape in zip((N, *ranks), ranks)]
    return (rng.random((N, 4)) @ rng.random((4, M)) + 0.2 * rng.random((N, M))).astype(dtype), A


@pytest.mark.each_value_once
@pytest.mark.parametrize("cost", ["every", "last", "energy"])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize(
    "kind, dtype", [("dense", np.float64), ("dense", np.float32), ("weighted", np.float64)]
)
def test_a_gradient_of_neural_nmf_and_its_budget(device, cost, depth, kind, dtype):
    """At most 3 host synchronizations and no transfer larger than k x k; the same value and
    gradients as on the host.
    """
    X, A = chain(depth, dtype)
    weights = (
        None if kind == "dense" else np.random.default_rng(1).integers(0, 3, X.shape).astype(dtype)
    )
    expected = cpu(ChainObjective(as_data(X, weights=weights), resolve_cost(cost)), A)
    there = as_data(device(X), weights=None if weights is None else device(weights))
    objective, moved = ChainObjective(there, resolve_cost(cost)), [device(a) for a in A]
    objective(moved)  # cold: ||X||^2 and equal columns of weights are found, once for all
    traffic.reset()
    value, gradients, _ = objective(moved)  # warm, as in training
    if device is standin.asarray:
        k = max(a.shape[1] for a in A)
        assert (
            traffic.syncs <= 3 and max(traffic.to_host + traffic.to_device, default=0) <= 8 * k * k
        )
        assert traffic.syncs == (2 if cost == "energy" and depth > 1 else 1), (
            "the value of the cost, and nothing else"
        )
    tol = 1e-10 if dtype == np.float64 else 1e-3
    assert value == pytest.approx(expected[0], rel=tol, abs=tol)
    for a, g in zip(gradients, expected[1]):
        assert to_numpy(a).dtype == dtype and np.allclose(
            to_numpy(a), g, rtol=0, atol=tol * np.abs(g).max()
        )


def test_unit_columns_cost_no_synchronization(stand_in):
    """What training evaluates: the chain on unit columns."""
    X, A = chain(3, np.float64)
    objective, moved = (
        on_unit_columns(ChainObjective(as_data(stand_in(X)), resolve_cost("every"))),
        [stand_in(a) for a in A],
    )
    objective(moved)
    traffic.reset()
    objective(moved)
    assert traffic.syncs == 1 and traffic.launches < 100 * len(A)


def test_the_budget_would_notice_the_portable_engine(stand_in, monkeypatch):
    monkeypatch.setattr(cuda_kernels, "takes", lambda x: False)
    X, A = chain(2, np.float64)
    objective, moved = (
        ChainObjective(as_data(stand_in(X)), resolve_cost("every")),
        [stand_in(a) for a in A],
    )
    objective(moved)
    traffic.reset()
    objective(moved)
    assert traffic.syncs > 3


MISTAKES = {
    "NumPy function of a device array": lambda x: np.maximum(x, 0),
    "host array in an expression": lambda x: x * np.ones(3),
    "host array on the left": lambda x: np.ones(3) * x,
    "host array as an index": lambda x: x[np.array([0])],
    "written from the host": lambda x: x.__setitem__(0, np.ones(3)),
    "written at integer indices": lambda x: x.__setitem__(standin.asarray([0, 0]), 1.0),
    "a function that CuPy handles otherwise": lambda x: standin.namespace.linalg.cholesky(x),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_stand_in_refuses(stand_in, name):
    with pytest.raises((TypeError, AssertionError, AttributeError)):
        MISTAKES[name](stand_in(np.eye(3)))


def test_the_stand_in_counts(stand_in):
    x = stand_in(np.eye(3))
    assert (traffic.syncs, traffic.to_device) == (0, [72])
    float(standin.namespace.sum(x))
    assert (traffic.syncs, traffic.to_host) == (1, [8])
    assert not (x > 2).get().any() and (traffic.syncs, traffic.to_host) == (2, [8, 9])
    x[x > 0.5]
    standin.namespace.nonzero(x)
    assert traffic.syncs == 4


@emulated
def test_the_stand_in_checks_what_a_kernel_is_given(stand_in):
    kernel = standin.RawKernel("adjoint_points<double, 1>")
    x, which, sizes = (
        standin.view(np.eye(2)),
        stand_in(np.zeros(2, np.int64)),
        (np.int32(2), np.int64(2), np.int32(1)),
    )
    kernel((1,), (32,), (x, x, which, x, x, x, *sizes), shared_mem=shared_bytes(2))
    for wrong in (
        (x, x, which, x, x, x, 2, 2, 1),
        (x, x, x, x, x, x, *sizes),
        (x, x, which, x, x, *sizes),
    ):
        with pytest.raises((AssertionError, AttributeError)):
            kernel((1,), (32,), wrong, shared_mem=shared_bytes(2))
    with pytest.raises(AssertionError):
        kernel(
            (1,),
            (32,),
            (x, x, which, x, x, standin.namespace.zeros((2, 3))[:, :2], *sizes),
            shared_mem=shared_bytes(2),
        )
    with pytest.raises(AssertionError):
        kernel((1,), (32,), (x, x, which, x, x, x, *sizes), shared_mem=50000)


# -------------------------------------------------------------------------------------------- races


def race(line):
    """Two warps of real threads under ThreadSanitizer, with the __syncwarp of a line left out (0:
    none).
    """
    run = [str(standin.build(*standin.THREADS)), str(line)]
    # With many random bits in addresses ThreadSanitizer finds its own memory taken; setarch -R
    # turns them off.
    return subprocess.run(["setarch", "-R", *run], capture_output=True, text=True, timeout=120)


BARRIERS = [n for n, text in enumerate(source().splitlines(), 1) if "__syncwarp();" in text]


@emulated
def test_no_races():
    done = race(0)
    if "unexpected memory mapping" in done.stderr or "setarch" in done.stderr:
        pytest.skip(f"RACES NOT SEARCHED: {done.stderr[:200]}")
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr[:4000]


def test_there_are_barriers():
    assert len(BARRIERS) >= 4


@pytest.mark.exhaustive  # that the search finds no race is not
@emulated
@pytest.mark.parametrize("line", BARRIERS)
def test_a_deleted_barrier_is_caught(line):
    done = race(line)
    if "unexpected memory mapping" in done.stderr or "setarch" in done.stderr:
        pytest.skip(f"RACES NOT SEARCHED: {done.stderr[:200]}")
    assert done.returncode != 0 and re.search(
        r"ThreadSanitizer: data race|emulator: ", done.stderr
    ), "the kernels do not need this barrier, or nobody would notice"


# --------------------------------------------------------------------------------- on hardware only


@pytest.fixture
def benchmark():
    spec = importlib.util.spec_from_file_location(
        "benchmark_gpu", Path(__file__).parent.parent / "benchmarks" / "gpu.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_is_ready(stand_in, benchmark):
    """Its code, on tiny problems under the emulator: the numbers mean nothing, and are not written
    anywhere.
    """
    text = benchmark.layer(stand_in, lambda: None, ks=(3,), Ms=(5,)) + benchmark.gradient(
        stand_in, lambda: None, shapes=((12, 6, (3, 2)),)
    )
    assert text.count("float32") == text.count("float64") == 2
    assert float(re.search(r"3 \| 5 \| float64 .* (\S+) \|", text)[1]) < 1e-12


def test_without_a_gpu_the_benchmark_writes_nothing(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "has_cuda", lambda: False)
    monkeypatch.setattr(benchmark, "RESULTS", None)
    benchmark.main()
    assert "Nothing was measured" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [9, 20, 50, 100, 128, 200])
def test_many_points_on_a_gpu(k, dtype):
    rng = np.random.default_rng(k)
    A, X = rng.random((2 * k, k)).astype(dtype), rng.random((2 * k, 20_000)).astype(dtype)
    S, status = solve_gram(to_device(gram(A)[None], "cuda"), to_device(X.T @ A, "cuda"))
    expected = cpu(solve_gram, gram(A)[None], X.T @ A)
    assert (to_numpy(status) < NOT_CONVERGED).all() and np.abs(
        to_numpy(S) - expected[0]
    ).max() <= 1e-9 * expected[0].max()
    assert (to_numpy(S > 0) != (expected[0] > 0)).mean() < 1e-5


@pytest.mark.gpu
def test_the_kernels_are_what_answers_on_a_gpu(monkeypatch):
    monkeypatch.setattr(layer, "_solve_stacks", lambda *a: pytest.fail("the portable engine"))
    G, F = random_problem(0, 20, 100)
    assert_same(solve_gram(to_device(G, "cuda"), to_device(F, "cuda")), cpu(solve_gram, G, F))
