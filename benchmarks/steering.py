"""Adherence, instability and CPU time of corrections by hand on the State of the Union.

    python benchmarks/steering.py [--every 4] [--edits 30]

Seeded edits of every kind on every `--every`-th paragraph, flat (k = 20) and chain
(20, 6), each previewed, committed and refined by five iterations (others pinned and held), then
undone. CPU time (`time.process_time`) in one thread.
"""

import argparse
import os
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from nnmf_nb import NMF, HierarchicalNMF, datasets, steer
from nnmf_nb.core._arrays import serial
from nnmf_nb.steering._steering import adherence, instability

KINDS = (
    "merge split split_by_words delete remove_words stop_words add_words create remove_from pin"
).split()


def top(edits, topic, start, stop):
    order = np.argsort(-edits.state.topic(topic), kind="stable")
    return [WORDS[w] for w in order[start:stop]]


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
    if kind == "create":
        mass = np.argsort(-np.asarray(edits.state.A[0].sum(axis=1)), kind="stable")[50:1000]
        return edits.create(words=[WORDS[w] for w in rng.choice(mass, 5, replace=False)])
    owners = np.argsort(-edits.state.S[0][ids.index(one)], kind="stable")[:30]
    return edits.remove_from([edits_points[i] for i in rng.choice(owners, 3, replace=False)], one)


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
    row = {
        "adherence": adherence(edits.corpus, before, after, record),
        "instability": max(instability(before, after, record)),
        "layer 0": instability(before, after, record)[0],
        "preview ms": 1e3 * (previewed - start),
        "commit + 5 ms": 1e3 * (done - previewed),
        "kkt": max(one.kkt for one in edits.certificate()),
    }
    edits.undo(), edits.undo()
    return row


def table(edits, n, others):
    rows = {}
    for kind in KINDS:
        rng = np.random.default_rng([7, KINDS.index(kind)])
        found = []
        for _ in range(n):
            try:
                found.append(one_edit(edits, kind, rng, others))
            except ValueError as error:
                print(kind, "refused:", error, flush=True)
        rows[kind] = pd.DataFrame(found).mean() if found else {}
    return pd.DataFrame(rows).T


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--others", nargs="+", default=["pin", "hold"])
    parser.add_argument("--models", nargs="+", default=["flat", "chain"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    docs = datasets.state_of_the_union()
    X, WORDS = docs.X[:: options.every], [str(w) for w in docs.features]
    edits_points = [str(i) for i in range(X.shape[0])]
    models = {"flat": NMF(20, random_state=0), "chain": HierarchicalNMF((20, 6), random_state=0)}
    with serial():
        for name in options.models:
            model = models[name].fit(X)
            edits = steer(model, X, features=WORDS, samples=edits_points)
            one_edit(edits, "merge", np.random.default_rng(0), "pin")  # compiles
            for others in options.others:
                print(f"\n{name}, {X.shape[0]} x {X.shape[1]}, {options.edits} edits, {others}")
                print(table(edits, options.edits, others).round(4).to_string(), flush=True)
