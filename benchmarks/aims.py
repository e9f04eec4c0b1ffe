"""What each benchmark is to show: its figures, the aims they are held against, and how to run it small.

These have no small run: rerank, teacher, market_training, market_study and pruning need Market-1501, most of them a
teacher too; torchreid_ranking needs a foreign package; economy and plain_tune begin with the training of a dense
baseline and compare whole studies, minutes for a single trial; sources converts and times DenseNet-121 for three
engines, minutes too, as that network takes in quantization.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["BENCHMARKS", "Aim", "Benchmark"]


def _number(found: dict[str, Any], path: str) -> float | None:
    """The number at a path of keys, or None where a key is absent."""
    value: Any = found
    for key in path.split("/"):
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure and its bound.

    Attributes:
        text: what is measured, with its unit.
        figure: keys of the result file, joined by "/".
        most: upper bound, or None.
        least: lower bound, or None.
        over: keys of another figure of the file that this one is divided by, or None.
        scales: whether a run at a small size tells anything about it.
    """

    text: str
    figure: str
    over: str | None = None
    most: float | None = None
    least: float | None = None
    scales: bool = True

    def value_in(self, found: dict[str, Any]) -> float | None:
        """What a result file holds of it, or None."""
        value, other = _number(found, self.figure), _number(found, self.over) if self.over else 1.0
        return None if value is None or other is None else value / other

    def met(self, value: float) -> bool:
        """Whether `value` keeps within the bounds."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    @property
    def bound(self) -> str:
        """The aim as text, e.g. "<= 1.5"."""
        return f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One program of this folder.

    Attributes:
        module: below `benchmarks`.
        result: name of its file in results/, without device.
        small: arguments of a run that takes a minute or less; None where there is no such run.
        aims: figures.
    """

    module: str
    result: str
    small: tuple[str, ...] | None
    aims: tuple[Aim, ...]


_RESNET18, _OSNET = "networks/resnet18/onnxruntime", "networks/osnet_x0_25/onnxruntime"
_RATIO = "ratio_to_fp32_onnxruntime"

