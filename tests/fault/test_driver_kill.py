"""Rows D1, D5, D8 and X10 of docs/faults.md: drivers and workers are really killed, Ray is looked at from outside.

The trials are fakes (tests/search/fake_trial.py); driver, Ray, workers and study are the real ones.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results import open_study
from tests.fault.drive import Drive, attempts, committed, finish, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.fault]


def descendants(pid: int) -> set[int]:
    """Processes below `pid`, from /proc."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def test_d1_a_driver_killed_five_times_leaves_sixteen_trials(
    tmp_path: Path, drive: Drive, executions: Path
) -> None:
    """D1: nothing is lost, nothing is repeated once committed, nothing is left running."""
    rng = random.Random()
    study, kept, reruns = tmp_path / "study", {}, 0
    for kill in range(5):
        before = sum(attempts(executions).values())
        driver = drive(16)
        wait_until(lambda seen=before: sum(attempts(executions).values()) > seen, driver)
        time.sleep(rng.uniform(0, 0.8))
        driver.kill()
        driver.communicate()
        now = committed(study)
        assert kept.items() <= now.items(), f"kill {kill} changed a committed record"
        kept = now
        reruns += len(open_study(study).started())
    ran_before = attempts(executions)
    driver = drive(16)
    said = finish(driver)
    assert driver.returncode == 0, said
    done = open_study(study)
    assert kept.items() <= committed(study).items()
    assert [record.number for record in done.records()] == list(range(16))
    assert done.started() == ()
    assert done.damaged() == ()
    for record in done.records():
        done.artifact(record.number)
    ran = attempts(executions)
    assert all(ran[number] == ran_before[number] for number in kept), "a committed trial ran again"
    assert sum(ran[number] - 1 for number in range(16)) <= reruns


def is_ours(pid: int) -> bool:
    try:
        return b"ray::" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("options", [(), ("--ray-first",)], ids=["ours", "imported before"])
def test_x10_ray_listens_on_loopback_asks_for_a_token_and_ends_with_its_driver(
    tmp_path: Path, drive: Drive, executions: Path, options: tuple[str, ...]
) -> None:
    """X10, D8 and D5: looked at from outside while it runs, then stopped and killed."""
    driver = drive(16, *options, sleep_s=30.0)
    wait_until(lambda: attempts(executions), driver)
    family = descendants(driver.pid)

    listening = {address: pid for pid in family for address in listening_addresses(pid)}
    assert len(listening) >= 4
    assert {host for host, _ in listening} == {"127.0.0.1"}
    gcs = next(
        port
        for (_, port), pid in listening.items()
        if b"gcs_server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    assert "AuthenticationError" in knock(gcs, token="wrong")
    assert (tmp_path / "study").stat().st_mode & 0o077 == 0

    start = time.monotonic()
    second = drive(16)
    said = finish(second)
    assert second.returncode == 4, said
    assert f"process {driver.pid} on {socket.gethostname()}" in said
    assert time.monotonic() - start < 15  # imports included; the lock itself gives up after a second

    driver.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    assert driver.poll() is None, "it gives the running trial time"
    start = time.monotonic()
    driver.send_signal(signal.SIGINT)
    said = finish(driver)
    assert driver.returncode == 130
    assert time.monotonic() - start < 3.0
    assert "stopping: no new trials" in said

    workers = {int(path.name.rsplit("-", 1)[1]) for path in executions.iterdir()}
    deadline = time.monotonic() + 15
    while any(is_ours(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.1)


def test_d5_an_interrupt_commits_trials_that_end_in_time(
    tmp_path: Path, drive: Drive, executions: Path
) -> None:
    """D5, once."""
    driver = drive(16, sleep_s=1.0)
    wait_until(lambda: attempts(executions)[0], driver)
    driver.send_signal(signal.SIGINT)
    said = finish(driver)
    assert driver.returncode == 130, said
    study = open_study(tmp_path / "study")
    ran = {number for number in attempts(executions) if number >= 0}
    assert {record.number for record in study.records()} == ran
    assert study.started() == ()
    assert (tmp_path / "study" / "trials.parquet").exists()


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    """(host, port) of every listening TCP socket of a process; IPv4 also where mapped into IPv6."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A":
                inodes[f"socket:[{fields[9]}]"] = fields[1]
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            address = inodes.get(os.readlink(descriptor))
        except OSError:
            continue
        if address is not None:
            host, port = address.split(":")
            found.add((_host(host), int(port, 16)))
    return found


def _host(text: str) -> str:
    if len(text) == 8 or text.startswith("0000000000000000FFFF0000"):
        return socket.inet_ntoa(bytes.fromhex(text[-8:])[::-1])
    return text


def knock(port: int, token: str) -> str:
    """What becomes of a caller with another token."""
    code = (
        "from ray._raylet import GcsClient\n"
        "try:\n"
        f"    GcsClient(address='127.0.0.1:{port}').check_alive([], timeout=3)\n"
        "    print('let in')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout
