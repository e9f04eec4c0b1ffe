"""What the demo does with latencies that may not be believed; tests/e2e runs its steps for real."""

from pathlib import Path
from typing import Any

import pytest

from results import commit
from search.commands import demo as module
from search.commands.demo import demo
from tests.results.samples import make_record, make_study


@pytest.mark.parametrize(("trusted", "again"), [((True, False), []), ((False, False), ["retime"])])
def test_where_no_latency_is_trusted_all_are_taken_again(
    trusted: tuple[bool, ...], again: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path)
    for number, believed in enumerate(trusted):
        commit(study, make_record(number, latency_trusted=believed))
    called: list[str] = []

    def step(name: str) -> Any:
        return lambda *_, **__: called.append(name)

    for name in ("search", "retime", "report", "pick", "verify"):
        monkeypatch.setattr(module, name, step(name))
    monkeypatch.setattr(module, "_margin_over_untrained", lambda study: "")
    demo(out=tmp_path, trials=len(trusted))
    assert called == ["search", *again, "report", "pick", "verify"]
