"""The gate of `accuracy.py`: what a baseline keeps, and what is worse than it was."""

from typing import Any

from closedloop.accuracy.compare import KEY

MORE_SCATTER = 1.02
MORE_BIAS_DEG = 1.5
LESS_COVERED = 0.01
"""Circular SD may grow by this factor, bias move so far, coverage move so far away from 0.95; the same machine gives
the same figures."""
COVERED = 0.95


def baseline(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is kept: the rows of ours, without what depends on the machine's speed."""
    return [{k: v for k, v in row.items() if k != "us_per_sample"} for row in rows if row["tuning"] == "ours"]


def worse(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[str]:
    """Return a line for each row of ours that has become worse than it was, or has gone."""
    now = {tuple(row[name] for name in KEY): row for row in rows}
    lines = []
    for old in before:
        if old["tuning"] != "ours":
            continue
        key = tuple(old[name] for name in KEY)
        name, row = ", ".join(map(str, key)), now.get(key)
        if row is None or row["bias_deg"] is None:
            lines.append(f"{name}: is no longer measured")
            continue
        if not row["circular_sd_deg"] <= MORE_SCATTER * old["circular_sd_deg"]:
            lines.append(
                f"{name}: circular SD {row['circular_sd_deg']:.2f} deg, was {old['circular_sd_deg']:.2f} "
                f"(at most {MORE_SCATTER:g} times as much)"
            )
        moved = (row["bias_deg"] - old["bias_deg"] + 180.0) % 360.0 - 180.0
        if not abs(moved) <= MORE_BIAS_DEG:
            lines.append(
                f"{name}: bias {row['bias_deg']:+.2f} deg, was {old['bias_deg']:+.2f} (at most {MORE_BIAS_DEG:g} away)"
            )
        if old["coverage_95"] is not None:
            missed, before_missed = (abs((one["coverage_95"] or 0.0) - COVERED) for one in (row, old))
            if not missed <= before_missed + LESS_COVERED:
                lines.append(
                    f"{name}: coverage {row['coverage_95']}, was {old['coverage_95']:.3f} "
                    f"(at most {LESS_COVERED:g} further from {COVERED:g})"
                )
    return lines
