"""torchvision beside whichever torch is installed, in fresh interpreters."""

import importlib.metadata
import subprocess
import sys

import pytest
import torch


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_models_and_transforms_work() -> None:
    done = python(
        "from reid.torchvision_compat import torchvision\n"
        "import torch, torchvision.transforms.v2 as v2\n"
        "assert torchvision.models.resnet18()(torch.zeros(2, 3, 64, 32)).shape == (2, 1000)\n"
        "assert v2.functional.resize(torch.zeros(3, 64, 32), [32, 16]).shape == (3, 32, 16)\n"
        "from reid import torchvision_compat as again\n"
        "assert again.torchvision is torchvision\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.version.cuda is not None, reason="torchvision's operators load beside CUDA torch")
def test_the_remedy_is_applied_only_where_needed() -> None:
    linked_against_cuda = "+cpu" not in importlib.metadata.version("torchvision")
    plain = python("import torchvision")
    assert ("torchvision::nms does not exist" in plain.stderr) == linked_against_cuda
    remedied = python("import reid.torchvision_compat as c; print(hasattr(c, '_declared'))")
    assert remedied.stdout.strip() == str(linked_against_cuda), remedied.stderr
