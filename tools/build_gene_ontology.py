"""Rebuild nnmf_nb/embedded/gene_ontology.npz (GO-mini) from the GO.sqlite of the Bioconductor
package GO.db.

    apt-get download r-bioc-go.db && dpkg-deb -x r-bioc-go.db_*.deb go      # 3.16.0-1: no R and no
    root needed
    python tools/build_gene_ontology.py go/usr/lib/R/site-library/GO.db/extdata/GO.sqlite

The same GO.sqlite and the same NumPy, scikit-learn and zlib give the same bytes on every run
(np.savez_compressed stamps every member 1980-01-01); a different zlib may pack the same arrays into
different bytes.
"""

import hashlib
import sqlite3
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

OUT = Path(__file__).resolve().parents[1] / "nnmf_nb" / "embedded" / "gene_ontology.npz"
PER_BRANCH = 250
SHORTEST = 8  # words: "Binding to cellulose." is no document
SOURCE = (
    "The Gene Ontology Consortium, Gene Ontology, release {date} (go-basic.obo), "
    "http://geneontology.org, by way of Bioconductor GO.db 3.16.0. Changes: {n} of {all} "
    "definitions were chosen and their words counted; the terms and definitions themselves are "
    "unaltered"
)
LICENSE = (
    "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), attribution: The Gene Ontology "
    "Consortium"
)


def branches(terms, parents):
    """For every term the set of branches (children of a root, by 'isa') it lies under; a branch
    lies under itself.
    """

    @cache
    def above(term):
        ups = parents[term]
        return frozenset().union(*({term} if not parents[up] else above(up) for up in ups))

    sys.setrecursionlimit(10_000)
    return {term: above(term) for term in terms}


def choose(terms, parents):
    """[(ontology, branch name, go_id, term, definition)]: PER_BRANCH terms of every branch that has
    that many.
    """
    members = defaultdict(list)
    for term, tops in branches(terms, parents).items():
        if len(tops) == 1 and term not in tops and len((terms[term][3] or "").split()) >= SHORTEST:
            members[next(iter(tops))].append(terms[term])
    chosen = []
    for top, mine in members.items():
        # the smallest hashes: a sample as good as a random one that no random generator can change
        sample = sorted(mine, key=lambda t: hashlib.sha256(t[0].encode()).digest())[:PER_BRANCH]
        if len(sample) == PER_BRANCH:
            chosen += [
                (ontology, terms[top][1], go_id, name, definition)
                for go_id, name, ontology, definition in sample
            ]
    return sorted(chosen)


def blob(lines):
    """Strings as UTF-8 bytes, one a line: an array that loads without pickle and packs well."""
    assert not any("\n" in x for x in lines)
    return np.frombuffer("\n".join(lines).encode("utf8"), np.uint8)


def main(path):
    if not Path(path).is_file():
        raise SystemExit(
            f"{path}: no such file; it should be the GO.sqlite of Bioconductor's GO.db"
        )
    db = sqlite3.connect(path)
    (date,) = db.execute("select value from metadata where name = 'GOSOURCEDATE'").fetchone()
    # 'GO:%' leaves out the made-up common root "all", which carries no definition
    terms = {
        i: (go_id, name, ontology, definition)
        for i, go_id, name, ontology, definition in db.execute(
            "select _id, go_id, term, ontology, definition from go_term where go_id like 'GO:%'"
        )
    }
    parents = defaultdict(list)
    for table in ("go_bp_parents", "go_mf_parents", "go_cc_parents"):
        for child, parent in db.execute(
            f"select _id, _parent_id from {table} where relationship_type = 'isa'"
        ):
            if parent in terms:
                parents[child].append(parent)
    ontology, branch, go_id, samples, text = zip(*choose(terms, parents))
    words = CountVectorizer(
        token_pattern="[a-z]{3,}", stop_words=list(ENGLISH_STOP_WORDS), min_df=5, max_df=0.5
    )
    counts = words.fit_transform(text)
    counts.sort_indices()
    assert counts.data.max() < 256 and counts.shape[1] < 65536 and np.diff(counts.indptr).min() > 0
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        OUT,
        data=counts.data.astype(np.uint8),
        indices=counts.indices.astype(np.uint16),
        indptr=counts.indptr.astype(np.int32),
        features=blob(words.get_feature_names_out()),
        samples=blob(samples),
        text=blob(text),
        branch=blob(branch),
        ontology=blob(ontology),
        go_id=blob(go_id),
        source=np.array(
            SOURCE.format(date=date, n=len(text), all=sum(bool(t[3]) for t in terms.values()))
        ),
        licence=np.array(LICENSE),
    )
    print(
        f"{OUT.name}: {counts.shape[0]} definitions x {counts.shape[1]} words, {counts.nnz} "
        f"counts, {len(set(branch))} branches, {OUT.stat().st_size} bytes, sha256 "
        f"{hashlib.sha256(OUT.read_bytes()).hexdigest()[:16]}"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
