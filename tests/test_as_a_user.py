"""The path of a newcomer with data of their own, from the CSV file to new data, in one file: what
comes out is judged, not only that something does.
"""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from nnmf_nb import NeuralNMF, fit_texts, inspect, load, save
from nnmf_nb.plot import plot_by_group, plot_over_time

WORDS = {
    "Küche": "Äpfel Öl Gemüse Löffel Töpfe würzen süß".split(),
    "Wald": "Bäume Eichhörnchen Füchse Pfützen grün Gebüsch Vögel".split(),
    "天气": "下雨 太阳 刮风 多云 气温 寒冷 雷电".split(),
    "Musik": "Flöte Chöre Töne Gehör Lautstärke Künstler Bühne".split(),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file of 160 texts on four subjects in two languages, every tenth empty, read back."""
    rng = np.random.default_rng(0)
    subject = [*WORDS] * 40
    texts = [" ".join(rng.choice(WORDS[s], size=6)) for s in subject]
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.permutation(160) * 5, unit="D")
    frame = pd.DataFrame({"text": texts, "subject": subject, "day": days.strftime("%Y-%m-%d")})
    frame.loc[::10, "text"] = ""
    path = tmp_path_factory.mktemp("data") / "texts.csv"
    frame.to_csv(path, index=False)
    return pd.read_csv(path)


def quietly(work, *args, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return work(*args, **given)


def test_texts_from_a_csv_to_a_page_and_a_file(table, tmp_path):
    """Empty cells are named, four subjects are four topics, page, file and plots agree."""
    with pytest.raises(ValueError, match=r"16 are not, the first at index 0.*fillna"):
        fit_texts(table["text"], (4, 2))
    texts = table["text"].fillna("")
    pipeline = quietly(fit_texts, texts, (4, 2))
    full = (texts != "").to_numpy()
    fine = pipeline[-1].transform(pipeline[0].transform(texts), layer=0)
    assert (fine[~full] == 0).all()
    assert adjusted_rand_score(table["subject"][full], fine[full].argmax(axis=1)) > 0.95

    view = inspect(pipeline, texts)
    view.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert {*view.payload["features"]} <= {*pipeline[0].get_feature_names_out()}
    for word in ("eichhörnchen", "下雨"):
        assert json.dumps(word)[1:-1] in page

    save(pipeline, tmp_path / "texts.nnmf")
    again = load(tmp_path / "texts.nnmf")
    new = ["süße Äpfel, würzen!", "太阳 下雨", "", "völlig anderes"]
    found = again.transform(new)
    assert np.array_equal(found, pipeline.transform(new))
    fine_found = again[-1].transform(again[0].transform(new), layer=0)
    assert (found[2:] == 0).all() and (fine_found[:2].sum(axis=1) > 0).all()
    topics = fine_found[:2].argmax(axis=1)
    for topic, subject in zip(topics, ["Küche", "天气"]):
        of_subject = fine[full & (table["subject"] == subject)]
        assert topic == np.bincount(of_subject.argmax(axis=1)).argmax()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no font with Chinese, perhaps
        ax = plot_over_time(pipeline, when=table["day"], X=texts)
        assert ax.get_xlabel().startswith("day (bins of ") and ax.get_xlabel().endswith("days)")
        ax = plot_by_group(pipeline, table["subject"], layer=0, X=texts)
    assert sorted(t.get_text() for t in ax.get_yticklabels()) == sorted(
        f"{s} ({n})" for s, n in table["subject"].value_counts().items()
    )


def test_a_third_of_the_labels_is_enough(table):
    """Texts with a third of the classes known, as text and NaN: the others are predicted."""
    texts = table["text"].fillna("")
    full = (texts != "").to_numpy()
    rng = np.random.default_rng(1)
    known = rng.random(len(table)) < 1 / 3
    y = table["subject"].where(known)
    model = make_pipeline(TfidfVectorizer(), NeuralNMF((6, 4), lam=1.0, random_state=0))
    quietly(model.fit, texts, y)
    predicted = model[-1].predict(model[:-1].transform(texts[full]))
    unknown = ~known[full]
    assert {*model[-1].classes_} == {*WORDS}
    assert (predicted == table["subject"][full])[unknown].mean() > 0.95


def measured(rng, labels, tops):
    """Numbers of 90 patients and 12 markers: three groups, a tenth of the entries missing."""
    X = tops[labels] * rng.gamma(20, 1 / 20, size=(len(labels), 12))
    frame = pd.DataFrame(
        X, columns=[f"Größe {i}" for i in range(12)], index=[f"P{i}" for i in range(len(labels))]
    )
    return frame.mask(rng.random(X.shape) < 0.1), X


def test_a_table_with_missing_values_and_few_labels(tmp_path):
    """Missing entries are filled better than by means, classes are found, names go through."""
    rng = np.random.default_rng(2)
    tops = rng.gamma(0.5, size=(3, 12)) + 0.1
    truth = np.arange(90) % 3
    frame, X = measured(rng, truth, tops)
    y = pd.Series(np.array(["alpha", "beta", "gamma"])[truth], index=frame.index)
    y = y.where(rng.random(90) < 1 / 3)
    with pytest.raises(ValueError, match="X contains NaN"):
        NeuralNMF((4, 3)).fit(frame, y)
    model = NeuralNMF((4, 3), random_state=0, lam=0.3)
    quietly(model.fit, frame, y, mask="nan")

    gaps = frame.isna().to_numpy()
    filled = model.inverse_transform(X=model.transform(frame))
    means = np.broadcast_to(frame.mean().to_numpy(), X.shape)
    error = [np.sqrt(np.mean((guess - X)[gaps] ** 2)) for guess in (filled, means)]
    assert error[0] < 0.5 * error[1]
    unknown = y.isna().to_numpy()
    expected = np.array(["alpha", "beta", "gamma"])[truth]
    assert (model.predict(frame) == expected)[unknown].mean() > 0.9

    save(model, tmp_path / "patients.nnmf")
    again = load(tmp_path / "patients.nnmf").set_output(transform="pandas")
    newcomers, _ = measured(rng, np.array([0, 1, 2]), tops)
    assert [*again.predict(newcomers)] == ["alpha", "beta", "gamma"]
    assert [*again.transform(newcomers).index] == ["P0", "P1", "P2"]
    with pytest.raises(ValueError, match="feature names"):
        again.transform(newcomers[newcomers.columns[::-1]])
