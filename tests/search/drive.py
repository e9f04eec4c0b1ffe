"""A driver with fake trials, to be started as a process of its own: python -m tests.search.drive STUDY TRIALS."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console

import spaces
from reid.errors import ReidParetoError
from search.jobs import Resources
from search.opening import Data
from search.options import parse_halving
from search.session import search


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("study", type=Path)
    parser.add_argument("trials", type=int)
    parser.add_argument("--silence-s", type=float, default=300.0)
    parser.add_argument("--cpus-per-trial", type=int, default=1)
    parser.add_argument("--gpus-per-trial", type=float)
    parser.add_argument("--stage-limit-s", type=float)
    parser.add_argument("--address")
    parser.add_argument("--scheduler", default="none")
    parser.add_argument("--ray-first", action="store_true")
    given = parser.parse_args()
    if given.ray_first:  # as a notebook may have done
        import_module("ray")
    try:
        search(
            given.study,
            spaces.load("demo"),
            Data(name="synthetic", root=Path("/nonexistent"), fingerprint="fake"),
            trials=given.trials,
            resources=Resources(
                silence_s=given.silence_s,
                cpus_per_trial=given.cpus_per_trial,
                gpus_per_trial=given.gpus_per_trial,
                stage_limit_s=given.stage_limit_s,
                address=given.address,
            ),
            halving=parse_halving(given.scheduler, grace_epochs=2, eta=2),
            function="tests.search.fake_trial:run",
            console=Console(stderr=True),
        )
    except ReidParetoError as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
