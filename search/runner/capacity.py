"""How many trials the nodes of a cluster hold at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from reid.errors import NoDevice
from search.jobs import Resources

__all__ = ["Share", "capacity", "places", "share_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one trial takes.

    Attributes:
        cpus: cores, >= 1.
        gpus: GPUs, a fraction below 1 or a whole number.
    """

    cpus: int
    gpus: float


def share_of(resources: Resources) -> Share:
    """The share of a trial on the connected cluster.

    Raises:
        NoDevice: no node can hold a single trial.
    """
    nodes = _nodes()
    gpus = resources.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0.0
    share = Share(cpus=resources.cpus_per_trial, gpus=gpus)
    if places(nodes, share) < 1:
        have = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise NoDevice(
            f"a trial needs {share.cpus} CPUs and {share.gpus:g} GPUs on one node; the cluster has {have}"
        )
    return share


def capacity(share: Share) -> int:
    """Trials that the nodes alive now hold at once."""
    return places(_nodes(), share)


def places(nodes: Iterable[Mapping[str, float]], share: Share) -> int:
    """Trials that fit on some nodes at once; one trial lies on one node, a fraction of a GPU on one GPU.

    Args:
        nodes: "CPU" and "GPU" of each.
        share: of a trial.
    """
    return sum(min(int(node.get("CPU", 0) // share.cpus), _on_gpus(node, share)) for node in nodes)


def _on_gpus(node: Mapping[str, float], share: Share) -> int:
    gpus = node.get("GPU", 0)
    if share.gpus <= 0:
        return int(node.get("CPU", 0))
    # Ray counts in ten-thousandths; a third of a GPU fits three times.
    return int(gpus // share.gpus) if share.gpus >= 1 else int(gpus) * int(1 / share.gpus + 1e-3)


def _nodes() -> list[dict[str, Any]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
