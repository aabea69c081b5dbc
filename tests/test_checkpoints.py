"""A fit that was cut off goes on to the same bits, and a checkpoint is never mistaken for another
one.
"""

import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import zoo
from safetensors.numpy import save_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import nnmf_nb
from nnmf_nb import Checkpoint, HierarchicalNMF, NeuralNMF, NonlinearSemiNMF
from nnmf_nb.core.iteration import Recorder, current_recorder, iterate, recording
from nnmf_nb.persistence import _checkpoints as checkpoints

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:ranks"
)
X = zoo.planted(30, 12, seed=3)
MORE = {
    "NeuralNMF-sgd": lambda: NeuralNMF(ranks=(3, 2), optimizer="sgd", batch_size=7, random_state=0),
    "NeuralNMF-adam": lambda: NeuralNMF(ranks=(3, 2), optimizer="adam", random_state=0),
    "NeuralNMF-backtracking": lambda: NeuralNMF(
        ranks=(3, 2), optimizer="backtracking", random_state=0
    ),
    "NeuralNMF-gd": lambda: NeuralNMF(ranks=(3, 2), optimizer="gd", step=0.1, random_state=0),
    "NonlinearSemiNMF": lambda: NonlinearSemiNMF(ranks=(3, 2), random_state=0),
}
NAMES = [*zoo.EVERY, *MORE]


def new(name, **change):
    model = MORE[name]() if name in MORE else zoo.new(name)
    return model.set_params(**({"max_iter": 25, "tol": 1e-9} | change))


def fit(name, X=X, callbacks=(), **change):
    y = zoo.labels(len(X)) if name in zoo.EVERY and zoo.EVERY[name][2] else None
    return new(name, **change).set_callbacks(*callbacks).fit(X, y)


def bits(value):
    """Everything that a fit left behind, as bytes and text."""
    if hasattr(value, "tobytes"):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(one) for one in value]
    return bits(vars(value)) if hasattr(value, "__dict__") and not callable(value) else repr(value)


def fitted(model):
    return {
        name: bits(value)
        for name, value in vars(model).items()
        if name.endswith("_") and not name.startswith("_")
    }


class Fails:
    """A callback that raises at its n-th iteration."""

    def __init__(self, n, error=RuntimeError):
        self.left, self.error = n, error

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.left -= 1
        if self.left == 0:
            raise self.error("cut")


# --- the same bits --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.one_of_each(NAMES))
def test_resumed_fit_has_the_bits_of_an_undisturbed_one(name, tmp_path):
    alone, path = fitted(fit(name)), tmp_path / "c"
    assert fitted(fit(name, callbacks=[Checkpoint(path, every=1)])) == alone, (
        "taking checkpoints changes nothing"
    )
    path.unlink()
    for n in (1, 4, 7):  # three cuts in a row
        with pytest.raises(RuntimeError, match="cut"):
            fit(name, callbacks=[Checkpoint(path, every=3), Fails(n)])
        assert path.exists()
    last = Checkpoint(path, every=3)
    assert fitted(fit(name, callbacks=[last])) == alone
    assert fitted(fit(name, callbacks=[Checkpoint(path)])) == alone, (
        "a finished one gives its result again"
    )


@pytest.mark.parametrize(
    "name",
    [
        "NeuralNMF",
        "DeepNMF",
        "DeepSemiNMF",
        "SSNMF",
        "SparseCodingNetwork",
        "UnfoldedNMF",
        "NonlinearSemiNMF",
    ],
)
def test_ctrl_c_keeps_the_best_and_the_file_goes_on(name, tmp_path):
    path, cut = tmp_path / "c", 9 if name != "DeepNMF" else 3
    half = fit(name, callbacks=[Checkpoint(path), Fails(cut, KeyboardInterrupt)])
    assert half.stop_reason_ == "interrupted"
    resumed = Checkpoint(path)
    assert fitted(fit(name, callbacks=[resumed])) == fitted(fit(name)) and resumed.resumed > 0


