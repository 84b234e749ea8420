"""The page of recipes: what its manifests ask for is understood, and what its commands read is there."""

from __future__ import annotations

import re
from typing import Any

import yaml

from poddnat.api.annotations import RESULT, parse
from tests.unit.docs.pages import blocks, page, section
from tests.unit.hooks.world import EIP, EXPOSE_80, World, running

RECIPES = page("users/recipes")


def read(path: str, content: Any) -> str:
    """Follow one of kubectl's paths, such as {.status.entries[0].externalIP}."""
    for key, index in re.findall(r"\.(\w+)(?:\[(\d+)\])?", path):
        content = content[key][int(index)] if index else content[key]
    assert isinstance(content, str)
    return content


def test_paths_that_the_commands_read_are_in_a_poddnat() -> None:
    paths = {
        path
        for block in blocks(RECIPES, "sh")
        for text in re.findall(r"jsonpath='([^']+)'", block)
        for path in text.split(":")
    }
    with running() as world:
        poddnat = exposed(world)
        assert {read(path, poddnat) for path in paths} == {EIP, "512"}


def exposed(world: World) -> dict[str, Any]:
    return world.expose(world.make_pod(EXPOSE_80))


def test_pods_of_the_fleet_ask_for_the_port_that_the_game_server_has() -> None:
    (fleet,) = map(yaml.safe_load, blocks(section(RECIPES, "Agones"), "yaml"))
    game_server = fleet["spec"]["template"]["spec"]
    exposure = parse(game_server["template"]["metadata"]["annotations"])
    assert exposure is not None
    assert exposure.prefer_own
    (port,) = game_server["ports"]
    assert [str(item) for item in exposure.items] == [f"{port['containerPort']}/{port['protocol'].lower()}"]
    (volume,) = game_server["template"]["spec"]["volumes"]
    assert volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == f"metadata.annotations['{RESULT}']"
