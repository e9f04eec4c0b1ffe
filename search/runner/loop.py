"""The driver's side: Tune between the supply of jobs and Ray's workers."""

import logging
from pathlib import Path

from ray import tune
from ray.tune import CheckpointConfig, RunConfig, TuneConfig, Tuner

from search.jobs import Resources, Supply
from search.runner.capacity import share_of
from search.runner.queue import Queue
from search.runner.scheduler import RungScheduler
from search.runner.watch import Leave, Watch
from search.runner.worker import Worker

__all__ = ["run"]


def run(supply: Supply, resources: Resources, folder: Path) -> None:
    """Run jobs on the connected cluster until the supply is finished or abandoned.

    Raises:
        NoDevice: the cluster cannot hold a single trial.
    """
    share = share_of(resources)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    queue = Queue(supply, share, resources.max_concurrent)
    tuner = Tuner(
        tune.with_resources(Worker, {"cpu": share.cpus, "gpu": share.gpus}),
        tune_config=TuneConfig(
            search_alg=queue,
            num_samples=-1,
            reuse_actors=True,
            scheduler=RungScheduler(supply, queue.live),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            callbacks=[Watch(queue, supply, resources)],
        ),
    )
    try:
        tuner.fit()
    except Leave:
        return
    finally:
        queue.closed = True
