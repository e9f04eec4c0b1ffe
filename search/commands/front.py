"""`reid-pareto front`: the trials that no other beats."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from reid.errors import ConfigError
from results.package import figures_on_test
from results.record import Record, one_line
from results.study import Study, open_study
from results.table import csv_text
from search.console import errors, print_json, print_table
from search.console import out as console
from search.figures import figure_text, protocol_text, test_protocol_text
from search.timings import timing_metric, with_timings

__all__ = ["describe_front", "front"]

_ALSO_SHOWN = ("latency_ratio", "size_bytes")
_TEST = "test "


def front(
    study: Annotated[str, typer.Argument(help="Folder or URI of the study.")],
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print as CSV, safe to open in a spreadsheet.")] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Leave damaged records out and name them on standard error.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="Name of a machine, from add-timings --name: also show the latencies taken there.",
        ),
    ] = None,
) -> None:
    """List the trials that no other beats in all objectives at once.

    Example: reid-pareto front runs/market --csv > front.csv
    """
    if json and csv:
        raise ConfigError("--json and --csv exclude each other; give one")
    opened = open_study(study, salvage=salvage)
    records = opened.front()
    for problem in opened.damaged() if salvage else ():
        errors.print(f"left out: {one_line(problem)}", style="yellow", markup=False)
    if target is not None:
        records = with_timings(opened, records, target)
    if json:
        print_json(describe_front(opened, records))
    elif csv:
        print(_csv(records, opened), end="")
    elif records:
        print_table(
            _table(records, opened, also=(*_ALSO_SHOWN, *([timing_metric(target)] if target else [])))
        )
        for line in _protocols(records, opened):
            console.print(line, markup=False)
    else:
        console.print(
            "the front is empty: no complete, feasible trial with a trusted latency yet", markup=False
        )


def describe_front(study: Study, records: Sequence[Record]) -> dict[str, Any]:
    """What `front --json` prints, as plain values."""
    baseline = study.baseline
    return {
        "study": study.place,
        "objectives": study.objectives,
        "baseline": baseline.metrics if baseline else None,
        "front": [
            {
                "number": record.number,
                "metrics": record.metrics,
                "params": record.params,
                "artifact": record.artifact,
                "protocol": record.protocol,
                "test": study.test_record(record.number),
            }
            for record in records
        ],
    }


def _csv(records: Sequence[Record], study: Study) -> str:
    tests = _tests(records, study)
    metrics = _ordered((record.metrics for record in records), first=list(study.objectives))
    tested = _ordered(tests.values())
    params = _ordered(record.params for record in records)
    rows = [
        [
            record.number,
            *(record.metrics.get(name) for name in metrics),
            *(tests[record.number].get(name) for name in tested),
            *(record.params.get(name) for name in params),
        ]
        for record in records
    ]
    # "params" is a metric, too (their count): the prefix tells the two apart.
    further = [*(f"test.{name}" for name in tested), *(f"params.{name}" for name in params)]
    return csv_text(["number", *metrics, *further], rows)


def _table(records: Sequence[Record], study: Study, also: Sequence[str]) -> Table:
    baseline = study.baseline
    shown = [*records, *([baseline] if baseline else [])]
    measured = _ordered((record.metrics for record in shown), first=list(study.objectives))
    metrics = [name for name in measured if name in study.objectives or name in also]
    tests = _tests(shown, study)
    figures = {r.number: r.metrics | {f"{_TEST}{n}": v for n, v in tests[r.number].items()} for r in shown}
    known = _ordered(figures.values())
    columns = [n for metric in metrics for n in (metric, f"{_TEST}{metric}") if n == metric or n in known]
    params = _ordered(record.params for record in records)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("trial", *columns, *params):
        # One word a line: names are wider than figures.
        table.add_column(Text(one_line(name).replace("_", "\n").replace(" ", "\n")), justify="right")
    for record in shown:
        cells = ["baseline" if record is baseline else str(record.number)]
        own = figures[record.number]
        cells += [figure_text(n.removeprefix(_TEST), own[n]) if n in own else "" for n in columns]
        cells += ["" if name not in record.params else _value(record.params[name]) for name in params]
        table.add_row(*(Text(cell) for cell in cells), style="dim" if record is baseline else "")
    return table


def _tests(records: Sequence[Record], study: Study) -> dict[int, dict[str, float]]:
    """Number of each record -> its figures on the test split, empty where it was not evaluated there."""
    return {record.number: figures_on_test(study.test_record(record.number)) for record in records}


def _protocols(records: Sequence[Record], study: Study) -> list[str]:
    """How the accuracies of the table were measured, those of the test split in a line of their own."""
    baseline = study.baseline
    shown = [*records, *([baseline] if baseline else [])]
    of_tests = test_protocol_text(study.test_record(record.number) for record in shown)
    lines = {"accuracy": protocol_text(shown), "test split": of_tests}
    return [f"{name}: {text}" for name, text in lines.items() if text]


def _ordered(mappings: Any, first: Sequence[str] = ()) -> list[str]:
    """Every key that occurs, each once, those of `first` before the others."""
    return list(dict.fromkeys([*first, *(name for mapping in mappings for name in mapping)]))


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return one_line("x".join(map(str, value)) if isinstance(value, list) else str(value))
