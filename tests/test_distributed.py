"""Blocks on a Dask cluster: the bits of a fit in this process, also after workers are killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import scipy.sparse as sp

from nnmf_nb import NMF, SSNMF, Checkpoint, DeepNMF, HierarchicalNMF, NeuralNMF, blocks, datasets
from nnmf_nb.evaluation._certificates import ReadInBlocks
from nnmf_nb.out_of_core import _distributed, _training
from nnmf_nb.out_of_core._distributed import owners_of_blocks, spans_of_blocks
from nnmf_nb.out_of_core._sources import tree_sum

dask = pytest.importorskip("dask", reason="dask is not installed: nnmf_nb[dask]")
distributed = pytest.importorskip("distributed", reason="dask is not installed: nnmf_nb[dask]")
da = pytest.importorskip("dask.array")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.xdist_group("dask"),
]
ROWS = 90  # five blocks, the last one shorter
X = sp.csr_array(datasets.planted_counts((5, 3), 400, 60, random_state=0).X).astype(np.float64)
DENSE = X.toarray()
CHUNKS = da.from_array(DENSE, chunks=(ROWS, -1))
N_WORKERS = 2


# A LocalCluster gives a worker up for ever that is away 15 seconds after it was lost, as one that
# was killed again is: the next test would wait for it in vain.
dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})


def local_cluster(n_workers, **options):
    options = dict(threads_per_worker=1, dashboard_address=":0") | options
    return distributed.LocalCluster(n_workers=n_workers, **options)


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(N_WORKERS) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(N_WORKERS)
        yield client


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    sp.save_npz(folder / "X.npz", X, compressed=False)
    np.save(folder / "X.npy", DENSE)
    return folder


def fitted(source, **options):
    return NMF(4, **dict(max_iter=6, random_state=0) | options).fit(source)


def in_this_process(source, **options):
    """The result without a cluster."""
    assert _distributed.current_client() is None
    return fitted(source, **options).components_.tobytes()


@pytest.fixture(scope="module")
def sparse_bits():
    return in_this_process(blocks(X, rows=ROWS))


# Without a cluster


def test_spans_keep_the_form_of_the_tree():
    def joined(a, b):
        return f"({a}{b})"

    for n_blocks in range(1, 40):
        letters = [chr(97 + n) for n in range(n_blocks)]
        for n_threads in (1, 2, 3):
            spans = spans_of_blocks(n_blocks, n_threads)
            assert [n for span in spans for n in span] == list(range(n_blocks))
            sums = (tree_sum([letters[n] for n in span], joined) for span in spans)
            assert tree_sum(sums, joined) == tree_sum(letters, joined)


def test_neighboring_blocks_have_one_owner():
    assert owners_of_blocks(5, ["a", "b"]) == ["a", "a", "a", "b", "b"]
    assert owners_of_blocks(2, ["a", "b", "c"]) == ["a", "b"]
    # tasks of two blocks: nobody has more than 6 of 16 either way, but of 20 one had 8 instead of 7
    assert "".join(owners_of_blocks(16, ["a", "b", "c"])) == "a" * 6 + "b" * 6 + "c" * 4
    assert "".join(owners_of_blocks(20, ["a", "b", "c"])) == "a" * 7 + "b" * 7 + "c" * 6


def test_a_dask_array_needs_no_cluster():
    expected = in_this_process(blocks(DENSE, rows=ROWS))
    model = fitted(CHUNKS)
    assert model.components_.tobytes() == expected
    assert model.transform(CHUNKS).shape == (400, 4)
    assert model.score(CHUNKS) == pytest.approx(model.score(DENSE))


def test_chunks_that_are_no_blocks():
    with pytest.raises(ValueError, match=r"2 chunks along its features.*rechunk\(\{1: -1\}\)"):
        fitted(CHUNKS.rechunk((ROWS, 40)))
    with pytest.raises(ValueError, match="unknown size.*compute_chunk_sizes"):
        fitted(CHUNKS[CHUNKS.sum(axis=1) > 3])
    with pytest.raises(ValueError, match="shape"):
        blocks(CHUNKS[0])
    with pytest.raises(ValueError, match="mask needs X in memory"):
        NMF(2).fit(CHUNKS, mask="nan")


# The same bits


def test_every_source_gives_the_bits_of_this_process(client, files, sparse_bits):
    parts = [X[n : n + ROWS] for n in range(0, 400, ROWS)]
    for source in (blocks(X, rows=ROWS), blocks(files / "X.npz", rows=ROWS), blocks(parts)):
        assert fitted(source).components_.tobytes() == sparse_bits
    found = {
        fitted(one).components_.tobytes() for one in (CHUNKS, blocks(files / "X.npy", rows=ROWS))
    }
    client.close()
    assert found == {in_this_process(blocks(DENSE, rows=ROWS))}


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.exhaustive
def test_bits_do_not_depend_on_the_number_of_workers(n_workers, files, sparse_bits):
    with local_cluster(n_workers) as cluster, distributed.Client(cluster):
        for source in (blocks(files / "X.npz", rows=ROWS), blocks(X, rows=ROWS)):
            assert fitted(source).components_.tobytes() == sparse_bits


def test_counts_hierarchy_transform_and_score(client, files):
    counts = NMF(4, beta_loss="kullback-leibler", max_iter=4, random_state=0)
    chain = HierarchicalNMF((5, 3), max_iter=2, random_state=0)
    source = blocks(files / "X.npz", rows=ROWS)
    on_workers = []
    for model in (counts, chain):
        model.fit(source)
        rows = model.transform(source, out=files / "S.npy")
        on_workers.append(
            [model.components_, model.layers_[0].S, np.array(rows), model.score(source)]
        )
        on_workers[-1] += [model.layers_[-1].error, model.layers_[-1].kkt]
    client.close()
    for model, found in zip((counts, chain), on_workers):
        source = blocks(X, rows=ROWS)
        model.fit(source)
        here = [model.components_, model.layers_[0].S, model.transform(source), model.score(source)]
        here += [model.layers_[-1].error, model.layers_[-1].kkt]
        for one, other in zip(found, here):
            np.testing.assert_array_equal(one, other)


# Faults


class At:
    """Do something a moment after the n-th reading of the sums has begun."""

    def __init__(self, monkeypatch, n_readings, action, delay=0.01):
        self.left, self.action, self.delay, self.timer = n_readings, action, delay, None
        self.sum = _distributed.Cluster.sum
        monkeypatch.setattr(_distributed.Cluster, "sum", lambda *given: self(*given))

    def __call__(self, *given):
        self.left -= 1
        if self.left == 0:
            self.timer = threading.Timer(self.delay, self.action)
            self.timer.start()
        return self.sum(*given)


def kill_one(client, seed):
    """Return a function that kills a worker without a warning."""
    pids = sorted(client.run(os.getpid).values())
    return lambda: os.kill(pids[seed % len(pids)], signal.SIGKILL)


# KILLS=60 kills 60 workers, one after the other
N_KILLS = int(os.environ.get("KILLS", 20))
kills = [
    pytest.param(seed, marks=[pytest.mark.exhaustive][: min(seed, 1)]) for seed in range(N_KILLS)
]


@pytest.mark.parametrize("seed", kills)
def test_a_killed_worker_changes_no_bit(seed, client, files, sparse_bits, monkeypatch):
    chance = random.Random(seed)
    source = blocks(files / "X.npz" if seed % 2 else X, rows=ROWS)
    fitted(source, max_iter=1)  # workers have loaded what they need
    at = At(
        monkeypatch, chance.randint(1, 10), kill_one(client, seed), chance.expovariate(1 / 0.03)
    )
    assert fitted(source).components_.tobytes() == sparse_bits
    at.timer.join()
    assert at.left <= 0


def test_workers_that_never_come_back(monkeypatch, files):
    monkeypatch.setattr(_distributed, "_PATIENCE", 0.2)
    monkeypatch.setattr(_distributed, "_LOOK", 0.05)
    with local_cluster(1, processes=False) as cluster, distributed.Client(cluster):
        source = blocks(files / "X.npz", rows=ROWS)
        at = At(monkeypatch, 8, lambda: cluster.scale(0), delay=0)
        with pytest.raises(RuntimeError, match="no workers for 0.2 s"):
            fitted(source, max_iter=10**6, tol=0)
        at.timer.join()


def test_tasks_that_are_never_done_are_given_out_anew(client, files, sparse_bits, monkeypatch):
    """As after a fault of Dask: one task finds no worker, another is at work for ever."""
    monkeypatch.setattr(_distributed, "_LOOK", 0.05)
    monkeypatch.setattr(_distributed, "_STILL", 0.5)
    monkeypatch.setattr(_distributed, "_PATIENCE", 0.5)
    source, submit, n_sums = blocks(files / "X.npz", rows=ROWS), distributed.Client.submit, []

    def submitted(self, function, *given, **options):
        n_sums.append(function is _distributed._packed)
        if n_sums[-1] and sum(n_sums) == 3:
            nowhere = {"workers": ["tcp://127.0.0.1:1"], "allow_other_workers": False}
            return submit(self, function, *given, **options | nowhere)
        if n_sums[-1] and sum(n_sums) == 6:
            return submit(self, time.sleep, 2.0, **options)  # returns no bytes
        return submit(self, function, *given, **options)

    monkeypatch.setattr(distributed.Client, "submit", submitted)
    assert fitted(source).components_.tobytes() == sparse_bits
    assert sum(n_sums) > 6


def test_blocks_that_were_lost_are_sent_again(client, sparse_bits, monkeypatch):
    """Dask forgets what was scattered with its worker; the future may look as if it were there."""
    source, scatter, sent = blocks(X, rows=ROWS), distributed.Client.scatter, []

    def lost(self, blocks, **options):
        sent.append(scatter(self, blocks, **options))
        if len(sent) == 3:
            key = sent[-1][0].key
            gone = distributed.Future("never_there", self)
            gone._state.finish()
            assert gone.status == "finished" and key != gone.key
            return [gone]
        return sent[-1]

    monkeypatch.setattr(distributed.Client, "scatter", lost)
    assert fitted(source).components_.tobytes() == sparse_bits
    assert len(sent) > len(source)


@pytest.mark.exhaustive
def test_a_restart_of_all_workers_changes_no_bit(client, sparse_bits, monkeypatch):
    At(monkeypatch, 8, lambda: client.restart(wait_for_workers=False))
    assert fitted(blocks(X, rows=ROWS)).components_.tobytes() == sparse_bits


def test_control_c_returns_the_best_so_far(client, files, monkeypatch):
    result, waited = _distributed._result, []

    def interrupted(future, timeout):
        waited.append(future)
        if len(waited) == 16:
            raise KeyboardInterrupt
        return result(future, timeout)

    source = blocks(files / "X.npz", rows=ROWS)
    monkeypatch.setattr(_distributed, "_result", interrupted)
    model = fitted(source, max_iter=500, tol=0)
    assert model.stop_reason_ == "interrupted" and 1 <= model.n_iter_ < 16
    assert np.isfinite(model.layers_[0].S).all() and model.layers_[0].S.shape == (4, 400)


INTERRUPTED = """
import os, random, signal, sys, threading, warnings

