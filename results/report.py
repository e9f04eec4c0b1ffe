"""One self-contained page about a study: the front to look at, every trial to click on.

The page asks for nothing from outside and runs no script but the two whose hashes its policy names; names and
messages reach it as packed JSON and become text nodes, never markup.
"""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from reid.files import write_atomic
from results.record import one_line
from results.report_data import Snapshot, report_data
from results.study import Study

__all__ = ["render", "render_snapshot", "write_report"]

_PARTS = ("text", "choice", "limits", "front", "trial", "compare", "figures", "tables", "page")
"""The page's script, in the order of use; each is templates/report.PART.js."""

_PAGE_BYTES = 4_900_000
"""Size that the page keeps below by leaving details out; what remains is told on the page."""


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
    return write_atomic(path, render(study))


def render(study: Study) -> str:
    """The whole page about a study as text, as `write_report` writes it.

    It has one policy (`<meta http-equiv="Content-Security-Policy">`) and one `</body>`, and offers
    `window.reidPareto` once `<html data-ready="true">` is set:
        update(data): show another state of the study (`results.report_data.report_data`); limits, axes,
            selection and theme stay as the reader set them.
        limits(): {max: {metric: value}, min: {metric: value}}, what the reader asks for now; a drop against
            the baseline is told as the minimum it means.
        ask({maximum, minimum, max_drop}): set the limits, each {metric: value}, as `results.pick.pick` takes
            them; those of a metric that no trial has are passed over.
        selected(): number of the trial that is shown, or null.
        choice(): number of the trial that `pick` takes with these limits, or null.

    Raises:
        ConfigError: the study has fewer than two objectives.
        StudyDamaged: a record cannot be read.
    """
    return render_snapshot(Snapshot.of(study))


def render_snapshot(snapshot: Snapshot) -> str:
    """As `render`, of a study that was read before.

    Raises:
        ConfigError: the study has fewer than two objectives.
    """
    plotly, script = get_plotlyjs(), _script()
    data = report_data(snapshot)
    details = data.pop("details")
    parts = {
        "policy": _policy(plotly, script),
        "title": html.escape(one_line(str(snapshot.definition["name"]), 200) or "unnamed"),
        "style": _template("report.css"),
        "facts": _facts(data["facts"]),
        "data": _packed(_json(data)),
        "plotly": _packed(plotly),
        "script": script,
    }
    room = _PAGE_BYTES - sum(map(len, parts.values())) - len(_template("report.html"))
    return Template(_template("report.html")).substitute(parts, details=_within(room, details, data))


def _template(name: str) -> str:
    return (resources.files("results") / "templates" / name).read_text(encoding="utf-8")


def _script() -> str:
    parts = "\n".join(_template(f"report.{part}.js") for part in _PARTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _policy(*scripts: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    # The plot sets the style attributes of its elements, hence 'unsafe-inline' for styles alone.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _packed(text: str) -> str:
    """Text as base64 of its gzip: a fifth of the size, and nothing in it can end the element it stands in.

    No date goes in, so that equal studies give equal pages.
    """
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _within(room: int, details: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Details packed into `room` bytes: of the front first, of what went wrong, of the others while they fit."""
    ranks = {"front": 0, "untrusted": 1, "infeasible": 1, "failed": 1}
    order = sorted(data["trials"], key=lambda trial: (ranks.get(trial["kind"], 2), trial["n"]))
    kept = len(order)
    while True:
        packed = _packed(_json({str(trial["n"]): details[str(trial["n"])] for trial in order[:kept]}))
        if len(packed) <= room or not kept:
            return packed
        kept = max(0, min(kept - 1, int(kept * 0.97 * room / len(packed))))


def _facts(facts: list[list[str]]) -> str:
    return "\n".join(
        f"<div><dt>{html.escape(term)}</dt><dd><bdi>{html.escape(text)}</bdi></dd></div>"
        for term, text in facts
    )
