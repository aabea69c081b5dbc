"""What does a Dask cluster cost? A dense file, made here, fitted by threads and by workers.

    python benchmarks/cluster.py [--rows 160000] [--iterations 5] [--rounds 3]

Small by default (some minutes). Writes results/dask.md: wall and CPU time per iteration with
one thread, two threads, one and two workers with one thread each, in interleaved rounds; the CPU
time of the tasks beside that of all processes; and the bytes that cross the network per
iteration beside a model. An iteration is here a reading of all blocks, without the update of A.
"""

import argparse
import contextlib
import datetime
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

try:
    import distributed
except ImportError:
    sys.exit("This benchmark needs Dask: pip install 'nnmf_nb[dask]'")

from nnmf_nb import blocks
from nnmf_nb.core._linalg import unit_columns
from nnmf_nb.out_of_core import _training
from nnmf_nb.out_of_core._distributed import owners_of_blocks, tasks_of_owners

RESULTS = Path(__file__).parent / "results" / "dask.md"
N_FEATURES, N_TOPICS, N_BLOCKS = 2000, 20, 16
KINDS = ("one thread", "two threads", "one worker", "two workers")


def make_file(path, n_rows):
    """Write a dense matrix of float32 with topics and noise."""
    rng = np.random.default_rng(0)
    topics = rng.gamma(0.3, size=(N_TOPICS, N_FEATURES)).astype(np.float32)
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, N_FEATURES))
    for start in range(0, n_rows, 1000):
        n = min(1000, n_rows - start)
        shares = rng.gamma(0.2, size=(n, N_TOPICS)).astype(np.float32)
        X[start : start + n] = shares @ topics + rng.random((n, N_FEATURES), np.float32)
    X.flush()


def count_bytes():
    """Count from now on the bytes that this process writes to the network."""
    from distributed.comm import tcp

    if not hasattr(tcp.TCP, "plain_write"):
        tcp.TCP.plain_write, tcp.TCP.n_bytes = tcp.TCP.write, 0

        async def write(self, *given, **options):
            n_bytes = await tcp.TCP.plain_write(self, *given, **options)
            tcp.TCP.n_bytes += n_bytes or 0
            return n_bytes

        tcp.TCP.write = write


def bytes_written():
    """Bytes that this process has written since `count_bytes`."""
    from distributed.comm import tcp

    return tcp.TCP.n_bytes


def processor_time():
    """CPU seconds of this process."""
    return time.process_time()


class Totals:
    """CPU seconds and bytes of the client and all workers."""

    def __init__(self, client):
        self.client = client

    def now(self):
        n_bytes, cpu = 0, time.process_time()
        if self.client:
            n_bytes = bytes_written() + sum(self.client.run(bytes_written).values())
            of_workers = [*self.client.run(processor_time).values()]
            return np.array([time.perf_counter(), cpu + sum(of_workers), n_bytes, sum(of_workers)])
        return np.array([time.perf_counter(), cpu, n_bytes, 0.0])


def measured(path, rows, n_readings, client):
    """Wall seconds, CPU seconds, bytes and CPU seconds of workers per reading of the data, which is
    an iteration but for the update of A; and the bits of the sums.
    """
    loss = _training.Squares(_training.BlockedData(blocks(path, rows=rows)))
    A = unit_columns(np.random.default_rng(1).random((N_FEATURES, N_TOPICS))).astype(np.float32)
    loss.read(A)  # workers load, compile, and know the supports
    totals = Totals(client)
    before = totals.now()
    for _ in range(n_readings):
        sums = loss.read(A)
    return (totals.now() - before) / n_readings, sums.P.tobytes()


def bytes_of_model(n_workers):
    """Bytes per iteration: A to the scheduler and to every worker, sums that cross from one worker
    to another, and one through the scheduler to the client.
    """
    topics = N_FEATURES * N_TOPICS * 4  # float32
    sums = 8 * (N_FEATURES * N_TOPICS + N_TOPICS**2 + N_TOPICS + 1)
    owners = owners_of_blocks(N_BLOCKS, list(range(n_workers)))
    crossing = 0

    def added(a, b):
        nonlocal crossing
        crossing += a != b
        return a

    spans = tasks_of_owners(owners, n_workers)
    _training.tree_sum((owners[span[0]] for span in spans), added)
    return (1 + n_workers) * topics + (crossing + 2) * sums


def compared(path, rows, n_iterations, rounds):
    """The least of interleaved rounds of every kind."""
    best, bits, ratios = {}, set(), []
    count_bytes()
    with contextlib.ExitStack() as stack:
        clients = {n: stack.enter_context(client_of(n)) for n in (1, 2)}
        for n in range(rounds + 1):  # the first one warms up
            of_round = {}
            for kind in KINDS:
                n_threads = 1 + kind.startswith("two")
                _training.thread_count = lambda n_threads=n_threads: n_threads
                client = None if "thread" in kind else clients[n_threads]
                with client.as_current() if client else contextlib.nullcontext():
                    of_round[kind], found = measured(path, rows, n_iterations, client)
                bits.add(found)
            if n:
                ratios.append(of_round)
                for kind, one in of_round.items():
                    best[kind] = np.minimum(best.get(kind, np.inf), one)
            walls = ", ".join(f"{kind} {one[0]:.3f} s" for kind, one in of_round.items())
            print(f"{walls}; load {os.getloadavg()[0]:.1f}", flush=True)
    return best, len(bits) == 1, ratios


@contextlib.contextmanager
def client_of(n_workers):
    """The client of a new cluster, which is used only where it is asked for."""
    options = dict(threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL)
    with distributed.LocalCluster(n_workers=n_workers, **options) as cluster:
        with distributed.Client(cluster, set_as_default=False) as client:
            client.run(count_bytes)
            yield client


def median_ratio(ratios, over, under):
    """Median over rounds of a ratio of wall times."""
    return float(np.median([one[over][0] / one[under][0] for one in ratios]))


def report(asked, best, same_bits, ratios, load):
    sent = best["two workers"][2]
    two = bytes_of_model(2)
    cpu = best["two workers"][1] / best["two threads"][1]
    own = best["two workers"][1] - best["two workers"][3]
    lines = [
        "# NMF on a Dask cluster",
        "",
        f"Written by `benchmarks/cluster.py` on {datetime.date.today()}, Python "
        f"{platform.python_version()}, dask {distributed.__version__}, {os.cpu_count()} cores, "
        f"load of the machine {load[0]:.1f} before and {load[1]:.1f} after (1 minute). "
        f"{N_TOPICS} topics, a dense file of {asked.rows} x {N_FEATURES} float32 in {N_BLOCKS} "
        f"blocks; in each of {asked.rounds} rounds {asked.iterations} readings for equal topics.",
        "",
        "| | found | wanted |",
        "|---|---|---|",
        f"| two workers as fast as .. times one (median of rounds) | "
        f"{median_ratio(ratios, 'one worker', 'two workers'):.2f} | at least 1.7 |",
        f"| wall time of two workers / two threads (median of rounds) | "
        f"{median_ratio(ratios, 'two workers', 'two threads'):.2f} | at most 1.2 |",
        f"| CPU time of two workers with client and scheduler / two threads | {cpu:.2f} | |",
        f"| CPU time of client and scheduler per iteration | {own * 1e3:.0f} ms | |",
        f"| bytes over the network per iteration, two workers | {sent / 1e6:.2f} MB | |",
        f"| the same / model ({two / 1e6:.2f} MB) | {sent / two:.2f} | at most 1.2 |",
        f"| the same bits in all sums | {'yes' if same_bits else 'NO'} | yes |",
        "",
        "Model: (1 + workers) A + (2 + sums that cross) (P, Q, activity, value): A goes to the "
        "scheduler and from there to every worker, the last sum through the scheduler to the "
        "client; with neighboring blocks on one worker one sum crosses between two workers.",
        "",
        "| per iteration, least of the rounds | wall | CPU of all processes | CPU of workers |",
        "|---|---|---|---|",
    ]
    for kind in KINDS:
        wall, all_cpu, _, of_workers = best[kind]
        lines.append(f"| {kind} | {wall:.3f} s | {all_cpu:.3f} s | {of_workers:.3f} s |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=160_000)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/X.npy"
        make_file(path, asked.rows)
        rows = -(-asked.rows // N_BLOCKS)
        found = compared(path, rows, asked.iterations, asked.rounds)
    text = report(asked, *found, (before, os.getloadavg()[0]))
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
