"""Show that each check of the safety gate is held by a test: take every check out in turn, and see a test fail.

    python bench/gate_mutations.py --json gate_mutations.json

A check is a condition under which the gate refuses, each part of one, and each statement that counts, disarms or ends
what is planned. A condition becomes false, so that nothing is refused there; parts and what is returned become true, so
that they demand nothing any more; a statement is left out. Beside gate and exposure that goes for what guards a pulse
elsewhere: the commitment, the deadline, commands and all else that the core is told.

The tests run uncompiled on a copy of the package, which therefore cannot meet compiled code from before (that compiled
code follows an edit of the gate is a test of its own, in ``tests/test_jit.py``). It fails where a mutant survives.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from cohort import show

ROOT = Path(__file__).parents[1]
ALL = None
GUARDS: dict[str, tuple[str, ...] | None] = {
    "closedloop/core/gate.py": ALL,
    "closedloop/core/exposure.py": ("count_exposure", "within_caps", "short_enough", "_follows", "_row", "_column"),
    "closedloop/core/deadline.py": ("on_deadline", "_end_trial", "_hold", "on_written"),
    "closedloop/core/command.py": ALL,
    "closedloop/core/plan.py": ("commit", "refuse"),
    "closedloop/core/clock.py": ("is_fresh", "freshness"),
    "closedloop/core/quality.py": ("verdict",),
}
"""The functions that guard a pulse, by source."""
TESTS = tuple(
    f"tests/core/test_{name}.py"
    for name in ("gate", "dose_limits", "command", "commitment", "scheduling", "witness", "clock")
)
SLOW = ("running_limit", "as_fast_as_the_limit", "half_a_percent", "jitter", "settles_from_one_side", "ever_holds")
"""Words in the names of tests that take seconds uncompiled, and are of other things."""
COPIED = ("closedloop", "tests", "devices", "limits", "pipelines", "schema", "recordings", "bench")
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Mutant:
    """One check that is taken out.

    Attributes
    ----------
    path
        The source, from the checkout.
    line
        Where the check stands.
    function
        In which function.
    check
        The condition, the part of one, or the statement.
    becomes
        What stands there instead.
    source
        The whole text with it.
    """

    path: str
    line: int
    function: str
    check: str
    becomes: str
    source: str


def parts(condition: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    """Return what can be taken out of a condition, with what stands there instead."""
    yield condition, "False"
    inner = condition.operand if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not) else condition
    if isinstance(inner, ast.BoolOp):
        # Within `not (a and b)` a part that is true demands nothing; within `a or b` one that is false refuses nothing.
        demands_nothing = "True" if inner is not condition and isinstance(inner.op, ast.And) else "False"
        if demands_nothing == "True" or isinstance(inner.op, ast.Or):
            yield from ((value, demands_nothing) for value in inner.values)


def grants(node: ast.If) -> bool:
    """Return whether a condition lets something happen, instead of refusing it."""
    return not any(isinstance(statement, ast.Return) for statement in node.body)


def changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Return what can be taken out of one statement."""
    if isinstance(node, ast.If):
        yield from parts(node.test)
        if grants(node) and isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            yield from ((value, "True") for value in node.test.values)
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.BoolOp):
        yield from ((value, "True") for value in node.value.values)
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Compare | ast.UnaryOp):
        if not isinstance(getattr(node.value, "operand", None), ast.Constant):
            yield node.value, "True"
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
        yield node.value, "Reason.NONE"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "pass"
    elif isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if all(isinstance(target, ast.Subscript) for target in targets):
            yield node, "pass"


def mutants(path: str, functions: tuple[str, ...] | None) -> Iterator[Mutant]:
    """Return every mutant of a source."""
    raw = (ROOT / path).read_bytes()
    starts = [0]
    for line in raw.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for function in ast.parse(raw).body:
        if not isinstance(function, ast.FunctionDef) or (functions is not None and function.name not in functions):
            continue
        for node in ast.walk(function):
            for part, becomes in changes(node):
                assert part.end_lineno is not None
                assert part.end_col_offset is not None
                begin = starts[part.lineno - 1] + part.col_offset
                end = starts[part.end_lineno - 1] + part.end_col_offset
                source = (raw[:begin] + becomes.encode() + raw[end:]).decode()
                check = " ".join(raw[begin:end].decode().split())
                yield Mutant(path, part.lineno, function.name, check, becomes, source)


def copy_checkout(folder: Path) -> Path:
    """Copy what the tests need."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run_tests(folder: Path) -> str | None:
    """Run the tests in a copy; return the first that fails, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider"]
    environment = {
        **os.environ,
        "NUMBA_DISABLE_JIT": "1",
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # a source that changes twice within a second would meet its old bytecode
        "PYTEST_ADDOPTS": "",
        "CI": "true",
    }
    try:
        done = subprocess.run(
            [*command, "-m", "not uncompiled", "-k", " and ".join(f"not {word}" for word in SLOW), *TESTS],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "the tests did not end"
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"the tests did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[0].split(" - ")[0].removeprefix("FAILED ").split("::")[-1]


def try_all(listed: list[Mutant]) -> list[str | None]:
    """Return for each mutant which test notices it, or None."""
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="closedloop-mutants-") as scratch:
        copies: Queue[Path] = Queue()
        for number in range(workers):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            copies.put(copy_checkout(folder))
        folder = copies.get()
        if (failed := run_tests(folder)) is not None:
            raise SystemExit(f"{failed} fails with every check in its place")
        copies.put(folder)

        def killed_by(mutant: Mutant) -> str | None:
            folder = copies.get()
            try:
                (folder / mutant.path).write_text(mutant.source, encoding="utf-8")
                killer = run_tests(folder)
            finally:
                shutil.copy(ROOT / mutant.path, folder / mutant.path)
                copies.put(folder)
            where = f"{mutant.path}:{mutant.line} {mutant.check} -> {mutant.becomes}"
            print(f"{where}: {killer or 'NOBODY'}", file=sys.stderr, flush=True)
            return killer

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(killed_by, listed))


def main() -> None:
    """Take each check out in turn and print which test notices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the list to this file")
    parser.add_argument("--only", default="", help="only where this stands in source:line function")
    options = parser.parse_args()
    listed = [mutant for path, functions in GUARDS.items() for mutant in mutants(path, functions)]
    listed = [mutant for mutant in listed if options.only in f"{mutant.path}:{mutant.line} {mutant.function}"]
    killers = try_all(listed)
    rows = [
        {
            "where": f"{m.path}:{m.line}",
            "function": m.function,
            "check": m.check,
            "becomes": m.becomes,
            "killed by": killer,
        }
        for m, killer in zip(listed, killers, strict=True)
    ]
    show("Checks of the safety gate", [{name: value or "NOBODY" for name, value in row.items()} for row in rows])
    survivors = [row for row in rows if row["killed by"] is None]
    print(f"{len(rows) - len(survivors)} of {len(rows)} checks are held by a test")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if survivors:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
