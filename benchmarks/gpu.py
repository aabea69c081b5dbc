"""The GPU measured, for whoever has one: the tests marked gpu, the layer q, a gradient and whole
fits, beside the CPU of the same machine.

Writes a dated record to benchmarks/results/. Where no CUDA device answers it says so, writes
nothing and claims nothing. Run it alone with `python benchmarks/gpu.py`; it needs one of the extras
gpu12 and gpu13.
"""

import importlib.util
import platform
import re
import statistics
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from nnmf_nb import NMF, NeuralNMF
from nnmf_nb.chain._costs import ChainObjective, resolve_cost
from nnmf_nb.core._arrays import has_cuda, to_device, to_numpy
from nnmf_nb.core._data import DataMatrix
from nnmf_nb.core._linalg import unit_columns
from nnmf_nb.layer._nnls import solve_gram

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
TURNS = 7


def markdown(head, rows):
    return (
        "\n".join(
            "| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)
        )
        + "\n"
    )


def seconds(run, wait, turns=TURNS):
    """Median seconds of `run`, after one run that compiles and warms up; `wait` returns when the
    device has finished.
    """
    run()
    wait()
    taken = []
    for _ in range(turns):
        start = time.perf_counter()
        run()
        wait()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def layer(move, wait, ks=(9, 20, 50, 100), Ms=(10_000, 100_000), dtypes=(np.float64, np.float32)):
    """q in Gram space, cold and warm, microseconds per point, and the largest difference from the
    CPU.
    """
    rows = []
    for k in ks:
        for M in Ms:
            for dtype in dtypes:
                rng = np.random.default_rng(0)
                A = rng.random((200, k)).astype(dtype)
                F = (
                    (
                        A @ (rng.random((k, M)) * (rng.random((k, M)) < 0.5))
                        + 0.1 * rng.standard_normal((200, M))
                    ).T
                    @ A
                ).astype(dtype)
                G = (A.T.astype(float) @ A.astype(float))[None]
                expected, _ = solve_gram(G, F)
                there = [move(v) for v in (G, F, expected.astype(dtype))]
                host = seconds(lambda: solve_gram(G, F), lambda: None, 3)  # noqa: B023
                cold = seconds(lambda: solve_gram(*there[:2]), wait)  # noqa: B023
                warm = seconds(lambda: solve_gram(*there), wait)  # noqa: B023
                far = np.abs(to_numpy(solve_gram(*there)[0]) - expected).max() / expected.max()
                rows.append(
                    (
                        k,
                        M,
                        np.dtype(dtype).name,
                        *(f"{1e6 * t / M:.3f}" for t in (host, cold, warm)),
                        f"{host / cold:.1f} x",
                        f"{far:.0e}",
                    )
                )
    return (
        "## 1. The layer q\n\n200 features, noise 0.1. Microseconds per data point; warm: from "
        "the right supports.\n\n"
        + markdown(
            (
                "k",
                "M",
                "dtype",
                "CPU cold",
                "GPU cold",
                "GPU warm",
                "CPU / GPU cold",
                "largest difference",
            ),
            rows,
        )
    )


def gradient(
    move,
    wait,
    shapes=((10_000, 2000, (50, 10)), (20_000, 20_000, (100, 20))),
    dtypes=(np.float64, np.float32),
):
    """One gradient of a chain, and the products with X that no method does without."""
    rows = []
    for N, M, ranks in shapes:
        for dtype in dtypes:
            rng = np.random.default_rng(0)
            A = [
                move(unit_columns(rng.random(shape).astype(dtype)))
                for shape in zip((N, *ranks), ranks)
            ]
            X = move(rng.random((N, M), dtype=dtype))
            S = move(rng.random((ranks[0], M), dtype=dtype))
            objective = ChainObjective(DataMatrix(X), resolve_cost("every"))
            whole = seconds(lambda: objective(A), wait)  # noqa: B023
            floor = seconds(lambda: (A[0].T @ X, X @ S.T), wait)  # noqa: B023
            rows.append(
                (
                    f"{N} x {M}",
                    ranks,
                    np.dtype(dtype).name,
                    f"{1e3 * whole:.2f}",
                    f"{1e3 * floor:.2f}",
                    f"{whole / floor:.2f} x",
                )
            )
    return (
        "## 2. One gradient of Neural NMF\n\n"
        "Dense X, cost `every`, supports warm as in training. The floor: A_0'X and X S'.\n\n"
        + markdown(("X", "ranks", "dtype", "gradient, ms", "floor, ms", "ratio"), rows)
    )


