"""Data read in blocks: the same factorization, the same bits from every source, faults named."""

import dataclasses
import gzip
import resource

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.io import mmwrite

import nnmf_nb
from nnmf_nb import (
    NMF,
    SSNMF,
    Checkpoint,
    DeepNMF,
    HierarchicalNMF,
    NeuralNMF,
    blocks,
    datasets,
    load,
    save,
    verify,
)
from nnmf_nb.chain import depth_errors
from nnmf_nb.chain._labels import Supervision, labels_per_layer, with_labels
from nnmf_nb.core._data import DataMatrix
from nnmf_nb.core._linalg import unit_columns
from nnmf_nb.evaluation import _certificates
from nnmf_nb.evaluation.metrics import errors_per_depth, match_topics
from nnmf_nb.layer._nnls import solve_layer
from nnmf_nb.models._neural import blocked_objective, chosen_cost, chosen_objective
from nnmf_nb.out_of_core import _sources, _training

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROWS = 45
X = sp.csr_array(datasets.planted_counts((5, 3), 200, 60, random_state=0).X).astype(np.float64)
N_SAMPLES, N_FEATURES = X.shape
CLASS = datasets.planted_counts((5, 3), 200, 60, random_state=0).X.sum(axis=1) % 3
LABELS = np.where(np.arange(N_SAMPLES) % 3 == 0, np.asarray(CLASS).ravel(), -1)


def in_order(matrix, rows=ROWS):
    return [matrix[n : n + rows] for n in range(0, matrix.shape[0], rows)]


class Corpus:
    """What gensim's MmCorpus looks like."""

    num_terms = N_FEATURES

    def __iter__(self):
        for row in in_order(X, 1):
            yield [(int(j), float(x)) for j, x in zip(row.indices, row.data)]


def parts_in(folder):
    for name in ("data", "indices", "indptr"):
        np.save(folder / f"{name}.npy", getattr(X, name))
    np.save(folder / "shape.npy", X.shape)
    return folder


def saved_npz(path):
    sp.save_npz(path, X, compressed=False)
    return path


def saved_npy(path):
    np.save(path, X.toarray())
    return path


def saved_mtx(path):
    mmwrite(path, X)
    return path


def saved_gz(path):
    saved_mtx(path.with_suffix(""))
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    return path


SOURCES = {
    "csr": lambda folder: X,
    "csc": lambda folder: X.tocsc(),
    "parts": lambda folder: (X.data, X.indices, X.indptr),
    "folder": parts_in,
    "paths": lambda folder: tuple(
        str(parts_in(folder) / f"{name}.npy") for name in ("data", "indices", "indptr")
    ),
    "npz": lambda folder: saved_npz(folder / "X.npz"),
    "mtx": lambda folder: saved_mtx(folder / "X.mtx"),
    "gz": lambda folder: saved_gz(folder / "X.mtx.gz"),
    "list": lambda folder: in_order(X),
    "function": lambda folder: lambda: iter(in_order(X)),
    "corpus": lambda folder: Corpus(),
}
DENSE = {
    "array": lambda folder: X.toarray(),
    "npy": lambda folder: saved_npy(folder / "X.npy"),
    "frame": lambda folder: pd.DataFrame(X.toarray()),
}


def from_source(make, folder):
    n_features = N_FEATURES if make in (SOURCES["parts"], SOURCES["paths"]) else None
    return blocks(make(folder), rows=ROWS, n_features=n_features)


def fitted(source, model=None):
    return (model or NMF(4, max_iter=6, random_state=0)).fit(source)


# Sources


@pytest.mark.parametrize("family", [SOURCES, DENSE], ids=["sparse", "dense"])
def test_every_source_gives_the_same_bits(family, tmp_path):
    topics = set()
    for name, make in family.items():
        (tmp_path / name).mkdir()
        source = from_source(make, tmp_path / name)
        assert source.shape == X.shape
        assert sum(abs(one - two).max() for one, two in zip(source, in_order(X))) == 0
        topics.add(fitted(source).components_.tobytes())
    assert len(topics) == 1


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    one = fitted(blocks(X, rows=17)).components_
    monkeypatch.setattr(_training, "thread_count", lambda: 3)
    assert fitted(blocks(X, rows=17)).components_.tobytes() == one.tobytes()


def test_blocks_follow_from_the_data_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(_sources, "_NUMBERS_PER_BLOCK", 1000)
    mapped = blocks(saved_npz(tmp_path / "X.npz"))
    assert mapped.facts.rows == blocks(X).facts.rows
    assert len(mapped) > 3


