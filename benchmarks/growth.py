"""How does an iteration in blocks grow with the data? CPU time of one reading and of the
step of A over data points, features, nonzeros and topics; and, where Dask is installed, bytes and
CPU time of one reading by 1, 2 and 3 workers of a cluster on this machine.

    python benchmarks/growth.py

One thread, `time.process_time`, the least of three rounds in turn; some two minutes. Writes
results/growth.json, which the notebook 'Past these machines, on paper' reads.
"""

import contextlib
import datetime
import json
import os
import platform
import tempfile
import time
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402

from nnmf_nb import blocks  # noqa: E402
from nnmf_nb.core._linalg import unit_columns  # noqa: E402
from nnmf_nb.out_of_core._training import BlockedData, Squares  # noqa: E402

with contextlib.suppress(SystemExit):
    import cluster  # the benchmark beside this one, which ends without Dask

RESULTS = Path(__file__).parent / "results" / "growth.json"
ROUNDS, BLOCK, WORKERS = 3, 2000, (1, 2, 3)
# points, features, nonzeros per point, topics: one of them is changed at a time
BASE = dict(points=8000, features=20_000, per_point=60, topics=20)
CHANGES = (
    dict(),
    dict(points=16_000),
    dict(per_point=30),
    dict(per_point=120),
    dict(topics=10),
    dict(topics=40),
    dict(features=5000),
    dict(features=80_000),
    dict(features=320_000),
    dict(features=1_000_000, topics=50, per_point=100, points=4000),
    dict(features=1_000_000, topics=20),
)


def sparse(points, features, per_point, **rest):
    """Return counts whose nonzeros lie anywhere: the worst case for a cache."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, features, (points, per_point), dtype=np.int32)
    indices.sort(axis=1)
    values = rng.integers(1, 5, indices.size).astype(np.float32)
    indptr = np.arange(0, indices.size + 1, per_point)
    X = sp.csr_array((values, indices.ravel(), indptr), shape=(points, features))
    X.sum_duplicates()
    return X


class Case:
    """One size of data and topics."""

    def __init__(self, **size):
        self.size = size
        X = sparse(**size)
        self.loss = Squares(BlockedData(blocks(X, rows=BLOCK)))
        rng = np.random.default_rng(1)
        A = unit_columns(rng.random((size["features"], size["topics"])))
        self.A, self.nonzeros, self.reading, self.step = A.astype(np.float32), X.nnz, [], []
        self.sums = self.loss.read(self.A, in_sweeps=True)  # compiled, loaded

    def measure(self):
        """Time one reading with swept coefficients, and a step of A."""
        begin = time.process_time()
        self.loss.read(self.A, in_sweeps=True)
        middle = time.process_time()
        self.loss.updated(self.A, self.sums, 4)
        self.reading.append(middle - begin)
        self.step.append(time.process_time() - middle)

    def row(self):
        """Return sizes and least times in seconds."""
        return self.size | dict(
            nonzeros=int(self.nonzeros), reading=min(self.reading), step=min(self.step)
        )


def over_workers(n_rows=20_000, n_readings=4):
    """Return one row per number of workers: bytes over the network per reading beside those of
    the model, CPU seconds of all processes and of the workers, wall seconds, and whether the sums
    have the bits of one thread. A dense file, the blocks of `cluster.py`.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/X.npy"
        cluster.make_file(path, n_rows)
        rows = -(-n_rows // cluster.N_BLOCKS)
        cluster.count_bytes()
        _, expected = cluster.measured(path, rows, 1, None)
        best, same = {}, dict.fromkeys(WORKERS, True)
        for n in WORKERS:
            # one cluster at a time: idle workers take processor time, too
            with cluster.client_of(n) as client, client.as_current():
                for _ in range(ROUNDS):
                    one, bits = cluster.measured(path, rows, n_readings, client)
                    best[n] = np.minimum(best.get(n, np.inf), one)
                    same[n] &= bits == expected
            print(n, "workers measured", flush=True)
    for n, (wall, cpu, n_bytes, of_workers) in best.items():
        row = dict(workers=n, bytes=n_bytes, bytes_of_model=cluster.bytes_of_model(n))
        row |= dict(wall=wall, cpu=cpu, cpu_of_workers=of_workers, same_bits=same[n])
        found.append(
            {
                name: getattr(value, "item", lambda value=value: value)()
                for name, value in row.items()
            }
        )
    return found


def last_level_cache():
    """Return the size of the largest cache of the first core in bytes, 0 where it is not said."""
    found = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = [path.read_text().strip() for path in found]
    units = {"K": 2**10, "M": 2**20}
    return max((int(size[:-1]) * units[size[-1]] for size in sizes), default=0)


def main():
    """Measure and write the record."""
    cases = [Case(**BASE | change) for change in CHANGES]
    for _ in range(ROUNDS):
        for case in cases:
            case.measure()
    record = dict(
        date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        machine=platform.machine(),
        cache=last_level_cache(),
        load=os.getloadavg()[0],
        block=BLOCK,
        cores=os.cpu_count(),
        rows=[case.row() for case in cases],
        workers=over_workers() if "cluster" in globals() else [],
        load_of_workers=os.getloadavg()[0],
    )
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    for row in record["rows"] + record["workers"]:
        print(row)


if __name__ == "__main__":
    main()
