"""`make demo`: two levels of topics in two centuries of State of the Union addresses, with an
account of the error at every depth and a page to look inside.
"""

import io
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from nnmf_nb import NeuralNMF, datasets, inspect
from nnmf_nb.chain._layers import captured
from nnmf_nb.persistence._files import write_atomically
from nnmf_nb.plot import plot_tree

PICTURE, PAGE = Path("demo.png"), Path("demo.html")


def main():
    speeches = datasets.state_of_the_union()
    n, words = speeches.X.shape
    print(
        f"{n:,} paragraphs of State of the Union addresses, {speeches.labels['year'].min()} to "
        f"{speeches.labels['year'].max()}, {words:,} words."
    )
    print(
        "Neural NMF: 20 topics, trained together with 6 themes by exact backpropagation through "
        "nonnegative least squares.\n"
    )
    start = time.perf_counter()
    model = NeuralNMF(ranks=(20, 6), random_state=0, verbose=1).fit(speeches.X)
    print(model.tree(speeches.features, top=7))
    print(f"\n{model.summary()}\n({time.perf_counter() - start:.1f} s)\n")
    for depth, layer in enumerate(model.layers_):
        print(
            f"Depth {depth}: no {layer.rank} topics of any kind can have an error below "
            f"{layer.floor:.3f}; these have {layer.error:.3f}, which is {captured(layer):.0%} of "
            "what can be explained."
        )
    picture = io.BytesIO()
    plot_tree(model, features=speeches.features, top=4).figure.savefig(
        picture, dpi=130, bbox_inches="tight"
    )
    write_atomically(PICTURE, picture.getvalue())
    inspect(
        model,
        X=speeches.X,
        features=speeches.features,
        samples=list(zip(speeches.samples, speeches.text)),
    ).to_html(PAGE)
    print(
        f"\nThe picture is in {PICTURE}. To look inside, open this page in a browser (it needs no "
        "network, and can be sent to anyone):\n"
        f"{PAGE.resolve()}"
    )
    print(
        "Next: make lab (tutorials, in your browser), make test (check this machine), README.md "
        "(your own data in a few lines)"
    )


if __name__ == "__main__":
    main()
