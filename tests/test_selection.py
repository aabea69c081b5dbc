"""How many topics: criteria against independent oracles, rules on made-up numbers, and a search
that gives the same bits for any number of processes and after an interruption.
"""

import itertools
import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment, nnls
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from nnmf_nb import NMF, DeepNMF, HierarchicalNMF, NeuralNMF, datasets, load, save
from nnmf_nb.core._arrays import in_threads, serial
from nnmf_nb.core._data import as_data
from nnmf_nb.core._linalg import top_svd
from nnmf_nb.selection import (
    ProfileSearch,
    RankSearch,
    _cuts,
    _rank_search,
    _rules,
    consensus,
    criteria,
)

SMALL = dict(ranks=range(2, 7), n_splits=2, n_crosses=1, n_init=2)


@pytest.fixture(scope="module")
def counts():
    return datasets.planted_counts(4, 200, 120).X.astype(np.float64)


@pytest.fixture(scope="module")
def searched(counts):
    return RankSearch(**SMALL).fit(counts)


# --- criteria -------------------------------------------------------------------------------------


def separation_by_hand(A, B):
    A, B = A / np.linalg.norm(A, axis=0), B / np.linalg.norm(B, axis=0)
    distance = lambda x, y: np.linalg.norm(x - y)
    k = A.shape[1]
    cost = np.array([[-A[:, i] @ B[:, j] for j in range(k)] for i in range(k)])
    partner = linear_sum_assignment(cost)[1]
    values = []
    for t in range(k):
        d = distance(A[:, t], B[:, partner[t]])
        others = [distance(A[:, t], B[:, j]) for j in range(k) if j != partner[t]]
        others += [distance(A[:, t], A[:, j]) for j in range(k) if j != t]
        values.append((min(others) - d) / max(min(others), d))
    return values


def test_separation_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    for k, noise in itertools.product((2, 5), (0.1, 1.0)):
        A = rng.random((20, k))
        B = (A + noise * rng.random(A.shape))[:, rng.permutation(k)]
        assert np.allclose(criteria.separation(A, B), separation_by_hand(A, B), atol=1e-7)
    with pytest.raises(ValueError, match="as many topics"):
        criteria.separation(np.eye(4)[:, :2], np.eye(4))


def test_error_in_unseen_blocks_is_that_of_scipy():
    X = np.random.default_rng(1).random((12, 10)) ** 3
    table = criteria.bicrossvalidation(X, (2, 3), n_crosses=1, n_init=2, random_state=7)
    fits = _cuts.Fits(NMF(), 7, 2)
    blocks = _cuts.cut_blocks(X, 7, 0)
    for (i, j), block in blocks.items():
        found = _cuts.fit_ranks(block, (1, 2, 3), fits, (5 + 2 * i + j, 0))
        assert np.allclose(found[2].W, [nnls(found[2].H.T, row)[0] for row in block], atol=1e-8)
        for k, (H, W, _, _) in found.items():
            rows = [nnls(H.T, row)[0] for row in blocks[1 - i, j]]
            columns = [nnls(W, column)[0] for column in blocks[i, 1 - j].T]
            opposite = blocks[1 - i, 1 - j]
            error = ((opposite - np.array(rows) @ np.array(columns).T) ** 2).sum()
            assert np.isclose(table.loc[k, f"0: {i}, {j}"], error / (opposite**2).sum(), rtol=1e-6)


def test_blocks_are_disjoint_and_cover_the_data():
    X = np.arange(35.0).reshape(5, 7)
    blocks = _cuts.cut_blocks(X, 0, 1)
    assert np.array_equal(np.sort(np.concatenate([b.ravel() for b in blocks.values()])), X.ravel())
    first, second = _cuts.split_points(5, 0, 1)
    assert sorted([*first, *second]) == [*range(5)]


