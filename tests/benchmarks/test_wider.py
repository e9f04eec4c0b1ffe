"""A widened network computes what the narrow one does, whatever the widths."""

import pytest
import torch

from benchmarks.market_study.wider import widened
from reid.models import ReIDNetwork, build

NARROW = "osnet_x0_25"


def _network(name: str) -> ReIDNetwork:
    torch.manual_seed(0)
    network = build(name, 5)
    with torch.no_grad():
        network(torch.rand(8, 3, 64, 32))
    return network.eval()


@pytest.mark.parametrize("name", ["osnet_x0_5", "osnet_x0_75", "osnet_x1_0"])
def test_the_embedding_stays(name: str) -> None:
    narrow, wide = _network(NARROW), _network(name)
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict(), torch.Generator().manual_seed(1)))
    images = torch.rand(3, 3, 96, 48)
    with torch.inference_mode():
        torch.testing.assert_close(wide(images), narrow(images), atol=1e-4, rtol=1e-4)


def test_copies_share_unevenly() -> None:
    narrow, wide = _network(NARROW), _network("osnet_x0_5")
    weight = widened(narrow.state_dict(), wide.state_dict(), torch.Generator())["conv2.0.conv1.conv.weight"]
    first, second = weight[:, :16], weight[:, 16:]
    assert not torch.isclose(first, second).any(dim=1).all()
    torch.testing.assert_close((first + second)[: narrow.get_parameter("conv2.0.conv1.conv.weight").shape[0]],
                               narrow.get_parameter("conv2.0.conv1.conv.weight"))  # fmt: skip


def test_a_narrower_network_is_refused() -> None:
    narrow, wide = _network(NARROW), _network("osnet_x0_5")
    with pytest.raises(ValueError, match=r"conv1.conv.weight is \(32, 3, 7, 7\) in the narrow network"):
        widened(wide.state_dict(), narrow.state_dict(), torch.Generator())
