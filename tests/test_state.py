"""State that outlives a call: of the process, of files and of models."""

import copy
import datetime
import errno
import functools
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
import zipfile

import joblib
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
import zoo
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from nnmf_nb import (
    NMF,
    Checkpoint,
    HierarchicalNMF,
    LiveView,
    NeuralNMF,
    NonlinearSemiNMF,
    datasets,
    inspect,
    load,
    nnls,
    plot,
    save,
    verify,
)
from nnmf_nb.core import _arrays as backend
from nnmf_nb.core._arrays import ThreadLimit, blas_in_one_thread
from nnmf_nb.models._base import EarlyStopping, hidden_score
from nnmf_nb.persistence import _checkpoints as checkpoints
from nnmf_nb.persistence import _files as files

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = zoo.planted(30, 12, seed=3)

# --- E: threads of BLAS ---------------------------------------------------------------------------


class Library:
    """A BLAS library with a number of threads for the process, or for every thread."""

    def __init__(self, number, per_thread=False):
        self.state = threading.local() if per_thread else type("Process", (), {})()
        self.default = number

    @property
    def num_threads(self):
        return getattr(self.state, "number", self.default)

    def set_num_threads(self, number):
        self.state.number = number


@pytest.fixture
def library(monkeypatch):
    """The one library of the process, with seven threads, whatever this machine has."""
    made = Library(7)
    monkeypatch.setattr(backend, "_blas", lambda layer: [made] if layer == "others" else [])
    assert not backend._of_process.inside
    return made


def test_overlapping_contexts_restore_the_threads_of_blas(library):
    """E: a fit that begins first and ends first left BLAS at one thread for ever."""
    first, second, third = (blas_in_one_thread() for _ in range(3))
    seen = [library.num_threads]
    for step in (
        first.__enter__,
        second.__enter__,
        first.__exit__,
        third.__enter__,
        third.__exit__,
        second.__exit__,
    ):
        step()
        seen.append(library.num_threads)
    assert seen == [7, 1, 1, 1, 1, 1, 7]


def test_threads_that_overlap_leave_the_libraries_of_this_machine_as_they_were():
    """E: the first thread may end, or live on, when the last one leaves; both had been ignored."""
    libraries = backend._blas("others")
    for one in libraries:
        backend.set_threads(one, 2)
    before = [one.num_threads for one in libraries]
    inside, leave = threading.Barrier(2), threading.Event()

    def works():
        with blas_in_one_thread():
            inside.wait(10)
            leave.wait(10)

    other = threading.Thread(target=works)
    with blas_in_one_thread():
        other.start()
        inside.wait(10)
    during = [one.num_threads for one in libraries]
    leave.set()
    other.join()
    assert during == [1] * len(libraries)
    assert [one.num_threads for one in libraries] == before


class Overlap:
    """A callback that holds a fit at its first iteration until the other one has ended."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.first.set()
        self.last.wait(10)


@pytest.mark.parametrize("name", ["NMF", "NeuralNMF", "SSNMF", "DeepSemiNMF", "UnfoldedNMF"])
def test_overlapping_fits_restore_the_threads_of_blas(name, library):
    """E: a second fit begins while the first one runs, and ends after it."""
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    other_begun, other_ends = threading.Event(), threading.Event()

    def first():
        model = zoo.new(name, max_iter=1).set_callbacks(Overlap(begun, go_on))
        model.fit(X, zoo.labels(len(X)) if zoo.ZOO[name][2] else None)
        done.set()

    def second():
        zoo.new("NMF", max_iter=1).set_callbacks(Overlap(other_begun, other_ends)).fit(X)

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread, event in zip(threads, (begun, other_begun)):
        thread.start()
        assert event.wait(30)
    go_on.set()
    assert done.wait(30)
    between = library.num_threads
    other_ends.set()
    for thread in threads:
        thread.join()
    assert (between, library.num_threads) == (1, 7)


def test_a_library_with_a_number_for_every_thread_is_restored_in_each():
    """E: OpenBLAS with OpenMP; the thread that leaves first must not be left at one."""
    library, found = Library(7, per_thread=True), {}
    inside, leave = threading.Barrier(2), threading.Event()

    def works(name, wait):
        limit = ThreadLimit(lambda: [library])
        limit.enter(limit)
        inside.wait(10)
        during = library.num_threads
        wait()
        limit.leave(id(limit))
        found[name] = during, library.num_threads
        leave.set()

    waits = {"first": lambda: None, "last": lambda: leave.wait(10)}
    threads = [threading.Thread(target=works, args=item) for item in waits.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"first": (1, 7), "last": (1, 7)}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer here")
def test_an_interrupt_at_any_moment_restores_the_threads_of_blas(library):
    """E: KeyboardInterrupt between entering and leaving, and inside of both."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGALRM, interrupt)
    interrupts = 0
    try:
        for n in range(4000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + n % 200))
                for _ in range(5):
                    with blas_in_one_thread():
                        with blas_in_one_thread():
                            pass
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupts += 1
            assert (library.num_threads, backend._of_process.inside) == (7, {}), f"round {n}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    assert interrupts > 100
    assert backend._of_process.lock.acquire(blocking=False)
    backend._of_process.lock.release()