import numpy as np
from nnmf_nb import NMF, blocks

warnings.simplefilter("ignore")
# a program that a shell starts in the background ignores Ctrl-C, and so do its children
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.unraisablehook = lambda lost: None  # a finalizer of Dask throws some away
if sys.argv[1] == "cluster":
    from distributed import Client

    client = Client(processes=False, n_workers=1, dashboard_address=":0")
X = np.random.default_rng(0).random((900, 60))
model, source = NMF(12, init="random", max_iter=10**6, tol=0, random_state=0), blocks(X, rows=30)
model.set_params(max_iter=2).fit(source)
model.set_params(max_iter=10**6)
for seed in range(int(sys.argv[2])):
    delay = random.Random(seed).uniform(0.05, 0.4)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    model.fit(source)
    timer.join()
    print(model.stop_reason_, np.isfinite(model.components_).all(), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("where", "n"),
    [
        ("cluster", 3),
        pytest.param("cluster", 10, marks=pytest.mark.exhaustive),
        # an interruption without a cluster that is the same every time: test_out_of_core
        pytest.param("threads", 10, marks=pytest.mark.exhaustive),
    ],
)
def test_a_real_control_c(where, n):
    """At random moments: about one in twenty falls into a finalizer, where Python drops it."""
    command = [sys.executable, "-c", INTERRUPTED, where, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:-1] == ["interrupted True"] * n, done.stderr