def test_entries_of_a_table_may_come_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(_sources, "_TRIPLETS_AT_ONCE", 101)
    coo, order = X.tocoo(), np.random.default_rng(0).permutation(X.nnz)
    mixed = sp.coo_array((coo.data[order], (coo.row[order], coo.col[order])), X.shape)
    mmwrite(tmp_path / "X.mtx", mixed)
    assert (
        sum(abs(a - b).nnz for a, b in zip(blocks(tmp_path / "X.mtx", rows=ROWS), in_order(X))) == 0
    )


def test_the_copy_of_a_table_is_used_again_until_the_file_changes(tmp_path, monkeypatch):
    path = saved_mtx(tmp_path / "X.mtx")
    blocks(path)
    monkeypatch.setattr(_sources, "_matrix_market", None)  # would be called
    assert blocks(path).shape == X.shape
    monkeypatch.undo()
    mmwrite(path, X[:30])
    assert blocks(path).shape == (30, N_FEATURES)


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    coo = X.tocoo()
    table = pd.DataFrame({"document": coo.row, "word": coo.col, "count": coo.data})
    table.to_parquet(tmp_path / "X.parquet")
    assert (next(iter(blocks(tmp_path / "X.parquet"))) != X).nnz == 0
    table.astype({"word": str}).to_parquet(tmp_path / "names.parquet")
    with pytest.raises(ValueError, match="column 'word'.*integers from 0"):
        blocks(tmp_path / "names.parquet")


# Training


def test_sums_over_blocks_are_those_of_the_whole():
    data = _training.BlockedData(blocks(X, rows=ROWS))
    A = np.random.default_rng(0).random((N_FEATURES, 4))
    whole = DataMatrix(X.T, data.scale)
    S, _ = solve_layer(whole, A)
    sums = _training.Squares(data).read(A)
    for found, wanted in zip(sums, (whole.XSt(S), S @ S.T, S.sum(axis=1))):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert data.norm2 == pytest.approx(whole.norm2, rel=1e-13)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"init": "random"},
        {"n_init": 2},
        {"alpha_W": 0.01, "l1_ratio": 0.5},
        {"fixed": np.eye(2, N_FEATURES)},
        {"beta_loss": "kullback-leibler"},
        {"beta_loss": "kullback-leibler", "alpha_W": 0.01, "l1_ratio": 0.5},
    ],
    ids=str,
)
def test_as_good_as_an_ordinary_fit(more):
    options = dict(random_state=0, tol=1e-5, max_iter=400) | more
    ordinary, found = NMF(5, **options).fit(X), NMF(5, **options).fit(blocks(X, rows=ROWS))
    objective = found.history_["objective"]
    assert np.all(np.diff(objective) <= 0)
    assert objective[-1] < 1.005 * ordinary.history_["objective"][-1]
    assert found.layers_[0].kkt < 1e-6
    if "fixed" in more:
        assert (found.components_[:2] == more["fixed"]).all()


def test_a_fit_describes_itself_as_an_ordinary_one_would():
    model = NMF(4, beta_loss="kullback-leibler", max_iter=30, random_state=0)
    found = model.fit(blocks(X, rows=ROWS))
    layer = found.layers_[0]
    whole = NMF(4, beta_loss="kullback-leibler", max_iter=0, init="custom", random_state=0)
    whole.fit(X, W=layer.S.T, H=layer.A.T)
    np.testing.assert_allclose(whole.layers_[0].S, layer.S, rtol=1e-6, atol=1e-9)
    assert found.reconstruction_err_ == pytest.approx(whole.reconstruction_err_)
    assert found.deviances_ == pytest.approx(whole.deviances_)
    assert found.null_deviance_ == pytest.approx(whole.null_deviance_)
    assert layer.error == pytest.approx(whole.layers_[0].error)
    assert "200 data points" in found.summary()


def test_swept_coefficients_are_close_and_not_those_of_a_worker():
    """They depend on X and A alone, and are replaced by exact ones before a fit ends."""
    data = _training.BlockedData(blocks(X, rows=ROWS))
    A = unit_columns(np.random.default_rng(0).random((N_FEATURES, 4)))
    exact, swept, again = (_training.Squares(data) for _ in range(3))
    again.read(unit_columns(A**3))  # other supports are known
    first, second = swept.read(A, True), again.read(A, True)
    assert first.P.tobytes() == second.P.tobytes()
    gap = swept.error(A, first) - exact.error(A, exact.read(A))
    assert 0 <= gap < 0.01
    state = _training.train_blocks(exact, A, max_iter=300, tol=1e-4)
    assert state.is_exact and state.reason == "stationary"
    assert exact.stationarity(state.A, exact.read(state.A)) <= 1e-4


