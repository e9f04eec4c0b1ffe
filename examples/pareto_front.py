"""The front and the hypervolume of figures that come from anywhere.

python examples/pareto_front.py
"""

import numpy as np

from results import hypervolume, pareto_front


def main() -> None:
    random = np.random.default_rng(0)
    latency_ms = random.uniform(0.5, 20, 200)
    mean_ap = 0.85 * (1 - np.exp(-latency_ms / 4)) - random.uniform(0, 0.2, 200)
    values, directions = np.column_stack([mean_ap, latency_ms]), ["maximize", "minimize"]
    front = pareto_front(values, directions)
    for accuracy, milliseconds in values[front][np.argsort(values[front, 1])]:
        print(f"{milliseconds:6.2f} ms  mAP {accuracy:.3f}")
    print(
        f"{front.sum()} of {len(values)} on the front; hypervolume {hypervolume(values, directions, [0, 20]):.3f}"
    )


if __name__ == "__main__":
    main()
