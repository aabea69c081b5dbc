"""A strict stand-in for CuPy over NumPy, and the emulator that runs its kernels: for machines
without a GPU.

It refuses what CuPy refuses (host arrays in device expressions, arguments of the wrong type),
promises no more than CuPy promises (memory order), and counts what costs time on a GPU and nothing
here: launches, host synchronizations and transfers. Where CuPy is installed, every call is also
bound against its real signature, which needs no GPU. `RawModule` runs the CUDA source under
tests/emulator/emulator.h. It is not CuPy: streams, cuBLAS, device rounding and speed are beyond it.
Nothing that passes here has been "tested on a GPU".
"""

import ctypes
import functools
import hashlib
import inspect
import operator
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import array_api_compat
import array_api_compat.numpy as plain
import numpy as np

from nnmf_nb.core._arrays import has_cuda
from nnmf_nb.layer import _cuda_kernels as cuda_kernels

# ------------------------------------------------------------------------------------- the emulator

FOLDER = Path(__file__).parent / "emulator"
THREADS = ("-O1", "-g", "-fsanitize=thread", "-DEMULATE_THREADS")
FIBRES = ("-O2", "-shared", "-fPIC")


def no_compiler():
    """Why the emulator cannot be built, or ''. (Its barriers count on the memory order of x86-64,
    its fibres on ucontext.)
    """
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        return "EMULATOR NOT RUN: it needs Linux on x86-64"
    return "" if shutil.which("g++") else "EMULATOR NOT RUN: there is no g++"


def kept(name, *made_from):
    """Where in the folder for temporary files a result is kept that depends on `made_from` and on
    nothing else.
    """
    folder = Path(tempfile.gettempdir()) / f"nnmf_nb-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid(), f"{folder} belongs to somebody else"
    return folder / f"{name}-{hashlib.sha256(repr(made_from).encode()).hexdigest()[:20]}"


def write(path, content):
    """Put `content` there at once: two test processes may do so at the same time."""
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(content)
    fresh.chmod(0o700)
    fresh.replace(path)


