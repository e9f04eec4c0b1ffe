"""Studies of networks of the user's own: one study, one version of their code."""

from pathlib import Path

import pytest

from reid import plugins
from reid.config import TrialConfig
from reid.errors import ConfigError, NotHere
from reid.plugins import code_of
from search.halving import HalvingSettings, with_evaluations
from search.opening import Data, open_or_create
from search.trial import _demand_code
from spaces import Space
from tests.search.conftest import make_space


def _open(path: Path, space: Space) -> dict[str, object]:
    data = Data(name="synthetic", root=path, fingerprint="fake")
    return dict(open_or_create(path / "study", space, data, seed=None, sampler=None).definition)


@pytest.mark.parametrize("place", ["fixed", "searched"])
def test_a_study_of_changed_code_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_CODES", {})
    name = f"own_code_{place}"
    (tmp_path / f"{name}.py").write_text("from tests.contract.own_networks import whole as body\n")
    space = make_space(fixed={"method": "bafd", "backbone": f"{name}:body"})
    if place == "searched":
        parameters = make_space().to_dict()["parameters"] | {
            "backbone": {"choice": ["resnet18", f"{name}:body"]}
        }
        space = make_space(fixed={"method": "bafd"}, parameters=parameters)
    begun = _open(tmp_path, space)
    assert list(begun["code"]) == [f"{name}:body"]  # type: ignore[call-overload]
    assert _open(tmp_path, space) == begun
    with (tmp_path / f"{name}.py").open("a") as file:
        file.write("# another version\n")
    plugins._CODES.clear()  # as in another process
    with pytest.raises(ConfigError, match=f"the file of {name}:body has changed since .* was begun"):
        _open(tmp_path, space)


@pytest.mark.parametrize(
    ("setting", "name"), [("weights", "w.pth"), ("teacher", "t.onnx"), ("teacher", "t.xml")]
)
def test_a_study_goes_on_with_the_files_that_it_was_begun_with(
    setting: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative name means another file in another folder, and a file may be overwritten."""
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_text("x" if name == "t.xml" else place)
        (tmp_path / place / "t.bin").write_text(place)
    space = make_space(fixed={"method": "bafd", setting: name})
    monkeypatch.chdir(tmp_path / "a")
    begun = _open(tmp_path, space)
    assert _open(tmp_path, space) == begun
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(ConfigError, match=f"^{name}.* is another file than when .*study was begun"):
        _open(tmp_path, space)


def test_a_study_of_our_networks_knows_no_code(tmp_path: Path) -> None:
    assert "code" not in _open(tmp_path, make_space())


def test_other_rungs_are_refused_by_the_option(tmp_path: Path) -> None:
    rungs = with_evaluations(make_space(), HalvingSettings(grace_epochs=3))
    _open(tmp_path, rungs)
    for other in (make_space(), with_evaluations(make_space(), HalvingSettings(grace_epochs=2))):
        with pytest.raises(
            ConfigError, match=r"validate_every 3, not .*--scheduler asha sets it to --grace-epochs"
        ):
            _open(tmp_path, other)


def test_a_worker_with_other_code_runs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_on_a_node.py").write_text("from tests.contract.own_networks import whole as body\n")
    name = "own_on_a_node:body"
    _demand_code(TrialConfig(backbone=name), {name: code_of(name, "backbone")})
    _demand_code(TrialConfig(), {name: "another"})
    with pytest.raises(
        NotHere, match=f"the file of {name} on .* is not the one that the study was begun with"
    ):
        _demand_code(TrialConfig(backbone=name), {name: "another"})
