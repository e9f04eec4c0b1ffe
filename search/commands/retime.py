"""`reid-pareto retime`: all latencies of a study from one session on one machine."""

from typing import Annotated

import typer

from results.study import open_study
from search.console import out as console
from search.console import progress_line
from search.retime import retime as time_again

__all__ = ["retime"]


def retime(study: Annotated[str, typer.Argument(help="Folder or URI of the study.")]) -> None:
    """Time every network of a study again on this machine, in turns, and let these latencies count.

    For studies whose latencies are not trusted because the machine changed its pace over the hours, and for those whose
    trials ran on unlike machines. The baseline and all complete trials are timed in one run; front, report and pick
    take its figures from then on, and a resumed search goes on from them. Records are not touched. Where the machine is
    not quiet nothing changes.

    Example: reid-pareto retime studies/demo
    """
    opened = open_study(study)
    done = time_again(opened, progress_line)
    trusted = sum(done.timed.values())
    lines = [f"{trusted} of {len(done.timed)} latencies are trusted; front of {len(opened.front())} trials"]
    if done.left_out:
        numbers = ", ".join(map(str, done.left_out))
        lines.append(f"off the front, for their files were removed to make room: {numbers}")
    for line in lines:
        console.print(line, markup=False)