def test_float32_and_scale():
    small = blocks((1e-30 * X).astype(np.float32), rows=ROWS)
    tiny, found = fitted(small), fitted(blocks(X.astype(np.float32), rows=ROWS))
    assert found.components_.dtype == found.layers_[0].S.dtype == np.float32
    np.testing.assert_allclose(tiny.components_, found.components_, atol=1e-3)
    assert np.isfinite(tiny.layers_[0].S).all() and tiny.layers_[0].S.max() > 0


def test_a_hierarchy():
    ordinary = HierarchicalNMF((5, 3), random_state=0).fit(X)
    found = HierarchicalNMF((5, 3), random_state=0).fit(blocks(X, rows=ROWS))
    for one, other in zip(found.layers_, ordinary.layers_):
        assert one.error < 1.02 * other.error
        assert one.S.shape == other.S.shape
    assert match_topics(found.components_.T, ordinary.components_.T).cosines.min() > 0.95


@pytest.mark.parametrize("coefficients", ["chain", "data"])
@pytest.mark.parametrize("cost", ["every", "last", "energy"])
@pytest.mark.parametrize("loss", [None, "frobenius", "cross_entropy"])
@pytest.mark.parametrize("penalty", [0.0, 0.01])
def test_the_objective_of_a_chain_and_its_gradients(coefficients, cost, loss, penalty):
    """Those of a chain in memory, to rounding, at the first call and with known supports."""
    rng = np.random.default_rng(0)
    A = [unit_columns(rng.random(shape)) for shape in ((N_FEATURES, 5), (5, 3))]
    y = None if loss is None else {0: LABELS, 1: LABELS[::-1]}
    model = NeuralNMF((5, 3), coefficients=coefficients, cost=cost, label_loss=loss or "frobenius")
    supervision = Supervision(y, labels_per_layer(y, 2, N_SAMPLES), 0.7, model.label_loss)
    whole = DataMatrix(X.T).penalized(penalty)
    data = _training.BlockedData(blocks(X, rows=ROWS)).penalized(penalty)
    chosen = chosen_cost(model, 2, y)
    losses = supervision.losses(np.empty(0))
    objective = chosen_objective(model, chosen, losses, 2)(
        whole, with_labels(chosen, losses, supervision.lam)
    )
    blocked = blocked_objective(model, supervision, 2, data, chosen)
    for chain in (A, [unit_columns(a**2) for a in A]):
        value, gradients, fwd = objective(chain)
        found, of_blocks, seen = blocked(chain)
        assert found == pytest.approx(value, rel=1e-12)
        for one, other in zip(of_blocks, gradients):
            assert abs(one - other).max() <= 1e-12 * abs(other).max()
        np.testing.assert_allclose(seen.errors, depth_errors(fwd), rtol=1e-12)


