"""Label selectors read labels as Kubernetes does."""

from __future__ import annotations

import pytest

from poddnat.config.label_selector import LabelSelector, Operator, Requirement


@pytest.mark.parametrize(
    ("operator", "labels", "fits"),
    [
        (Operator.IN, {"tier": "game"}, True),
        (Operator.IN, {"tier": "web"}, False),
        (Operator.IN, {}, False),
        (Operator.NOT_IN, {"tier": "game"}, False),
        (Operator.NOT_IN, {"tier": "web"}, True),
        (Operator.NOT_IN, {}, True),
        (Operator.EXISTS, {"tier": ""}, True),
        (Operator.EXISTS, {}, False),
        (Operator.DOES_NOT_EXIST, {"tier": ""}, False),
        (Operator.DOES_NOT_EXIST, {}, True),
    ],
)
def test_requirement_matches(operator: Operator, labels: dict[str, str], fits: bool) -> None:  # noqa: FBT001
    values = ("game", "lobby") if operator.takes_values else ()
    assert Requirement("tier", operator, values).matches(labels) is fits


def test_selector_wants_all_its_requirements_fulfilled() -> None:
    selector = LabelSelector((Requirement("tier", Operator.IN, ("game",)), Requirement("old", Operator.DOES_NOT_EXIST)))
    assert selector.matches({"tier": "game"})
    assert not selector.matches({"tier": "game", "old": ""})


def test_selector_is_written_as_kubectl_writes_it() -> None:
    requirements = (
        Requirement("tier", Operator.IN, ("game", "lobby")),
        Requirement("stage", Operator.NOT_IN, ("test",)),
        Requirement("public", Operator.IN, ("true",)),
        Requirement("team", Operator.EXISTS),
        Requirement("old", Operator.DOES_NOT_EXIST),
    )
    assert str(LabelSelector(requirements)) == "tier in (game,lobby),stage notin (test),public=true,team,!old"
