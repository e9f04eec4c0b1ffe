"""One self-contained page about a study: the front to look at, every trial to click on.

The page asks for nothing from outside and runs no script but the two whose hashes its policy names; names and
messages reach it as packed JSON and become text nodes, never markup.
"""

import base64
import gzip
import hashlib
import html
import json
from collections import Counter
from importlib import resources
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from reid.files import write_atomic
from results.record import one_line
from results.report_data import Snapshot, limit_lines, report_data, suggestion
from results.study import Study
from results.wish import figure

__all__ = ["write_report"]


def write_report(study: Study, path: Path) -> Path:
    """Write the report of a study as one HTML file.

    Args:
        study: read side of the study.
        path: file to write; it is replaced.

    Returns:
        `path`.

    Raises:
        ConfigError: the study has fewer than two objectives.
        StudyDamaged: a record cannot be read.
        ResourceError: the file cannot be written.
    """
    snapshot, plotly, script = Snapshot.of(study), get_plotlyjs(), _template("report.js")
    page = Template(_template("report.html")).substitute(
        policy=html.escape(_policy(plotly, script)),
        title=html.escape(_name(snapshot)),
        style=_template("report.css"),
        facts=_facts(snapshot),
        data=_packed(json.dumps(report_data(snapshot), separators=(",", ":"), allow_nan=False)),
        plotly=_packed(plotly),
        script=script,
    )
    return write_atomic(path, page)


def _template(name: str) -> str:
    return (resources.files("results") / "templates" / name).read_text(encoding="utf-8")


def _name(study: Snapshot) -> str:
    return one_line(str(study.definition["name"]), 200) or "unnamed"


def _policy(*scripts: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    # The plot sets the style attributes of its elements, hence 'unsafe-inline' for styles alone.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _packed(text: str) -> str:
    """Text as base64 of its gzip: a fifth of the size, and nothing in it can end the element it stands in.

    No date goes in, so that equal studies give equal pages.
    """
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _facts(study: Snapshot) -> str:
    """The head of the page as a list of terms, for readers without scripts too."""
    facts = {
        "Dataset": study.definition["dataset"].get("name", "unknown"),
        "Objectives": ", ".join(f"{direction} {name}" for name, direction in study.objectives.items()),
        "Target": ", ".join(f"{name} {value}" for name, value in study.definition["target"].items()),
        "Limits": _limits(study),
        "Baseline": _baseline(study),
        "Trials": _counts(study),
        "Suggested": _suggested(study),
        "Protocol": str(study.definition["protocol"]),
    }
    return "\n".join(
        f"<div><dt>{name}</dt><dd><bdi>{html.escape(one_line(text))}</bdi></dd></div>"
        for name, text in facts.items()
    )


def _limits(study: Snapshot) -> str:
    lines = limit_lines(study.definition["limits"], study.baseline)
    shown = [f"{t} ({figure(v)})" if "baseline" in t and v is not None else t for t, v in lines.items()]
    return "; ".join(shown) or "none"


def _baseline(study: Snapshot) -> str:
    baseline = study.baseline
    if baseline is None:
        return "not run yet"
    return ", ".join(
        f"{name} {figure(baseline.metrics[name])}" for name in study.objectives if name in baseline.metrics
    )


def _counts(study: Snapshot) -> str:
    counts = Counter(record.status for record in study.trials)
    latest = max((record.finished_at for record in study.trials), default="")
    shown = ", ".join(f"{counts[status]} {status}" for status in sorted(counts)) or "none committed yet"
    return f"{shown}; the last on {latest[:16].replace('T', ' at ')} UTC" if latest else shown


def _suggested(study: Snapshot) -> str:
    choice = suggestion(study)
    if choice is None:
        return "nothing can be picked yet"
    return (
        f"{choice.reason} Take it with: reid-pareto pick STUDY --trial {choice.record.number} --out PACKAGE"
    )