@pytest.mark.parametrize("y", [None, LABELS], ids=["no labels", "labels"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_chain_trained_together(y, keep):
    options = dict(coefficients="data", init="flat", tol=1e-3, random_state=0)
    ordinary = NeuralNMF((5, 3), **options).fit(X, y)
    source = blocks(X, rows=ROWS, keep_coefficients=keep)
    found = NeuralNMF((5, 3), **options).fit(source, y)
    assert found.history_["objective"][-1] < 1.02 * ordinary.history_["objective"][-1]
    assert np.all(np.diff(found.history_["objective"]) <= 1e-12)
    np.testing.assert_allclose(found.transform(source), found.transform(X), atol=1e-10)
    assert found.score(source) == pytest.approx(found.score(X), abs=1e-12)
    if y is not None:
        assert (found.predict(source) == found.predict(X)).all()
        assert found.score(source, y) == found.score(X, y)
        whole = NeuralNMF((5, 3), coefficients="data", init=[one.A for one in found.layers_])
        whole.set_params(max_iter=0).fit(X, y)
        given = whole.classifiers_[1].B
        np.testing.assert_allclose(found.classifiers_[1].B, given, rtol=1e-8, atol=1e-10)


def test_data_and_labels_with_shared_coefficients():
    rng = np.random.default_rng(0)
    Y = np.eye(3)[np.maximum(LABELS, 0)]
    for y, L in ((LABELS, None), (Y, rng.random(Y.shape) < 0.4)):
        ordinary = SSNMF(5, random_state=0, max_iter=800).fit(X, y, L=L)
        source = blocks(X, rows=ROWS)
        found = SSNMF(5, random_state=0).fit(source, y, L=L)
        objective = found.history_["objective"]
        assert np.all(np.diff(objective) <= 0)
        assert objective[-1] < 1.03 * ordinary.history_["objective"][-1]
        joint, labels = found.joint_, labels_per_layer(y, 1, N_SAMPLES, L)[0]
        of_X = ((X.T - joint.A @ joint.S) ** 2).sum() / (X**2).sum()
        left = labels.Y - joint.B @ joint.S[:, labels.known]
        of_Y = ((left if L is None else labels.L * left) ** 2).sum() / (labels.Y**2).sum()
        assert objective[-1] == pytest.approx(of_X + of_Y)
        np.testing.assert_allclose(found.components_, joint.A.T)
        whole = SSNMF(5, init="custom", max_iter=0)
        whole.fit(X, y, L=L, W=joint.S.T, H=joint.A.T)
        np.testing.assert_allclose(found.B_, whole.B_, rtol=1e-6, atol=1e-9)
        assert (found.predict(source) == found.predict(X)).all()


def test_coefficients_need_not_be_stored(tmp_path):
    source = blocks(X, rows=ROWS, keep_coefficients=False)
    found, stored = fitted(source), fitted(blocks(X, rows=ROWS))
    assert found.components_.tobytes() == stored.components_.tobytes()
    assert found.layers_[0].S.shape == (4, 1)
    np.testing.assert_allclose(found.layers_[0].S[:, 0], stored.layers_[0].S.sum(axis=1))
    assert found.topics().equals(stored.topics())
    assert "200 data points" in repr(found.summary())
    assert (found.fit_transform(source) == stored.layers_[0].S.T).all()
    save(found, tmp_path / "model")
    assert (load(tmp_path / "model").components_ == found.components_).all()
    with pytest.raises(ValueError, match="models of one layer"):
        HierarchicalNMF((5, 3)).fit(source)


def test_transform_and_score(tmp_path):
    model, source = fitted(blocks(X, rows=ROWS)), blocks(X, rows=ROWS)
    expected = model.transform(X)
    np.testing.assert_allclose(model.transform(source), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        model.transform(blocks(in_order(X))), expected, rtol=1e-12, atol=1e-12
    )
    written = model.transform(source, out=tmp_path / "S.npy")
    assert isinstance(written, np.memmap) and (np.load(tmp_path / "S.npy") == written).all()
    np.testing.assert_allclose(written, expected, rtol=1e-12, atol=1e-12)
    assert model.score(source) == pytest.approx(model.score(X), abs=1e-12)
    with pytest.raises(ValueError, match="out= is for data in blocks"):
        model.transform(X, out=tmp_path / "S.npy")


def test_a_fit_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    """Interrupted by Ctrl-C in the fourth iteration, and by nothing."""
    whole = fitted(blocks(X, rows=ROWS))
    read, calls = _training.Squares.read, []

    def interrupted(self, *given):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return read(self, *given)

    path = str(tmp_path / "fit")
    model = NMF(4, max_iter=6, random_state=0).set_callbacks(Checkpoint(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_training.Squares, "read", interrupted)
        model.fit(blocks(X, rows=ROWS))
    assert model.stop_reason_ == "interrupted" and model.n_iter_ == 3
    again = Checkpoint(path)
    model = NMF(4, max_iter=6, random_state=0).set_callbacks(again).fit(blocks(X, rows=ROWS))
    assert again.resumed == 3
    assert model.components_.tobytes() == whole.components_.tobytes()


def test_callbacks_see_fitted_models():
    seen = nnmf_nb.models._base.EarlyStopping(lambda model: model.layers_[0].S.shape[1], patience=2)
    model = NMF(3, random_state=0).set_callbacks(seen).fit(blocks(X, rows=ROWS))
    assert seen.scores[0] == N_SAMPLES and model.stop_reason_ == "callback"


def test_a_refit_in_memory_forgets_the_blocks():
    model = fitted(blocks(X, rows=ROWS))
    assert model.n_samples_seen_ == N_SAMPLES
    assert not hasattr(fitted(X[:50], model), "n_samples_seen_")
    assert "50 data points" in model.summary()


# Bad input and faults


def with_nan(i):
    matrix = X.tolil()
    matrix[i, 7] = np.nan
    return matrix.tocsr()


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: in_order(X)[:2] + [X[:5, :40]],
            f"block 2 .*row 90.* 40 features.* {N_FEATURES}.*same columns",
        ),
        (lambda: in_order(with_nan(137), 1), "block 137 .*NaN.*row 137 of X"),
        (
            lambda: with_nan(137).toarray(),
            r"block 3 .*NaN.*\[2, 7\].*Replace it: blocks.*row 137 of X",
        ),
        (lambda: -X, "block 0 .*row 0 of X"),
        (lambda: [np.array([["a"]])], "dtype"),
        (lambda: [], "no data points.*each call begins anew"),
        (lambda: [np.zeros(3)], r"shape.*x\[None, :\]"),
    ],
)
def test_bad_blocks_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        fitted(blocks(make(), rows=ROWS if hasattr(make(), "shape") else None))


