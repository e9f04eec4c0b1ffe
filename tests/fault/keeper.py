"""Keeps a Ray cluster of several raylets on loopback; told what to do on standard input: add N, kill N, end.

A process of its own, because Ray reads its environment when it is imported.
"""

import sys

from ray.cluster_utils import Cluster

CPUS, GPUS = int(sys.argv[1]), int(sys.argv[2])


def main() -> None:
    cluster = Cluster()
    nodes = []
    for line in sys.stdin:
        what, _, number = line.strip().partition(" ")
        if what == "add":
            for _ in range(int(number)):
                nodes.append(
                    cluster.add_node(
                        num_cpus=CPUS,
                        num_gpus=GPUS,
                        object_store_memory=80 * 2**20,
                        include_dashboard=False,
                        node_ip_address="127.0.0.1",
                    )
                )
        elif what == "kill":
            cluster.remove_node(nodes[int(number)], allow_graceful=False)
        else:
            break
        print(cluster.address, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
