"""A timing session holds the study: a search that began meanwhile would commit trials that it does not know."""

from collections.abc import Callable

import pytest

import search.retime
from reid.errors import ResourceError, StudyInUse
from results import Study, StudyLock
from search.retime import retime


def test_no_search_begins_while_a_study_is_timed(
    run_search: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = run_search(2)

    def compare(*_: object) -> None:
        with pytest.raises(StudyInUse), StudyLock(study.path):
            pass
        raise ResourceError("not quiet")

    monkeypatch.setattr(search.retime, "_compare", compare)
    with pytest.raises(ResourceError, match="not quiet"):
        retime(study, print)
    assert len(run_search(3).records()) == 3, "given back"