def test_what_can_be_read_only_once():
    with pytest.raises(TypeError, match="only once.*function"):
        blocks(one for one in in_order(X))
    exhausted = iter(in_order(X))
    with pytest.raises(ValueError, match="0 of 5 blocks: it cannot be read twice"):
        fitted(blocks(lambda: exhausted))
    sizes = iter([45, 44])
    with pytest.raises(ValueError, match=r"block 0 .*\(45, 49\).*\(44, 49\) now"):
        fitted(blocks(lambda size=sizes: iter([X[: next(size)]])))


def cut(path, share=0.7):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


@pytest.mark.parametrize("make", [saved_npy, saved_npz, saved_mtx])
def test_a_file_that_is_cut_off(make, tmp_path):
    suffix = {saved_npy: ".npy", saved_npz: ".npz", saved_mtx: ".mtx"}[make]
    with pytest.raises(ValueError, match="(?s)cut off.*[Ww]rite"):
        blocks(cut(make(tmp_path / f"X{suffix}")))
    assert not [*tmp_path.glob("*.blocks*")]


def test_a_file_that_is_cut_off_during_a_fit(tmp_path):
    path = saved_npy(tmp_path / "X.npy")
    source = blocks(path, rows=ROWS)
    assert source.facts.rows[0] == ROWS
    cut(path)
    with pytest.raises(OSError, match="cut off while it was in use. Write or copy it again"):
        fitted(source)


def test_files_that_cannot_be_mapped(tmp_path):
    sp.save_npz(tmp_path / "X.npz", X)
    with pytest.raises(ValueError, match="compressed=False"):
        blocks(tmp_path / "X.npz")
    sp.save_npz(tmp_path / "Y.npz", X.tocsc(), compressed=False)
    with pytest.raises(ValueError, match="tocsr"):
        blocks(tmp_path / "Y.npz")
    with pytest.raises(FileNotFoundError):
        blocks(tmp_path / "Z.npz")
    (tmp_path / "X.txt").write_text("1")
    with pytest.raises(ValueError, match="no ending"):
        blocks(tmp_path / "X.txt")


def test_more_entries_than_an_index_can_count():
    """Beyond 2^31 entries int32 wraps around; int64 is read, and blocks are narrow again."""
    indptr = X.indptr.astype(np.int64)
    indptr[100:] += 2**31
    indptr = indptr.astype(np.int32)
    with pytest.raises(ValueError, match="falls .* row 99 .*int64"):
        blocks((X.data, X.indices, indptr))
    wide = _sources.SparseRows(X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64), 49)
    assert wide.read(0, 9).indices.dtype == wide.read(0, 9).indptr.dtype == np.int32
    with pytest.raises(ValueError, match="in row 0, but there are 3 features"):
        next(iter(blocks((X.data, X.indices, X.indptr), n_features=3, rows=9).read_once()))


