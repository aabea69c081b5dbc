"""What does it cost to read the data in blocks? A sparse file on disk, made here.

    SIZE=2000 python benchmarks/blocks.py [--folder /tmp] [--iterations 8]

SIZE: megabytes of the file (default 2000), about 60 nonzeros a row, 50 000 columns, float32.
Writes results/blocks.md: the peak of anonymous memory (RssAnon) of a fit to the file; its speed
per nonzero beside that of an ordinary fit of an eighth of it in memory; and the time of an
iteration in blocks, in memory, beside that of an ordinary one. Times are CPU times of whole
processes with one thread, interleaved; what is around the iterations is measured by a shorter fit
and subtracted.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

N_FEATURES, PER_ROW, N_TOPICS = 50_000, 60, 20
SHORT = 1
RESULTS = Path(__file__).parent / "results" / "blocks.md"


def drawn_rows(rng, n_rows):
    """Counts of texts of two topics each, CSR, float32."""
    topics = rng.integers(0, N_TOPICS, (n_rows, 2))
    which = (rng.random((n_rows, PER_ROW + 8)) < 0.3).astype(int)
    topic = np.take_along_axis(topics, which, axis=1)
    word = (N_FEATURES * rng.random(topic.shape) ** 3).astype(np.int64)
    columns = (word + topic * 7919) * 31 % N_FEATURES
    indptr = np.arange(n_rows + 1) * columns.shape[1]
    ones = np.ones(columns.size, np.float32)
    X = sp.csr_array((ones, columns.ravel().astype(np.int32), indptr), (n_rows, N_FEATURES))
    X.sum_duplicates()
    return X


def make_file(folder, megabytes):
    """Write data.npy, indices.npy and indptr.npy of about so many megabytes, part by part."""
    rng, counts, written = np.random.default_rng(0), [[0]], 0
    kinds = {"data": np.float32, "indices": np.int32}
    raw = {name: open(folder / f"{name}.raw", "wb") for name in kinds}
    while written < megabytes * 10**6:
        X = drawn_rows(rng, 20_000)
        for name, file in raw.items():
            file.write(getattr(X, name).astype(kinds[name]).tobytes())
        counts.append(np.diff(X.indptr))
        written += X.nnz * 8
    for name, file in raw.items():
        file.close()
        mapped = np.memmap(folder / f"{name}.raw", kinds[name], "r")
        np.save(folder / f"{name}.npy", mapped)
        del mapped
        (folder / f"{name}.raw").unlink()
    np.save(folder / "indptr.npy", np.cumsum(np.concatenate(counts), dtype=np.int64))
    np.save(folder / "shape.npy", np.array([sum(map(len, counts)) - 1, N_FEATURES]))


def anonymous_memory():
    """Anonymous memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


class Peak:
    """The largest anonymous memory within a `with` block."""

    def __enter__(self):
        self.bytes, self.done = anonymous_memory(), threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while not self.done.wait(0.02):
            self.bytes = max(self.bytes, anonymous_memory())

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()


def part_in_memory(folder):
    """An eighth of the rows, in memory."""
    from nnmf_nb import blocks

    whole = blocks(str(folder))
    return whole.reader.read(0, whole.shape[0] // 8)


def one_fit(folder, kind, n_iterations):
    """Fit in this process; print CPU seconds, nonzeros and peak memory as JSON."""
    from nnmf_nb import NMF, blocks

    if kind == "file":
        X = blocks(str(folder), keep_coefficients=False)
        nnz = X.reader.n_stored
    else:
        X = part_in_memory(folder)
        nnz = X.nnz
        X = blocks(X) if kind == "blocks" else X
    model = NMF(N_TOPICS, init="random", tol=0, max_iter=n_iterations, random_state=0)
    NMF(2, init="random", max_iter=2).fit(sp.random_array((200, 50), density=0.1, rng=0))  # compile
    with Peak() as peak:
        begin, start = time.process_time(), time.perf_counter()
        model.fit(X)
        cpu, wall = time.process_time() - begin, time.perf_counter() - start
    found = {"cpu": cpu, "wall": wall, "nnz": nnz, "peak": peak.bytes, "n_iter": model.n_iter_}
    print(json.dumps(found | {"error": model.layers_[0].error}))


def measured(folder, kind, n_iterations):
    """The result of `one_fit` in a process of its own with one thread."""
    command = [sys.executable, "-W", "ignore", __file__, "--fit", kind, "--folder", str(folder)]
    command += ["--iterations", str(n_iterations)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compared(folder, n_iterations, rounds):
    """CPU seconds per iteration and nonzero of every kind, best of interleaved rounds."""
    per_nonzero, last = {}, {}
    for _ in range(rounds):
        for kind in ("memory", "blocks", "file"):
            short, long = (measured(folder, kind, n) for n in (SHORT, SHORT + n_iterations))
            seconds = (long["cpu"] - short["cpu"]) / n_iterations / long["nnz"]
            per_nonzero[kind] = min(seconds, per_nonzero.get(kind, np.inf))
            last[kind] = long
            print(f"{kind}: {seconds * 1e9:.1f} ns per nonzero and iteration", flush=True)
    return per_nonzero, last


def report(size, per_nonzero, last, n_iterations):
    """The text of results/blocks.md."""
    speed = per_nonzero["memory"] / per_nonzero["file"]
    ratio = per_nonzero["blocks"] / per_nonzero["memory"]
    lines = [
        "# Data on disk in blocks",
        "",
        f"Written by `benchmarks/blocks.py` on {datetime.date.today()}, Python "
        f"{platform.python_version()}, one thread, NMF({N_TOPICS}), {size} MB on disk: "
        f"{last['file']['nnz']:,} nonzeros, {N_FEATURES:,} columns; the part in memory has "
        f"{last['memory']['nnz']:,}. Iterations {SHORT + 1} to {SHORT + n_iterations} of a random "
        "start.",
        "",
        "| | found | wanted |",
        "|---|---|---|",
        f"| peak anonymous memory of the fit to the file | {last['file']['peak'] / 1e9:.2f} GB | "
        "below 1.5 GB |",
        f"| speed per nonzero beside an ordinary fit in memory | {speed:.0%} | at least 70 % |",
        f"| CPU time per iteration in blocks / ordinary, in memory | {ratio:.2f} | at most 1.05 |",
        "",
        "| | ns per nonzero and iteration | relative error after the last one |",
        "|---|---|---|",
    ]
    for kind, words in (
        ("memory", "ordinary fit of the part"),
        ("blocks", "the same part in blocks"),
        ("file", "the file in blocks"),
    ):
        lines.append(f"| {words} | {per_nonzero[kind] * 1e9:.1f} | {last[kind]['error']:.4f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fit", default=None)
    asked = parser.parse_args()
    if asked.fit:
        one_fit(Path(asked.folder), asked.fit, asked.iterations)
        return
    size = int(os.environ.get("SIZE", "2000"))
    folder = Path(tempfile.mkdtemp(dir=asked.folder))
    try:
        make_file(folder, size)
        text = report(size, *compared(folder, asked.iterations, asked.rounds), asked.iterations)
    finally:
        shutil.rmtree(folder)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
