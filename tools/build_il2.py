"""Rebuild nnmf_nb/embedded/il2.npz from the response tensor in TensorLy's wheel.

    pip install --target folder --no-deps tensorly==0.10.0
    python tools/build_il2.py folder/tensorly/datasets/data/IL2_Response_Tensor.npy

The same NumPy and zlib give the same bytes on every run.
"""

import sys
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parents[1] / "nnmf_nb" / "embedded" / "il2.npz"
LIGANDS = (
    "IL2 (Mono);IL15 (Mono);WT N-term (Biv);H16N N-term (Biv);R38Q N-term (Biv);R38Q/H16N (Biv);"
    "WT N-term (Mono);H16N N-term (Mono);WT C-term (Mono);V91K C-term (Mono);R38Q N-term (Mono);"
    "F42Q N-Term (Mono);N88D C-term (Mono)"
).split(";")
CELLS = (
    "Treg IL2Ra_hi;Treg;Treg IL2Ra_lo;Thelper IL2Ra_hi;Thelper;Thelper IL2Ra_lo;CD8+;NK"
).split(";")
HOURS = np.array([0.5, 1.0, 2.0, 4.0])
DOSES = np.geomspace(0.000474, 84.0, 12)  # nM
SOURCE = (
    "B. Orcutt-Jahns, P. C. Emmel, E. M. Snyder, C. S. Posner, S. M. Carlson, A. S. Meyer, "
    "Multivalency enhances the specificity of Fc-cytokine fusions, bioRxiv 2021, by way of "
    "TensorLy 0.10.0. Changes: times and doses are in ascending order; the numbers are unaltered"
)
LICENSE = """Copyright 2021 The Regents of the University of California

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def main(path):
    if not Path(path).is_file():
        raise SystemExit(f"{path} is no file: see the top of this script.")
    X = np.load(path)  # ligands x hours x doses x cells, hours and doses descending
    if X.shape != (13, 4, 12, 8):
        raise SystemExit(f"{path} holds an array of shape {X.shape}, not (13, 4, 12, 8).")
    np.savez_compressed(
        OUT,
        X=X[:, ::-1, ::-1],
        ligands=np.array(LIGANDS),
        hours=HOURS,
        doses=DOSES,
        cells=np.array(CELLS),
        source=np.array(SOURCE),
        licence=np.array(LICENSE),
    )
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
