from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from metacontroller_standin.standin import StandIn
from tests.unit.standin.behaviours import BEHAVIOURS, Play

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacontroller_standin.api import Api

Json = dict[str, Any]


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
def test_over_the_in_memory_api(behaviour: Callable[[Play], None], api: Api) -> None:
    with ExitStack() as running:

        def apply(manifests: list[Json]) -> None:
            running.enter_context(StandIn(api, manifests))

        Play(api, "default", apply, running.close).run(behaviour)
