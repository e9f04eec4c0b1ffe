"""Keys of stages: equal for equal work, different for anything that matters."""

from pathlib import Path

import pytest

from reid.stages import NoCache, stage_key


def test_key_does_not_depend_on_the_order_of_parameters() -> None:
    assert stage_key("prune", 1, {"a": 1, "b": [2]}, ("x",)) == stage_key(
        "prune", 1, {"b": [2], "a": 1}, ("x",)
    )


@pytest.mark.parametrize(
    "other",
    [
        stage_key("dense", 1, {"a": 1}, ("x",)),
        stage_key("prune", 2, {"a": 1}, ("x",)),
        stage_key("prune", 1, {"a": 2}, ("x",)),
        stage_key("prune", 1, {"a": 1}, ("y",)),
        stage_key("prune", 1, {"a": 1}),
    ],
)
def test_key_follows_everything_that_matters(other: str) -> None:
    assert stage_key("prune", 1, {"a": 1}, ("x",)) != other


def test_without_a_cache_a_failed_stage_leaves_its_work_to_be_continued(tmp_path: Path) -> None:
    cache = NoCache(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "epoch.ckpt").write_text("3")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        cache.get_or_compute("k", fail)
    folder, cached = cache.get_or_compute("k", lambda work: None)
    assert not cached
    assert (folder / "epoch.ckpt").read_text() == "3"
    assert cache.get_or_compute("k", fail) == (folder, True)