@functools.cache
def build(*flags):
    """Path of tests/emulator/library.cpp compiled with `flags`."""
    source = Path(str(cuda_kernels.files("nnmf_nb.layer") / "cuda" / "nnls.cu"))
    compiler = subprocess.run(["g++", "-v"], capture_output=True).stderr
    target = kept(
        "emulator", compiler, flags, *(p.read_bytes() for p in (source, *sorted(FOLDER.glob("*"))))
    )
    if not target.exists():
        with tempfile.TemporaryDirectory() as folder:
            command = [
                "g++",
                "-std=c++20",
                *flags,
                f"-I{source.parent}",
                f"-I{FOLDER}",
                str(FOLDER / "library.cpp"),
                "-o",
                f"{folder}/built",
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            write(target, Path(folder, "built").read_bytes())
    return target


@functools.cache
def emulator():
    library = ctypes.CDLL(str(build(*FIBRES)))
    library.signature.restype = ctypes.c_char_p
    library.launch.argtypes = [
        ctypes.c_char_p,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    return library


# -------------------------------------------------------------------------------------- the traffic


class Traffic:
    """What has been counted since the last `reset`: launches (of which our own kernels),
    synchronizations, and the bytes of every transfer.
    """

    def reset(self):
        self.launches, self.kernels, self.syncs, self.to_host, self.to_device = 0, 0, 0, [], []

    __init__ = reset

    def read(self, nbytes):
        self.syncs += 1
        self.to_host.append(nbytes)


traffic = Traffic()
# bytes; `limit`: the largest allocation that succeeds
memory = SimpleNamespace(free=1 << 30, limit=None, shared=232448)
coin = SimpleNamespace(rng=np.random.default_rng(0))

# ---------------------------------------------------------------------------------------- the array


class ndarray:
    """Looks like cupy.ndarray: nothing gets out but by `get` and the conversions of a single
    number, and both are counted.

    Like CuPy's it has no `__array_namespace__`: array-api-compat knows it by its class.
    """

    __module__ = "cupy"
    __array_ufunc__ = None
    __hash__ = None
    device = SimpleNamespace(id=0)

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def get(self):
        traffic.read(self.a.nbytes)
        return self.a.copy()

    def item(self):
        assert self.a.size == 1, "more than one number"
        traffic.read(self.a.itemsize)
        return self.a.item()

    def __len__(self):
        return len(self.a)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __index__(self):
        return operator.index(self.item())

    shape = property(lambda self: self.a.shape)
    ndim = property(lambda self: self.a.ndim)
    size = property(lambda self: self.a.size)
    dtype = property(lambda self: self.a.dtype)
    nbytes = property(lambda self: self.a.nbytes)
    T = property(lambda self: view(self.a.T))
    mT = property(lambda self: view(self.a.mT))

    def __getitem__(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        assert not any(isinstance(k, np.ndarray | list) for k in keys), (
            "a host array as an index is copied to the device silently"
        )
        # the size of the result is read back
        if any(isinstance(k, ndarray) and k.dtype == bool for k in keys):
            traffic.syncs += 1
        found = self.a[tuple(k.a if isinstance(k, ndarray) else k for k in keys)]
        return (
            fresh(found) if any(isinstance(k, ndarray) for k in keys) else view(np.asarray(found))
        )

    def __setitem__(self, key, value):
        keys = key if isinstance(key, tuple) else (key,)
        assert not any(isinstance(k, ndarray) and k.dtype != bool for k in keys), (
            "integer indices: what duplicates leave is undefined"
        )
        traffic.launches += 1
        self.a[tuple(k.a if isinstance(k, ndarray) else k for k in keys)] = host(value)


def view(a):
    """`a` on the "device", sharing its memory."""
    x = ndarray.__new__(ndarray)
    x.a = a
    return x


def fresh(a):
    """A new result on the "device". CuPy does not promise an order of memory, so a coin decides."""
    if memory.limit is not None and a.nbytes > memory.limit:
        raise MemoryError("stand-in: the device is full")
    a = np.asarray(a)
    return view(
        np.asfortranarray(a)
        if a.ndim > 1 and coin.rng.random() < 0.5
        else np.ascontiguousarray(a).reshape(a.shape)
    )


def host(x):
    """The NumPy values behind `x`, for the stand-in's own use: not counted. Host arrays are
    refused, as CuPy refuses them.
    """
    if isinstance(x, ndarray):
        return x.a
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return type(x)(host(v) for v in x) if isinstance(x, list | tuple) else x


def on_device(function):
    """`function` of NumPy as a launch."""

    def launch(*args, **kwargs):
        kwargs.pop("device", None)
        values = function(*map(host, args), **{name: host(v) for name, v in kwargs.items()})
        traffic.launches += 1
        return tuple(map(fresh, values)) if isinstance(values, tuple) else fresh(values)

    return launch


def operation(numpys):
    """An operator of NumPy arrays as one of the stand-in's."""

    def method(self, *others):
        if any(isinstance(o, list | tuple) for o in others):
            raise TypeError("Unsupported type <class 'list'>")
        return on_device(numpys)(self, *others)

    return method


for _name in (
    "add sub mul truediv floordiv mod pow matmul and or xor lt le gt ge eq ne neg abs invert"
).split():
    for _dunder in (f"__{_name}__", f"__r{_name}__"):
        if hasattr(np.ndarray, _dunder):
            setattr(ndarray, _dunder, operation(getattr(np.ndarray, _dunder)))

# ------------------------------------------------------------------------------------ the namespace


@functools.cache
def real():
    """`array_api_compat.cupy` if CuPy is installed: for its signatures only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import array_api_compat.cupy as module
        return module
    except Exception:  # a broken installation may raise anything
        return None


class Namespace:
    """What `array_api_compat.cupy` offers, less what nobody here needs; names that wait for the
    device are counted.
    """

    __name__ = "standin"
    WAITS = (
        "nonzero argwhere flatnonzero unique_all unique_values unique_inverse unique_counts "
        "unique repeat"
    ).split()
    # CuPy's differ from NumPy's (no exceptions, no broadcasting): write them before using them
    ALIEN = "cholesky solve inv".split()

    def __init__(self, functions, signatures, **more):
        self.functions, self.signatures = functions, signatures
        self.__dict__.update(more)

    def __getattr__(self, name):
        if name.startswith("__") or name in self.ALIEN:
            raise AttributeError(name)
        if self.signatures() and not hasattr(self.signatures(), name):
            raise AttributeError(f"cupy has no attribute {name!r}")
        function = getattr(self.functions, name)
        if not callable(function) or isinstance(function, type):
            return function
        run = (
            function
            if name in ("isdtype", "result_type", "finfo", "can_cast")
            else on_device(function)
        )

        def call(*args, **kwargs):
            bind(getattr(self.signatures(), name, None), args, kwargs)
            if name in self.WAITS:
                traffic.syncs += 1
            return run(*args, **kwargs)

        return call


def bind(function, args, kwargs):
    """Raise `TypeError` if the real function does not take these arguments (ufuncs and builtins do
    not say).
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    signature.bind(*args, **kwargs)


def asarray(x, dtype=None, *, device=None, copy=None):
    if isinstance(x, ndarray):
        return fresh(x.a.astype(dtype or x.dtype)) if copy or dtype not in (None, x.dtype) else x
    a = np.array(x, dtype=dtype)
    traffic.to_device.append(a.nbytes)
    return fresh(a)


def ascontiguousarray(x, dtype=None):
    a = host(x)
    if a.flags.c_contiguous and dtype in (None, a.dtype):
        return x
    if memory.limit is not None and a.nbytes > memory.limit:
        raise MemoryError("stand-in: the device is full")
    traffic.launches += 1
    return view(np.ascontiguousarray(a, dtype=dtype))


def empty(shape, dtype=float, *, device=None):
    traffic.launches += 1
    return view(np.full(shape, 77, dtype=dtype))  # whoever forgets to write shall be seen


class RawKernel:
    """A kernel under the emulator. Checks what a GPU would not: the number, type and order of
    arguments, and the opt-in for large memory.
    """

    max_dynamic_shared_size_bytes = 49152

    def __init__(self, name):
        self.name = name.encode()
        types = emulator().signature(self.name)
        assert types, f"no kernel {name}"
        self.types = types.decode().split()

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert (
            len(args) == len(self.types)
            and shared_mem <= self.max_dynamic_shared_size_bytes <= memory.shared
        )
        assert len(grid) == len(block) == 1 and 32 <= block[0] <= 1024 and block[0] % 32 == 0
        values = [
            self._pointer(x) if kind.endswith("*") else x for x, kind in zip(args, self.types)
        ]
        for x, kind in zip(args, self.types):
            assert x.dtype == np.dtype(kind[0]) and isinstance(x, ndarray) == kind.endswith("*"), (
                f"{self.name}: {x.dtype} for {kind}"
            )
        held = [np.array(v, dtype=np.uint64 if isinstance(v, int) else v.dtype) for v in values]
        pointers = (ctypes.c_void_p * len(held))(*(h.ctypes.data for h in held))
        traffic.launches += 1
        traffic.kernels += 1
        emulator().launch(self.name, grid[0], block[0], shared_mem, pointers)

    @staticmethod
    def _pointer(x):
        assert x.a.flags.c_contiguous, "a kernel knows no strides"
        return x.a.ctypes.data


class RawModule:
    def __init__(self, code=None, *, options=(), name_expressions=None):
        assert code == cuda_kernels.source() and any("c++" in option for option in options)
        self.names = name_expressions

    def get_function(self, name):
        assert name in self.names, f"{name} is not compiled"
        return RawKernel(name)


class Device:
    attributes = property(lambda self: {"MaxSharedMemoryPerBlockOptin": memory.shared})
    mem_info = property(lambda self: (memory.free, 2 * memory.free))

    def __init__(self, device=0):
        self.id = device


pool = SimpleNamespace(free_bytes=lambda: 0, free_all_blocks=lambda: None)
namespace = Namespace(
    plain,
    real,
    asarray=asarray,
    ascontiguousarray=ascontiguousarray,
    empty=empty,
    linalg=Namespace(plain.linalg, lambda: getattr(real(), "linalg", None)),
    cuda=SimpleNamespace(Device=Device),
    get_default_memory_pool=lambda: pool,
    RawModule=RawModule,
)


def install(monkeypatch):
    """Let the CUDA module find the stand-in instead of CuPy, with a device like sm_90 that has
    1 GiB free.
    """
    cuda_kernels.compiled_module.cache_clear()
    cuda_kernels.shared_limit.cache_clear()
    # what they found is kept: after this nobody can import the real one until the test ends
    real(), has_cuda()
    monkeypatch.setitem(
        sys.modules,
        "cupy",
        SimpleNamespace(
            ndarray=ndarray, generic=(), cuda=SimpleNamespace(is_available=lambda: False)
        ),
    )
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", namespace)
    monkeypatch.setattr(array_api_compat, "cupy", namespace, raising=False)
    monkeypatch.setattr(cuda_kernels, "cupy", lambda: namespace)
    for name, value in dict(free=1 << 30, limit=None, shared=232448).items():
        monkeypatch.setattr(memory, name, value)
    monkeypatch.setattr(coin, "rng", np.random.default_rng(0))
    traffic.reset()


def uninstall():
    cuda_kernels.compiled_module.cache_clear()
    cuda_kernels.shared_limit.cache_clear()
