"""Metrics of one's own: what they are given, and what is refused before and after they run."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.errors import ConfigError
from reid.evaluate import Protocol, Retrieval, rank
from reid.evaluate.labelled import Labelled
from reid.evaluate.plugin import apply_metric, load_metric

MODULE = """
import numpy as np
from reid.evaluate import rank

def mean_ap(*arrays):
    return rank(*arrays).mAP

def several(query_features, query_ids, query_cameras, gallery_features, gallery_ids, gallery_cameras):
    return {"queries": len(query_ids), "junk": np.sum(gallery_ids == -1)}

def five(a, b, c, d, e): return 0.0
def nothing(a, b, c, d, e, f): return None
def not_finite(a, b, c, d, e, f): return float("nan")
def words(a, b, c, d, e, f): return {"x": "much"}
def broken(a, b, c, d, e, f): raise KeyError("gone")
def leaving(a, b, c, d, e, f): raise SystemExit(0)
def greedy(*arrays):
    for array in arrays: array[:] = 0
    return 1.0
constant = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "metric_of_my_own"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "does_not_parse.py").write_text("def (")
    (tmp_path / "a_script.py").write_text("raise SystemExit(0)")
    (tmp_path / "a_package").mkdir()
    (tmp_path / "a_package" / "__init__.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def found() -> Retrieval:
    rng = np.random.default_rng(0)
    query = Labelled.check("query", rng.standard_normal((4, 3)), [1, 2, 3, 1], [1] * 4)
    gallery = Labelled.check("gallery", rng.standard_normal((9, 3)), [1, 2, 3, 1, 2, 3, -1, -1, 0], [2] * 9)
    return Retrieval.of(query, gallery, Protocol())


def test_a_metric_gets_what_rank_gets(module: str) -> None:
    given = found()
    sides = (given.query, given.gallery)
    expected = rank(*(array for side in sides for array in (side.features, side.ids, side.cameras)))
    path = f"{module}:mean_ap"
    assert apply_metric(load_metric(path), path, given) == {"mean_ap": expected.mAP}


def test_a_metric_may_name_its_values(module: str) -> None:
    path = f"{module}:several"
    values = apply_metric(load_metric(path), path, found())
    assert values == {"queries": 4.0, "junk": 2.0}
    assert all(type(value) is float for value in values.values())


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("metric_of_my_own", "package.module:function"),
        ("metric_of_my_own:", "package.module:function"),
        ("../evil:run", "package.module:function"),
        ("no_such_module:f", "no_such_module cannot be imported.*PYTHONPATH"),
        ("does_not_parse:f", "cannot be imported .SyntaxError"),
        ("a_package.module:f", "cannot be imported .SystemExit"),
        ("a_script:f", "cannot be imported .SystemExit"),
        ("metric_of_my_own:absent", "has no function absent"),
        ("metric_of_my_own:constant", "has no function constant"),
        ("metric_of_my_own:five", "must take six positional arguments"),
    ],
)
def test_a_wrong_path_or_signature_is_refused_before_any_work(module: str, path: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_metric(path)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("nothing", "gave NoneType for nothing"),
        ("not_finite", "must be finite"),
        ("words", "gave str for x"),
        ("broken", "failed: KeyError"),
        ("leaving", "failed: SystemExit: 0"),
    ],
)
def test_a_wrong_value_is_refused(module: str, name: str, named: str) -> None:
    path = f"{module}:{name}"
    metric: Any = load_metric(path)
    with pytest.raises(ConfigError, match=named):
        apply_metric(metric, path, found())


def test_what_a_metric_does_to_its_arrays_stays_with_it(module: str) -> None:
    given, untouched = found(), found()
    assert apply_metric(load_metric(f"{module}:greedy"), f"{module}:greedy", given) == {"greedy": 1.0}
    for side, before in ((given.query, untouched.query), (given.gallery, untouched.gallery)):
        for name in ("features", "ids", "cameras"):
            np.testing.assert_array_equal(getattr(side, name), getattr(before, name))
