"""A world in which pods are explained: the cloud, a cluster with what calls the hooks, and the command."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from typer.testing import CliRunner, Result

from metacontroller_standin.kinds import CONTROLLER_KINDS
from metacontroller_standin.kubeconfig import kubeconfig
from metacontroller_standin.manifests import is_controller
from poddnat.cli.commands import app
from poddnat.files import MANIFESTS
from tests.hushed import leaks
from tests.unit.hooks import world as small

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.hooks.world import World

CRD = yaml.safe_load((MANIFESTS / "crd.yaml").read_text(encoding="utf-8"))
CONTROLLERS = [
    one
    for one in yaml.safe_load_all((MANIFESTS / "controllers.yaml").read_text(encoding="utf-8"))
    if is_controller(one)
]


@dataclass
class Explainer:
    """Runs the command on a world."""

    world: World
    values: Path
    kubeconfig: Path

    def run(self, *options: str, values: bool = True) -> Result:
        """Explain a pod as people do."""
        known = ["--values", str(self.values)] if values else []
        where = ["--kubeconfig", str(self.kubeconfig)]
        result = CliRunner().invoke(app, ["explain", *known, *where, *(options or ("default/web-1",))])
        assert leaks(result.output) == []
        return result

    def links(self, *options: str, values: bool = True) -> dict[str, tuple[str, str]]:
        """Explain a pod as programs do; return state and text of each link."""
        result = self.run(*(options or ("default/web-1",)), "-o", "json", values=values)
        content = json.loads(result.stdout)
        links = {link["link"]: (link["state"], link["text"]) for link in content["links"]}
        broken = [name for name, (state, _) in links.items() if state == "wrong"]
        assert (content["brokenLink"], content["reachable"]) == (broken[0] if broken else None, not broken)
        assert result.exit_code == (1 if broken else 0)
        return links

    def broken(self, *options: str, values: bool = True) -> tuple[str, str]:
        """Explain a pod that can't be reached; return the name and the text of the link that is wrong."""
        links = self.links(*options, values=values)
        (name,) = [name for name, (state, _) in links.items() if state == "wrong"]
        after = list(links)[list(links).index(name) + 1 :]
        assert {links[one] for one in after} <= {("skipped", "")}
        return name, links[name][1]

    def change_values(self, *, entry: dict[str, Any] | None = None, network: dict[str, Any] | None = None) -> None:
        """Write other values, for the command and for the server."""
        url = self.world.values.endpoints.vpc
        assert url is not None
        self.values.write_text(yaml.safe_dump(small.values(url, entry=entry, network=network)))
        self.world.change_values(entry=entry, network=network)


@contextmanager
def explaining(world: World, folder: Path) -> Iterator[Explainer]:
    """Write the files that the command needs, and install Metacontroller's controllers."""
    for kind in CONTROLLER_KINDS:
        world.memory.register(kind)
    for controller in CONTROLLERS:
        world.api.create(world.api.resource_of(controller), controller)
    url = world.values.endpoints.vpc
    assert url is not None
    values, path = folder / "values.yaml", folder / "kubeconfig"
    values.write_text(yaml.safe_dump(small.values(url)))
    path.write_text(yaml.safe_dump(kubeconfig(world.memory.url)))
    yield Explainer(world, values, path)
