"""ExecuTorch does what ONNX Runtime does, in floats and in integers."""

import subprocess
import sys
from pathlib import Path

import pytest

from reid.config import Target
from reid.errors import ConfigError
from reid.runtime import PROGRAM_FILE, open_artifact
from reid.runtime.convert import convert
from tests.contract.deployment import tiny_artifact
from tests.contract.runtime import RuntimeContract

pytest.importorskip("executorch", reason="executorch is not installed (an extra)")

TARGET = Target(runtime="executorch")


class TestExecuTorch(RuntimeContract):
    target = TARGET


def test_every_layer_of_the_program_is_xnnpacks(tmp_path: Path) -> None:
    program = convert(tiny_artifact(tmp_path).path, "executorch")[PROGRAM_FILE]
    assert program[4:6] == b"ET"
    assert b"XnnpackBackend" in program
    assert b"convolution" not in program, "a convolution is left to the portable kernels"


def test_a_batch_larger_than_a_chunk(tmp_path: Path) -> None:
    runtime = open_artifact(tiny_artifact(tmp_path).path, Target(runtime="executorch", batch=40))
    runtime.timer()()


def test_another_number_of_threads_is_refused_before_it_crashes(tmp_path: Path) -> None:
    path = tiny_artifact(tmp_path).path
    open_artifact(path, TARGET)
    with pytest.raises(ConfigError, match=r"target\.threads 2: this process runs executorch on 1 already"):
        open_artifact(path, Target(runtime="executorch", threads=2))


def test_without_the_package_it_is_no_device(tmp_path: Path) -> None:
    tiny_artifact(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nsys.modules['executorch'] = None\n"
        "from reid.config import Target\nfrom reid.errors import NoDevice\nfrom reid.runtime import open_artifact\n"
        f"try: open_artifact(Path({str(tmp_path)!r}), Target(runtime='executorch'))\n"
        "except NoDevice as error: assert 'pip install executorch' in str(error)\n"
        "else: raise SystemExit('opened')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
