"""Networks of the user's own, against the same network of ours where there is one."""

import hashlib
import importlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from reid import plugins
from reid.config import TrialConfig
from reid.errors import ConfigError, ResourceError
from reid.models import ReIDNetwork, build, code_key, count, weights_bytes
from reid.models.own import _blocks, repeated_blocks
from reid.prune import decay, find_units, select, slim, slim_difference
from reid.registries import check_names

HERE = "tests.contract.own_networks"
RESNET, WHOLE = f"{HERE}:resnet18", f"{HERE}:whole"


def _images() -> torch.Tensor:
    return torch.rand(3, 3, 96, 48, generator=torch.Generator().manual_seed(0))


def _settled(network: ReIDNetwork) -> ReIDNetwork:
    """With statistics that are not those of a new network."""
    with torch.no_grad():
        network.train()(_images())
    return network.eval()


def test_with_the_weights_of_ours_it_embeds_as_ours(tmp_path: Path) -> None:
    ours = _settled(build("resnet18", 7))
    save_file(ours.state_dict(), tmp_path / "ours.safetensors")
    own = build(RESNET, 7, weights=tmp_path / "ours.safetensors").eval()
    with torch.inference_mode():
        assert torch.equal(own(_images()), ours(_images()))
    assert own.blocks == tuple(f"body.{name}" for name in ours.blocks)
    assert own.embedding_dim == ours.embedding_dim == 512


def test_its_own_weight_file_fills_it_again(tmp_path: Path) -> None:
    own = _settled(build(WHOLE, 4))
    save_file(own.state_dict(), tmp_path / "own.safetensors")
    again = build(WHOLE, 4, weights=tmp_path / "own.safetensors").eval()
    with torch.inference_mode():
        assert torch.equal(own(_images()), again(_images()))


@pytest.mark.parametrize("scope", ["inner", "grouped"])
def test_it_is_narrowed_where_ours_is(scope: str) -> None:
    networks = [_settled(build(name, 5)) for name in (RESNET, "resnet18")]
    found = []
    for network in networks:
        units = find_units(network, scope)  # type: ignore[arg-type]
        plan = select(network, units, {unit.name: 0.5 for unit in units}, criterion="l1", round_to=8)
        decay(network, units, plan, 0.0)
        small = slim(network, plan)
        assert slim_difference(network, small, plan, _images()) < 1e-5
        found.append((len(units), count(small, (96, 48)).macs))
    assert found[0] == found[1]
    assert found[0][0] > 0


def test_a_whole_network_keeps_its_own_embedding() -> None:
    own = _settled(build(WHOLE, 4))
    assert own.embedding_dim == 20
    assert own.blocks == ("body.1",)
    with torch.inference_mode():
        assert torch.equal(own(_images()), own.get_submodule("body")(_images()))
    found = own.train()(_images())
    assert found.feature is found.embedding
    assert found.logits.shape == (3, 4)
    (unit,) = find_units(own, "inner")
    small = slim(own, select(own, [unit], {unit.name: 0.5}, criterion="l1", round_to=1))
    assert small.embedding_dim == 20