def test_an_exception_in_a_fit_or_in_nnls_restores_the_threads_of_blas(library):
    """E: as does every door that limits BLAS."""
    model = NMF(2, random_state=0, max_iter=3).fit(X)
    seen = []
    fails = lambda *args, **options: seen.append(library.num_threads) or 1 / 0
    for door in (model.transform, model.score, NMF(2).fit, lambda X: nnls(X, X)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nnmf_nb.models._one_layer.coefficients_of", fails)
            patch.setattr("nnmf_nb.models._nmf.train_flat", fails)
            patch.setattr("nnmf_nb.nnls._solved", fails, raising=False)
            patch.setattr("nnmf_nb.layer._nnls.solve_layer", fails, raising=False)
            try:
                door(X)
            except ZeroDivisionError:
                pass
        assert library.num_threads == 7
    assert seen and set(seen) == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_during_a_fit_of_another_thread_has_all_threads_of_blas(library):
    """E: the other thread is not in the child, and never leaves there."""
    inside, leave = threading.Barrier(2), threading.Event()

    def works():
        with blas_in_one_thread():
            inside.wait(10)
            leave.wait(10)

    other = threading.Thread(target=works)
    other.start()
    inside.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(library.num_threads)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    leave.set()
    other.join()
    assert (number, library.num_threads) == (7, 7)


def test_overlapping_fits_leave_the_filters_of_warnings_alone(monkeypatch):
    """E: another state of the process; the start of DeepSemiNMF hides a warning of k-means."""
    import nnmf_nb.chain._semi_nmf as semi

    inside, numbers = threading.Semaphore(0), iter((0, 1))

    class Slow(semi.KMeans):
        def fit_predict(self, X):
            inside.release()
            if next(numbers) == 0:
                time.sleep(0.1)  # the other one enters, if it may
            else:
                time.sleep(0.3)  # the first one leaves
            return super().fit_predict(X)

    monkeypatch.setattr(semi, "KMeans", Slow)
    model = zoo.new("DeepSemiNMF", ranks=(3,), max_iter=1)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.filterwarnings("ignore", message="DeepSemiNMF stopped")
        before = list(warnings.filters)
        threads = [threading.Thread(target=clone(model).fit, args=(X,)) for _ in range(2)]
        threads[0].start()
        assert inside.acquire(timeout=60)
        threads[1].start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before


# --- Q: whose checkpoint is it? -------------------------------------------------------------------


def weighted(w):
    def cost(X, A, S, Y):
        return w

    return cost


def defaults(w):
    def cost(X, A, S, Y=w, *, more=w):
        return Y, more

    return cost


def nested(w):
    return {1: lambda X: lambda Y: 0.25 * Y, 2: lambda X: lambda Y: 0.75 * Y}[w]


def constants(w):
    return {1: lambda X: 0.25 * X, 2: lambda X: 0.75 * X}[w]


def with_attribute(w):
    def cost(X):
        return cost.w

    cost.w = w
    return cost


def reads_a_global(w):
    known = {"w": w, "helper": constants(w)}
    exec("def cost(X):\n    return w * helper(X)", known)
    return known["cost"]


class Callable:
    def __init__(self, w):
        self.parts = {"w": [w, self]}  # goes in circles

    def __call__(self, X):
        return X

    def method(self, X):
        return X


class Slots:
    __slots__ = ("w",)

    def __init__(self, w):
        self.w = w

    def __call__(self, X):
        return X


def made_class(w):
    return type("Cost", (), {"w": w, "__call__": lambda self, X: X})


DIFFERENT = {
    "closure": weighted,
    "constants": constants,
    "defaults": defaults,
    "nested code": nested,
    "attribute of a function": with_attribute,
    "global variable": reads_a_global,
    "partial": lambda w: functools.partial(weighted, w),
    "partial of a closure": lambda w: functools.partial(weighted(w), Y=0),
    "keywords of a partial": lambda w: functools.partial(weighted, w=w),
    "wrapped": lambda w: functools.lru_cache(weighted(w)),
    "callable object": Callable,
    "slots": Slots,
    "method": lambda w: Callable(w).method,
    "class variable": lambda w: made_class(w)(),
    "object in a closure": lambda w: weighted(Callable(w)),
    "array in a closure": lambda w: weighted(np.arange(3.0) * w),
    "set": lambda w: {"a", "b", w},
    "Generator": np.random.default_rng,
    "RandomState": np.random.RandomState,
    "bit generator": lambda w: np.random.Generator(
        {1: np.random.PCG64, 2: np.random.MT19937}[w](0)
    ),
    "advanced generator": lambda w: [rng := np.random.default_rng(0), rng.random(w)][0],
    "date": lambda w: datetime.date(2020, 1, w),
    "columns": lambda w: pd.DataFrame(np.eye(2), columns=[0, w]),
    "index": lambda w: pd.Series([0, 0], index=[0, w]),
    "order": lambda w: np.ones((3, 4), order={1: "C", 2: "F"}[w]),
    "strides": lambda w: np.ones((3, 4 * w))[:, ::w],
    "what a masked array hides": lambda w: np.ma.masked_array([1, 2], [False, w == 1]),
    "dictionary of keys": lambda w: sp.dok_array(np.eye(3) * w),
    "diagonals": lambda w: sp.dia_array((np.ones((1, 3)), [w]), shape=(3, 3)),
    "lists": lambda w: sp.lil_array(np.eye(3) * w),
    "text": lambda w: [["ab", "c"], ["a", "bc"]][w - 1],
    "type of a number": lambda w: {1: 1, 2: 1.0}[w],
}


@pytest.mark.parametrize("make", DIFFERENT.values(), ids=DIFFERENT)
def test_values_that_differ_have_different_hashes(make):
    """Q: and equal ones the same."""
    assert checkpoints.hashed(make(1)) == checkpoints.hashed(make(1))
    assert checkpoints.hashed(make(1)) != checkpoints.hashed(make(2))


@pytest.mark.parametrize(
    "one, other",
    [
        (np.int64(3), 3),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        ((np.int32(6), 3), (6, 3)),
        (np.arange(6.0)[::2].copy(), np.arange(6.0)[::2] * 1),
    ],
)
def test_values_that_mean_the_same_have_one_hash(one, other):
    """Q: NMF(np.int64(3)) and NMF(3) are one fit."""
    assert checkpoints.hashed(one) == checkpoints.hashed(other)


def test_a_hash_is_the_same_in_another_process():
    """Q: sets of text have another order there."""
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_state as t;"
        "print(*(t.checkpoints.hashed(make(1)) for make in t.DIFFERENT.values()))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == [checkpoints.hashed(make(1)) for make in DIFFERENT.values()]


def squared(w):
    """A cost of one layer: w * ||X - A S||^2 / 2 with its derivatives."""

    def cost(X, A, S, Y):
        R = A[0] @ S[0] - X
        return w * float((R**2).sum()) / 2, [w * R @ S[0].T], [w * A[0].T @ R]

    return cost


@pytest.mark.parametrize(
    "first, second",
    [
        (dict(cost=squared(1.0)), dict(cost=squared(2.0))),
        (dict(random_state=np.random.default_rng(1)), dict(random_state=np.random.default_rng(2))),
    ],
    ids=["cost", "random_state"],
)
def test_a_checkpoint_of_another_fit_is_refused(first, second, tmp_path):
    """Q: it was fetched as if it were one's own; so was the file that {fit} names."""
    model = NeuralNMF(ranks=(3,), random_state=0, max_iter=2)
    clone(model).set_params(**first).set_callbacks(Checkpoint(tmp_path / "c")).fit(X)
    other = clone(model).set_params(**second).set_callbacks(Checkpoint(tmp_path / "c"))
    with pytest.raises(ValueError, match=f"parameter {next(iter(first))} is different"):
        other.fit(X)
    for change in (first, second):
        again = clone(model).set_params(**change)
        again.set_callbacks(Checkpoint(tmp_path / "{fit}.c")).fit(X)
    assert len(list(tmp_path.glob("*.c"))) == 2


def test_a_checkpoint_of_the_same_fit_is_fetched(tmp_path):
    """Q: NumPy's integers are Python's, and the order of the data in memory counts."""
    fetched = Checkpoint(tmp_path / "c")
    small = dict(n_components=3, random_state=0, max_iter=5)
    first = NMF(**small).set_callbacks(Checkpoint(tmp_path / "c")).fit(X)
    small = {name: np.int64(value) for name, value in small.items()}
    again = NMF(**small).set_callbacks(fetched).fit(X)
    assert fetched.resumed > 0 and zoo.same(first, again)
    with pytest.raises(ValueError, match="X is different"):
        NMF(**small).set_callbacks(Checkpoint(tmp_path / "c")).fit(np.asfortranarray(X))


@pytest.mark.parametrize("thing", [threading.Lock(), (n for n in range(3)), sys.stderr])
def test_what_cannot_be_hashed_is_refused(thing, tmp_path):
    """Q: better no checkpoint than another one's."""
    model = NeuralNMF(ranks=(3,), cost=weighted(thing)).set_callbacks(Checkpoint(tmp_path / "c"))
    with pytest.raises(ValueError, match="cannot tell parameter cost.*without Checkpoint"):
        model.fit(X)
    assert not (tmp_path / "c").exists()


def test_only_what_nobody_writes_any_more_is_removed(tmp_path):
    """Q: of two processes with one file one deleted what the other was just writing."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = tmp_path / files.temporary_name("c")
    machine, pid = files.this_machine(), os.getpid()
    dead = tmp_path / f".c.{machine}-{ended.pid}.{'0' * 12}.tmp"
    elsewhere = tmp_path / f".c.{'0' * 6}-{ended.pid}.{'0' * 12}.tmp"
    old = tmp_path / f".c.{machine}-{pid}.{'0' * 12}.tmp"
    other = tmp_path / f".d.{machine}-{ended.pid}.{'0' * 12}.tmp"
    for path in (living, dead, elsewhere, old, other):
        path.touch()
    os.utime(old, (0, 0))
    NMF(3, random_state=0, max_iter=2).set_callbacks(Checkpoint(tmp_path / "c")).fit(X)
    assert {*tmp_path.iterdir()} == {tmp_path / "c", living, elsewhere, other}


@pytest.mark.parametrize("name", ["NMF", "HierarchicalNMF", "NeuralNMF", "SSNMF", *zoo.TENSORS])
def test_a_finished_fit_is_fetched_where_nobody_can_write(name, tmp_path, monkeypatch):
    """Q: from a full or read-only disk, without a warning."""
    fit = lambda: zoo.new(name, max_iter=3, tol=0.0).set_callbacks(Checkpoint(tmp_path / "c"))
    y = zoo.labels(len(X)) if zoo.EVERY[name][2] else None
    first = fit().fit(X, y)
    before = (tmp_path / "c").read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert zoo.same(fit().fit(X, y), first)
    assert (tmp_path / "c").read_bytes() == before
    if name != "HierarchicalNMF":
        with pytest.raises(OSError, match="No checkpoint can be written"):
            fit().set_params(max_iter=9).fit(X, y)


# --- T: files that are written --------------------------------------------------------------------

CUT = [os.fsdecode(b"caf\xe9"), "one half \ud83d"]  # a name in Latin-1, half of an emoji
NAMES = [f"{CUT[i % 2]} {i}" for i in range(X.shape[1])]


def named_model():
    model = HierarchicalNMF(ranks=(3, 2), random_state=0, max_iter=5)
    return model.fit(pd.DataFrame(X, columns=NAMES))


def page(model, path):
    inspect(model, X, samples=[f"{CUT[0]} {i}" for i in range(len(X))]).to_html(path)


def checkpoint(model, path):
    clone(model).set_callbacks(Checkpoint(path)).fit(X)


@pytest.mark.parametrize("write", [page, save, checkpoint])
@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_writer_that_fails_leaves_the_old_file(write, step, tmp_path, monkeypatch):
    """T: to_html emptied the old page and then failed."""
    (tmp_path / "old").write_bytes(b"old")
    model, asked = named_model(), []

    def full(*args, **options):
        asked.append(step)
        raise OSError(errno.ENOSPC, "No space left on device")

    if write is checkpoint:  # refused before anything is written
        with pytest.raises(ValueError, match="delete the file"):
            write(model, tmp_path / "old")
    if step == "open":
        monkeypatch.setattr(files, "open", full, raising=False)
    else:
        monkeypatch.setattr(files.os, step, full)
    with pytest.raises(OSError, match="No space left on device"):
        write(model, tmp_path / ("new" if write is checkpoint else "old"))
    assert asked and os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_names_that_are_no_text_reach_every_page(tmp_path):
    """T: halves of surrogate pairs in names of features, data points, classes and topics."""
    model = named_model()
    view = inspect(model, X, samples=NAMES * 2 + NAMES[:6])
    view.rename(0, 0, CUT[0]).to_html(tmp_path / "page")
    text = (tmp_path / "page").read_text(encoding="utf8")
    assert "caf\N{REPLACEMENT CHARACTER}" in text and "\\udce9" not in text
    view.widget.names = {"0,0": CUT[1]}  # from the browser
    table = model.topics()
    shown = [repr(view), view.names, view.payload, view.error, model.tree(), model.summary()]
    shown += [table.to_numpy().tolist(), view.widget.get_state(["names", "payload", "error"])]
    json.dumps(shown, ensure_ascii=False).encode()
    live = LiveView()
    clone(model).set_callbacks(live).fit(pd.DataFrame(X, columns=NAMES))
    json.dumps([live.frame, live.progress, live.still()], ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_names_that_are_no_text_reach_every_picture(kind):
    """T: matplotlib refuses them."""
    model = named_model()
    pictures = [
        plot.plot_tree(model),
        plot.plot_topics(model),
        plot.plot_factor(model, top=5),
        plot.plot_paths(model, 0, X),
        plot.plot_over_time(model, 0, np.arange(len(X)) // 10, X),
        plot.plot_errors([model, model], names=CUT),
    ]
    for shown in pictures:
        figure = shown if hasattr(shown, "savefig") else np.ravel(shown)[0].figure
        figure.savefig(io.BytesIO(), format=kind)
        plt.close(figure)


def test_names_that_are_no_text_come_back_from_a_file(tmp_path):
    """T: nothing is lost in a model file, whose text is pure ASCII."""
    model = named_model()
    inspect(model).rename(0, 0, CUT[0])
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert list(again.feature_names_in_) == NAMES and again.topic_names_ == model.topic_names_


@pytest.mark.skipif(os.name != "posix", reason="modes and pipes of POSIX")
def test_a_new_file_has_the_mode_of_the_old_one_and_pipes_take_pages(tmp_path):
    """T: as when a file is opened and written."""
    (tmp_path / "page").touch(0o600)
    os.chmod(tmp_path / "page", 0o640)
    view = inspect(named_model())
    view.to_html(tmp_path / "page")
    assert os.stat(tmp_path / "page").st_mode & 0o777 == 0o640
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    view.to_html(tmp_path / "pipe")
    reader.join()
    assert read == [(tmp_path / "page").read_bytes()]


# --- W: files that are read -----------------------------------------------------------------------

HEADER = b"%%MatrixMarket matrix coordinate real general\n"


def archive_of(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def npy(shape, content=b"", dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + content


def sparse_archive(make, **change):
    file = io.BytesIO()
    sp.save_npz(file, make(np.eye(3)))
    with np.load(io.BytesIO(file.getvalue())) as arrays:
        members = {**arrays, **change}
    file = io.BytesIO()
    np.savez(file, **members)
    return file.getvalue()


LARGE = {
    "rows": (datasets.read_matrix_market, HEADER + b"20000000 3 1\n1 2 5.0\n"),
    "columns": (datasets.read_matrix_market, HEADER + b"3 400000000 1\n1 2 5.0\n"),
    "entries": (datasets.read_matrix_market, HEADER + b"3 3 900000000\n1 2 5.0\n"),
    "dense": (
        datasets.read_matrix_market,
        b"%%MatrixMarket matrix array real general\n40000 40000\n1\n2\n",
    ),
    "texts": (datasets.read_texts, lambda: archive_of(a_txt=bytes(3 * 10**8))),
    "rows of a sparse archive": (
        datasets.read_npz,
        sparse_archive(sp.coo_array, shape=np.array([10**9, 3])),
    ),
}


@pytest.mark.parametrize("read, content", LARGE.values(), ids=LARGE)
def test_a_reader_refuses_before_it_allocates(read, content):
    """W: a file of 67 bytes took 2.4 GB."""
    content = content() if callable(content) else content  # a second to make
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"asks for [\d,]+ bytes of memory.*max_bytes"):
        read(content)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_what_fits_is_read_and_the_limit_can_be_set():
    """W: the limit is the larger of 2 GB and fifty times the file, or what is given."""
    small = HEADER + b"20 3 1\n1 2 5.0\n"
    assert datasets.read_matrix_market(small).shape == (20, 3)
    with pytest.raises(ValueError, match="1,000 are allowed"):
        datasets.read_matrix_market(small, max_bytes=1000)
    stored = io.BytesIO()
    np.savez_compressed(stored, a=np.zeros((200, 300)), b=np.ones(9), c=np.eye(2))
    assert datasets.read_npz(stored.getvalue()).shape == (200, 300)
    with pytest.raises(ValueError, match="allowed"):
        datasets.read_npz(stored.getvalue(), max_bytes=10**5)
    for make in (sp.csr_array, sp.csc_array, sp.coo_array, sp.dia_array, sp.bsr_array):
        assert (datasets.read_npz(sparse_archive(make)).toarray() == np.eye(3)).all()
    assert datasets.read_texts(archive_of(a_txt="one", b_pdf="two")) == (["a.txt"], ["one"])
    with pytest.raises(ValueError, match="allowed"):
        datasets.read_texts(archive_of(a_txt=bytes(10**5)), max_bytes=10**5)


@pytest.mark.parametrize(
    "content",
    [
        archive_of(a_npy=npy((10**6, 10**6), b"few")),
        archive_of(a_npy=b"no array"),
        archive_of(a_npy=npy((9,), bytes(72))),
        sparse_archive(sp.csr_array, indices=np.array([0, 1, 10**6])),
        b"no archive",
    ],
    ids=["shape", "format", "no matrix", "indices", "zip"],
)
def test_a_made_up_archive_is_refused(content):
    """W: what it says of itself is not believed."""
    with pytest.raises(ValueError):
        datasets.read_npz(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_by_every_reader(tmp_path):
    """W: load and Checkpoint waited for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="cannot be loaded: it is no regular file"):
        load(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        NMF(2).set_callbacks(Checkpoint(tmp_path / "pipe")).fit(X)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(beta_loss=1e308), "beta_loss must be .* from -20 to 20, got 1e.308"),
        (dict(beta_loss=-1e308), "beta_loss must be .* range of floating-point numbers"),
        (dict(beta_loss=np.inf), "beta_loss must be"),
        (dict(alpha_W=np.inf), "alpha_W must be a finite number >= 0, got inf"),
        (dict(alpha_H=np.inf), "alpha_H must be a finite number >= 0, got inf"),
        (dict(tol=np.inf), "tol must be a finite number >= 0, got inf"),
    ],
)
def test_numbers_without_a_meaning_are_refused(change, message):
    """W: beta_loss=1e308 did not end; alpha_W=inf gave zeros or an error of LAPACK."""
    with pytest.raises(ValueError, match=message):
        NMF(2, **change).fit(X)


