"""The report of the topics: its numbers against other ways to find them, and a page that shows any
text as text.
"""

import os
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls

from nnmf_nb import NMF, HierarchicalNMF, NeuralNMF, consensus, datasets
from nnmf_nb.models import _report


@pytest.fixture(scope="module")
def toy():
    return datasets.toy(0)


@pytest.fixture(scope="module")
def model(toy):
    return HierarchicalNMF((9, 4), random_state=0).fit(toy.X)


def test_uniqueness_is_the_residual_of_scipy():
    rng = np.random.default_rng(0)
    Phi = rng.random((20, 6)) * 10.0 ** rng.integers(-6, 6, 6)
    Phi[:, 5] = Phi[:, :3] @ [1.0, 2, 0] + 1e-3 * Phi[:, 4]
    Phi[:, 3] = 0
    alive = [0, 1, 2, 4, 5]
    unit = Phi[:, alive] / np.linalg.norm(Phi[:, alive], axis=0)
    expected = [nnls(np.delete(unit, t, 1), unit[:, t])[1] for t in range(5)]
    found = _report.uniqueness(Phi)
    assert np.allclose(found[alive], expected, atol=1e-7) and np.isnan(found[3])
    assert _report.uniqueness(Phi[:, :1]).tolist() == [1]
    assert np.allclose(_report.uniqueness(Phi[:, [0, 0, 1]])[:2], 0, atol=1e-7)


def test_numbers_are_those_of_the_model(model, toy):
    table = model.topic_report(toy.X, features=toy.features, top=4).table
    info = model.topic_info(toy.X, features=toy.features)
    for column in ("layer", "topic", "parent", "name", "share", "size"):
        assert table[column].equals(info[column])
    by_relevance = model.topics(layer=0, features=toy.features, top=4, by="relevance")
    first = table[table["layer"] == 0]
    assert first["features"].tolist() == by_relevance.filter(like="feature").values.tolist()
    shares = model.shares(toy.X, layer=0)
    for t, row in first.iterrows():
        Phi, S = model.layers_[0].A, model.layers_[0].S
        assert row["support"] == (Phi[:, t] > 0).sum()
        heavy = np.sort(Phi[:, t])[::-1].cumsum() / Phi[:, t].sum()
        assert heavy[row["half_support"] - 1] >= 0.5 > heavy[row["half_support"] - 2]
        assert row["strongest"] == np.argsort(-S[t], kind="stable")[:3].tolist()
        own = shares.iloc[:, t].to_numpy()
        members = shares.to_numpy().argmax(axis=1) == t
        least = np.median(S[t, members]) if members.any() else 0
        enough = [m for m in range(90) if S[t, m] >= least]
        best = sorted(enough, key=lambda m: -own[m])[:3]
        assert np.allclose(own[row["typical"]], own[best])
        cosine = Phi[:, t] @ Phi
        assert np.isclose(row["cosine"], np.delete(cosine, t).max())
        near = np.argsort(-np.where(np.arange(9) == t, -1, cosine))[:2]
        names = model.get_feature_names_out(layer=0)
        assert row["neighbors"] == names[[j for j in near if cosine[j] > 0]].tolist()
    assert table["share_of_runs"].isna().all() and table["match_mean"].isna().all()


def test_runs_give_matches(model, toy):
    runs = [HierarchicalNMF((9, 4), random_state=n).fit(toy.X[n::2]) for n in (0, 1)]
    table = model.topic_report(runs=[*runs, model]).table
    assert (table["match_worst"] <= table["match_mean"]).all()
    assert (table["match_mean"] >= 1 / 3 - 1e-9).all()  # one of the three is the model itself
    alone = model.topic_report(runs=[model]).table
    assert np.allclose(alone[["match_mean", "match_worst"]], 1)
    with pytest.raises(ValueError, match=r"runs\[1\] has 1 layers"):
        model.topic_report(runs=[model, NMF(4).fit(toy.X)])


@pytest.mark.parametrize("estimator", [NMF(4), NeuralNMF((4, 2))])
def test_a_consensus_knows_its_runs(estimator, toy):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = consensus(toy.X, 4 if isinstance(estimator, NMF) else None, estimator=estimator,
                          n_runs=4, min_share=0)  # fmt: skip
    table, info = model.topic_report().table, model.topic_info()
    assert table["came_back"].tolist() == info["came_back"].tolist()
    counts = [int(text.split(" of ")[0]) for text in info["came_back"]]
    assert np.allclose(table["share_of_runs"], np.array(counts) / 3)
    matches = [model.matches_] if len(model.layers_) == 1 else model.matches_
    assert np.allclose(table["match_worst"], np.concatenate([one.min(axis=0) for one in matches]))
    assert f"came back in {table['came_back'][0]};" in model.topic_report().to_html()


def test_names_of_data_points(toy):
    frame = pd.DataFrame(toy.X, index=[f"row {i}" for i in range(90)])
    frame.columns = [f"word {i}" for i in range(toy.X.shape[1])]
    model = NMF(3, random_state=0).fit(frame)
    table = model.topic_report(frame).table
    assert table["typical"][0][0].startswith("row ")
    assert table["features"][0][0].startswith("word ")
    named = model.topic_report(frame, samples=[f"text {i}" for i in range(90)]).table
    assert named["strongest"][0][0].startswith("text ")
    with pytest.raises(ValueError, match="samples must be 90 names"):
        model.topic_report(frame, samples=["one"])
    with pytest.raises(ValueError, match="top must be"):
        model.topic_report(frame, top=0)


def test_dead_and_spanned_topics_are_named():
    e = np.eye(8)
    parts = np.array([e[0], e[1], e[2], e[0] + e[1] + 0.1 * e[4]])
    X = np.random.default_rng(0).random((30, 3)) @ parts[[0, 1, 3]]
    model = NMF(4, fixed=parts, random_state=0).fit(X)
    report = model.topic_report(X)
    remarks = report.table.set_index("name")["remarks"]
    assert (remarks == "dead: it explains nothing").sum() == 1
    assert remarks.str.contains("nearly span").sum() == 1
    assert "dead: it explains nothing" in report.to_html() and "nan" not in report.to_html()


class Reader(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_text_is_shown_as_text(tmp_path):
    bad = ["<script>alert(1)</script>", "a & b", "'\"><img src=x>", "\ud800", "主題"]
    X = sp.csr_array(np.random.default_rng(0).random((6, 5)))
    model = NMF(2, random_state=0).fit(X).rename(0, 0, "<b>bold</b>")
    report = model.topic_report(X, features=bad, samples=[f"<i>{n}" for n in range(6)])
    path = tmp_path / "page.html"
    assert report.to_html(path, title="<u>") == path
    page = Reader()
    page.feed(path.read_text(encoding="utf-8"))
    assert not {"script", "img", "b", "i", "u"} & {*page.tags}
    for text in (bad[0], bad[1], bad[2], bad[4], "<b>bold</b>", "<i>", "<u>", "\ufffd"):
        assert text in page.text
    assert "<script" not in report._repr_html_()


def test_a_page_is_written_all_or_nothing(model, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    model.topic_report().to_html(path)
    before = path.read_bytes()

    def refuse(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="unchanged"):
        model.topic_report(top=2).to_html(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["page.html"]
