"""One trial from Python: train, prune, slim, finetune, quantize, export, evaluate and time a network.

python examples/one_trial.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from reid.config import TrialConfig
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.pipeline import run
from results import DiskCache


def main() -> None:
    home = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="reid-pareto-example-"))
    people = SyntheticOptions(identities=12, test_identities=4, images_per_camera=2)
    data = prepare_synthetic(people, home / "data").root
    config = TrialConfig(
        backbone="osnet_x0_25", input_size=(64, 32), validation_share=0.3, epochs=2, warmup_epochs=0,
        identities_per_batch=4, images_per_identity=2, method="hfp", prune_rate=0.3, finetune_epochs=1,
        quantization="int8-static", calibration_images=16, max_quantization_drop=1.0,
    )  # fmt: skip
    outcome = run(config, data_root=data, cache=DiskCache(home / "cache"), say=print)
    print(f"{outcome.status}: mAP {outcome.metrics['mAP']:.3f}, {outcome.metrics['latency_ms']:.2f} ms")
    print(f"exported file: {outcome.artifact}")


if __name__ == "__main__":
    main()