def models():
    """What is fitted whole: (name, model, X): a matrix of 10,000 data points, dense, and one of
    20,000 with 1 % nonzeros.
    """
    rng = np.random.default_rng(0)
    dense = rng.random((10_000, 50)) ** 4 @ rng.random((50, 2000)) ** 4
    sparse = scipy.sparse.random_array((20_000, 10_000), density=0.01, format="csr", rng=rng)
    for name, X in (
        ("dense 10000 x 2000", dense),
        ("the same, float32", dense.astype(np.float32)),
        ("sparse 20000 x 10000", sparse),
    ):
        yield name, NMF(n_components=50, max_iter=50, tol=0, random_state=0), X
        yield name, NeuralNMF(ranks=(50, 10), max_iter=20, tol=0, random_state=0), X


def fits():
    """Seconds of one whole fit with a fixed number of iterations, data that start on the host, and
    the errors.
    """
    rows = []
    for name, model, X in models():
        took, error = {}, {}
        for device in ("cpu", "cuda"):
            fitted = clone(model).set_params(device=device)
            quiet(clone(fitted).set_params(max_iter=1), X[:500])  # compiles
            start = time.perf_counter()
            quiet(fitted, X)
            took[device] = time.perf_counter() - start
            error[device] = fitted.reconstruction_err_ / np.sqrt((X * X).sum())
        rows.append(
            (
                type(model).__name__,
                name,
                *(f"{took[d]:.2f}" for d in took),
                f"{took['cpu'] / took['cuda']:.1f} x",
                *(f"{error[d]:.5f}" for d in error),
            )
        )
    told = (
        "NMF(50), at most 50 iterations; NeuralNMF((50, 10)), at most 20, and its start. One fit "
        "each; relative errors of the last layer."
    )
    return f"## 3. Whole fits\n\n{told}\n\n" + markdown(
        ("model", "X", "CPU, s", "GPU, s", "CPU / GPU", "error CPU", "error GPU"), rows
    )


def quiet(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)


def tests():
    """The last line of `pytest -m gpu`, and the names of what failed."""
    without = "--ignore=tests/test_notebooks.py"  # needs Jupyter, and has nothing for a GPU
    in_parallel = ["-n", "4"] if importlib.util.find_spec("xdist") else []
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            "-q",
            "-p",
            "no:cacheprovider",
            *in_parallel,
            without,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    last = (
        done.stdout.strip().splitlines()[-1]
        if done.stdout.strip()
        else f"pytest ended with code {done.returncode}"
    )
    return f"## Tests\n\n`pytest -m gpu`: {last.strip('= ')}\n" + "".join(
        f"\n- failed: `{name}`" for name in failed
    )


def head():
    """Date, device, versions and commit: what makes the record one."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    return (
        f"# On a GPU\n\n{datetime.now(UTC):%Y-%m-%d}. {properties['name'].decode()}, "
        f"sm_{cupy.cuda.Device().compute_capability}, CUDA "
        f"{cupy.cuda.runtime.runtimeGetVersion()}, CuPy {cupy.__version__}, Python "
        f"{platform.python_version()}, numpy {np.__version__}, commit {commit or 'unknown'}.\n"
        f"Medians of {TURNS} runs.\n\n"
    )


def main():
    if not has_cuda():
        print(
            "benchmarks/gpu.py: no CUDA device answers (or CuPy is not installed). Nothing was "
            "measured, nothing is written."
        )
        return
    import cupy

    move, wait = (lambda x: to_device(x, "cuda")), (lambda: cupy.cuda.Device().synchronize())
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"gpu-{datetime.now(UTC):%Y-%m-%d}.md"
    # what was measured stays, should the time on the machine run out
    with target.open("w", encoding="utf-8") as record:
        for part in (head, tests, lambda: layer(move, wait), lambda: gradient(move, wait), fits):
            start, text = time.perf_counter(), part()
            print(text, file=record, flush=True)
            print(f"{text}({time.perf_counter() - start:.0f} s)\n", flush=True)
    print(f"Written to {target.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
