"""Runs jobs on Ray Tune: the only code that knows Ray.

Ray is told what to run and nothing else; its experiment state lies in a temporary folder and is never read again.
"""

from search.jobs import Resources, Supply

__all__ = ["run_jobs"]


def run_jobs(supply: Supply, resources: Resources) -> None:
    """Run what `supply` gives until it is finished or abandoned; answers go back to it.

    Args:
        supply: the driver.
        resources: where and how much at once.

    Raises:
        NoDevice: the cluster cannot hold a single trial.
        ResourceError: no Ray cluster can be started or joined.
    """
    from search.runner.cluster import (
        cluster,  # Ray reads its environment on import, which `cluster` prepares.
    )

    with cluster(resources) as folder:
        from search.runner.loop import run

        run(supply, resources, folder)
