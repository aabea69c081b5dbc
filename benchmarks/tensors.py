"""NonnegativeCP measured: seconds to 1 %, 0.1 % and 0.01 % of the best known error of dense ones,
beside HALS of TensorLy where that is installed; milliseconds per iteration and to 0.1 % of a sparse
one, beside bare MTTKRPs; the error of what is unknown under masks. `make bench` runs it.

Writes results/tensors.md. `--small` tries everything in seconds and writes nothing. Seconds are CPU
seconds of one process with one thread, contenders in turns, medians over the rounds.
"""

import importlib.util
import math
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

from nnmf_nb import NonnegativeCP  # noqa: E402
from nnmf_nb.tensors._cp import fit_cp  # noqa: E402
from nnmf_nb.tensors._data import dense_model, read_tensor  # noqa: E402

RESULT = Path(__file__).parent / "results" / "tensors.md"
SHARES = (0.01, 0.001, 0.0001)
FULL = dict(dense=(200, 150, 100), k=10, sparse=(2000, 1500, 300), nnz=1_000_000, rounds=5)
SMALL = dict(dense=(40, 30, 20), k=4, sparse=(200, 150, 30), nnz=20_000, rounds=2)


def dense_tensor(shape, k, kind, seed):
    """A tensor of uniform or of collinear factors with 10 % noise."""
    rng = np.random.default_rng(seed)
    factors = [rng.random((n, k)) for n in shape]
    if kind == "collinear":
        factors = [1 + U / 2 for U in factors]
    X = dense_model(factors)
    sigma = 0.1 * np.linalg.norm(X) / math.sqrt(X.size)
    return np.maximum(X + sigma * rng.standard_normal(shape), 0)


def random_start(shape, k, X, seed):
    """Random factors whose model is about as large as X."""
    rng = np.random.default_rng(1000 + seed)
    factors = [rng.random((n, k)) for n in shape]
    size = (np.linalg.norm(X) / np.linalg.norm(dense_model(factors))) ** (1 / len(shape))
    return [size * U for U in factors]


def our_curve(X, start, iterations):
    """(CPU seconds, relative error) after every iteration."""
    curve, begin = [], time.process_time()
    data = read_tensor(X)
    factors = [start[0] / data.scale, *start[1:]]

    def note(n, state):
        curve.append((time.process_time() - begin, state.errors[-1]))

    fit_cp(data, factors, max_iter=iterations, tol=0.0, callback=note)
    return curve


def tensorly_curve(X, start, iterations):
    """The same of TensorLy's HALS, whose iterations count as equally long."""
    from tensorly.cp_tensor import CPTensor
    from tensorly.decomposition import non_negative_parafac_hals

    begin, weights = time.process_time(), np.ones(start[0].shape[1])

    _, errors = non_negative_parafac_hals(
        X,
        len(weights),
        n_iter_max=iterations,
        init=CPTensor((weights, [U.copy() for U in start])),
        tol=1e-16,
        return_errors=True,
    )
    seconds = (time.process_time() - begin) / len(errors)
    return [(seconds * (n + 1), float(error)) for n, error in enumerate(errors)]


def reached(curve, error):
    """Seconds until a curve is at `error` or below; infinite if it never is."""
    return next((seconds for seconds, value in curve if value <= error), math.inf)


def dense_rows(sizes, peer):
    """Rows of the table of dense tensors."""
    rows = []
    runners = {"ours": our_curve} | ({"TensorLy HALS": tensorly_curve} if peer else {})
    for kind in ("uniform", "collinear"):
        times = {who: [] for who in runners}
        for seed in range(sizes["rounds"]):
            X = dense_tensor(sizes["dense"], sizes["k"], kind, seed)
            start = random_start(sizes["dense"], sizes["k"], X, seed)
            curves = {who: run(X, start, 300) for who, run in runners.items()}
            best = min(error for curve in curves.values() for _, error in curve)
            for who, curve in curves.items():
                times[who].append([reached(curve, best * (1 + share)) for share in SHARES])
        for who, found in times.items():
            medians = [statistics.median(column) for column in zip(*found)]
            rows.append((kind, who, *(f"{one:.3g} s" for one in medians)))
    return rows


