#!/usr/bin/env python
"""Change one operator or number at a time in nnls, losses and solvers, and see whether the tests
notice.

    python tools/mutation.py [NUMBER [SEED]]        # 60 mutants from seed 0 (a quarter of an hour
    on two cores)

The same seed draws the same mutants of the same source. Each is written into a copy of the
repository, never into this one, and the quick tests of its module run until the first fails; a run
that takes four times as long as with the unchanged source counts as noticed. Prints the score and
every survivor as a line of source before and after: it is either no change of behavior at all
(equivalent) or a test that is missing.
"""

import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parent.parent
TESTS = {
    "layer/_nnls": ["mutants", "memory", "nnls"],
    "chain/_costs": ["mutants", "losses", "memory"],
    "core/_linalg": ["mutants", "losses", "solvers"],
    "solvers/stationarity": ["mutants", "extrapolated", "solvers"],
    "solvers/coordinate_descent": ["mutants", "extrapolated", "solvers"],
    "solvers/extrapolation": ["mutants", "extrapolated", "solvers"],
    "solvers/initialization": ["mutants", "extrapolated", "solvers"],
}
JOBS = 2
PAIRS = [
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitAnd, ast.BitOr),
    (ast.And, ast.Or),
]
OTHER = {a: b for a, b in PAIRS} | {b: a for a, b in PAIRS}


def changed(node):
    """The node with one operator or number changed, or None where there is nothing to change."""
    new = copy.deepcopy(node)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER:
        new.ops[0] = OTHER[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OTHER:
        new.op = OTHER[type(node.op)]()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        new = new.operand
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        new.value = not node.value
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        new.value = node.value + 1 if type(node.value) is int or not node.value else node.value * 10
    else:
        return None
    return new


def places(tree):
    """Every node inside a function that can be changed: not in what a message says, in an
    annotation or behind `raise`.
    """

    def walk(node, inside):
        if isinstance(node, ast.JoinedStr | ast.Raise) or (
            isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
        ):
            return
        if inside and isinstance(node, ast.expr) and changed(node) is not None:
            yield node
        for name, field in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            for child in field if isinstance(field, list) else [field]:
                if isinstance(child, ast.AST):
                    yield from walk(child, inside or isinstance(node, ast.FunctionDef))

    return list(walk(tree, False))


def mutants(module):
    """All (module, line number, that line, source of the whole file with one change)."""
    text = (ROOT / "nnmf_nb" / f"{module}.py").read_text(encoding="utf-8")
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in places(ast.parse(text)):
        start, stop = (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )
        yield (
            module,
            node.lineno,
            text.splitlines()[node.lineno - 1],
            (
                text.encode()[:start]
                + f"({ast.unparse(changed(node))})".encode()
                + text.encode()[stop:]
            ).decode(),
        )


def copied(folder):
    """A copy of what the tests need (with what numba has compiled)."""
    for name in ("nnmf_nb", "tests"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("pyproject.toml", "settings.ini"):
        shutil.copy2(ROOT / name, folder)
    return folder


def noticed(folder, module, source, limit):
    """How the tests of a module answer to a source in its place ('' if they pass), and after how
    many seconds.
    """
    path = folder / "nnmf_nb" / f"{module}.py"
    genuine, start = path.read_text(encoding="utf-8"), time.perf_counter()
    for old in (path.parent / "__pycache__").glob(f"{Path(module).name}.*.pyc"):
        old.unlink()
    path.write_text(source, encoding="utf-8")
    settings = {
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *(f"tests/test_{name}.py" for name in TESTS[module]),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return "time", limit
    finally:
        path.write_text(genuine, encoding="utf-8")
    return done.stdout[-600:] if done.returncode else "", time.perf_counter() - start


def main(number, seed):
    everything = [mutant for module in TESTS for mutant in mutants(module)]
    drawn = random.Random(seed).sample(everything, min(number, len(everything)))
    print(f"{len(drawn)} of {len(everything)} mutants, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(JOBS) as pool:
        free, limit = Queue(), {}
        for n in range(JOBS):
            free.put(copied(Path(place, str(n))))

        def judge(module, line, before, source):
            folder = free.get()
            try:
                return noticed(folder, module, source, limit.get(module, 600))
            finally:
                free.put(folder)

        for module in TESTS:
            answer, seconds = judge(
                module, 0, "", (ROOT / "nnmf_nb" / f"{module}.py").read_text(encoding="utf-8")
            )
            if answer:
                sys.exit(f"The tests of {module} fail without any change:\n{answer}")
            limit[module] = 60 + 4 * seconds
        survivors = [
            mutant
            for mutant, (answer, _) in zip(drawn, pool.map(lambda mutant: judge(*mutant), drawn))
            if not answer
        ]
    noticed_share = 1 - len(survivors) / max(1, len(drawn))
    print(
        f"{len(drawn) - len(survivors)} of {len(drawn)} noticed ({noticed_share:.0%}); survivors:"
    )
    for module, line, before, source in survivors:
        after = source.splitlines()[line - 1].strip()
        print(f"  {module}.py:{line}\n    - {before.strip()}\n    + {after}")


if __name__ == "__main__":
    main(*(int(value) for value in (sys.argv[1:] + ["60", "0"][len(sys.argv) - 1 :])[:2]))
