"""`reid-pareto search`: run or resume a study."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import spaces
from reid.errors import ConfigError
from results import Study, open_study
from search.console import errors
from search.disk import DiskLimits, parse_bytes
from search.failures import MAX_IDENTICAL_FAILURES
from search.halving import HalvingSettings, with_evaluations
from search.jobs import Resources
from search.opening import Data, check_begun
from search.options import parse_halving, parse_settings
from search.planner import check_space, override

__all__ = ["search"]


def search(
    study: Annotated[
        str, typer.Option(help="Folder or URI (s3://...) of the study; an existing one is resumed.")
    ],
    trials: Annotated[int, typer.Option(help="Committed trials that the study holds in the end.")],
    space: Annotated[str, typer.Option(help="Preset or path of a space file.")] = "demo",
    data: Annotated[Path | None, typer.Option(help="Prepared dataset; synthetic when left out.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="name=value fixes a setting in place of the space's.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join: auto or HOST:PORT; a private one when left out.")
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            min=0, help="GPUs of one trial; 0.5 lets two share one, 0 hides them; one where there are any."
        ),
    ] = None,
    cpus_per_trial: Annotated[int, typer.Option(min=1, help="Cores and threads of one trial.")] = 1,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="Trials at once; as many as fit when left out.")
    ] = None,
    stage_limit_s: Annotated[
        float | None,
        typer.Option(help="Seconds that one stage of a trial may compute; no limit when left out."),
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe (default), nsga2, gp, random or grid.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; 0 for a new study.")] = None,
    warm_start: Annotated[
        list[str] | None, typer.Option(help="Finished study that a new one learns from; may be repeated.")
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="none, or asha: trials that others beat at equal epochs are stopped early.")
    ] = "none",
    grace_epochs: Annotated[
        int, typer.Option(help="Finetuning epochs before asha looks at a trial; then times --eta.")
    ] = 2,
    eta: Annotated[int, typer.Option(help="One of so many trials goes on at each look of asha.")] = 2,
    max_identical_failures: Annotated[
        int, typer.Option(min=0, help="Failures alike in a row that pause the search; 0 = never.")
    ] = MAX_IDENTICAL_FAILURES,
    cache_limit: Annotated[
        str | None,
        typer.Option(
            help="Disk that cached stages may take, e.g. 20GB; those not used for longest go first."
        ),
    ] = None,
    artifact_limit: Annotated[
        str | None,
        typer.Option(help="Disk that exported files may take, e.g. 5GB; those of the front are always kept."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Try everything once at a tiny size, and estimate hours and disk."),
    ] = False,
) -> None:
    """Search a space for the accuracy-latency front; the same command resumes an interrupted study.

    Ctrl-C once lets the running trials end their step, twice leaves at once; both can be resumed.

    Example: reid-pareto search --space demo --study studies/demo --trials 16
    """
    halving = parse_halving(scheduler, grace_epochs, eta)
    disk = DiskLimits(
        cache_bytes=None if cache_limit is None else parse_bytes(cache_limit, "--cache-limit"),
        artifact_bytes=None if artifact_limit is None else parse_bytes(artifact_limit, "--artifact-limit"),
    )
    if trials < 1:
        raise ConfigError(f"--trials must be at least 1, got {trials}")
    wanted = override(spaces.load(space), parse_settings(settings or []))
    check_space(wanted)
    resources = Resources(
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        max_concurrent=max_concurrent,
        address=address,
        stage_limit_s=stage_limit_s,
    )
    found = _data(data, wanted)
    learnt = [open_study(other) for other in warm_start or []]
    if dry_run:
        _rehearse(
            study, wanted, found, halving, learnt,
            trials=trials, seed=seed, sampler=sampler, threads=cpus_per_trial,
        )  # fmt: skip
        return
    # Late, because torch and ray take seconds to load: a typing error should not.
    from search.session import search as run

    done = run(
        study,
        wanted,
        found,
        trials=trials,
        seed=seed,
        sampler=sampler,
        resources=resources,
        warm_start=learnt,
        halving=halving,
        max_identical_failures=max_identical_failures,
        disk=disk,
        console=errors,
    )
    place = shlex.quote(str(done.place))
    if any(one.status == "complete" and not one.latency_trusted for one in done.records()):
        errors.print(
            f"some latencies are not trusted; on a quiet machine: reid-pareto retime {place}",
            markup=False,
        )
    errors.print(
        f"next: reid-pareto front {place}  or  reid-pareto report {place} --out report.html",
        markup=False,
    )


def _rehearse(
    study: str,
    space: spaces.Space,
    data: Data,
    halving: HalvingSettings | None,
    learnt: Sequence[Study],
    *,
    trials: int,
    seed: int | None,
    sampler: str | None,
    threads: int,
) -> None:
    """Refuse what the search would refuse before it begins, then try everything at a tiny size."""
    from results.remote import is_remote
    from search.dry_run import dry_run
    from search.session import check_request
    from search.warm_start import observations

    check_request(space, data, trials=trials, seed=seed, sampler=sampler)
    if halving is not None:
        space = with_evaluations(space, halving)
    warm = observations(learnt, space, data)
    begun = None if is_remote(study) else check_begun(Path(study), space, data, seed, warm.taken)
    if begun is not None and sampler is None:
        sampler = begun.definition["sampler"]
    check_request(space, data, trials=trials, seed=seed, sampler=sampler, warm=warm.taken)
    dry_run(
        study, space, data, trials=trials, threads=threads, say=lambda line: errors.print(line, markup=False)
    )


def _data(root: Path | None, space: spaces.Space) -> Data:
    """The dataset, after the names in the space are known to exist."""
    from reid.data import dataset_name, load_dataset
    from search.data_home import data_or_synthetic
    from search.planner import check_space_names

    check_space_names(space)
    home = data_or_synthetic(root, space.dataset)
    name = dataset_name(home)
    return Data(name=name, root=home.resolve(), fingerprint=load_dataset(name, home).fingerprint)
