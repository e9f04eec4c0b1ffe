"""`reid-pareto status`: how far a study is and what it cost."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from results.cost import lost_seconds, saved_seconds, stage_seconds
from results.hold import driver_of
from results.record import STATUSES, one_line
from results.study import Study, front_of, open_study
from search.console import out as console
from search.console import print_json
from search.figures import duration_text, figure_text, protocol_text

__all__ = ["examine_study", "status"]

_FAILED_SHOWN = 5
_ALSO_SHOWN = ("rank1", "size_bytes", "macs")


def status(
    study: Annotated[str, typer.Argument(help="Folder or URI of the study.")],
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Leave damaged records out and list them.")
    ] = False,
) -> None:
    """Say how far a study is: trials by outcome, front, baseline, failures, cost. It may be running.

    Example: reid-pareto status runs/market
    """
    found = examine_study(open_study(study, salvage=salvage))
    if json:
        print_json(found)
        return
    for label, text in _lines(found):
        console.print(f"{label:<11}{one_line(text)}", markup=False)


def examine_study(study: Study) -> dict[str, Any]:
    """What `status` prints, as plain values.

    Raises:
        StudyDamaged: a record cannot be read, unless the study was opened with `salvage`.
    """
    records = study.records()
    front = front_of(records, study.objectives)
    outcomes = Counter(record.outcome for record in records)
    driver = driver_of(study)
    begun = [note.number for note in study.started()]
    baseline = study.baseline
    costed = [*records, *([baseline] if baseline else [])]
    return {
        "study": study.place,
        "name": study.definition["name"],
        "objectives": study.objectives,
        "driver": str(driver) if driver else None,
        "committed": len(records),
        "trials": {name: outcomes[name] for name in STATUSES},
        "running": begun if driver else [],
        "interrupted": [] if driver else begun,
        "untrusted": [r.number for r in records if r.status == "complete" and not r.latency_trusted],
        "front": [record.number for record in front],
        "hypervolume": study.hypervolume(front),
        "reference_point": study.reference_point,
        "baseline": baseline.metrics if baseline else None,
        "protocol": protocol_text(costed),
        "failures": dict(Counter(r.error["kind"] for r in records if r.status == "failed" and r.error)),
        "failed": [
            {"trial": r.number, **r.error, "log": r.worker.get("log")}
            for r in records
            if r.status == "failed" and r.error
        ],
        "seconds": stage_seconds(costed),
        "cpu_seconds": stage_seconds(costed, "cpu_seconds"),
        "gpu_seconds": stage_seconds(costed, "gpu_seconds"),
        "saved_seconds": saved_seconds(costed),
        "lost_seconds": lost_seconds(costed),
        "damaged": list(study.damaged()) if study.salvage else [],
    }


def _lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    outcomes = ", ".join(f"{count} {name}" for name, count in found["trials"].items())
    lines = [
        ("study", f"{found['name']} in {found['study']}"),
        ("driver", found["driver"] or "none; the search is not running"),
        ("trials", f"{found['committed']} committed: {outcomes}"),
    ]
    for state in ("running", "interrupted", "untrusted"):
        if found[state]:
            numbers = ", ".join(map(str, found[state]))
            lines.append((state, _untrusted_text(numbers) if state == "untrusted" else numbers))
    lines += [("front", _front_text(found)), ("baseline", _baseline_text(found))]
    if found["protocol"]:
        lines.append(("accuracy", found["protocol"]))
    if found["failures"]:
        lines.append(("failures", ", ".join(f"{kind} {n}" for kind, n in found["failures"].items())))
        lines += [("", _failed_text(one)) for one in found["failed"][-_FAILED_SHOWN:]]
    lines.append(("cost", _cost_text(found)))
    lines += [("damaged", problem) for problem in found["damaged"]]
    return lines


def _untrusted_text(numbers: str) -> str:
    return f"latency not trusted, off the front: {numbers}; reid-pareto retime takes them again"


def _failed_text(one: Mapping[str, Any]) -> str:
    log = f" ({one['log']})" if one["log"] else ""
    return f"trial {one['trial']} {one['kind']}: {one_line(one['message'], 160)}{log}"


def _front_text(found: Mapping[str, Any]) -> str:
    front = found["front"]
    if not front:
        return "empty"
    text = f"{len(front)} trial{'s'[: len(front) > 1]} ({', '.join(map(str, front))})"
    if found["hypervolume"] is None:
        return text
    reference = _metrics_text(found["reference_point"])
    return f"{text}, hypervolume {found['hypervolume']:.4g} (reference {reference})"


def _baseline_text(found: Mapping[str, Any]) -> str:
    metrics = found["baseline"]
    if metrics is None:
        return "not yet run"
    shown = dict.fromkeys([*found["objectives"], *_ALSO_SHOWN])
    return _metrics_text({name: metrics[name] for name in shown if name in metrics}) or "failed"


def _metrics_text(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure_text(name, value)}" for name, value in metrics.items())


def _cost_text(found: Mapping[str, Any]) -> str:
    stages = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in found["seconds"].items())
    total = duration_text(sum(found["seconds"].values()))
    held = "".join(
        f"; {name} {duration_text(sum(found[key].values()))}"
        for name, key in (("CPU", "cpu_seconds"), ("GPU", "gpu_seconds"))
        if any(found[key].values())
    )
    lost = (
        f"; failures and interruptions cost {duration_text(found['lost_seconds'])}"
        if found["lost_seconds"]
        else ""
    )
    saved = duration_text(found["saved_seconds"])
    return f"{total}{f' ({stages})' if stages else ''}{held}; the cache saved {saved}{lost}"
