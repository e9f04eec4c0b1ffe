"""`reid-pareto pick`: one trial of a study becomes a folder that runs on the target."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from reid.errors import ConfigError
from results.reason import compare
from results.record import Record
from results.settle import Standing
from results.study import Study, open_study
from search.console import out as console
from search.console import print_json, progress_line
from search.figures import figure_text, protocol_text, test_protocol_text
from search.picking import Picked, Wishes, describe, pick_package
from search.recheck import Rechecked

__all__ = ["parse_limits", "pick"]

_SHOWN = ("rank1", "latency_ratio", "size_bytes")
_TESTED = ("mAP", "rank1", "rank5")


def pick(
    study: Annotated[str, typer.Argument(help="Folder or URI of the study.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make; it must not exist.")],
    maximum: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="METRIC=VALUE", help="Largest value, e.g. latency_ms=5; repeatable."),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="METRIC=VALUE", help="Smallest value, e.g. mAP=0.7; repeatable."),
    ] = None,
    max_drop: Annotated[
        list[str] | None,
        typer.Option("--max-drop", metavar="METRIC=VALUE", help="Largest loss against the baseline."),
    ] = None,
    trial: Annotated[int | None, typer.Option(help="Number of the trial, instead of limits.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The study's dataset, if it is not where the study was run.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Time the candidates again and evaluate them.")
    ] = True,
    zipped: Annotated[bool, typer.Option("--zip", help="Also write OUT.zip.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the choice as JSON.")] = False,
) -> None:
    """Choose a trial and package it: within a latency the most accurate, within an accuracy the fastest.

    Without a limit the knee of the front is taken. The choice and its runners-up are timed again in turns and compared
    query by query on the validation identities; of those that cannot be told apart the smallest wins. The test split
    is evaluated for all of them afterwards and decides nothing.

    Example: reid-pareto pick runs/market --max latency_ms=5 --max-drop mAP=0.02 --out packages/door-camera
    """
    opened = open_study(study)
    wishes = Wishes(
        maximum=parse_limits(maximum or (), "--max"),
        minimum=parse_limits(minimum or (), "--min"),
        max_drop=parse_limits(max_drop or (), "--max-drop"),
        trial=trial,
    )
    picked = pick_package(opened, wishes, out, data=data, check=check, zipped=zipped, say=progress_line)
    if json:
        print_json(describe(picked))
        return
    for line in _lines(picked, opened):
        console.print(line, markup=False)


def parse_limits(texts: Sequence[str], option: str) -> dict[str, float]:
    """Metric -> value out of `metric=value` texts.

    Raises:
        ConfigError: a text is not of that form, its value is no number, or a metric stands twice.
    """
    limits: dict[str, float] = {}
    for text in texts:
        metric, _, value = (part.strip() for part in text.partition("="))
        try:
            number = float(value)
        except ValueError:
            raise ConfigError(f"{option} takes METRIC=VALUE such as latency_ms=5, got {text!r}") from None
        if not metric:
            raise ConfigError(f"{option} takes METRIC=VALUE such as latency_ms=5, got {text!r}")
        if metric in limits:
            raise ConfigError(f"{option} {metric} is given twice; keep one")
        limits[metric] = number
    return limits


def _lines(picked: Picked, study: Study) -> Iterator[str]:
    choice = picked.choice
    metrics = choice.record.metrics
    names = [name for name in (*study.objectives, *_SHOWN) if name in metrics]
    yield choice.reason
    yield f"  {', '.join(f'{name} {figure_text(name, metrics[name])}' for name in names)}"
    if protocol := protocol_text([choice.record]):
        yield f"  accuracy: {protocol}"
    if study.baseline is not None and all(name in study.baseline.metrics for name in study.objectives):
        yield f"  baseline: {compare(study.baseline, choice.record, study.objectives)}"
    for runner in choice.runners_up:
        yield f"  next: trial {runner.record.number}, {runner.trade}"
    for price in choice.prices:
        yield f"  without {price.wish}: trial {price.record.number}, {price.gain}"
    for offer in choice.offers:
        yield f"  {offer.text}"
    if picked.rechecked is None:
        yield f"  {picked.unchecked}"
        if picked.test:
            yield f"  test split, evaluated before{_rules(study, choice.record)}: {_tested(picked.test)}"
    else:
        yield from _measured(picked.rechecked, study)
    yield f"package: {picked.package}"
    if picked.zipped is not None:
        yield f"zip: {picked.zipped}"
    yield f"check it anywhere with: reid-pareto verify {shlex.quote(str(picked.zipped or picked.package))}"


def _measured(found: Rechecked, study: Study) -> Iterator[str]:
    chosen, *others = found.settled.standings
    recorded = chosen.record.metrics.get("latency_ms")
    machine = "" if found.same_machine else ", on another machine"
    before = "" if recorded is None else f", recorded {recorded:.3g} ms{machine}"
    yield f"  timed again in turns: trial {chosen.record.number} {chosen.latency_ms:.3g} ms{before}"
    for other in others:
        yield f"    trial {other.record.number} {other.latency_ms:.3g} ms, {_against(other)}"
    yield f"  test split, which decided nothing{_rules(study, chosen.record)}:"
    for one in found.settled.standings:
        yield f"    trial {one.record.number} {_tested(found.tests[one.record.number])}"
    for doubt in found.doubts:
        yield f"  {doubt}"


def _tested(test: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure_text(name, test[name])}" for name in _TESTED if name in test)


def _rules(study: Study, record: Record) -> str:
    """Protocol of a trial's evaluation on the test split, in brackets; empty where it was not kept."""
    protocol = test_protocol_text([study.test_record(record.number)])
    return f" ({protocol})" if protocol else ""


def _against(one: Standing) -> str:
    ratio, difference = one.ratio, one.difference
    text = (
        f"{ratio.value:.3g} times as long (95 %: {ratio.low:.3g} to {ratio.high:.3g}), mAP {difference.value:+.4f} "
        f"({difference.low:+.4f} to {difference.high:+.4f})"
    )
    return text + (", a tie" if one.tied else "") + (f", {one.broken}" if one.broken else "")