def test_made_up_models_are_refused_by_load(tmp_path, monkeypatch):
    """W: they loaded, and failed in transform."""
    network = zoo.fit("SparseCodingNetwork", X)
    labeled = zoo.fit("NeuralNMF-labels", X)
    signed = NonlinearSemiNMF(ranks=(3, 2), random_state=0, max_iter=2).fit(X)
    (layer, classifier), *_ = labeled.classifiers_.items()
    wrong = [
        (network, {"penalties_": network.penalties_[:1]}),
        (network, {"penalties_": network.penalties_.ravel()}),
        (network, {"penalties_": -1 - network.penalties_}),
        (network, {"penalties_": 3.0}),
        (network, {"penalties_": network.penalties_.astype(complex)}),
        (network, {"classifiers_": {5: network.classifiers_[1]}}),
        (labeled, {"classifiers_": {layer: classifier._replace(B=classifier.B[:, 1:])}}),
        (labeled, {"classifiers_": {"0": classifier}}),
        (signed, {"unit_": 0.0}),
        (signed, {"typical_code_": signed.typical_code_[:, None]}),
    ]
    for model, change in wrong:
        made_up = copy.copy(model)
        vars(made_up).update(change)
        with monkeypatch.context() as patch:
            patch.setattr(files, "check_fitted", lambda fitted: None)
            save(made_up, tmp_path / "m")
        with pytest.raises(ValueError, match="cannot be loaded: .* does not fit"):
            load(tmp_path / "m")
    save(network, tmp_path / "m")
    save(labeled, tmp_path / "m")
    save(signed, tmp_path / "m")


