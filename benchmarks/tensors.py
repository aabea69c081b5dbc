"""NonnegativeCP measured: seconds to 1 %, 0.1 % and 0.01 % of the best known error of dense ones,
beside HALS of TensorLy where that is installed; milliseconds per iteration, seconds to 0.1 % and
memory of a sparse one, beside bare MTTKRPs; the error of what is unknown under masks; the published
tensor of NeuralNCPD, and planted hierarchies trained together or one after the other. `make bench`
runs it.

Writes results/tensors.md. `--small` tries everything in seconds and writes nothing. Seconds are CPU
seconds of one process with one thread, contenders in turns, medians over the rounds.
"""

import functools
import importlib.metadata
import importlib.util
import math
import os
import platform
import statistics
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

from nnmf_nb import NeuralNCPD, NonnegativeCP, datasets  # noqa: E402
from nnmf_nb.tensors._counts import CountLoss  # noqa: E402
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


def now():
    """CPU seconds of this process, and seconds on the wall."""
    return np.array([time.process_time(), time.perf_counter()])


def our_curve(X, start, iterations):
    """(seconds, relative error) after every iteration; seconds: CPU and wall."""
    curve, begin = [], now()
    data = read_tensor(X)
    factors = [start[0] / data.scale, *start[1:]]

    def note(n, state):
        curve.append((now() - begin, state.errors[-1]))

    fit_cp(data, factors, max_iter=iterations, tol=0.0, callback=note)
    return curve


def tensorly_curve(X, start, iterations):
    """The same of TensorLy's HALS, whose iterations count as equally long."""
    from tensorly.cp_tensor import CPTensor
    from tensorly.decomposition import non_negative_parafac_hals

    begin, weights = now(), np.ones(start[0].shape[1])
    _, errors = non_negative_parafac_hals(
        X,
        len(weights),
        n_iter_max=iterations,
        init=CPTensor((weights, [U.copy() for U in start])),
        tol=1e-16,
        return_errors=True,
    )
    seconds = (now() - begin) / len(errors)
    return [(seconds * (n + 1), float(error)) for n, error in enumerate(errors)]


def reached(curve, error):
    """Seconds until a curve is at `error` or below; infinite if it never is."""
    never = np.full(2, math.inf)
    return next((seconds for seconds, value in curve if value <= error), never)


def in_words(seconds):
    """Median CPU seconds over rounds, and on the wall in brackets."""
    cpu, wall = np.median(np.array(seconds), axis=0)
    return f"{cpu:.3g} s ({wall:.3g})" if math.isfinite(cpu) else "never"


def dense_rows(sizes, peer):
    """Rows of the table of dense tensors."""
    rows = []
    runners = {"ours": our_curve} | ({"TensorLy HALS": tensorly_curve} if peer else {})
    for kind in ("uniform", "collinear"):
        times = {who: [] for who in runners}
        for seed in range(sizes["rounds"]):
            X = dense_tensor(sizes["dense"], sizes["k"], kind, seed)
            start = random_start(sizes["dense"], sizes["k"], X, seed)
            # each of them goes first in turn
            order = sorted(runners, reverse=bool(seed % 2))
            curves = {who: runners[who](X, start, 300) for who in order}
            best = min(error for curve in curves.values() for _, error in curve)
            for who, curve in curves.items():
                times[who].append([reached(curve, best * (1 + share)) for share in SHARES])
        for who, found in times.items():
            rows.append((kind, who, *(in_words(column) for column in zip(*found))))
        if peer:
            cpu = {who: np.median(np.array(found)[..., 0], axis=0) for who, found in times.items()}
            ratios = cpu["TensorLy HALS"] / cpu["ours"]
            rows.append((kind, "ratio of CPU seconds", *(f"{one:.1f}" for one in ratios)))
    return rows


def sparse_entries(sizes, k=10):
    """Counts of k planted topics: index, counts and shape."""
    rng, shape = np.random.default_rng(0), sizes["sparse"]
    profiles = [rng.dirichlet(np.full(n, 0.1), k).T for n in shape]
    topic = rng.integers(k, size=sizes["nnz"])
    columns = [np.empty(len(topic), dtype=np.int64) for _ in shape]
    for r in range(k):
        of_topic = topic == r
        for column, P in zip(columns, profiles):
            column[of_topic] = rng.choice(len(P), size=of_topic.sum(), p=P[:, r])
    return *np.unique(np.stack(columns, axis=1), axis=0, return_counts=True), shape


def seconds_per_iteration(fit, start, n):
    """Median CPU seconds of the iterations of a fit, and its curve."""
    curve, begin = [], now()

    def note(_, state):
        curve.append((now() - begin, state.minimized[-1]))

    fit(start, max_iter=n, tol=0.0, callback=note)
    return float(np.median(np.diff([seconds[0] for seconds, _ in curve]))), curve


def sparse_rows(sizes, k=10):
    """Rows about a sparse tensor: an iteration beside one bare MTTKRP per mode, and to 0.1 %."""
    index, counts, shape = sparse_entries(sizes, k)
    begin = now()
    data = read_tensor((index, np.log1p(counts), shape))
    setup = now() - begin
    loss = CountLoss(read_tensor((index, counts.astype(float), shape)))
    found = {"bare": [], "squares": [], "counts": [], "reached": []}
    for seed in range(sizes["rounds"] + 1):
        rng = np.random.default_rng(seed)
        factors = [rng.random((n, k)) for n in shape]
        begin = now()
        for _ in range(5):
            data.products(factors)
        found["bare"].append((now() - begin)[0] / 5)
        squares = functools.partial(fit_cp, data)
        turn, curve = seconds_per_iteration(squares, factors, 60)
        found["squares"].append(turn)
        found["reached"].append(reached(curve, 1.001 * min(error for _, error in curve)))
        turn, _ = seconds_per_iteration(loss.fit, loss.initial(factors), 15)
        found["counts"].append(turn)
    found = {name: one[1:] for name, one in found.items()}  # the first round compiles
    bare, squares, counts = (statistics.median(found[n]) for n in ("bare", "squares", "counts"))
    return [
        ("nonzeros", f"{len(index)}"),
        ("sorting it once per mode", in_words([setup])),
        ("one MTTKRP per mode", f"{1e3 * bare:.1f} ms"),
        ("iteration, squared errors", f"{1e3 * squares:.1f} ms"),
        ("ratio (asked: at most 1.3)", f"{squares / bare:.2f}"),
        ("iteration, Kullback-Leibler", f"{1e3 * counts:.1f} ms"),
        ("ratio (values of the model and MTTKRP: at least 2)", f"{counts / bare:.2f}"),
        ("to 0.1 % of the best of a run (asked: .5 s)", in_words(found["reached"])),
    ]


def memory_rows(sizes, k=10):
    """Rows about memory beyond a sparse X, as NumPy counts it."""
    index, counts, shape = sparse_entries(sizes, k)
    values = np.log1p(counts)
    rng = np.random.default_rng(0)
    tracemalloc.start()
    data = read_tensor((index, values, shape))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    fit_cp(data, [rng.random((n, k)) for n in shape], max_iter=5, tol=0.0)
    peak = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    copy = len(index) * (4 * (len(shape) - 1) + 8)  # places in the other modes, and a value
    factors = 8 * k * sum(shape)
    return [
        ("X as it was given", f"{(index.nbytes + values.nbytes) / 1e6:.0f} MB"),
        ("one sorted copy per mode", f"{len(shape) * copy / 1e6:.0f} MB"),
        ("held beyond X", f"{held / 1e6:.0f} MB"),
        ("factors", f"{factors / 1e6:.2f} MB"),
        ("peak of a fit beyond these", f"{peak / 1e6:.2f} MB"),
    ]


def error_of_unseen(guess, clean, known):
    return np.linalg.norm((guess - clean)[~known]) / np.linalg.norm(clean[~known])


def tensorly_guess(X, known):
    """The tensor that TensorLy's multiplicative updates with a mask find."""
    from tensorly.cp_tensor import cp_to_tensor
    from tensorly.decomposition import non_negative_parafac

    parameters = dict(n_iter_max=200, mask=known, random_state=0)
    return cp_to_tensor(non_negative_parafac(np.where(known, X, 0), 5, **parameters))


def our_guess(X, known):
    """The tensor that `NonnegativeCP` finds."""
    model = NonnegativeCP(5, random_state=0).fit(X, mask=known)
    return model.inverse_transform(model.factors_[0] * model.weights_)


def masked_rows(sizes, peer):
    """Rows about unknown entries: the error of these against the truth."""
    rows = []
    shape = (60, 50, 40) if sizes is FULL else (30, 25, 20)
    runners = {"ours": our_guess} | ({"TensorLy, mask": tensorly_guess} if peer else {})
    for missing in (0.5, 0.9):
        found = {who: ([], []) for who in runners}
        for seed in range(sizes["rounds"]):
            rng = np.random.default_rng(seed)
            clean = dense_model([rng.random((n, 5)) for n in shape])
            sigma = 0.1 * np.linalg.norm(clean) / math.sqrt(clean.size)
            X = np.maximum(clean + sigma * rng.standard_normal(shape), 0)
            known = rng.random(shape) >= missing
            for who, run in runners.items():
                begin = now()
                guess = run(X, known)
                found[who][1].append(now() - begin)
                found[who][0].append(error_of_unseen(guess, clean, known))
        for who, (errors, seconds) in found.items():
            rows.append(
                (f"{missing:.0%}", who, f"{statistics.median(errors):.3f}", in_words(seconds))
            )
    return rows


PUBLISHED = (0.0947, 0.2172, 0.5303)  # the best that was reported for the tensor of low noise


