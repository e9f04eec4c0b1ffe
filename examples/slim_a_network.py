"""Prune half of a network's filters, slim it, and check that the small network does what the masked one did.

python examples/slim_a_network.py
"""

import torch

from reid.models import build, count
from reid.prune import decay, find_units, select, slim, slim_difference


def main() -> None:
    torch.manual_seed(0)
    dense = build("osnet_x0_25", num_classes=751).eval()
    units = find_units(dense, "grouped")
    plan = select(dense, units, {unit.name: 0.5 for unit in units}, criterion="l1", round_to=8)
    # What goes is zeroed first; a real pruning would train on meanwhile, and finetune afterwards.
    decay(dense, units, plan, 0.0)
    small = slim(dense, plan)
    difference = slim_difference(dense, small, plan, torch.randn(4, 3, 128, 64))
    before, after = count(dense, (128, 64)), count(small, (128, 64))
    print(
        f"{before.macs / 1e6:.1f} -> {after.macs / 1e6:.1f} MMAC, {before.params} -> {after.params} parameters"
    )
    print(f"largest difference between the embeddings: {difference:.2g}")


if __name__ == "__main__":
    main()
