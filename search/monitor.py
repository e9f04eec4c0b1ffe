"""What a person sees while a search runs: one line per trial, and on a terminal a bar that says how long yet."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from results import Record, hypervolume
from results.record import one_line
from results.study import front_of, objective_values

__all__ = ["Monitor"]

_FOLLOWS = {"retry": "is run again", "stop": "stops the search", "leave": "is continued on resume"}
_STYLES = {"complete": "green", "infeasible": "yellow", "failed": "red", "stopped": "cyan"}


class Monitor:
    """Tells the progress of one search.

    Args:
        console: where to.
        trials: committed trials asked for.
        objectives: metric -> "maximize" or "minimize".
    """

    def __init__(self, console: Console, trials: int, objectives: Mapping[str, str]) -> None:
        self._console = console
        self._objectives = dict(objectives)
        self._trials = trials
        self._committed = self._committed_before = 0
        self._front: list[Record] = []
        self._reference: list[float] | None = None
        self._standing = "no front yet"
        self._running: dict[int, tuple[float, str]] = {}
        self._since = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("dense baseline", total=trials, note="")

    def __enter__(self) -> "Monitor":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, baseline: Record, records: Sequence[Record]) -> None:
        """The baseline is there, and these trials were committed before."""
        self._running.pop(baseline.number, None)
        self._say(f"baseline  {self._figures(baseline)}  {_seconds(baseline)}", "bold")
        self._committed = self._committed_before = len(records)
        self._since = time.monotonic()
        self._front = front_of(records, self._objectives)
        self._reference = [
            0.0 if direction == "maximize" else baseline.metrics[name]
            for name, direction in self._objectives.items()
        ]
        self._take_stock()
        if records:
            self._say(f"{len(records)} trials are committed already", "dim")
        self._refresh()

    def started(self, number: int, params: Mapping[str, Any]) -> None:
        """A trial was handed to a worker."""
        self._running[number] = (time.monotonic(), "")
        self._refresh()

    def heard(self, number: int, said: str) -> None:
        """A running trial said something."""
        if number in self._running:
            self._running[number] = (self._running[number][0], said)
            self._refresh()

    def troubled(self, number: int, error: Mapping[str, str], action: str, log: str | None = None) -> None:
        """An attempt failed; `action` is what follows, `log` where the study keeps what it printed."""
        self._running.pop(number, None)
        if action in _FOLLOWS:
            where = f", log {log}" if log else ""
            self._say(
                f"{_name(number)}  {error['kind']}: {error['message']}  ({_FOLLOWS[action]}{where})", "yellow"
            )

    def committed(self, record: Record) -> None:
        """A trial is durable."""
        self._running.pop(record.number, None)
        self._committed += 1
        self._front = front_of([*self._front, record], self._objectives)
        self._take_stock()
        trust = "" if record.latency_trusted or record.status != "complete" else " (latency untrusted)"
        reason = f"  {record.error['kind']}: {record.error['message']}" if record.error else ""
        if record.error and "log" in record.worker:
            reason += f"  log {record.worker['log']}"
        broken = "".join(f"  breaks {text}" for text in record.violations)
        self._say(
            f"{_name(record.number)}  {self._figures(record)}  {record.status}{trust}  {_seconds(record)}  "
            f"{_params(record.params)}{broken}{reason}",
            _STYLES[record.status],
        )
        self._refresh()

    def note(self, line: str) -> None:
        """Say one line about the search as a whole."""
        self._say(line, "bold yellow")

    def summary(self) -> None:
        """Say where the search stands."""
        self._say(f"{self._committed} of {self._trials} trials committed, {self._standing}", "bold")

    def _refresh(self) -> None:
        if self._reference is None:
            said = next((said for _, said in self._running.values()), "")
            self._bar.update(self._task, description=f"dense baseline  {said}")
            return
        running = ", ".join(f"{n} ({said})" if said else str(n) for n, (_, said) in self._running.items())
        self._bar.update(
            self._task,
            completed=self._committed,
            description=f"running {running}" if running else "",
            note=f"{self._eta()}  {self._standing}",
        )

    def _eta(self) -> str:
        done = self._committed - self._committed_before
        if not done:
            return "ETA unknown"
        left_s = (time.monotonic() - self._since) / done * max(0, self._trials - self._committed)
        minutes, seconds = divmod(round(left_s), 60)
        return f"ETA {minutes // 60}:{minutes % 60:02d}:{seconds:02d}"

    def _take_stock(self) -> None:
        """Say where the search stands; with many trials the volume takes too long for every sign of life."""
        if self._reference is None:
            return
        values = objective_values(self._front, self._objectives)
        volume = hypervolume(values, list(self._objectives.values()), self._reference)
        self._standing = f"front {len(self._front)}, hypervolume {volume:.4g}"

    def _figures(self, record: Record) -> str:
        return "  ".join(
            f"{name} {record.metrics[name]:.4g}" if name in record.metrics else f"{name} -"
            for name in self._objectives
        )

    def _say(self, line: str, style: str) -> None:
        self._console.print(one_line(line), style=style, markup=False, highlight=False, soft_wrap=True)


def _name(number: int) -> str:
    return "baseline" if number < 0 else f"#{number}"


def _seconds(record: Record) -> str:
    stages = sum(stage["seconds"] for stage in record.stages)
    return f"{stages:.1f} s"


def _params(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in params.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