def published_rows():
    """Rows about the nested boxes: errors of 'modes' with frozen factors, and group losses."""
    X = datasets.nested_boxes(0.1, 1).X
    seconds = []
    for _ in range(5):
        begin = now()
        model = NeuralNCPD(
            (7, 4, 2), hierarchy="modes", frozen=True, depth_weights=(0, 1, 1), random_state=0
        ).fit(X)
        seconds.append(now() - begin)
    errors = " / ".join(f"{one.error:.4f}" for one in model.layers_)
    asked = " / ".join(f"{one:.4f}" for one in PUBLISHED)
    return [(f"errors (asked: {asked})", errors), ("fit (asked: 1 s)", in_words(seconds))]


REGIMES = [("modes", 0.7, 0.1), ("modes", 0.7, 0.5), ("modes", 1.5, 0.3), ("modes", 0.3, 0.3)]
REGIMES += [("samples", 0.7, 0.3), ("samples", 1.5, 0.3)]


def planted(kind, d, noise, seed):
    """A tensor of twelve components in four groups: each is the profile of its group and d times
    one of its own, in all modes or in the first one only.
    """
    rng, factors = np.random.default_rng(seed), []
    for m, n in enumerate((40, 30, 20)):
        group, own = rng.gamma(0.5, 1.0, (n, 4)), rng.gamma(0.5, 1.0, (n, 12))
        is_common = kind == "modes" or m == 0
        factors.append(np.repeat(group, 3, axis=1) + d * own if is_common else own)
    X = dense_model(factors)
    sigma = noise * np.linalg.norm(X) / math.sqrt(X.size)
    return np.maximum(X + sigma * rng.standard_normal(X.shape), 0)


def planted_rows(draws):
    """Rows about planted hierarchies: mean errors at depth 1 of sequential and joint training, and
    in how many of the draws the joint one is lower.
    """
    rows = []
    for kind, d, noise in REGIMES:
        for hierarchy in ("modes", "shared", "samples"):
            found = []
            for seed in range(draws):
                X = planted(kind, d, noise, seed)
                new = functools.partial(NeuralNCPD, (12, 4), hierarchy=hierarchy, random_state=0)
                found.append([new(max_iter=n).fit(X).layers_[1].error for n in (0, 500)])
            (sequential, joint), wins = np.mean(found, axis=0), sum(b < a for a, b in found)
            regime = f"{kind}, d = {d}, {noise:.0%} noise"
            numbers = (f"{sequential:.4f}", f"{joint:.4f}", f"{wins} of {draws}")
            rows.append((regime, hierarchy, *numbers))
    return rows


def markdown(heads, rows):
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def about(peer):
    """When, on what and with what this was measured."""
    names = ["numpy", "scipy", "numba", *(["tensorly"] if peer else [])]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    model = next(
        (one.split(":")[1].strip() for one in open("/proc/cpuinfo") if "model name" in one), "?"
    )
    return (
        f"{time.strftime('%d %B %Y')}, {model}, {os.cpu_count()} cores, one thread, at the end "
        f"load {os.getloadavg()[0]:.0f} (other processes shared the cores: CPU seconds, those "
        f"on the wall in brackets). Python {platform.python_version()}, {versions}.\n"
    )


def main():
    sizes = SMALL if "--small" in sys.argv else FULL
    peer = importlib.util.find_spec("tensorly") is not None
    warnings.simplefilter("ignore")
    our_curve(dense_tensor((6, 5, 4), 2, "uniform", 0), [np.ones((n, 2)) for n in (6, 5, 4)], 9)
    draws = 8 if sizes is FULL else 1
    parts = [
        f"Dense {sizes['dense']}, k = {sizes['k']}, 10 % noise, medians of {sizes['rounds']} draws "
        "in turns, to a share of the best error known (asked: ratios 2.5, 2.7 and 4 for uniform "
        "factors)" + ("" if peer else "; TensorLy is not installed") + ".\n",
        markdown(["factors", "who", "1 %", "0.1 %", "0.01 %"], dense_rows(sizes, peer)),
        f"\nSparse {sizes['sparse']}, k = 10, medians of {sizes['rounds']} starts in turns.\n",
        markdown(["what", "found"], sparse_rows(sizes)),
        "\nIts memory.\n",
        markdown(["what", "found"], memory_rows(sizes)),
        "\nUnknown entries, k = 5, 10 % noise, medians: error of the unknown part against the "
        "truth (asked: at most .035 with 90 % missing).\n",
        markdown(["missing", "who", "error", "fit"], masked_rows(sizes, peer)),
        "\nThe published 40 x 40 x 40, ranks 7, 4 and 2, hierarchy 'modes' with frozen factors.\n",
        markdown(["what", "found"], published_rows()),
        f"\nPlanted hierarchies, 40 x 30 x 20, ranks 12 and 4, {draws} draws: error at depth 1 of "
        "sequential and joint training.\n",
        markdown(["planted", "hierarchy", "sequential", "joint", "lower in"], planted_rows(draws)),
    ]
    text = "\n".join(["# Nonnegative CP and its hierarchies\n", about(peer), *parts]) + "\n"
    print(text)
    if sizes is FULL:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
