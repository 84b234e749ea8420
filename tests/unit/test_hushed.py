"""That a secret in anything that is written would be noticed, in whichever test."""

from __future__ import annotations

import logging

import pytest

from tests.conftest import pytest_runtest_makereport
from tests.hushed import KEY_SECRET, TOKEN, leaks


def judged(*sections: tuple[str, str]) -> pytest.TestReport:
    """Return the report on a test that passed, but for what was written during it."""
    report = pytest.TestReport("a", ("a", 1, "a"), {}, "passed", None, "call", sections)
    hook = pytest_runtest_makereport()
    next(hook)
    with pytest.raises(StopIteration) as ended:
        hook.send(report)
    returned: pytest.TestReport = ended.value.value
    return returned


@pytest.mark.parametrize("secret", [KEY_SECRET, TOKEN, "eyJhbGciOiJSUzI1NiJ9.eyJ"], ids=["key", "token", "JWT"])
def test_test_during_which_a_secret_is_logged_fails(secret: str) -> None:
    report = judged(("Captured log call", f"DEBUG urllib3: a line\nDEBUG urllib3: /?Token={secret}"))
    assert report.failed
    assert str(report.longrepr).splitlines() == ["A secret was written:", f"DEBUG urllib3: /?Token={secret}"]


def test_test_during_which_other_things_are_written_passes() -> None:
    assert judged(("Captured log call", "DEBUG urllib3: accessSecret"), ("Captured stdout call", "token")).passed


@pytest.mark.parametrize("name", ["poddnat", "hooks", "urllib3", "kubernetes", "werkzeug", "cheroot"])
def test_all_levels_are_looked_at(name: str) -> None:
    assert logging.getLogger(name).isEnabledFor(logging.DEBUG)


def test_lines_without_a_secret_are_none() -> None:
    assert leaks("accessKey: key\naccessSecret: ...") == []
