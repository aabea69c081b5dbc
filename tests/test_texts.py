"""Texts (BB): pipelines of vectorizers and a model in files, looked into, in one call."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from nnmf_nb import NMF, SSNMF, HierarchicalNMF, fit_texts, inspect, load, save
from nnmf_nb.persistence._files import KEY, packed, read, write_atomically
from nnmf_nb.persistence._text_steps import packed_terms, unpacked_terms

TEXTS = ["grüne Äpfel", "rote Äpfel", "grüne Bäume hier", "hohe Bäume", "中文 文本 文本", ""]
NEW = ["hohe Äpfel 文本", "", "nichts davon"]
STEPS = {
    "counts": [CountVectorizer(binary=True, ngram_range=(1, 2))],
    "tf-idf": [TfidfVectorizer(dtype=np.float32, sublinear_tf=True)],
    "tf": [TfidfVectorizer(use_idf=False, norm="l1")],
    "two steps": [CountVectorizer(stop_words=["hier"]), "passthrough", TfidfTransformer()],
    "hashes": [HashingVectorizer(n_features=64, alternate_sign=False)],
    "given terms": [CountVectorizer(vocabulary={"grüne", "rote", "文本"})],
}


@pytest.mark.parametrize("kind", STEPS)
def test_pipelines_in_files(kind, tmp_path):
    """BB: the same bits for new texts, the same names and parameters, nothing of pickle."""
    steps = [(f"step{i}", step) for i, step in enumerate(STEPS[kind])]
    pipeline = Pipeline([*steps, ("topics", HierarchicalNMF((3, 2), random_state=0))]).fit(TEXTS)
    save(pipeline, tmp_path / "words")
    again = load(tmp_path / "words")
    assert np.array_equal(again.transform(NEW), pipeline.transform(NEW))
    assert [*again.named_steps] == [*pipeline.named_steps]
    assert {k: str(v) for k, v in again[-1].get_params().items()} == {
        k: str(v) for k, v in pipeline[-1].get_params().items()
    }
    first, other = again[0].get_params(), pipeline[0].get_params()
    if kind == "given terms":
        assert [first.pop("vocabulary"), other.pop("vocabulary")][0] == ["grüne", "rote", "文本"]
    assert first == other
    if kind != "hashes":
        names = pipeline[:-1].get_feature_names_out()
        assert [*again[:-1].get_feature_names_out()] == [*names]
        assert {*inspect(again, TEXTS).payload["features"]} <= {*names}
    again.fit(TEXTS)  # it is an ordinary pipeline
    assert np.array_equal(again.transform(NEW), pipeline.transform(NEW))


def test_recipes_and_large_vocabularies(tmp_path, monkeypatch):
    """BB: a pipeline that is not fitted is a recipe; terms do not count as names and lists."""
    save(make_pipeline(TfidfVectorizer(min_df=2), NMF(7)), tmp_path / "recipe")
    recipe = load(tmp_path / "recipe")
    assert recipe[0].min_df == 2 and recipe[-1].n_components == 7
    assert not hasattr(recipe[0], "vocabulary_")
    texts = [f"a{i} b{i} c{i % 7}" for i in range(2000)]
    monkeypatch.setattr("nnmf_nb.persistence._files.LONGEST", 20_000)
    save(make_pipeline(CountVectorizer(), NMF(2, max_iter=3, tol=1)).fit(texts), tmp_path / "large")
    assert len(load(tmp_path / "large")[0].vocabulary_) == 4007


def test_what_no_file_can_hold_is_refused(tmp_path):
    """BB: functions, other steps and other models are refused, naming the step and the cure."""
    own = make_pipeline(CountVectorizer(tokenizer=str.split, token_pattern=None), NMF(2))
    own.fit(TEXTS)
    cure = r"step 'countvectorizer': tokenizer is the function str.split.*set_params\("
    with pytest.raises(ValueError, match=cure + "countvectorizer__tokenizer=None"):
        save(own, tmp_path / "words")
    save(own.set_params(countvectorizer__tokenizer=None), tmp_path / "words")
    again = load(tmp_path / "words").set_params(countvectorizer__tokenizer=str.split)
    own.set_params(countvectorizer__tokenizer=str.split)
    assert np.array_equal(again.transform(NEW), own.transform(NEW))
    cases = [
        (TfidfVectorizer(analyzer=list), NMF(2), "analyzer='word'"),
        (CountVectorizer(preprocessor=str.upper), NMF(2), "preprocessor=None"),
        (MaxAbsScaler(), NMF(2), r"step 'maxabsscaler'.*save\(pipeline\[-1\], path\)"),
        (CountVectorizer(), LogisticRegression(), "'logisticregression': 'LogisticRegression' is"),
        (type("Mine", (CountVectorizer,), {})(), NMF(2), "step 'mine' is"),
    ]
    before = (tmp_path / "words").read_bytes()
    for step, model, message in cases:
        with pytest.raises(ValueError, match=message):
            save(make_pipeline(step, model), tmp_path / "words")
    assert (tmp_path / "words").read_bytes() == before


def forged(path, change):
    """A file of a pipeline whose tree and arrays were changed, with a right digest."""
    save(make_pipeline(TfidfVectorizer(), NMF(2, random_state=0)).fit(TEXTS), path)
    text, tensors = read(path)
    tree = json.loads(text)
    tensors = {name: np.array(a) for name, a in tensors.items()}
    change(tree["steps"][0][1], tensors)
    write_atomically(path, packed(KEY, tree, tensors))
    return path


def test_forged_pipelines_are_refused(tmp_path):
    """BB: what does not fit together, or names something else, is a ValueError in load."""

    def other_class(step, tensors):
        step["class"] = "os.system"

    def other_attribute(step, tensors):
        step["fitted"]["transform"] = 3

    def longer_terms(step, tensors):
        tensors[step["fitted"]["lengths"]["name"]] += 1

    def no_idf(step, tensors):
        tensors[step["fitted"]["idf_"]["name"]][0] = np.nan

    def fewer_idf(step, tensors):
        name = step["fitted"]["idf_"]["name"]
        tensors[name] = tensors[name][1:]

    def fewer_terms(step, tensors):
        step["fitted"] = {}
        step["class"], step["params"] = "CountVectorizer", {}
        step["fitted"] |= {"fixed_vocabulary_": False}
        for key, a in zip(("letters", "lengths"), packed_terms(["one", "two"])):
            tensors[key] = a
            step["fitted"][key] = {"is": "array", "name": key, "order": "C"}

    def dtype_of_objects(step, tensors):
        step["params"]["dtype"] = "O"

    changes = [
        (other_class, "'os.system' is missing or unknown"),
        (other_attribute, "is nothing that TfidfVectorizer learns"),
        (longer_terms, "do not have the lengths"),
        (no_idf, "must be finite"),
        (fewer_idf, "does not fit its terms"),
        (fewer_terms, "a vectorizer does not fit"),
        (dtype_of_objects, "is not allowed"),
    ]
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            load(forged(tmp_path / change.__name__, change))


def test_terms_in_bytes():
    """BB: any character, none at all, and no term twice."""
    for terms in ([], [""], ["a\nb", "\0", "中文", "\ud800", "é"]):
        assert unpacked_terms(*packed_terms(terms)) == terms
    with pytest.raises(ValueError, match="twice"):
        unpacked_terms(*packed_terms(["a", "a"]))


def test_one_call():
    """BB: the steps one would write oneself, with every option passed on."""
    texts = [*TEXTS[:-1], *TEXTS]
    pipeline = fit_texts(texts, (3, 2))
    by_hand = TfidfVectorizer(min_df=2, max_df=0.95).fit(texts)
    assert [*pipeline[0].get_feature_names_out()] == [*by_hand.get_feature_names_out()]
    assert pipeline.transform(NEW).shape == (3, 2) and [*pipeline.named_steps] == [
        "vectorizer",
        "topics",
    ]
    counts = fit_texts(
        pd.Series(texts),
        model=SSNMF(2, random_state=0),
        y=["a", "b", -1, "a", None, "a", "b", "a", "b", "a", "b"],
        weighting="counts",
        min_df=1,
        max_df=3,
        stop_words=["hier"],
        analyzer="word",
        ngram_range=(1, 2),
    )
    terms = {*counts[0].get_feature_names_out()}
    assert "rote äpfel" in terms and "hier" not in terms and "grüne" not in terms
    assert {*counts[-1].classes_} == {"a", "b"} and isinstance(counts[0], CountVectorizer)
    assert inspect(pipeline, texts).payload["features"]


@pytest.mark.parametrize(
    "texts, given, error, message",
    [
        ("one text", {}, TypeError, "put a single text into a list"),
        (3, {}, TypeError, "got int"),
        (pd.DataFrame({"text": TEXTS}), {}, TypeError, "give the column of texts"),
        (["a b", None, 3], {}, ValueError, r"2 are not, the first at index 1 is None.*fillna"),
        (["", " "], {}, ValueError, "all of them are empty"),
        (["one", "two", "three"], {}, ValueError, "No terms are left of 3 texts.*Lower min_df"),
        (TEXTS, dict(weighting="idf"), ValueError, "weighting must be 'tf-idf' or 'counts'"),
    ],
)
def test_what_is_no_text(texts, given, error, message):
    """BB: errors name place and cure."""
    with pytest.raises(error, match=message):
        fit_texts(texts, **given)
