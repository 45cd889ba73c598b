"""What all benchmarks run on: six recordings, two montages, one protocol, and how tables are printed."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from closedloop.config.device import Stimulator
from closedloop.config.load import load_device_of, load_pipeline
from closedloop.config.pipeline import Pipeline
from closedloop.config.source import Playback
from closedloop.sources.library import FOLDER_VARIABLE, open_recording
from closedloop.sources.recording import Recording

RECORDINGS = tuple(f"Subject{number}_1.edf" for number in ("08", "11", "16", "17", "25", "30"))
MONTAGES: dict[str, dict[str, Any]] = {
    "O1": {"type": "single", "channel": "O1"},
    "F3-Hjorth": {"type": "hjorth", "center": "F3", "neighbours": ("Fp1", "F7", "C3", "Fz")},
}
REST_S = 60.0
DELAY_S = 0.01
"""Electrode to time stamp; the simulated stimulator's latency of as much makes 20 ms in all."""


def pipeline_for(spatial: dict[str, Any]) -> tuple[Pipeline, Stimulator]:
    """Return the pipeline of the benchmarks: four target phases in turn, 10 chances a minute, 2 s apart."""
    loaded = load_pipeline("alpha_trough_o1")
    content = loaded.value.model_dump()
    content["source"] = Playback(type="playback", recording=RECORDINGS[0], delay_s=DELAY_S).model_dump()
    content["signals"]["alpha"]["spatial"] = spatial
    content["target"]["conditions"] = [
        {"name": name, "phase_deg": phase_deg}
        for name, phase_deg in (("peak", 0.0), ("falling", 90.0), ("trough", 180.0), ("rising", -90.0))
    ]
    content["target"]["withhold"] = 0.0
    content["protocol"].update(jitter_s=0.0, min_interval_s=2.0)
    return Pipeline.model_validate(content), load_device_of(loaded).value


def open_cut(name: str) -> tuple[Recording, Recording, Recording]:
    """Return a recording, its first minute, and the rest of it."""
    recording = open_recording(name)
    return recording, recording.between(0.0, REST_S), recording.between(REST_S, recording.duration_s)


def surrogate_seeds(name: str, montage: str, n: int) -> range:
    """Return seeds that no other recording or montage uses."""
    first = 1000 * (len(RECORDINGS) * list(MONTAGES).index(montage) + RECORDINGS.index(name))
    return range(first, first + n)


def use_recordings(folder: Path | None) -> None:
    """Look recordings up in a folder."""
    if folder is not None:
        os.environ[FOLDER_VARIABLE] = str(folder)


def in_parallel(function: Any, jobs: Sequence[tuple[Any, ...]], *, doing: str) -> Iterator[Any]:
    """Run jobs in as many processes as there are cores, in order, with a progress bar."""
    # One thread for linear algebra in each process: two would wait for each other on every core.
    with ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:
        futures = [pool.submit(function, *job) for job in jobs]
        for future in track(futures, description=doing, console=Console(stderr=True), transient=True):
            yield future.result()


def machine() -> str:
    """Return what the figures were measured on, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def show(title: str, rows: Iterable[dict[str, Any]]) -> None:
    """Print rows as a table."""
    rows = list(rows)
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    Console(width=230).print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100.0 else f"{value:.0f}"
    if isinstance(value, list | tuple):
        return " to ".join(_text(part) for part in value)
    return "–" if value is None else str(value)


def write(path: Path | None, **content: Any) -> None:
    """Write a JSON file with the machine beside the figures."""
    if path is not None:
        path.write_text(json.dumps({"machine": machine(), **content}, indent=2, ensure_ascii=False) + "\n")
