"""The study of a search against tabulated trials and a virtual clock: weeks of search in seconds."""

from search.simulator.cluster import SimulatedCluster
from search.simulator.faults import Faults
from search.simulator.landscape import Landscape, load_landscape

__all__ = ["Faults", "Landscape", "SimulatedCluster", "load_landscape"]