def test_a_lost_cluster_and_its_checkpoint(client, files, sparse_bits, tmp_path, monkeypatch):
    source = blocks(files / "X.npz", rows=ROWS)
    with pytest.MonkeyPatch.context() as patch:
        small = local_cluster(1, processes=False)
        with distributed.Client(small) as lost, small:
            model = NMF(4, max_iter=6, random_state=0).set_callbacks(Checkpoint(tmp_path / "fit"))
            At(patch, 9, lost.close, delay=0)
            with pytest.raises(ConnectionError, match="is lost.*Checkpoint"):
                model.fit(source)
    again = Checkpoint(tmp_path / "fit")
    model = NMF(4, max_iter=6, random_state=0).set_callbacks(again).fit(source)
    assert again.resumed >= 1
    assert model.components_.tobytes() == sparse_bits


def test_a_client_without_workers(monkeypatch, files):
    monkeypatch.setattr(_distributed, "_PATIENCE", 0.1)
    with local_cluster(0, processes=False) as cluster, distributed.Client(cluster):
        with pytest.raises(RuntimeError, match=r"no workers for 0.1 s.*cluster.scale"):
            fitted(blocks(files / "X.npz"))


def set_numpy(version):
    import numpy

    numpy.__version__, before = version, numpy.__version__
    return before