def test_the_same_seed_gives_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build(RESNET, 5).state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_checking_draws_nothing() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    check_names(TrialConfig(backbone=WHOLE, input_size=(72, 40)))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "nowhere:body"}, "module nowhere cannot be imported .* PYTHONPATH"),
        ({"backbone": f"{HERE}:body"}, "own_networks has no function body"),
        ({"backbone": "a-b:c"}, "a backbone is named package.module:function, got 'a-b:c'"),
        ({"backbone": f"{HERE}:fails"}, r"cannot be built \(RuntimeError: no licence file\)"),
        ({"backbone": f"{HERE}:with_a_view", "input_size": (64, 32)}, "fails on images .* view size"),
        (
            {"backbone": f"{HERE}:of_any_width"},
            "gives 8192 numbers for an image of 128x64, and 32768 for one of 256",
        ),
        ({"backbone": f"{HERE}:of_a_wrong_example_size"}, r"example_size must be \(height, width\), got 128"),
        ({"backbone": f"{HERE}:of_wrong_blocks"}, "blocks names 'layer1.0', which is no module"),
        ({"backbone": f"{HERE}:with_a_softplus", "scope": "grouped"}, "an activation that does not keep 0"),
        (
            {"backbone": f"{HERE}:with_a_split", "scope": "grouped"},
            "cannot be narrowed .* set method to none",
        ),
        (
            {"backbone": f"{HERE}:with_attention", "method": "none", "quantization": "int8-qat"},
            r"quantization int8-qat reads the exported file .* operator \w+ has no counterpart",
        ),
        ({"backbone": f"{HERE}:with_a_choice", "method": "none"}, "cannot be exported"),
        ({"backbone": f"{HERE}:with_a_weight_norm", "method": "none"}, "cannot be copied .*parametrizations"),
        ({"backbone": f"{HERE}:gives_nothing"}, "gives NoneType; it must give a torch.nn.Module"),
        ({"backbone": f"{HERE}:gives_a_pair"}, "gives tuple in eval mode; it must give one tensor"),
        (
            {"backbone": f"{HERE}:logits_in_training"},
            r"\(5,\) for an image in training mode and \(4,\) in eval",
        ),
        (
            {"backbone": f"{HERE}:fixed_size", "input_size": (96, 48)},
            "fails on images of 96x48 .* set input_size",
        ),
        ({"backbone": WHOLE, "head": "bnneck"}, "gives vectors, .* no use for head bnneck"),
        ({"backbone": WHOLE, "pooling": "gem"}, "gives vectors, .* no use for pooling gem"),
        ({"backbone": RESNET, "width": 0.5}, "does not offer width"),
        ({"backbone": "resnet81"}, "unknown backbone 'resnet81'; did you mean resnet18"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_names(TrialConfig(**settings))  # type: ignore[arg-type]


def test_a_network_of_one_size() -> None:
    check_names(TrialConfig(backbone=f"{HERE}:fixed_size", input_size=(128, 64)))
    assert find_units(build(f"{HERE}:fixed_size", 3), "grouped")


def test_another_version_of_the_code_is_another_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    for name in ("own_version_one", "own_version_two"):
        (tmp_path / f"{name}.py").write_text(
            f"# {name}\nfrom {HERE} import resnet18 as inner\ndef body(): return inner()\n"
        )
        keys.append(code_key(f"{name}:body").partition("@")[2])
    assert len(set(keys)) == 2
    assert code_key("resnet18") == "resnet18"


def test_blocks_are_the_outermost_of_what_is_repeated() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

    once = nn.Sequential(Outer(), nn.Conv2d(1, 1, 1))
    assert repeated_blocks(once) == ()
    twice = nn.Sequential(nn.Sequential(Outer(), Inner()), Outer())
    assert repeated_blocks(twice) == ("0.0", "0.1", "1")


@pytest.mark.parametrize("name", ["with_a_softplus", "with_a_split"])
def test_what_cannot_be_narrowed_may_be_trained(name: str) -> None:
    check_names(TrialConfig(backbone=f"{HERE}:{name}", method="none"))


@pytest.mark.parametrize("name", ["with_an_unused_layer", "with_attention"])
def test_layers_that_lie_aside_do_not_matter(name: str) -> None:
    check_names(TrialConfig(backbone=f"{HERE}:{name}", scope="grouped"))


def test_what_may_pass_is_no_wrong_configuration() -> None:
    """A ConfigError would be remembered by the cache of stages."""
    with pytest.raises(ResourceError, match=r"cannot be built .*does not answer"):
        build(f"{HERE}:without_its_weights", 3)


def test_layers_that_share_weights_are_saved(tmp_path: Path) -> None:
    network = _settled(build(f"{HERE}:tied", 3))
    (tmp_path / "tied.safetensors").write_bytes(weights_bytes(network))
    again = build(f"{HERE}:tied", 3, weights=tmp_path / "tied.safetensors").eval()
    with torch.inference_mode():
        assert torch.equal(network(_images()), again(_images()))


def test_names_of_a_file_that_look_like_those_of_a_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_names_of_a_head.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    parts = {'body': nn.Conv2d(3, 4, 3), 'bottleneck': nn.BatchNorm2d(4), 'pool': nn.PReLU()}\n"
        "    return nn.Sequential(__import__('collections').OrderedDict(parts))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    theirs = importlib.import_module("own_names_of_a_head").net()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    own = build("own_names_of_a_head:net", 3, weights=tmp_path / "theirs.safetensors")
    for name, value in theirs.state_dict().items():
        assert torch.equal(own.state_dict()[f"body.{name}"], value)


def test_the_code_is_that_of_the_named_module_and_of_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever decorates the function, and wherever it was written; as it was imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_CODES", {})
    inner, outer = tmp_path / "own_inner.py", tmp_path / "own_outer.py"
    inner.write_text(
        f"import torch\nfrom {HERE} import whole\n@torch.no_grad()\ndef body():\n    return whole()\n"
    )
    outer.write_text("import functools\nfrom own_inner import body\npart = functools.partial(body)\n")
    key = code_key("own_inner:body").partition("@")[2]
    assert key == hashlib.sha256(inner.read_bytes()).hexdigest()
    both = [code_key(f"own_outer:{name}").partition("@")[2] for name in ("body", "part")]
    assert both[0] == both[1] != hashlib.sha256(outer.read_bytes()).hexdigest()
    inner.write_text("changed = True\n")
    assert code_key("own_outer:part").partition("@")[2] == both[0]
    plugins._CODES.clear()  # as in another process
    assert code_key("own_outer:part").partition("@")[2] != both[0]


def test_a_file_that_was_mended_is_hashed_as_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "own_mended.py"
    file.write_text("def body(:\n")
    with pytest.raises(ConfigError, match=r"cannot be imported \(SyntaxError.*\)$"):
        code_key("own_mended:body")
    file.write_text("from torch import nn\ndef body():\n    return nn.Identity()\n")
    assert code_key("own_mended:body").partition("@")[2] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_another_attribute_called_blocks_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    network.blocks = [3, 4, 6, 3]  # type: ignore[assignment]
    assert repeated_blocks(network) == _blocks(network, "own:body") == ()
