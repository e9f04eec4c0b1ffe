"""What the cache takes for the same exported file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from reid.config import Target, TrialConfig
from reid.models import build
from reid.stages import stage_key
from reid.steps.data import TrialData
from reid.steps.dense import Network
from reid.steps.deploy import export_float
from reid.steps.workshop import Workshop


class _Asked(Exception):  # noqa: N818 - it ends the step where the cache is asked
    pass


@dataclass
class _Workshop:
    config: TrialConfig

    def stage(
        self, name: str, version: int, parameters: Mapping[str, Any], inputs: tuple[str, ...], compute: object
    ) -> None:
        raise _Asked(stage_key(name, version, parameters, inputs))


def key(network: Network, **target: Any) -> str:
    work = cast(Workshop, _Workshop(TrialConfig(target=Target(**target))))
    with pytest.raises(_Asked) as asked:
        export_float(work, cast(TrialData, None), network)
    return str(asked.value)


def test_a_file_is_proved_anew_for_every_runtime_and_device() -> None:
    # Parity and accuracy are those of the target's runtime, so a shared cache must not pass them on to another.
    network = Network(model=build("osnet_x0_25", 2), key="dense-1")
    plain = key(network)
    assert key(network, runtime="openvino") != plain
    assert key(network, device="cuda:0") != plain
    assert key(network, threads=2, batch=8) == plain, "these change the speed alone"
