import pytest

from reid.config import Target, TrialConfig
from reid.errors import ConfigError
from reid.quantize import OFFERED, SCHEMES, demand_offered, offered
from reid.registries import check_names
from reid.runtime import RUNTIMES


def test_every_scheme_has_a_row() -> None:
    assert OFFERED.keys() == SCHEMES.keys()


def test_every_runtime_here_offers_fp32_and_static_int8() -> None:
    for runtime, kind in RUNTIMES.items():
        if "cpu" in kind.devices and runtime != "executorch":
            assert {"fp32", "int8-static"} <= {*offered(runtime, "cpu")}
        if "cuda" in kind.devices:
            assert {"fp32", "fp16"} <= {*offered(runtime, "cuda:1")}


@pytest.mark.parametrize("scheme", ["fp32", "int8-dynamic", "int8-static", "int8-qat", "int8-mixed"])
def test_offered_on_the_default_target(scheme: str) -> None:
    check_names(TrialConfig(quantization=scheme))


@pytest.mark.parametrize(
    ("scheme", "runtime", "message"),
    [
        ("fp16", "onnxruntime", r"no fp16.*offered there: fp32, int8-dynamic.*fp16 is offered by .* on cuda"),
        ("fp16", "openvino", r"bf16 is for those too"),
        ("bf16", "onnxruntime", r"no bf16 convolution on CPUs.*bf16 is offered by openvino on cpu"),
        ("int8-static", "executorch", r"cannot cut our quantized graphs .* offered there: fp32;"),
        ("bf16", "torchscript", r"in fp32 or int8; offered there: fp32, int8-static, int8-qat, int8-mixed"),
        ("int8-dynamic", "torchscript-qnnpack", r"ranges found at run time"),
        ("int8-dynamic", "openvino", r"ranges found at run time.*offered there: fp32, bf16, int8-static"),
    ],
)
def test_what_gains_nothing_is_refused_with_the_reason(scheme: str, runtime: str, message: str) -> None:
    config = TrialConfig(quantization=scheme, target=Target(runtime=runtime))
    with pytest.raises(ConfigError, match=message):
        check_names(config)


def test_a_combination_without_a_reason_of_its_own_is_refused_too() -> None:
    with pytest.raises(ConfigError, match=r"int8-qat is not offered .* cuda:0: that combination is not"):
        demand_offered("int8-qat", Target(device="cuda:0"))


@pytest.mark.parametrize("loss", ["triplet", "distill-cosine+softmax", "distill-logit"])
def test_a_loss_that_int8_qat_cannot_compute_is_refused(loss: str) -> None:
    with pytest.raises(ConfigError, match=r"qat_loss .* has no classifier"):
        check_names(TrialConfig(qat_loss=loss))


@pytest.mark.parametrize(
    "values", [{"calibration": "mean"}, {"qat_epochs": 0}, {"qat_learning_rate": 0.0}, {"equalize": 1}]
)
def test_settings_out_of_range_are_named(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        TrialConfig.from_dict(values)


@pytest.mark.parametrize(
    ("scheme", "runtime", "named"),
    [
        ("int8-qat", "onnxruntime", "quantization int8-qat"),
        ("int8-mixed", "openvino", "quantization int8-mixed"),
        ("fp32", "torchscript", "target.runtime torchscript"),
        ("fp32", "executorch", "target.runtime executorch"),
    ],
)
def test_networks_that_torch_cannot_read_back_are_refused(scheme: str, runtime: str, named: str) -> None:
    config = TrialConfig(backbone="swin_t", quantization=scheme, target=Target(runtime=runtime))
    with pytest.raises(ConfigError, match=f"{named} .* knows not all operators of swin_t; take"):
        check_names(config)
    check_names(TrialConfig(backbone="swin_t", quantization="int8-static"))