def test_silhouettes_are_those_of_cnmf():
    rng = np.random.default_rng(2)
    topics = [np.eye(9)[:, :3] + 0.2 * rng.random((9, 3)) for _ in range(6)]
    spectra = np.concatenate([A.T for A in topics])
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True)
    labels = KMeans(3, n_init=10, random_state=1).fit_predict(spectra)
    assert np.bincount(labels).tolist() == [6, 6, 6]
    ours = criteria.subsample_silhouettes(topics, 3)
    assert abs(ours.mean() - silhouette_score(spectra, labels, metric="euclidean")) < 1e-12
    with pytest.raises(ValueError, match="two fits"):
        criteria.subsample_silhouettes(topics[:1], 3)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_thinned_counts_add_up_and_are_independent(form):
    rng = np.random.default_rng(3)
    phi, mu = 0.5, 4.0
    X = rng.negative_binomial(1 / phi, 1 / (1 + phi * mu), (200, 200)).astype(float)
    correlation = {}
    for assumed in (0.0, phi):
        parts = criteria._thinned(form(X), 0.3, assumed, (0, 0))
        one, other = (part.toarray() if sparse.issparse(part) else part for part in parts)
        assert np.array_equal(one + other, X) and abs(one.sum() / X.sum() - 0.3) < 0.02
        correlation[assumed] = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert correlation[0.0] > 0.3 and abs(correlation[phi]) < 0.03


def test_thinning_refuses_what_is_no_count():
    with pytest.raises(ValueError, match="holds 0.5"):
        criteria.count_thinning(np.array([[1.0, 0.5], [2.0, 3.0]]), (1,))
    for bad in (dict(fraction=1.0), dict(overdispersion=-1.0), dict(ranks=(3,))):
        with pytest.raises(ValueError, match=next(iter(bad))):
            criteria.count_thinning(np.ones((2, 2)), **{"ranks": (1,), **bad})


# --- rules ----------------------------------------------------------------------------------------

NOISE = np.linspace(-0.001, 0.001, 12)


def evidence(S, errors, one_topic=0.9):
    """Evidence of ranks 2, 3, .. with these mean separations and errors."""
    error = {1: np.full(12, one_topic)} | dict(enumerate(errors, 2))
    return _rules.Evidence(
        {k: np.full(5, value) for k, value in enumerate(S, 2)},
        {k: np.full(12, value) + k * NOISE for k, value in error.items()},
        {},
    )


FALLING = [0.8, 0.7, 0.5, 0.49, 0.485, 0.48]


@pytest.mark.parametrize(
    "S, errors, ranks",
    [
        ([0.5, 0.6, 0.9, 0.0, 0.1, 0.0], [0.8, 0.7, 0.5, 0.5, 0.5, 0.5], [4]),
        ([0.5, 0.6, 0.9, 0.75, 0.1, 0.0], [0.8, 0.7, 0.5, 0.5, 0.5, 0.5], [4]),  # within two ranks
        ([0.5, 0.6, 0.9, 0.8, 0.75, 0.7], FALLING, [None]),  # falls too slowly
        ([0.1, 0.2, 0.29, 0.0, 0.0, 0.0], FALLING, [None]),  # never all of them
        ([0.5, 0.1, 0.9, 0.1, 0.0, 0.0], FALLING, [4, 2]),
        ([0.5, 0.6, 0.7, 0.8, 0.9, 0.2], [0.5, 0.51, 0.52, 0.53, 0.54, 0.55], [None]),  # bound
        ([0.9, 0.1, 0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.9, 0.9, 0.9, 0.9], [None]),  # no structure
    ],
)
def test_suggestions(S, errors, ranks):
    assert [one.rank for one in _rules.suggest(evidence(S, errors))] == ranks


def test_a_search_that_ends_too_early_says_so():
    (one,) = _rules.suggest(evidence([0.5, 0.7, 0.9], FALLING[:3]))
    assert one.rank is None and "widen" in one.reason