class SmallDisk:
    """Files may not grow beyond some bytes: writing fails with an `OSError`, as on a full disk."""

    def __init__(self, n_bytes):
        self.limit = n_bytes

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.before[1]))

    def __exit__(self, *error):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_disk_that_is_full(tmp_path):
    path, model = saved_mtx(tmp_path / "X.mtx"), fitted(blocks(X, rows=ROWS))
    row = 4 * 8
    with SmallDisk(128 + 100 * row + 5):
        with pytest.raises(OSError, match="No mapped copy .*Nothing of it is left.*cache="):
            blocks(path)
        with pytest.raises(OSError, match="first 100 rows are in"):
            model.transform(blocks(X, rows=ROWS), out=tmp_path / "S.npy")
    assert {one.name for one in tmp_path.iterdir()} == {"X.mtx", "S.npy.partial"}
    kept = np.load(tmp_path / "S.npy.partial", allow_pickle=False)
    assert (kept == model.transform(blocks(X, rows=ROWS))[:100]).all()
    assert blocks(path).shape == X.shape


def test_what_needs_x_in_memory():
    source = blocks(X, rows=ROWS)
    with pytest.raises(ValueError, match="mask needs X in memory"):
        NMF(3).fit(source, mask="nan")
    with pytest.raises(ValueError, match="sample_weight needs X in memory"):
        NMF(3).fit(source, sample_weight=np.ones(N_SAMPLES))
    with pytest.raises(ValueError, match="exposure needs X in memory"):
        NMF(3, beta_loss="kullback-leibler").fit(source, exposure=np.ones(N_SAMPLES))
    with pytest.raises(TypeError, match="DeepNMF cannot be fitted to blocks"):
        DeepNMF((3, 2)).fit(source)
    with pytest.raises(ValueError, match="y needs X in memory"):
        HierarchicalNMF((3, 2)).fit(source, LABELS)
    for options, word in (
        ({"optimizer": "sgd"}, "sgd"),
        ({"beta_loss": "kullback-leibler"}, "NMF.beta_loss"),
        ({"init": "above"}, "'flat'"),
        ({"cost": lambda *given: None}, "callable"),
    ):
        with pytest.raises(ValueError, match=word):
            NeuralNMF((3, 2), **options).fit(source)
    with pytest.raises(ValueError, match="MiniBatchSSNMF"):
        SSNMF(3, label_loss="kullback-leibler").fit(source, LABELS)
    with pytest.raises(ValueError, match="itakura-saito"):
        NMF(3, beta_loss="itakura-saito", init="random").fit(source)
    with pytest.raises(TypeError, match="squared errors of blocks"):
        verify(NMF(3, beta_loss="kullback-leibler", max_iter=3).fit(source), source)
    with pytest.raises(ValueError, match="mask and weights"):
        verify(fitted(source), source, mask=np.ones(X.shape, bool))
    with pytest.raises(ValueError, match="40 features"):
        verify(fitted(source), blocks(X[:, :40]))
    with pytest.raises(ValueError, match="features"):
        fitted(source).transform(blocks(X[:, :40]))
    with pytest.raises(ValueError, match="rows must be"):
        blocks(X, rows=0)


CERTIFIED = {
    "NMF": NMF(4, random_state=0),
    "penalties": NMF(4, alpha_W=1e-3, l1_ratio=0.5, random_state=0),
    "HierarchicalNMF": HierarchicalNMF((5, 3), random_state=0),
    "NeuralNMF": NeuralNMF((4, 2), coefficients="data", init="flat", random_state=0),
    "chain": NeuralNMF((4, 2), init="flat", max_iter=20, random_state=0),
    "SSNMF": SSNMF(4, random_state=0),
}


@pytest.mark.parametrize("name", CERTIFIED)
def test_a_certificate_of_blocks_is_that_of_x_in_memory(name):
    source, model = blocks(X, rows=ROWS), CERTIFIED[name]
    model.fit(source, LABELS if name == "SSNMF" else None)
    blocked, whole = verify(model, source), verify(model, X)
    assert blocked.verdicts == whole.verdicts
    for one, other in zip(blocked.layers, whole.layers):
        pairs = zip(dataclasses.astuple(one), dataclasses.astuple(other))
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    assert model.certificate_.verdicts == whole.verdicts
    np.testing.assert_allclose(errors_per_depth(model, source), errors_per_depth(model, X))


def test_floors_of_blocks_are_bounds_or_unknown(monkeypatch):
    model = fitted(blocks(X, rows=ROWS, keep_coefficients=False))
    (layer,) = verify(model, blocks(X, rows=ROWS)).layers
    assert 0 < layer.floor < layer.error
    monkeypatch.setattr(_certificates, "GRAM_FEATURES", N_FEATURES - 1)
    (layer,) = verify(model, blocks(X, rows=ROWS)).layers
    assert np.isnan(layer.floor)