def test_versions_that_differ_are_named(client, files):
    one = min(client.nthreads())
    before = client.run(set_numpy, "1.0", workers=[one])[one]
    try:
        with pytest.raises(RuntimeError, match=rf"worker {one} has numpy 1\.0 and the client"):
            fitted(blocks(files / "X.npz"))
    finally:
        client.run(set_numpy, before, workers=[one])


def test_no_call_to_all_workers_is_part_of_a_fit(client, files, sparse_bits, monkeypatch):
    """It would wait for a worker that dies meanwhile."""
    for name in ("run", "run_on_scheduler", "replicate", "rebalance"):
        monkeypatch.setattr(distributed.Client, name, None)
    assert fitted(blocks(files / "X.npz", rows=ROWS)).components_.tobytes() == sparse_bits


def test_workers_without_the_package(client, files, monkeypatch):
    def lost(*given):
        raise ModuleNotFoundError("No module named 'nnmf_nb'", name="nnmf_nb")

    source = blocks(files / "X.npz", rows=ROWS)
    future = client.submit(lost, pure=False)
    with pytest.raises(RuntimeError, match="cannot load nnmf_nb: install nnmf_nb"):
        _distributed._result(future)
    assert source.shape == X.shape


def test_bad_blocks_are_named_with_their_row(client, tmp_path):
    broken = DENSE.copy()
    broken[117, 7] = np.nan
    np.save(tmp_path / "X.npy", broken)
    for source in (blocks(tmp_path / "X.npy", rows=ROWS), da.from_array(broken, chunks=(ROWS, -1))):
        with pytest.raises(ValueError, match=r"(?s)block 1 .*NaN.*\[27, 7\].*row 117 of X"):
            fitted(source)


def test_a_file_that_workers_cannot_read(client, tmp_path):
    np.save(tmp_path / "X.npy", DENSE)
    source = blocks(tmp_path / "X.npy", rows=ROWS)
    assert source.facts.n_features == X.shape[1]
    (tmp_path / "X.npy").rename(tmp_path / "Y.npy")
    with pytest.raises(OSError, match="X.npy.*every worker sees them"):
        fitted(source)


def test_work_that_is_lost_again_and_again(client, files, monkeypatch):
    def lost(future, timeout):
        raise _distributed._Lost("KilledWorker")

    source = blocks(files / "X.npz", rows=ROWS)
    assert source.facts.n_features == X.shape[1]
    monkeypatch.setattr(_distributed, "_result", lost)
    with pytest.raises(RuntimeError, match="lost 10 times.*smaller blocks"):
        fitted(source)


def test_models_that_need_x_in_memory(client):
    with pytest.raises(TypeError, match="DeepNMF cannot be fitted to blocks"):
        DeepNMF((3, 2)).fit(blocks(X))


def test_chains_and_labels_have_the_bits_of_this_process(client, monkeypatch):
    y = np.where(np.arange(X.shape[0]) % 3 == 0, np.arange(X.shape[0]) % 2, -1)
    models = [
        NeuralNMF((4, 2), coefficients="data", init="flat", max_iter=3, random_state=0),
        SSNMF(4, max_iter=3, random_state=0),
    ]
    there = [model.fit(blocks(X, rows=ROWS), y).components_.tobytes() for model in models]
    monkeypatch.setattr(_training, "cluster_of", lambda source: None)
    here = [model.fit(blocks(X, rows=ROWS), y).components_.tobytes() for model in models]
    assert there == here


# Products of data that a certificate asks for


def test_products_of_blocks_on_a_cluster(client, files):
    """A'X and X S' as those of data in memory, same bits with and without workers."""
    rng = np.random.default_rng(0)
    A, S = rng.random((X.shape[1], 3)), rng.random((3, X.shape[0]))

    def products(source):
        data = ReadInBlocks(source)
        return data.AtX(A), data.XSt(S), data.error2(A, S), data.point_norms(), data.scale

    def bits(found):
        return [np.asarray(part).tobytes() for part in found]

    sources = [lambda: blocks(files / "X.npz", rows=ROWS), lambda: blocks(X, rows=ROWS)]
    on_workers = [products(make()) for make in sources]
    client.close()
    for make, found in zip(sources, on_workers):
        assert bits(found) == bits(products(make()))
        AtX, XSt, error2, norms, scale = found
        np.testing.assert_allclose(scale * AtX, (X @ A).T, rtol=1e-12)
        np.testing.assert_allclose(scale * XSt, (S @ X).T, rtol=1e-12)
        expected = ((DENSE.T / scale - A @ S) ** 2).sum()
        assert error2 == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(scale * norms, np.linalg.norm(DENSE, axis=1), rtol=1e-12)
