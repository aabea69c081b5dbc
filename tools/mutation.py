#!/usr/bin/env python
"""Change one operator or number at a time in nnls, losses and solvers, and see whether the tests
notice.

    python tools/mutation.py [NUMBER [SEED]]   # 60 mutants from seed 0 (one to two hours)

The same seed draws the same mutants of the same source. First the tests of `make test` (without
browser and notebooks) run once under coverage, which tells the tests that reach each line. Then
each mutant is written into a copy of the repository, never into this one, and the tests that reach
its lines run, the quickest first, until one fails; a run that takes four times as long as with the
unchanged source counts as noticed. Prints the score and every survivor as a line of source before
and after: it is either no change of behavior at all (equivalent) or a test that is missing.
"""

import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from coverage import CoverageData
from gates import one_thread_each

ROOT = Path(__file__).resolve().parent.parent
MODULES = (
    "layer/_nnls",
    "chain/_costs",
    "core/_linalg",
    "solvers/stationarity",
    "solvers/coordinate_descent",
    "solvers/extrapolation",
    "solvers/initialization",
)
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
    """Every node inside a function that can be changed, with the statement that tests must reach
    to notice it: the node itself, for a default value the body of the function. Not in what a
    message says, in an annotation or behind `raise`.
    """

    def walk(node, inside, body):
        if isinstance(node, ast.JoinedStr | ast.Raise) or (
            isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
        ):
            return
        if inside and isinstance(node, ast.expr) and changed(node) is not None:
            yield node, body or [node]
        if isinstance(node, ast.arguments):
            body = inside.body
        for name, field in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            for child in field if isinstance(field, list) else [field]:
                if isinstance(child, ast.AST):
                    function = node if isinstance(node, ast.FunctionDef) else inside
                    yield from walk(child, function, body)

    return list(walk(tree, None, None))


def mutants(module):
    """All (module, number of the changed line, lines that tests must reach, the changed line as
    text, source of the whole file with one change).
    """
    text = (ROOT / "nnmf_nb" / f"{module}.py").read_text(encoding="utf-8")
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, reached in places(ast.parse(text)):
        start, stop = (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )
        yield (
            module,
            node.lineno,
            range(reached[0].lineno, reached[-1].end_lineno + 1),
            text.splitlines()[node.lineno - 1],
            (
                text.encode()[:start]
                + f"({ast.unparse(changed(node))})".encode()
                + text.encode()[stop:]
            ).decode(),
        )


def copied(folder):
    """A copy of what the tests need (with what numba has compiled)."""
    for name in ("nnmf_nb", "nbs", "tests", "tools", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy2(path, folder)
    return folder


def pytest(folder, *arguments, limit=None):
    """A finished run of pytest in a copy of the repository."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=one_thread_each(os.environ)
        | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=limit,
    )


def tests_by_line(folder):
    """({module: {line: the tests that reach it}}, {test: seconds}) of `make test` without browser
    and notebooks. Tests that fail without any change (some need a git repository or a terminal's
    Ctrl-C) are named and left out.
    """
    done = pytest(
        folder,
        *("-n", str(JOBS), "-m", "not browser and not notebook", "--durations=0", "-rfE"),
        *("--cov=nnmf_nb", "--cov-context=test", "--cov-report="),
    )
    if done.returncode not in (0, 1):
        sys.exit(f"pytest did not run:\n{done.stdout[-2000:]}{done.stderr}")
    failed = set(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))
    print("left out, they fail without any change:", *sorted(failed), sep="\n  ", flush=True)
    data = CoverageData(str(folder / ".coverage"))
    data.read()
    tests = {}
    for module in MODULES:
        contexts = data.contexts_by_lineno(str(folder / "nnmf_nb" / f"{module}.py"))
        tests[module] = {
            line: {name.removesuffix("|run") for name in names if name.endswith("|run")} - failed
            for line, names in contexts.items()
        }
    durations = re.findall(r"^([\d.]+)s call +(.+)$", done.stdout, re.MULTILINE)
    return tests, {test: float(seconds) for seconds, test in durations}


def noticed(folder, module, source, tests, limit):
    """'noticed' or 'noticed, it takes too long' where a test fails or takes too long with a source
    in the module's place, else ''.
    """
    path = folder / "nnmf_nb" / f"{module}.py"
    genuine = path.read_text(encoding="utf-8")
    for old in (path.parent / "__pycache__").glob(f"{Path(module).name}.*.pyc"):
        old.unlink()
    chosen = folder / "chosen-tests.txt"
    chosen.write_text("\n".join(tests), encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    try:
        # each chosen test is run: without --exhaustive, tests/conftest.py would choose among them
        done = pytest(folder, "-x", "--exhaustive", f"@{chosen}", limit=limit)
    except subprocess.TimeoutExpired:
        return "noticed, it takes too long"
    finally:
        path.write_text(genuine, encoding="utf-8")
    # 2 and 4: a test file could not be imported, because what it imports computes at import
    if done.returncode not in (0, 1, 2, 4):
        sys.exit(f"pytest did not run the tests of {module}:\n{done.stdout[-2000:]}{done.stderr}")
    return "noticed" if done.returncode else ""


def main(number, seed):
    everything = [mutant for module in MODULES for mutant in mutants(module)]
    drawn = random.Random(seed).sample(everything, min(number, len(everything)))
    print(f"{len(drawn)} of {len(everything)} mutants, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(JOBS) as pool:
        free = Queue()
        for n in range(JOBS):
            free.put(copied(Path(place, str(n))))
        first = free.get()
        start = time.perf_counter()
        tests, seconds = tests_by_line(first)
        free.put(first)
        print(f"tests of each line known after {time.perf_counter() - start:.0f} s", flush=True)

        def judge(module, number, lines, before, source):
            """'' where a test notices the mutant, else a line about it."""
            reached = set().union(*(tests[module].get(line, ()) for line in lines))
            quickest = sorted(reached, key=lambda test: (seconds.get(test, 0), test))
            limit = 60 + 4 * sum(seconds.get(test, 0) for test in quickest)
            folder = free.get()
            try:
                found = noticed(folder, module, source, quickest, limit) if quickest else ""
            finally:
                free.put(folder)
            after = source.splitlines()[number - 1].strip()
            head = f"{module}.py:{number}: "
            if found:
                print(head + found, flush=True)
                return ""
            report = f"  {head}{len(quickest)} tests pass\n    - {before.strip()}\n    + {after}"
            print(report, flush=True)
            return report

        survivors = list(filter(None, pool.map(lambda mutant: judge(*mutant), drawn)))
    share = 1 - len(survivors) / max(1, len(drawn))
    print(f"{len(drawn) - len(survivors)} of {len(drawn)} noticed ({share:.0%}); survivors:")
    print(*survivors, sep="\n")


if __name__ == "__main__":
    main(*(int(value) for value in (sys.argv[1:] + ["60", "0"][len(sys.argv) - 1 :])[:2]))