def test_both_numbers_are_named_where_more_can_be_predicted():
    found = evidence([0.5, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1], [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    (one,) = _rules.suggest(found)
    assert one.rank == 3 and "3 is what can be named, 8 what can be predicted" in one.reason


def test_levels_need_an_elbow_and_topics_that_come_back():
    errors = [0.8, 0.6, 0.58, 0.56, 0.54, 0.52, 0.53]
    assert [one.rank for one in _rules.levels(evidence([0.9] * 7, errors), 7)] == [3]
    assert _rules.levels(evidence([0.2] * 7, errors), 7) == []
    assert _rules.levels(evidence([0.9] * 7, errors), 4) == []  # too near
    assert _rules.levels(evidence([0.9] * 7, errors), None) == []


def test_elbow_at_two_needs_one_topic():
    found = evidence([0.9, 0.5, 0.5, 0.5], [0.5, 0.45, 0.4, 0.35])
    assert np.isclose(_rules.elbow(found, 2), 8) and np.isnan(_rules.elbow(found, 5))


def test_plateaus_are_listed():
    S = [0.1, 0.2, 0.80, 0.79, 0.76, -0.2, -0.3]
    (plateau,) = _rules.plateaus(evidence(S, [0.8, 0.7, 0.6, 0.5, 0.45, 0.44, 0.43]))
    assert plateau.ranks == (4, 5, 6)
    assert _rules.plateaus(evidence([0.1, 0.9, 0.1, 0.0], [0.8, 0.7, 0.7, 0.7])) == []


# --- the search -----------------------------------------------------------------------------------


def same(a, b):
    return a.results_.equals(b.results_) and a.suggested_ == b.suggested_


def test_it_finds_planted_topics(searched, counts):
    assert searched.suggested_[0].rank == 4
    assert searched.best_estimator_.components_.shape == (4, counts.shape[1])
    assert set(searched.results_["criterion"]) == {
        "separation",
        "held-out error",
        "code agreement",
        "elbow",
        "not converged",
    }


def test_same_bits_for_any_number_of_processes(searched, counts):
    assert same(RankSearch(**SMALL, n_jobs=2).fit(counts), searched)


def test_same_bits_with_more_threads(searched, counts, monkeypatch):
    monkeypatch.setattr("nnmf_nb.core._arrays.thread_count", lambda: 3)
    with serial():
        assert len(in_threads(lambda rows: rows, 1000, 1e9)) == 1
    assert same(RankSearch(**SMALL).fit(counts), searched)


def test_a_rank_does_not_depend_on_the_others(searched, counts):
    fewer = RankSearch(**SMALL | {"ranks": range(3, 10)}).fit(counts).results_
    both = searched.results_.merge(fewer, on=["rank", "criterion"])
    both = both[both["criterion"] != "elbow"]
    assert len(both) == 4 * 4 + 3  # ranks 3 to 6, and rank 1 in blocks
    assert both["mean_x"].equals(both["mean_y"]) and both["se_x"].equals(both["se_y"])


def test_resumes_after_an_interruption(searched, counts, tmp_path, monkeypatch):
    path, ran, original = tmp_path / "search", [], _rank_search._run_task

    def interrupted(kind, n, *rest):
        if (kind, n) == ("block", 0) and not ran.count("again"):
            raise KeyboardInterrupt
        ran.append((kind, n))
        return original(kind, n, *rest)

    monkeypatch.setattr(_rank_search, "_run_task", interrupted)
    with pytest.raises(KeyboardInterrupt):  # no block is done: nothing can be judged
        RankSearch(**SMALL, checkpoint=path).fit(counts)
    assert ran == [("split", 0), ("split", 1)]
    ran[:] = ["again"]
    resumed = RankSearch(**SMALL, checkpoint=path).fit(counts)
    assert ran == ["again", ("block", 0)] and same(resumed, searched)
    ran[:] = ["again"]
    assert same(RankSearch(**SMALL, checkpoint=path, n_jobs=1).fit(counts), searched)
    assert ran == ["again"]
    with pytest.raises(ValueError, match="ranks is different"):
        RankSearch(**SMALL | {"ranks": range(2, 9)}, checkpoint=path).fit(counts)
    with pytest.raises(ValueError, match="data is different"):
        RankSearch(**SMALL, checkpoint=path).fit(2 * counts)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="delete the file"):
        RankSearch(**SMALL, checkpoint=path).fit(counts)


def test_resumes_after_kill(searched, counts, tmp_path):
    sparse.save_npz(tmp_path / "X.npz", counts)
    code = f"""import os, signal, scipy.sparse
from nnmf_nb.selection import _rank_search
original = _rank_search._run_task
def killed(kind, n, *rest):
    if kind == "block":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(kind, n, *rest)
_rank_search._run_task = killed
X = scipy.sparse.csr_array(scipy.sparse.load_npz({str(tmp_path / "X.npz")!r}))
_rank_search.RankSearch(**{SMALL!r}, checkpoint={str(tmp_path / "s")!r}).fit(X)
"""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert same(RankSearch(**SMALL, checkpoint=tmp_path / "s").fit(counts), searched)


def test_an_interrupted_search_judges_by_what_is_done(counts, monkeypatch):
    original = _rank_search._run_task

    def interrupted(kind, n, *rest):
        if (kind, n) == ("block", 1):
            raise KeyboardInterrupt
        return original(kind, n, *rest)

    monkeypatch.setattr(_rank_search, "_run_task", interrupted)
    with pytest.warns(UserWarning, match="after 3 of 4 cuts"):
        search = RankSearch(**SMALL | {"n_crosses": 2}).fit(counts)
    assert (search.n_splits_, search.n_crosses_) == (2, 1) and search.suggested_[0].rank == 4


def test_interrupted_fits_are_no_results(counts, monkeypatch):
    """Ctrl-C ends an iteration quietly: the fit must not count as finished."""

    def interrupted(*arguments, **keywords):
        fit = original(*arguments, **keywords)
        return type(fit)(**{**vars_of(fit), "reason": "interrupted"})

    def vars_of(fit):
        return {name: getattr(fit, name) for name in fit.__dataclass_fields__}

    original = _cuts.solve
    monkeypatch.setattr(_cuts, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _cuts.fit_ranks(counts, (2,), _cuts.Fits(NMF(), 0, 1), (0,))


def test_no_structure_no_answer():
    rng = np.random.default_rng(5)
    one_topic = rng.gamma(2, 20, (60, 1)) * rng.dirichlet(np.ones(50), 1)
    for X in (rng.poisson(one_topic), np.ones((40, 30)), 3 + rng.random((40, 30))):
        search = RankSearch(**SMALL | {"ranks": range(2, 6)}).fit(X)
        assert [one.rank for one in search.suggested_] == [None]
        assert search.suggested_[0].reason.startswith("no peak")
        assert search.best_estimator_ is None and search.levels_ == []


def test_other_losses_and_dense_data(searched, counts):
    few = SMALL | {"ranks": range(3, 7), "n_splits": 1}
    model = NMF(beta_loss="kullback-leibler", solver="mu")
    search = RankSearch(model, **few, max_iter=60).fit(counts)
    assert search.suggested_[0].rank == 4 and search.best_estimator_.solver_ == "mu"
    of_dense = RankSearch(**few).fit(counts.toarray())
    assert of_dense.suggested_[0].rank == searched.suggested_[0].rank
    assert np.allclose(of_dense.evidence_.e(4), searched.evidence_.e(4), rtol=0.01)


def test_few_points_are_flagged():
    X = datasets.planted_counts(3, 36, 60, length=400).X
    search = RankSearch(ranks=range(2, 7), n_splits=2, n_crosses=1, n_init=2).fit(X)
    assert "36 data points" in search.suggested_[0].reason
    assert (search.results_["criterion"] == "silhouette").sum() == 5


def test_fits_that_do_not_converge_are_counted(counts):
    search = RankSearch(**SMALL, max_iter=1, tol=0.0).fit(counts)
    share = search.results_[search.results_["criterion"] == "not converged"]
    assert (share["mean"] == 1).all() and {*share["rank"]} == {*range(1, 7)}


BAD = {
    "NMF": (dict(estimator=NeuralNMF()), None, TypeError),
    "fixed": (dict(estimator=NMF(fixed=np.ones((1, 90)))), None, ValueError),
    "one topic is always fitted": (dict(ranks=1), None, ValueError),
    "at most 42": (dict(ranks=range(50, 60)), None, ValueError),
    "ranks must be an integer": (dict(ranks=(2.5, 3)), None, ValueError),
    "n_splits": (dict(n_splits=0), None, ValueError),
    "n_crosses": (dict(n_crosses=0), None, ValueError),
    "random_state": (dict(random_state="a"), None, ValueError),
    "zero everywhere": ({}, np.zeros((20, 20)), ValueError),
    "4 data points": ({}, np.ones((3, 20)), ValueError),
    "takes no mask": ({}, np.ma.masked_equal(np.eye(20), 1), ValueError),
    "NaN": ({}, np.full((20, 20), np.nan), ValueError),
    "Negative": ({}, -np.ones((20, 20)), ValueError),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message, counts):
    parameters, X, kind = BAD[message]
    with pytest.raises(kind, match=message):
        RankSearch(**parameters).fit(counts if X is None else X)


def test_ranks_are_completed_and_this_is_said(counts):
    with pytest.warns(UserWarning, match="3 to 5 are fitted"):
        search = RankSearch(**SMALL | {"ranks": (3,)}).fit(counts)
    assert search.evidence_.ranks == [3, 4, 5]
    with pytest.warns(UserWarning, match="at most 42"):
        assert _rank_search._full_ranks((40, 41, 42, 60), 42) == [*range(40, 43)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _rank_search._full_ranks(range(1, 9), 42) == [*range(2, 9)]


def test_data_and_estimator_stay_as_they_are(counts):
    before, model = counts.copy(), NMF(7)
    RankSearch(model, **SMALL, random_state=None).fit(counts)
    assert (counts != before).nnz == 0 and model.n_components == 7
    assert not hasattr(model, "components_")


def test_profile_of_a_hierarchy():
    X = datasets.planted_counts((6, 2), 400, 300, random_state=1).X.astype(np.float32)
    search = ProfileSearch(**SMALL | dict(ranks=range(2, 9), n_splits=3, n_init=3)).fit(X)
    assert search.profiles_[0].ranks == (6, 2) and search.profiles_[0].parents > 0.9
    assert [one.rank for one in search.best_estimator_.layers_] == [6, 2]
    assert len(search.plot()) == 3
    with pytest.raises(TypeError, match="RankSearch"):
        ProfileSearch(NMF()).fit(X)


def test_plot_says_what_is_suggested(searched):
    axes = searched.plot()
    assert "4 topics come back" in axes[0].get_title(loc="left")
    with pytest.raises(ValueError, match="2 matplotlib Axes"):
        searched.plot(axes[:1])


# --- consensus ------------------------------------------------------------------------------------


def noisy_runs(n_runs, away=()):
    """Runs of three topics with little noise, in any order; topic 2 is another one in `away`."""
    rng = np.random.default_rng(8)
    runs = []
    for n in range(n_runs):
        A = np.eye(9)[:, :3] + 0.02 * rng.random((9, 3))
        if n in away:
            A[:, 2] = np.eye(9)[:, 3 + n % 6]
        runs.append(A[:, rng.permutation(3)])
    return runs


def test_consensus_counts_and_takes_medians():
    X = np.random.default_rng(0).random((40, 3)) @ np.eye(9)[:3]
    runs = noisy_runs(9, away=(0, 4))
    model = consensus(X, models=runs)
    strongest = model.components_.argmax(axis=1)
    assert sorted(zip(strongest.tolist(), model.came_back_.tolist())) == [(0, 8), (1, 8), (2, 6)]
    assert model.n_runs_ == 8
    for topic, j in zip(model.components_, strongest):
        columns = [A[:, A[j].argmax()] for n, A in enumerate(runs) if j < 2 or n not in (0, 4)]
        median = np.median([c / np.linalg.norm(c) for c in columns], axis=0)
        assert np.allclose(topic, median / np.linalg.norm(median), atol=1e-9)
    W = model.transform(X)
    assert np.allclose(W, [nnls(model.components_.T, row)[0] for row in X], atol=1e-8)


def test_topics_that_do_not_come_back_are_left_out():
    X = np.random.default_rng(0).random((40, 3)) @ np.eye(9)[:3]
    runs = noisy_runs(9, away=(0, 1, 2, 3, 4, 5))
    with pytest.warns(UserWarning, match="1 of 3 topics"):
        assert len(consensus(X, models=runs).components_) == 2
    strangers = [np.random.default_rng(n).random((9, 3)) for n in range(4)]
    with pytest.raises(ValueError, match="no topic came back"):
        consensus(X, models=strangers, min_share=1.0)


def test_topic_info_and_files_know_how_often(counts, tmp_path):
    model = consensus(counts, 4, n_runs=5)
    assert model.topic_info()["came_back"].tolist() == ["4 of 4"] * 4
    save(model, tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").topic_info().equals(model.topic_info())
    assert "came_back" not in model.set_params(fixed=None).fit(counts).topic_info()
    again = consensus(counts, 4, n_runs=5, n_jobs=2)
    assert np.array_equal(again.came_back_, model.came_back_)


BAD_CONSENSUS = {
    "n_components": dict(),
    "n_runs": dict(n_components=2, n_runs=2),
    "subsample": dict(n_components=2, subsample=0),
    "min_share": dict(n_components=2, min_share=2),
    "three runs": dict(models=noisy_runs(2)),
    "3 topics": dict(models=noisy_runs(3), n_components=4),
}


@pytest.mark.parametrize("message", BAD_CONSENSUS)
def test_bad_input_of_consensus(message):
    with pytest.raises(ValueError, match=message):
        consensus(np.ones((10, 9)), **BAD_CONSENSUS[message])
    with pytest.raises(TypeError, match="DeepNMF"):
        consensus(np.ones((10, 9)), 2, estimator=DeepNMF())


def chain_runs(n_runs, away=()):
    """Chains of four topics in two themes with little noise, in any order; topic 3, of theme 1, is
    another one in `away`.
    """
    rng = np.random.default_rng(9)
    runs = []
    for n in range(n_runs):
        fine, coarse = rng.permutation(4), rng.permutation(2)
        A = np.eye(9)[:, :4] + 0.02 * rng.random((9, 4))
        if n in away:
            A[:, 3] = np.eye(9)[:, 4 + n % 5]
        above = np.repeat(np.eye(2), 2, axis=0) * [[0.6, 0], [0.8, 0], [0, 0.8], [0, 0.6]]
        above = above * (1 + 0.02 * rng.random(above.shape))
        chain = [A[:, fine], above[np.ix_(fine, coarse)]]
        chain = [one / np.linalg.norm(one, axis=0) for one in chain]
        model = HierarchicalNMF((4, 2), init=chain, max_iter=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs.append(model.fit(np.eye(9) + rng.random((9, 9))))
    return runs


def test_consensus_of_chains():
    X = np.random.default_rng(0).random((40, 4)) @ np.eye(9)[:4]
    runs = chain_runs(9, away=(0, 4))
    model = consensus(X, models=runs)
    assert isinstance(model, HierarchicalNMF) and model.n_runs_ == 8
    strongest = model.layers_[0].A.argmax(axis=0)
    counts = dict(zip(strongest.tolist(), model.came_back_[0].tolist()))
    assert counts == {0: 8, 1: 8, 2: 8, 3: 6}
    assert model.came_back_[1].tolist() == [8, 8] and model.matches_[0].shape == (8, 4)
    # topics of a theme are its own, in the shares of the runs
    above = model.layers_[1].A[np.argsort(strongest)]
    theme = above.argmax(axis=1)
    assert theme[0] == theme[1] != theme[2] == theme[3]
    expected = np.array([0.6, 0.8, 0.8, 0.6])
    assert np.allclose(above[range(4), theme], expected, atol=0.02)
    # coefficients are exact, layer by layer
    S = np.array([nnls(model.layers_[0].A, row)[0] for row in X]).T
    assert np.allclose(model.layers_[0].S, S, atol=1e-8)
    S = np.array([nnls(model.layers_[1].A, column)[0] for column in S.T]).T
    assert np.allclose(model.layers_[1].S, S, atol=1e-8)
    texts = model.topic_info()["came_back"].tolist()
    assert sorted(texts) == ["6 of 8", *["8 of 8"] * 5]
    assert model.converged_ and "medians of runs" in model.certificate_.criteria.open


def test_what_is_left_out_below_is_left_out_above():
    X = np.random.default_rng(0).random((40, 4)) @ np.eye(9)[:4]
    runs = chain_runs(9, away=range(8))
    with pytest.warns(UserWarning, match="1 of 4 topics of layer 0"):
        model = consensus(X, models=runs, min_share=0.6)
    assert [layer.A.shape for layer in model.layers_] == [(9, 3), (3, 2)]
    assert np.allclose(np.linalg.norm(model.layers_[1].A, axis=0), 1)


@pytest.mark.parametrize(
    "kind", [HierarchicalNMF, pytest.param(NeuralNMF, marks=pytest.mark.exhaustive)]
)
def test_chains_from_subsamples(kind, tmp_path):
    X = datasets.planted_counts((6, 2), 240, 150, random_state=1).X.astype(np.float64)
    few = dict(n_runs=4, min_share=0)
    model = consensus(X, estimator=kind((6, 2)), **few)
    assert type(model) is kind and [len(one) for one in model.came_back_] == [6, 2]
    save(model, tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").topic_info().equals(model.topic_info())
    again = consensus(X, (6, 2), estimator=kind(), **few, n_jobs=2)
    assert again.topic_info().equals(model.topic_info())
    with pytest.raises(ValueError, match="one integer for an NMF"):
        consensus(X, (6, 2))


# --- what it rests on -----------------------------------------------------------------------------


def test_leading_triplets_of_sparse_data_without_a_full_svd(counts):
    data = as_data(counts)
    full, partial = top_svd(data, 5), top_svd(data, 5, full_up_to=0)
    assert np.allclose(full[1], partial[1], rtol=1e-9)


def test_planted_counts():
    data = datasets.planted_counts((6, 3), 300, 200, length=50, random_state=1)
    again = datasets.planted_counts((6, 3), 300, 200, length=50, random_state=1)
    assert (data.X != again.X).nnz == 0
    pairs = {*zip(data.labels["topic"].tolist(), data.labels["theme"].tolist())}
    assert pairs == {(t, t // 2) for t in range(6)}
    assert abs(data.X.sum() / 300 - 50) < 3
    mixed = datasets.planted_counts(4, 300, 200, mixing=100.0)
    assert len(np.unique(datasets.planted_counts(4, 300, 200).labels["topic"])) == 4
    assert {*mixed.labels} == {"topic"}
    for bad in (dict(ranks=(2, 3)), dict(ranks=(6, 3, 2)), dict(length=0), dict(mixing=-1)):
        with pytest.raises(ValueError, match=next(iter(bad))):
            datasets.planted_counts(**bad)