# --- L: pickles of models that were watched -------------------------------------------------------

CALLBACKS = {
    "LiveView": lambda path: LiveView(rate=3.0, keep=(1,), memory=2),
    "Checkpoint": lambda path: Checkpoint(path / "c"),
    "EarlyStopping": lambda path: EarlyStopping(hidden_score(X, X < 2.0)),
}


class Copies:
    """A callback that copies the model in the middle of its fit."""

    def __init__(self, work):
        self.work, self.copies = work, []

    def __reduce__(self):
        return Copies, (None,)

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.copies.append(self.work(estimator))


def stored(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "joblib": stored,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("work", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    "name", ["NMF", "NeuralNMF", "DeepSemiNMF", "SparseCodingNetwork", *zoo.TENSORS]
)
@pytest.mark.parametrize("callback", CALLBACKS)
@pytest.mark.each_value_once
def test_a_model_with_callbacks_is_copied(name, callback, work, tmp_path):
    """L: a model that LiveView had watched could not be pickled."""
    if callback == "EarlyStopping" and name not in (*zoo.MASKED, *zoo.TENSORS):
        name = "HierarchicalNMF"
    model = zoo.new(name, max_iter=3).set_callbacks(CALLBACKS[callback](tmp_path))
    if callback == "LiveView" and name in zoo.TENSORS:
        with pytest.raises(TypeError, match="LiveView shows models of matrices, and N"):
            model.fit(X)
        return
    y = zoo.labels(len(X)) if zoo.EVERY[name][2] else None
    for now in (model, model.fit(X, y)):
        again = work(now)
        assert [type(one) for one in again._skl_callbacks] == [type(model._skl_callbacks[0])]
    assert (zoo.transform(again, X) == zoo.transform(model, X)).all()
    assert not files.RUNNING & {*vars(again)}
    assert zoo.same(again.fit(X, y), model)


def test_a_copy_of_a_live_view_is_a_new_one():
    """L: with the options of the old one, and nothing of its session."""
    view = LiveView(rate=3.0, share=0.5, features=range(12), keep=(1,), memory=2)
    model = NMF(3, random_state=0, max_iter=4).set_callbacks(view).fit(X)
    view.widget.close()
    again = pickle.loads(pickle.dumps(model))._skl_callbacks[0]
    assert (again.rate, again.share, again.features) == (3.0, 0.5, range(12))
    assert (again._keep, again._memory) == ((1,), 2)
    assert again.epochs == [] != view.epochs and again.progress["state"] == "waiting"
    assert clone(model)._skl_callbacks[0] is view


@pytest.mark.parametrize("name", ["NMF", "NeuralNMF"])
def test_a_model_is_copied_in_the_middle_of_its_fit(name):
    """L: what belongs to the fit that runs stays with it."""
    spy = Copies(COPIES["pickle"])
    zoo.new(name, max_iter=2).set_callbacks(LiveView(), spy).fit(X)
    assert spy.copies and not any(files.RUNNING & {*vars(one)} for one in spy.copies)


# --- F: attributes of scikit-learn's NMF, and sample_weight ---------------------------------------


@pytest.mark.parametrize("name", zoo.one_of_each(zoo.ZOO))
def test_components_cannot_be_set_and_are_counted(name):
    """F: an edit of components_ was ignored by transform; n_components_ was missing."""
    blank = zoo.new(name)
    assert not hasattr(blank, "components_") and not hasattr(blank, "n_components_")
    with pytest.raises(AttributeError, match="cannot be set.*fixed=H.*init='custom'.*order"):
        blank.components_ = np.ones((3, 12))
    assert not hasattr(blank, "components_")
    model = zoo.fit(name, X, max_iter=2)
    before = model.components_.copy()
    with pytest.raises(AttributeError, match=f"components_ of {type(model).__name__} cannot"):
        model.components_ = before[::-1]
    assert (model.components_ == before).all()
    assert model.n_components_ == len(before)
    if hasattr(model, "transform"):
        assert model.n_components_ == zoo.transform(model, X).shape[1]
    again = pickle.loads(pickle.dumps(model))
    assert (again.components_ == before).all() and again.n_components_ == len(before)


def test_the_ways_that_the_error_names_work():
    """F: fixed= holds components, W and H with init='custom' start from them."""
    H = NMF(3, random_state=0).fit(X).components_[[2, 0, 1]]
    fixed = NMF(3, fixed=H).fit(X)
    unit = lambda H: H / np.linalg.norm(H, axis=1, keepdims=True)
    assert unit(fixed.components_) == pytest.approx(unit(H))
    start = NMF(3, init="custom", max_iter=1).fit(X, W=np.ones((len(X), 3)), H=H)
    assert start.score(X) == pytest.approx(fixed.score(X), abs=0.01)


WEIGHTED = ["NMF", "NMF-kl", "SSNMF", "GuidedNMF", "HierarchicalNMF", "DeepNMF", "NeuralNMF-labels"]
W = np.arange(len(X)) % 4  # of data points; every fourth is left out


def points(name, **extra):
    return zoo.fit(name, X, max_iter=5, extra=extra)


@pytest.mark.parametrize("name", WEIGHTED)
def test_sample_weight_is_the_weight_of_all_entries_of_a_data_point(name, tmp_path):
    """F: as scikit-learn calls it, beside weights of entries."""
    entries = np.tile(W[:, None], X.shape[1])
    model = points(name, sample_weight=W.tolist())
    assert zoo.same(model, points(name, weights=entries.astype(float)))
    assert not zoo.same(model, points(name))
    own = np.random.default_rng(0).random(X.shape)
    both = points(name, sample_weight=W, weights=own)
    assert zoo.same(both, points(name, weights=entries * own))
    weights = W.astype(float)
    model = zoo.new(name, max_iter=5).set_callbacks(Checkpoint(tmp_path / "c"))
    y = zoo.labels(len(X)) if zoo.EVERY[name][2] else None
    S = model.fit_transform(X, y, sample_weight=weights)
    assert (S == model.transform(X)).all() and S[W == 0].any()
    assert str(model.certificate_) == str(verify(model, X, weights=entries.astype(float)))
    with pytest.raises(ValueError, match="sample_weight is different"):
        model.fit(X, y, sample_weight=weights + 1)


@pytest.mark.parametrize("kind", [NMF, HierarchicalNMF, NeuralNMF])
def test_sample_weight_counts_a_data_point_so_many_times(kind):
    """F: for one topic, where the best one is unique."""
    weighted = kind(1, tol=1e-10, max_iter=500).fit(X, sample_weight=W)
    repeated = kind(1, tol=1e-10, max_iter=500).fit(X.repeat(W, axis=0))
    unit = lambda H: H / np.linalg.norm(H)
    assert unit(weighted.components_) == pytest.approx(unit(repeated.components_), abs=1e-6)
    assert weighted.reconstruction_err_ == pytest.approx(repeated.reconstruction_err_, rel=1e-6)


def test_sample_weight_can_be_routed():
    """F: metadata routing of scikit-learn, through the end and the middle of a pipeline."""
    with sklearn.config_context(enable_metadata_routing=True):
        model = NMF(2, random_state=0, max_iter=5).set_fit_request(sample_weight=True)
        ends = make_pipeline(FunctionTransformer(), clone(model)).fit(X, sample_weight=W)
        middle = make_pipeline(clone(model), KMeans(2, n_init=1, random_state=0))
        middle[-1].set_fit_request(sample_weight=False)
        middle.fit(X, sample_weight=W)
    alone = NMF(2, random_state=0, max_iter=5).fit(X, sample_weight=W)
    assert zoo.same(ends[-1], alone) and zoo.same(middle[0], alone)


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize(
    "given, error, message",
    [
        (dict(sample_weight=W[1:]), ValueError, "must be 30 numbers.*shape \\(29,\\)"),
        (dict(sample_weight=W - 2), ValueError, "16 entries are not.*\\[0\\] = -2"),
        (dict(sample_weight=np.full(30, np.nan)), ValueError, "finite and >= 0"),
        (dict(sample_weight=0 * W), ValueError, "is 0 for all 30 data points"),
        (dict(sample_weigth=W), TypeError, "unexpected keyword argument 'sample_weigth'"),
    ],
)
@pytest.mark.each_value_once
def test_bad_sample_weights_are_named(name, given, error, message):
    """F: like bad weights of entries."""
    with pytest.raises(error, match=message):
        points(name, **given)


def test_sample_weight_needs_dense_data():
    """F: as weights of entries do."""
    with pytest.raises(ValueError, match="sample_weight needs a dense X"):
        NMF(2).fit(sp.csr_array(X), sample_weight=W)
