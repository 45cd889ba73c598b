"""Show that each check of the safety gate is held by a test: take every check out in turn, and see a test fail.

    python bench/gate_mutations.py --json gate_mutations.json

A check is a condition under which the gate refuses, and each part of one that is joined by ``and``. Whole conditions
become false, so that nothing is refused there; parts become true, so that they demand nothing any more. The tests run
uncompiled on a copy of the package, which therefore cannot meet compiled code from before (that compiled code follows
an edit of the gate is a test of its own, in ``tests/test_jit.py``). It fails where a mutant survives.
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
SOURCES = ("closedloop/core/gate.py", "closedloop/core/exposure.py")
TESTS = tuple(f"tests/core/test_{name}.py" for name in ("gate", "dose_limits", "command", "clock", "scheduling"))
COPIED = ("closedloop", "tests", "devices", "pipelines", "schema", "recordings")
TIMEOUT_S = 300.0


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
        The condition or the part of one.
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


def refuses(statement: ast.If) -> bool:
    """Return whether a condition leads to a refusal: something other than True is returned at once."""
    returned = [node.value for node in statement.body if isinstance(node, ast.Return)]
    return bool(returned) and not (isinstance(returned[0], ast.Constant) and returned[0].value is True)


def parts(condition: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    """Return what can be taken out of a condition, with what stands there instead."""
    yield condition, "False"
    inner = condition.operand if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not) else None
    if isinstance(inner, ast.BoolOp) and isinstance(inner.op, ast.And):
        for value in inner.values:
            yield value, "True"


def mutants(path: str) -> Iterator[Mutant]:
    """Return every mutant of a source."""
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    raw = text.encode()
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef):
            continue
        found: list[ast.expr] = []
        for node in ast.walk(function):
            if isinstance(node, ast.If) and refuses(node):
                found.append(node.test)
            if isinstance(node, ast.Return) and isinstance(node.value, ast.BoolOp):
                found.extend(node.value.values)
        for condition in found:
            changes = parts(condition) if _is_test(function, condition) else [(condition, "True")]
            for part, becomes in changes:
                assert part.end_lineno is not None
                assert part.end_col_offset is not None
                begin = starts[part.lineno - 1] + part.col_offset
                end = starts[part.end_lineno - 1] + part.end_col_offset
                source = (raw[:begin] + becomes.encode() + raw[end:]).decode()
                yield Mutant(
                    path, part.lineno, function.name, " ".join(raw[begin:end].decode().split()), becomes, source
                )


def _is_test(function: ast.FunctionDef, condition: ast.expr) -> bool:
    return any(isinstance(node, ast.If) and node.test is condition for node in ast.walk(function))


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
        "PYTEST_ADDOPTS": "",
        "CI": "true",
    }
    done = subprocess.run(
        [*command, *TESTS], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"the tests did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[0].split(" - ")[0].removeprefix("FAILED ").split("::")[-1]


def main() -> None:
    """Take each check out in turn and print which test notices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    listed = [mutant for path in SOURCES for mutant in mutants(path)]
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
                return run_tests(folder)
            finally:
                shutil.copy(ROOT / mutant.path, folder / mutant.path)
                copies.put(folder)

        with ThreadPoolExecutor(workers) as pool:
            killers = list(pool.map(killed_by, listed))
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
