"""The report as a page that stays up to date: one more script, and leave to ask its own server."""

import base64
import hashlib
import html
import re
from importlib import resources

from results import layout
from results.study import Study

__all__ = ["etag_of", "live_page"]

_POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content=")([^"]*)(">)')


def live_page(page: str, etag: str) -> str:
    """The page of `results.report.render` with the script that keeps it up to date and has packages made.

    The script is let in by its hash and may ask the server that the page came from; nothing else becomes allowed.

    Args:
        page: the whole report.
        etag: state of the study that the page shows.
    """
    script = (resources.files("results") / "templates" / "review.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    def allow(match: re.Match[str]) -> str:
        policy = html.unescape(match[2]).replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
        return f"{match[1]}{html.escape(policy)}; connect-src &#x27;self&#x27;{match[3]}"

    allowed = _POLICY.sub(allow, page, count=1)
    before, _, after = allowed.rpartition("</body>")
    marked = before.replace("<html ", f'<html data-etag="{html.escape(etag)}" ', 1)
    return f"{marked}<script>{script}</script>\n</body>{after}"


def etag_of(study: Study) -> tuple[str, int]:
    """A digest that changes when a record or a later fact is committed, and the number of committed trials.

    Reads names, sizes and dates only, so that it can be asked every second.
    """
    seen = hashlib.sha256()
    for path in sorted(layout.trials_folder(study.path).glob("*.json")):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue  # A note of a begun trial that was committed between the listing and now.
        if not layout.is_temporary(path.name):
            seen.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return seen.hexdigest()[:16], len(layout.record_paths(study.path))
