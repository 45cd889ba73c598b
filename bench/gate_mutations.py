"""Show that each check of the safety gate is held by a test: take every check out in turn, and see a test fail.

    python bench/gate_mutations.py --json gate_mutations.json

A check is a condition under which the gate refuses, each part of one, and each statement that counts, disarms or ends
what is planned. A condition becomes false, so that nothing is refused there; parts and what is returned become true, so
that they demand nothing any more; a statement is left out. Beside gate and exposure that goes for what guards a pulse
elsewhere: the commitment, the deadline, commands and all else that the core is told.

The tests run uncompiled on a copy of the package, each time in a process of its own, which therefore cannot meet
compiled code from before (that compiled code follows an edit of the gate is a test of its own, in
``tests/test_jit.py``). It fails where a mutant survives.
"""

import argparse
import ast
import importlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN = (ROOT, ROOT / "bench")
"""Where the package and these benchmarks would be imported from."""
ALL = None
GUARDS: dict[str, tuple[str, ...] | None] = {
    "closedloop/core/gate.py": ALL,
    "closedloop/core/exposure.py": (
        "count_exposure",
        "move_exposure",
        "within_caps",
        "short_enough",
        "_follows",
        "_row",
        "_column",
    ),
    "closedloop/core/deadline.py": ("on_deadline", "_follow", "_end_trial", "_hold", "on_written"),
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
COPIED = ("closedloop", "tests")


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


def run_tests(mutant: Mutant | None) -> str | None:
    """Run the tests on a copy of the package, in this process, which is for nothing else; return the first that fails.

    What is not the package's own has been imported before this process was forked off.
    """
    with tempfile.TemporaryDirectory(prefix="closedloop-mutant-") as scratch:
        folder = Path(scratch)
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "pyproject.toml", folder)
        if mutant is not None:
            (folder / mutant.path).write_text(mutant.source, encoding="utf-8")
        os.chdir(folder)
        sys.path[:] = [str(folder), *(entry for entry in sys.path if Path(entry or ".").resolve() not in OWN)]
        first = First()
        command = ["-x", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", "-m", "not uncompiled"]
        # Nobody looks at why a test fails, which can take minutes to tell; a plugin that is there already does no harm.
        command += ["--assert=plain", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        slow = " and ".join(f"not {word}" for word in SLOW)
        with (folder / "output").open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = pytest.main([*command, "-k", slow, *TESTS], plugins=[first])
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or (status == 0) != (first.failed is None):
            raise RuntimeError(f"the tests did not run: {(folder / 'output').read_text()[-2000:]}")
        tested = Path(sys.modules["closedloop"].__file__ or "").resolve()
        assert tested.is_relative_to(folder.resolve()), f"the tests imported {tested}"
        return first.failed


class First:
    """Keeps the name of the first test that fails."""

    failed: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of a test's end."""
        if report.failed and self.failed is None:
            self.failed = report.nodeid.split("::")[-1]


def warm_up() -> None:
    """Import what the tests need and is not the package's own; compiled code is not wanted from here on."""
    os.environ.update(NUMBA_DISABLE_JIT="1", PYTEST_ADDOPTS="", CI="true")
    sys.dont_write_bytecode = True
    for name in ("hypothesis", "numba", "numpy.testing", "pydantic", "ruamel.yaml", "scipy.signal"):
        importlib.import_module(name)
    ours = [name for name in sys.modules if name.partition(".")[0] == "closedloop"]
    assert not ours, f"imported too early: {ours}"


def try_all(listed: list[Mutant]) -> list[str | None]:
    """Return for each mutant which test notices it, or None."""
    warm_up()
    killers: list[str | None] = []
    # A process for each mutant, forked from this one: nothing that one has imported is there for the next.
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        if (failed := pool.apply(run_tests, (None,))) is not None:
            raise SystemExit(f"{failed} fails with every check in its place")
        for mutant, killer in zip(listed, pool.imap(run_tests, listed, chunksize=1), strict=True):
            where = f"{mutant.path}:{mutant.line} {mutant.check} -> {mutant.becomes}"
            print(f"{where}: {killer or 'NOBODY'}", file=sys.stderr, flush=True)
            killers.append(killer)
    return killers


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
    from cohort import show  # imports the package, which the processes above had to do for themselves

    show("Checks of the safety gate", [{name: value or "NOBODY" for name, value in row.items()} for row in rows])
    survivors = [row for row in rows if row["killed by"] is None]
    print(f"{len(rows) - len(survivors)} of {len(rows)} checks are held by a test")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if survivors:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