@pytest.mark.parametrize("change", ["zero columns", "duplicates", "ties", "float32", "sparse"])
def test_degenerate_data_resume_to_the_same_bits(change, tmp_path):
    data = {
        "zero columns": lambda: X * (np.arange(12) % 3 > 0),
        "duplicates": lambda: X[:, [0, 0, 1, 1, 2, 2, 3]],
        "ties": lambda: np.round(X),
        "float32": lambda: X.astype(np.float32),
        "sparse": lambda: sp.csr_array(np.where(X > 2, X, 0)),
    }[change]()
    new = lambda: NeuralNMF(ranks=(4, 2), random_state=0, max_iter=25, tol=0)
    for n in (3, 12):
        with pytest.raises(RuntimeError):
            new().set_callbacks(Checkpoint(tmp_path / "c"), Fails(n)).fit(data)
    assert fitted(new().set_callbacks(Checkpoint(tmp_path / "c")).fit(data)) == fitted(
        new().fit(data)
    )


def test_fresh_entropy_is_kept(tmp_path):
    run = lambda *more: (
        NeuralNMF(ranks=(3, 2), optimizer="sgd", batch_size=7, max_iter=12, tol=0)
        .set_callbacks(Checkpoint(tmp_path / "c"), *more)
        .fit(X)
    )
    with pytest.raises(RuntimeError):
        run(Fails(2))  # one fit in some hundred stalls within a few epochs
    assert fitted(run()) == fitted(run())


def test_a_fit_goes_on_with_a_larger_max_iter_and_not_with_a_smaller_one(tmp_path):
    fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c")], max_iter=5)
    assert fitted(fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c")])) == fitted(
        fit("NeuralNMF")
    )
    with pytest.raises(ValueError, match="raise max_iter"):
        fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c")], max_iter=5)


def test_resuming_saves_the_work(tmp_path, monkeypatch):
    import nnmf_nb.chain._costs as losses

    calls, propagate = [], losses.propagate
    monkeypatch.setattr(losses, "propagate", lambda *a: calls.append(1) or propagate(*a))
    fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c")])
    first = len(calls)
    fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c")])
    assert first > 25 and len(calls) - first == 0


# --- kill -9 --------------------------------------------------------------------------------------


