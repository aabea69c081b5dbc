"""Does the share of runs say which topics are true? On fresh draws, with three topics too many.

    python benchmarks/consensus.py [--draws 2] [--first 7001]

prints, for each planted corpus, how many topics of a consensus with share s are true (cosine of at
least 0.9 with a planted topic), and the mean and worst cosine of the planted topics with it and
with the best of six starts.
"""

import argparse

import numpy as np
from sklearn.utils import check_random_state

from nnmf_nb import NMF, datasets
from nnmf_nb.evaluation.metrics import match_topics
from nnmf_nb.selection._consensus import consensus

CORPORA = {
    "P8": ((8,), 800, 600, 100, 0.1),
    "T12": ((12, 4), 1200, 800, 100, 0.08),
    "T12short": ((12, 4), 1200, 800, 25, 0.08),
}
BINS = ((0.0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.01))


def planted(name, seed):
    """Counts and the topics they were drawn from (n_features x k)."""
    ranks, n_samples, n_features, length, mixing = CORPORA[name]
    data = datasets.planted_counts(ranks, n_samples, n_features, length, mixing, seed)
    rng = check_random_state(seed)
    _, H, _ = datasets._planted_mixture(rng, ranks, n_samples, n_features, mixing)
    seen = [int(word.removeprefix("word ")) for word in data.features]
    return data.X.astype(np.float32), H[:, seen].T


def quality(model, H):
    """Mean and worst cosine of the planted topics, 0 for those without a partner."""
    cosines = match_topics(H, model.components_.T).cosines
    return f"{cosines.mean():.3f} / {cosines.min():.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--first", type=int, default=7001)
    asked = parser.parse_args()
    shares, true = [], []
    for name in CORPORA:
        for seed in range(asked.first, asked.first + asked.draws):
            X, H = planted(name, seed)
            for k in (H.shape[1], H.shape[1] + 3):
                model = consensus(X, k, min_share=0, random_state=seed)
                best = NMF(k, n_init=6, random_state=seed).fit(X)
                print(
                    f"{name} {seed} k={k}: medians {quality(model, H)}, best of six "
                    f"{quality(best, H)}",
                    flush=True,
                )
                if k > H.shape[1]:
                    shares += [*(model.came_back_ / model.n_runs_)]
                    true += [*(match_topics(model.components_.T, H).cosines >= 0.9)]
                    for low, high in BINS:
                        inside = [t for s, t in zip(shares, true) if low <= s < high]
                        print(f"  share {low} to {min(high, 1.0)}: {sum(inside)} of "
                              f"{len(inside)} true so far", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