def sparse_rows(sizes):
    """Rows about a sparse tensor: an iteration beside one bare MTTKRP per mode, and to 0.1 %."""
    rng = np.random.default_rng(0)
    shape, k = sizes["sparse"], 10
    profiles = [rng.dirichlet(np.full(n, 0.1), k).T for n in shape]
    topic = rng.integers(k, size=sizes["nnz"])
    columns = [np.empty(len(topic), dtype=np.int64) for _ in shape]
    for r in range(k):
        of_topic = topic == r
        for column, P in zip(columns, profiles):
            column[of_topic] = rng.choice(len(P), size=of_topic.sum(), p=P[:, r])
    index, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    data = read_tensor((index, np.log1p(counts), shape))
    factors = [rng.random((n, k)) for n in shape]
    data.products(factors)  # compiles
    begin = time.process_time()
    for _ in range(10):
        data.products(factors)
    bare = (time.process_time() - begin) / 10
    curve, begin = [], time.process_time()

    def note(n, state):
        curve.append((time.process_time() - begin, state.errors[-1]))

    fit_cp(data, factors, max_iter=60, tol=0.0, callback=note)
    turn = statistics.median(np.diff([seconds for seconds, _ in curve]))
    best = min(error for _, error in curve)
    return [
        ("nonzeros", f"{len(index)}"),
        ("iteration", f"{1e3 * turn:.1f} ms"),
        ("one MTTKRP per mode", f"{1e3 * bare:.1f} ms"),
        ("ratio (asked: at most 1.3)", f"{turn / bare:.2f}"),
        ("to 0.1 % of the best of this run", f"{reached(curve, best * 1.001):.3g} s"),
    ]


def masked_rows(sizes):
    """Rows about unknown entries: the error of these against the truth."""
    rows = []
    shape = (60, 50, 40) if sizes is FULL else (30, 25, 20)
    for missing in (0.5, 0.9):
        errors, seconds = [], []
        for seed in range(sizes["rounds"]):
            rng = np.random.default_rng(seed)
            clean = dense_model([rng.random((n, 5)) for n in shape])
            sigma = 0.1 * np.linalg.norm(clean) / math.sqrt(clean.size)
            X = np.maximum(clean + sigma * rng.standard_normal(shape), 0)
            known = rng.random(shape) >= missing
            begin = time.process_time()
            model = NonnegativeCP(5, random_state=0).fit(X, mask=known)
            seconds.append(time.process_time() - begin)
            guess = model.inverse_transform(model.factors_[0] * model.weights_)
            error = np.linalg.norm((guess - clean)[~known]) / np.linalg.norm(clean[~known])
            errors.append(error)
        rows.append(
            (
                f"{missing:.0%}",
                f"{statistics.median(errors):.3f}",
                f"{statistics.median(seconds):.2f} s",
            )
        )
    return rows


def markdown(heads, rows):
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main():
    sizes = SMALL if "--small" in sys.argv else FULL
    peer = importlib.util.find_spec("tensorly") is not None
    warnings.simplefilter("ignore")
    our_curve(dense_tensor((6, 5, 4), 2, "uniform", 0), [np.ones((n, 2)) for n in (6, 5, 4)], 9)
    parts = [
        "# Nonnegative CP\n",
        f"Dense {sizes['dense']}, k = {sizes['k']}, 10 % noise, {sizes['rounds']} draws, to a "
        "share of the best error known" + ("" if peer else "; TensorLy is not installed") + ".\n",
        markdown(["factors", "who", "1 %", "0.1 %", "0.01 %"], dense_rows(sizes, peer)),
        f"\nSparse {sizes['sparse']}, k = 10.\n",
        markdown(["what", "found"], sparse_rows(sizes)),
        "\nUnknown entries, k = 5, 10 % noise: error of the unknown part against the truth (asked: "
        "at most .035 with 90 % missing).\n",
        markdown(["missing", "error", "fit"], masked_rows(sizes)),
    ]
    text = "\n".join(parts) + "\n"
    print(text)
    if sizes is FULL:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
