"""Size of every backbone as it is deployed: the table of docs/networks.md.

Run from the repository: python -m benchmarks.networks
"""

from benchmarks.device import write_result
from reid.models import BACKBONES, build, count

INPUT_SIZE = (256, 128)


def main() -> None:
    figures = {}
    for name in sorted(BACKBONES):
        network = build(name, 1)
        size = count(network, INPUT_SIZE)
        figures[name] = {"params": size.params, "macs": size.macs, "embedding": network.embedding_dim}
    write_result("networks", {"input_size": list(INPUT_SIZE), "backbones": figures})


if __name__ == "__main__":
    main()
