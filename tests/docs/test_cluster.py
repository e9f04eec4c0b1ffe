"""docs/cluster.md: the token, two machines by hand (here two raylets of one machine), and a search that joins them."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from results import open_study
from tests.docs.blocks import ROOT, blocks, commands
from tests.docs.test_commands import small
from tests.docs.world import make_world

DOCUMENT = ROOT / "docs" / "cluster.md"
BLOCKS = blocks(DOCUMENT)
COMMANDS = [command.text for block in BLOCKS if block.language == "sh" for command in commands(block)]


def command(start: str) -> str:
    """The first one that begins like this."""
    return next(text for text in COMMANDS if text.startswith(start))


@contextmanager
def running(text: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command of the shell that stays, with all that it starts."""
    process = subprocess.Popen(
        text,
        shell=True,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the head did not come up")


@pytest.mark.ray
@pytest.mark.e2e
def test_two_machines_by_hand(tmp_path: Path) -> None:
    make_world(tmp_path)
    port = free_port()
    ray_files = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the path of a socket has 107 bytes at most
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    (tmp_path / "home").mkdir()
    here = {"10.0.0.1": "127.0.0.1", "6379": str(port), "/shared/": f"{tmp_path}/shared/"}

    def told(start: str) -> str:
        text = command(start)
        for there, ours in here.items():
            text = text.replace(there, ours)
        return text

    subprocess.run(told("(umask 077"), shell=True, check=True, env=environment)
    token = tmp_path / "home" / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    head, other = (
        told(f"RAY_AUTH_MODE=token RAY_worker_niceness=0 ray start {o}") for o in ("--head", "--add")
    )
    search = shlex.join(["reid-pareto", *small(shlex.split(told("reid-pareto search"))[1:])])
    try:
        with running(f"{head} --num-cpus=1 --temp-dir={ray_files} --block", environment) as first:
            wait_for(port)
            with running(f"{other} --num-cpus=1 --block", environment) as second:
                searched = subprocess.run(
                    f"{told('export RAY_AUTH_MODE')}; {search} --trials 2",
                    shell=True,
                    env={**environment, "REID_PARETO_LOCKS": str(tmp_path)},
                    capture_output=True,
                    text=True,
                    timeout=600,
                    check=False,
                )
                assert searched.returncode == 0, searched.stdout + searched.stderr
                assert (first.poll(), second.poll()) == (None, None)
    finally:
        shutil.rmtree(ray_files, ignore_errors=True)
    records = open_study(tmp_path / "shared" / "studies" / "market").records()
    assert {record.status for record in records} <= {"complete", "infeasible"}
    assert len(records) == 2


def test_the_job_of_slurm_and_the_cluster_of_kubernetes_are_well_formed() -> None:
    script = next(block.text for block in BLOCKS if block.text.startswith("#!/bin/bash"))
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    kinds = [part["kind"] for b in BLOCKS if b.language == "yaml" for part in yaml.safe_load_all(b.text)]
    assert "RayCluster" in kinds
