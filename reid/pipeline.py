"""One trial, from the images to a timed file.

    dataset → train → prune → slim → finetune → quantize → export → evaluate → time → outcome

Each step takes what the step before gave and is a module in `reid.steps`. Steps up to the evaluation go through
the stage cache, so that trials which share a prefix share its work; timing never does.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from reid.config import Limit, TrialConfig, broken
from reid.memory import memory_errors
from reid.models import NetworkOptions, check_weights, network_options, weights_key
from reid.outcome import TrialOutcome
from reid.registries import check_names
from reid.runtime import demand_usable
from reid.stages import StageCache
from reid.steps.clock import cost_of, footprint_of, time_artifact, time_early
from reid.steps.compress import allocate, compress
from reid.steps.data import TrialData, load_data
from reid.steps.dense import Network, train_dense
from reid.steps.deploy import Deployed, export_float, quantize_export
from reid.steps.score import PROTOCOL, score_on_validation, untrained_mean_ap
from reid.steps.workshop import Workshop
from reid.timing import Latency
from reid.train import Watcher

__all__ = ["check", "run"]

EARLY_TOLERANCE = 0.10
"""Share by which the early and the final latency may differ before the record says so."""


def run(
    config: TrialConfig,
    *,
    data_root: Path,
    cache: StageCache,
    limits: Sequence[Limit] = (),
    reference: Path | None = None,
    kernel_ms_at_start: float | None = None,
    say: Callable[[str], None] = lambda line: None,
    watcher: Watcher | None = None,
) -> TrialOutcome:
    """Run the whole pipeline for one configuration.

    Args:
        config: what to build.
        data_root: the prepared dataset.
        cache: where stages are kept.
        limits: hard limits; one on latency or size that is broken ends a pruned trial before any of its own training.
        reference: folder of the dense baseline's artifact, timed alternately with this one.
        kernel_ms_at_start: the calibration kernel's time when the study began.
        say: told one line at each step.
        watcher: looks on while a stage trains.

    Raises:
        ConfigError: the configuration cannot work; nothing was trained.
        DataError: the dataset is missing or damaged.
        ResourceError: memory or disk ran out.
        ArtifactError: a slimmed or exported network does not do what its source did.
    """
    check(config)
    work = Workshop(config, cache, say, watcher)
    with memory_errors("running the trial"):
        data = load_data(work, data_root)
        network = train_dense(work, data)
        if config.method == "none":
            work.checks["untrained_mAP"] = untrained_mean_ap(work, data)
        else:
            rates = allocate(work, network)
            early, latency = time_early(work, data, network, rates, reference, kernel_ms_at_start)
            work.checks["early_latency_ms"] = latency.latency_ms
            work.watcher.early(early, trusted=latency.trusted)
            if violations := broken(limits, early, trusted=latency.trusted):
                return _outcome(work, early, latency, violations, None)
            network = compress(work, data, network, rates)
        deployed, metrics = _deploy_and_score(work, data, network)
        latency = time_artifact(work, deployed.artifact, reference, kernel_ms_at_start)
        _compare_with_early(work, latency)
        metrics |= cost_of(config, network.model, deployed.artifact, latency)
        metrics |= footprint_of(work, deployed.artifact)
    violations = broken(_all_limits(config, limits), metrics | work.checks, trusted=latency.trusted)
    return _outcome(work, metrics, latency, violations, deployed)


def check(config: TrialConfig) -> None:
    """Refuse a configuration whose names, files, target or combination cannot work, before any work begins.

    Raises:
        ConfigError: names the setting and what is known, or the weights are of another network.
        ResourceError: weights cannot be downloaded now.
        NoDevice: this machine cannot time on the target.
    """
    check_names(config)
    demand_usable(config.target)
    if config.weights is not None:
        key = weights_key(config.backbone, config.weights)
        _check_weights(config.backbone, config.weights, network_options(config), key)


@cache
def _check_weights(backbone: str, weights: str, options: NetworkOptions, key: str) -> None:
    """Once for the content of a file, which `key` names, as every trial of a study asks."""
    with torch.random.fork_rng([]):
        check_weights(backbone, weights, options)


def _deploy_and_score(work: Workshop, data: TrialData, network: Network) -> tuple[Deployed, dict[str, float]]:
    exported = export_float(work, data, network)
    metrics = score_on_validation(work, data, exported)
    if work.config.quantization == "fp32":
        return exported, metrics
    quantized = quantize_export(work, data, exported, network)
    quantized_metrics = score_on_validation(work, data, quantized)
    work.checks["quantization_drop"] = metrics["mAP"] - quantized_metrics["mAP"]
    return quantized, quantized_metrics


def _all_limits(config: TrialConfig, limits: Sequence[Limit]) -> tuple[Limit, ...]:
    own = Limit(metric="quantization_drop", operator="<=", value=config.max_quantization_drop)
    return (*limits, own)


def _compare_with_early(work: Workshop, latency: Latency) -> None:
    early = work.checks.get("early_latency_ms")
    if early is not None:
        difference = latency.latency_ms / early - 1
        work.checks["early_latency_difference"] = difference
        work.checks["early_latency_agrees"] = abs(difference) <= EARLY_TOLERANCE


def _outcome(
    work: Workshop,
    metrics: dict[str, float],
    latency: Latency,
    violations: dict[str, float],
    deployed: Deployed | None,
) -> TrialOutcome:
    return TrialOutcome(
        status="infeasible" if violations else "complete",
        metrics=metrics,
        latency=latency.to_dict(),
        latency_trusted=latency.trusted,
        violations=violations,
        stages=tuple(work.stages),
        curves=tuple(work.curves),
        checks=work.checks,
        artifact=deployed.folder if deployed else None,
        protocol=f"{PROTOCOL}, flip" if work.config.flip_embedding else PROTOCOL,
    )