def train(path):
    """In a process of its own: slow enough that 50 kills fall into it."""
    os.environ["OMP_NUM_THREADS"] = "1"

    class Slow(Fails):
        def on_fit_task_end(self, estimator, context):
            time.sleep(0.02)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NeuralNMF(
            ranks=(3, 2), random_state=0, max_iter=150, tol=0, optimizer="adam"
        ).set_callbacks(Checkpoint(path, every=1), Slow(0)).fit(X)


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.exhaustive)])
def test_killed_at_random_moments(times, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # compiles, too
        alone = NeuralNMF(ranks=(3, 2), random_state=0, max_iter=150, tol=0, optimizer="adam").fit(
            X
        )
    rng, path, ends, fork = (
        np.random.default_rng(0),
        tmp_path / "c",
        [],
        multiprocessing.get_context("fork"),
    )
    seen = []
    while ends.count(-signal.SIGKILL) < times:
        child = fork.Process(target=train, args=(path,))
        child.start()
        time.sleep(0.03 + 0.17 * rng.random())
        child.kill()  # does nothing to one that has ended
        child.join()
        ends.append(child.exitcode)
        assert ends[-1] in (0, -signal.SIGKILL), "a child failed by itself"
        if ends[-1] == 0:  # done: start anew
            path.unlink()
        elif path.exists():
            seen.append(path.read_bytes()[:8])
    checkpoint = Checkpoint(path, every=1)
    last = (
        NeuralNMF(ranks=(3, 2), random_state=0, max_iter=150, tol=0, optimizer="adam")
        .set_callbacks(checkpoint)
        .fit(X)
    )
    assert fitted(last) == fitted(alone) and len(seen) > times // 3
    assert os.listdir(tmp_path) == ["c"], "what killed processes left behind is removed"


def test_a_killed_process_stops_no_other(tmp_path):
    """tqdm's bars take a lock that forked processes share; nobody frees it for one that was killed.
    Quiet fits must not wait for it.
    """
    code = f"""import os, sys, warnings
sys.path.insert(0, {os.path.dirname(__file__)!r})
warnings.simplefilter("ignore")
from tqdm.auto import tqdm
import test_checkpoints
lock = tqdm.get_lock()
child = os.fork()
if child == 0:
    lock.acquire()
    os.kill(os.getpid(), 9)
os.waitpid(child, 0)
assert not lock.locks[0].acquire(timeout=0.1), "the lock is free: this test shows nothing"
for name in test_checkpoints.NAMES: test_checkpoints.fit(name, max_iter=2)
print("all fits ended")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "all fits ended", done.stderr


# --- disks that fail ------------------------------------------------------------------------------


def full(*a):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_is_one_warning(tmp_path, monkeypatch):
    class Fills(Fails):
        def on_fit_task_end(self, estimator, context):
            monkeypatch.setattr(os, "fsync", full)

    with pytest.warns(RuntimeWarning, match="No space left") as record:
        model = fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c", every=1), Fills(0)])
    assert sum(issubclass(one.category, RuntimeWarning) for one in record) == 1
    monkeypatch.undo()
    assert fitted(model) == fitted(fit("NeuralNMF")) and os.listdir(tmp_path) == ["c"]
    assert fitted(fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c")])) == fitted(model)


def test_a_full_disk_is_an_error_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"(?s)c \(No space left.*Give a path") as error:
        fit("HierarchicalNMF", callbacks=[Checkpoint(tmp_path / "c")])
    assert error.value.errno == errno.ENOSPC and os.listdir(tmp_path) == []


def test_a_place_where_nobody_may_write(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "c", tmp_path / "nowhere" / "c"):
        with pytest.raises(OSError, match="No checkpoint can be written"):
            fit("HierarchicalNMF", callbacks=[Checkpoint(path)])


# --- files that are not the right one -------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    with pytest.raises(RuntimeError):
        fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "c"), Fails(9)])
    return tmp_path / "c"


def refused(path, match, name="NeuralNMF", X=X, **change):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"(?s)^(?=.*{path})(?=.*{match}).*delete the file"):
        fit(name, X, callbacks=[Checkpoint(path)], **change)
    assert path.read_bytes() == before, "a refused file is left alone"


def test_other_data_and_other_parameters_are_refused(path):
    other = X.copy()
    other[3, 4] = np.nextafter(other[3, 4], 9)
    refused(path, "X is different", X=other)
    refused(path, "X is different", X=X.astype(np.float32))
    refused(path, "parameter tol", tol=1e-7)
    refused(path, "parameter random_state", random_state=1)
    refused(path, "model", name="HierarchicalNMF")
    model = NeuralNMF(ranks=(3, 2), random_state=0, max_iter=25, tol=1e-9).set_callbacks(
        Checkpoint(path)
    )
    with pytest.raises(ValueError, match="y is different"):
        model.fit(X, zoo.labels(len(X)))
    fit("NeuralNMF", callbacks=[Checkpoint(path)], verbose=0, device="cpu")  # these may differ


def test_damaged_and_foreign_files_are_refused(path, tmp_path):
    whole = path.read_bytes()
    for n in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        refused(path, "cut off")
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    refused(path, "damaged")
    save_file({"a": np.zeros(2)}, path)
    refused(path, "not a checkpoint")
    nnmf_nb.save(fit("NeuralNMF"), path)
    refused(path, "not a checkpoint")


def test_a_file_from_another_version_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoints, "package_version", lambda: "9.9")
    refused(path, "written by nnmf_nb 0.1.0, this is 9.9")


@pytest.mark.parametrize("change", ["shape", "nan", "count", "kind", "rng"])
def test_made_up_files_are_refused(path, change):
    mark = checkpoints.fingerprint(
        new("NeuralNMF"),
        dict(X=X, y=None, mask=None, weights=None, sample_weight=None, L=None),
    )
    rng = np.random.default_rng(0)
    start, loops = checkpoints.found(path, mark, rng)
    one = loops[0]
    A = one.fit.A
    wrong = {
        "shape": lambda: one._replace(
            fit=replace(one.fit, A=(A[0][1:], *A[1:]) if isinstance(A, tuple) else A[1:])
        ),
        "nan": lambda: one._replace(
            fit=replace(one.fit, A=(np.nan * A[0], *A[1:]) if isinstance(A, tuple) else np.nan * A)
        ),
        "count": lambda: one._replace(n="many"),
        "kind": lambda: one._replace(fit=[1, 2]),
        "rng": lambda: one._replace(rng={"state": 1}),
    }[change]()
    checkpoints.written(path, mark, start, [wrong, *loops[1:]])
    refused(path, "cannot go on")


@pytest.mark.parametrize(
    "given",
    [
        dict(every=0),
        dict(every=1.5),
        dict(every=True),
        dict(seconds=0),
        dict(seconds=-1),
        dict(seconds="x"),
        dict(seconds=float("nan")),
    ],
)
def test_intervals_are_checked(given):
    with pytest.raises(ValueError, match=f"{next(iter(given))} must be"):
        Checkpoint("c", **given)


def test_intervals_are_kept(tmp_path, monkeypatch):
    def writes(**interval):
        times, write = [], checkpoints.write_atomically
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "write_atomically", lambda *a: times.append(1) or write(*a))
            HierarchicalNMF(ranks=(3,), random_state=0, max_iter=1).set_callbacks(
                Checkpoint(tmp_path / "x", seconds=1e9)
            ).fit(X)
            few = len(times)
            fit("DeepNMF", callbacks=[Checkpoint(tmp_path / str(interval), **interval)])
        return len(times) - few

    assert writes(seconds=1e9) == 2 < writes(every=10) < writes(every=1) <= writes(seconds=1e-9)


# --- many fits ------------------------------------------------------------------------------------


def search(path, *more, jobs=1):
    model = NeuralNMF(ranks=(3, 2), random_state=0, tol=0)
    if path is not None:
        model.set_callbacks(Checkpoint(path, every=1), *more)
    return GridSearchCV(
        model, {"max_iter": [4, 3], "lam": [1.0, 2.0]}, cv=2, n_jobs=jobs, error_score="raise"
    )


def test_one_path_for_many_fits_is_refused_with_the_cure(tmp_path):
    with pytest.raises(ValueError, match=r"X is different.*GridSearchCV.*\{fit\}"):
        search(tmp_path / "c").fit(X)
    with pytest.raises(ValueError, match=r"parameter lam is different.*\{fit\}"):
        fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "d")])
        fit("NeuralNMF", callbacks=[Checkpoint(tmp_path / "d")], lam=3.0)


@pytest.fixture(scope="module")
def alone():
    """The search without files."""
    return search(None).fit(X)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_every_fit_of_a_search_has_its_file(jobs, alone, tmp_path):
    done = search(tmp_path / "run-{fit}.c", jobs=jobs).fit(X)
    files = sorted(os.listdir(tmp_path))
    assert len(files) == 4 * 2 + 1 and all(
        re.fullmatch(r"run-[0-9a-f]{16}\.c", name) for name in files
    )
    np.testing.assert_array_equal(
        done.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
    assert fitted(done.best_estimator_) == fitted(alone.best_estimator_)
    stamps = {name: (tmp_path / name).read_bytes() for name in files}
    again = search(tmp_path / "run-{fit}.c").fit(X)
    assert fitted(again.best_estimator_) == fitted(alone.best_estimator_)
    assert {name: (tmp_path / name).read_bytes() for name in sorted(os.listdir(tmp_path))} == stamps


def test_a_search_that_was_cut_off_goes_on(alone, tmp_path):
    for n in (6, 11):
        with pytest.raises(RuntimeError, match="cut"):
            search(tmp_path / "{fit}", Fails(n)).fit(X)
    assert 1 < len(os.listdir(tmp_path)) < 4 * 2 + 1
    again = search(tmp_path / "{fit}").fit(X)
    assert fitted(again.best_estimator_) == fitted(alone.best_estimator_)


def test_the_name_of_a_fit_says_what_it_is(tmp_path):
    for change in ({}, {}, {"device": "cpu"}, {"max_iter": 20}, {"tol": 1e-3}, {"X": X[:-1]}):
        fit("HierarchicalNMF", callbacks=[Checkpoint(tmp_path / "{fit}-{other}")], **change)
    assert len(os.listdir(tmp_path)) == 4 and all(
        name.endswith("-{other}") for name in os.listdir(tmp_path)
    )


# --- the loop -------------------------------------------------------------------------------------


def test_loops_inside_a_loop_are_not_kept():
    class Counts(Recorder):
        entered = 0

        def begin(self, fit, max_iter):
            self.entered += 1
            return 0, fit

    from nnmf_nb.solvers.gradient import OptimizationState

    start, counts = OptimizationState((), None, [], [], [], None, 0.0, "max_iter"), Counts()
    with recording(counts):
        iterate(lambda fit: iterate(lambda inner: inner, start, 2), start, 3)
    assert counts.entered == 1 and type(current_recorder()) is Recorder


def test_no_checkpoint_no_fingerprint(monkeypatch):
    monkeypatch.setattr(checkpoints, "fingerprint", full)
    fit("NeuralNMF")