BENCHMARKS = (
    Benchmark(
        module="export_time", result="export-time", small=("--rounds", "1"),
        aims=(
            Aim(text="OSNet x0.25: torch's exporter over our export with other weights",
                figure="osnet_x0_25/plain_over_again", least=4),
        ),
    ),
    Benchmark(
        module="rank", result="rank", small=("--rounds", "3"),
        aims=(
            Aim(text="ranking over the bare product, trained features",
                figure="features_of_a_trained_network/ratio_to_product_into_fresh_memory", most=1.5),
            Aim(text="a loop over the queries over ranking", figure="features_of_a_trained_network/loop_over_rank",
                least=10),
        ),
    ),
    Benchmark(
        module="front", result="front", small=("--rounds", "1"),
        aims=(
            Aim(text="front of 1,000,000 random points, s", figure="pareto_front/random/processor_s", most=1.0),
            Aim(text="hypervolume of a front of 10,000, s", figure="hypervolume_of_a_front_of_10000/processor_s",
                most=0.1),
        ),
    ),
    Benchmark(
        module="bafd_selection", result="bafd-selection", small=(),
        aims=(
            Aim(text="BAFD selection 512x512x3x3 at 0.9, exact, ms", figure="exact_ms", most=100),
            Aim(text="the same, efficient, ms", figure="efficient_ms", most=100),
            Aim(text="selection over its distances alone", figure="exact_over_distances", most=2),
            Aim(text="a loop over the filters over selection", figure="efficient_speedup", least=10),
            Aim(text="all ranked layers of ResNet-50, s", figure="resnet50_exact_s", most=1),
        ),
    ),
    Benchmark(
        module="train_throughput", result="train-throughput", small=("--rounds", "1", "--steps", "8"),
        aims=(
            Aim(text="trainer over a bare loop", figure="trainer_over_bare", least=0.85),
            Aim(text="trainer over DataLoader with Pillow", figure="trainer_over_loader", least=1),
        ),
    ),
    Benchmark(
        module="image_store", result="image-store", small=("--size", "128x64", "--rounds", "1"),
        aims=(
            Aim(text="a pass that decodes over one from the store", figure="processor_pass_decoding_over_store",
                least=5),
        ),
    ),
    Benchmark(
        module="report_page", result="report-page", small=("--trials", "1000"),
        aims=(
            Aim(text="page of 10,000 trials, bytes", figure="trials/10000/size_bytes", most=5e6, scales=False),
            Aim(text="first paint of 10,000 trials, s", figure="trials/10000/first_paint_wall_s", most=2,
                scales=False),
            Aim(text="page of 1,000 trials, bytes", figure="trials/1000/size_bytes", most=5e6),
        ),
    ),
    Benchmark(
        module="rerank", result="rerank", small=None,
        aims=(
            Aim(text="re-ranking 3,368 x 19,732, extra MiB", figure="extra_memory_mib", most=4096),
            Aim(text="mAP after re-ranking", figure="after/mAP", least=0.85),
        ),
    ),
    Benchmark(
        module="teacher", result="teacher", small=None,
        aims=(
            Aim(text="mAP of the teacher 0277", figure="test/mAP", least=0.87),
            Aim(text="rank-1 of the teacher 0277", figure="test/rank1", least=0.955),
        ),
    ),
    Benchmark(
        module="market_training", result="market-training", small=None,
        aims=(
            Aim(text="mAP, OSNet x0.25 taught at 160x64", figure="osnet-x025-160x64/test/mAP", least=0.75),
            Aim(text="mAP, OSNet x0.25 taught at 128x64", figure="osnet-x025-128x64/test/mAP", least=0.68),
            Aim(text="mAP, OSNet x0.25 taught at 256x128", figure="osnet-x025-256x128/test/mAP", least=0.80),
            Aim(text="mAP, ResNet-18 taught at 128x64", figure="resnet18-128x64-steep-more/test/mAP", least=0.65),
            Aim(
                text="mAP that the teacher gives ResNet-18",
                figure="resnet18_gain_by_more_of_the_teacher_in_steep_descent",
                least=0.10,
            ),
        ),
    ),
    Benchmark(
        module="market_study", result="market-study", small=None,
        aims=(
            Aim(text="mAP at 23 times the speed of dense fp32 ResNet-18", figure="bars/23", least=0.75),
            Aim(text="mAP at 40 times", figure="bars/40", least=0.60),
            Aim(text="mAP at 10 times", figure="bars/10", least=0.80),
            Aim(text="mAP at 5 times", figure="bars/5", least=0.82),
            Aim(text="hypervolume over that of what people use", figure="hypervolume/ours",
                over="hypervolume/table", least=1),
        ),
    ),
    Benchmark(
        module="lock", result="lock", small=("--small",),
        aims=(
            Aim(text="medians of an idle machine, their spread", figure="idle/spread_of_medians", most=0.03),
            Aim(text="beside one trainer with the lock, over idle", figure="with_lock/1/over_idle", most=0.03),
            Aim(text="beside two trainers with the lock, over idle", figure="with_lock/2/over_idle", most=0.03),
        ),
    ),
    Benchmark(
        module="waiting", result="waiting", small=("--trials", "2"),
        aims=(Aim(text="share of workers' seconds that they wait for timings", figure="share", most=0.05),),
    ),
    Benchmark(
        module="peers", result="peers", small=("--small",),
        aims=(
            Aim(text="front of random trials as Optuna's (1: yes)", figure="optuna/same_front", least=1),
            *(
                Aim(text=f"{name} halved: our latency over that by Torch-Pruning",
                    figure=f"pruning/{name}/ours/latency_ratio", over=f"pruning/{name}/torch-pruning/latency_ratio",
                    most=1.05)
                for name in ("resnet18", "densenet121", "mobilenet_v2", "osnet_x1_0")
            ),
        ),
    ),
    Benchmark(
        module="torchreid_ranking", result="torchreid-ranking", small=None,
        aims=(
            Aim(text="figures of the ranking from Torchreid's, largest difference", figure="largest_difference",
                most=1e-4),
            Aim(text="seconds of Torchreid's ranking over ours", figure="torchreid_over_ours", least=10),
        ),
    ),
    Benchmark(
        module="plain_tune", result="plain-tune", small=None,
        aims=(
            Aim(text="the same trials by Ray Tune's OptunaSearch over ours, wall clock", figure="plain_over_ours_wall",
                least=1),
            Aim(text="largest difference in their mAP", figure="largest_difference_in_mAP", most=0),
        ),
    ),
    Benchmark(
        module="pruning", result="pruning", small=None,
        aims=(
            Aim(text="slim beside masked after bafd at 0.9, largest difference",
                figure="methods/bafd/0.9/slim_max_abs_difference", most=1e-4),
        ),
    ),
    Benchmark(
        module="quantization", result="quantization",
        small=("--small", "--runtimes", "onnxruntime"),
        aims=(
            Aim(text="DenseNet-121: torch eager over int8-static", figure="densenet121/eager_to_int8", least=4),
            Aim(text="ResNet-18: latency of int8-static over fp32", figure=f"{_RESNET18}/int8-static/{_RATIO}",
                most=0.303),
            Aim(text="ResNet-18: mAP that int8-static loses", figure=f"{_RESNET18}/int8-static/mAP_drop", most=0.005,
                scales=False),
            Aim(text="ResNet-18: latency of int8-qat over fp32", figure=f"{_RESNET18}/int8-qat/{_RATIO}", most=0.303),
            Aim(text="ResNet-18: mAP that int8-qat loses", figure=f"{_RESNET18}/int8-qat/mAP_drop", most=0.005,
                scales=False),
            Aim(text="OSNet x0.25: latency of int8-mixed over fp32", figure=f"{_OSNET}/int8-mixed/{_RATIO}",
                most=1.02),
            Aim(text="OSNet x0.25: mAP that int8-mixed loses", figure=f"{_OSNET}/int8-mixed/mAP_drop", most=0.005),
        ),
    ),
    Benchmark(
        module="sources", result="sources", small=None,
        aims=(Aim(text="DenseNet-121: fp32 file over int8 file", figure="densenet121/times_smaller", least=3.67),),
    ),
    Benchmark(
        module="samplers", result="samplers",
        small=("--seeds", "2", "--gp-seeds", "1", "--trials", "16", "--random-trials", "32", "--no-picture"),
        aims=(
            Aim(text="trials in which tpe reaches random's 256", figure="trials_to_what_random_reaches/tpe", most=64,
                scales=False),
            Aim(text="hypervolume with asha over that without, equal epochs", figure="early_stopping/asha/hypervolume",
                over="early_stopping/none/hypervolume", least=1, scales=False),
        ),
    ),
    Benchmark(
        module="simulator", result="simulator", small=("--trials", "300", "--scaling-trials", "640"),
        aims=(
            Aim(text="simulated trials lost with 5 % faults (full size: of 10,000)", figure="soak/lost", most=0),
            Aim(text="ms a simulated trial", figure="soak/ms_per_trial", most=20),
            Aim(text="growth of the driver's memory over 10,000 of them, MiB", figure="soak/memory_growth_mib", most=50,
                scales=False),
            Aim(text="efficiency of 64 simulated workers", figure="scaling/64/efficiency", least=0.95, scales=False),
        ),
    ),
    Benchmark(
        module="study_rebuild", result="study-rebuild", small=("--trials", "1000"),
        aims=(
            Aim(text="tpe rebuilt from 10,000 records, s", figure="samplers/tpe/rebuild_s", most=5,
                scales=False),
            Aim(text="nsga2 rebuilt from 10,000 records, s", figure="samplers/nsga2/rebuild_s", most=5,
                scales=False),
        ),
    ),
    Benchmark(
        module="overhead", result="overhead", small=("--trials", "100"),
        aims=(
            Aim(text="ms a no-op trial through Ray", figure="ours/ms_per_trial", most=40, scales=False),
            Aim(text="growth of the driver's memory over them, MiB", figure="ours/memory_growth_mb", most=50,
                scales=False),
        ),
    ),
    Benchmark(
        module="crash_safety", result="crash-safety", small=("--kills", "2", "--kills-per-study", "2"),
        aims=(
            Aim(text="trials lost after kills of drivers (full size: 50)", figure="lost", most=0),
            Aim(text="committed trials run again", figure="committed_repeated", most=0),
            Aim(text="trials left running", figure="left_running", most=0),
            Aim(text="workers that outlive their driver", figure="orphans", most=0),
        ),
    ),
    Benchmark(
        module="economy", result="economy", small=None,
        aims=(
            Aim(text="training without cache and latency first over with, processor time",
                figure="without_over_with_training_processor_s", least=3),
            Aim(text="the same by the clock", figure="without_over_with_training_s", least=3),
            Aim(text="both have the same front (1: yes)", figure="same_front", least=1),
        ),
    ),
    Benchmark(
        module="seven_bits", result="seven-bits", small=(),
        aims=(
            Aim(text="OSNet x0.25, int8 of 7 bits: smallest cosine to exact arithmetic",
                figure="smallest_cosine/osnet_x0_25/7 bits/onnxruntime", least=0.999),
        ),
    ),
    Benchmark(
        module="slimming", result="slimming", small=("--small",),
        aims=(
            Aim(text="ResNet-18, grouped, rate 0.5: dense over slim", figure="resnet18_grouped_half_speedup", least=2.5,
                scales=False),
            Aim(text="pairs in which less work took over 10 % more time", figure="rises", most=0, scales=False),
        ),
    ),
)  # fmt: skip
"""Every benchmark with an aim."""
