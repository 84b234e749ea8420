"""AccessKeys that are replaced while the server runs, in the file that kubelet mounts."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metacontroller_standin.waiting import wait_until
from poddnat.config import ValuesFile
from tests.unit.hooks.world import EXPOSE_80, KEY, OTHER_KEY, World, answer, condition, running, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Mount:
    """A Secret as kubelet mounts it: a new version is a folder of its own, to which a link is moved."""

    def __init__(self, folder: Path, world: World) -> None:
        self._folder = folder
        self._url = world.values.endpoints.vpc or ""
        self._versions = 0
        self.file = folder / "values.yaml"
        self.file.symlink_to("..data/values.yaml")
        self.write(KEY)

    def write(self, key: str) -> None:
        """Put another key into the values."""
        self._versions += 1
        version = self._folder / f"..{self._versions}"
        version.mkdir()
        content = values(self._url)
        content["credential"]["accessKey"] = key
        (version / "values.yaml").write_text(json.dumps(content))
        link = self._folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._folder / "..data")


@contextmanager
def mounted(world: World, folder: Path) -> Iterator[Mount]:
    mount = Mount(folder, world)
    followed = ValuesFile(mount.file, world.values, world.service.apply, interval=0.02)
    followed.start()
    yield mount
    followed.stop()


def test_key_is_replaced_without_a_failed_call(tmp_path: Path) -> None:
    with running() as world, mounted(world, tmp_path) as mount:
        first = world.expose(world.make_pod(EXPOSE_80))
        gateways_read = world.emulator.calls.count("DescribeNatGateways")
        mount.write(OTHER_KEY)
        # They are read again with the new values.
        wait_until(lambda: world.emulator.calls.count("DescribeNatGateways") > gateways_read, 10, "the new values")
        world.emulator.revoke_credential(KEY)
        world.expose(world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8"))
        world.finalized(first)
        assert {call.outcome for call in world.emulator.calls} == {"OK"}
        assert world.warnings() == []


def test_key_that_is_revoked_first_is_reported_and_its_successor_heals_without_further_ado(tmp_path: Path) -> None:
    with running() as world, mounted(world, tmp_path) as mount:
        working = world.expose(world.make_pod(EXPOSE_80))
        pod = world.make_pod(EXPOSE_80, name="web-2", ip="172.16.1.8")
        waiting = world.make_poddnat(world.attachment(pod)["spec"], owner=pod, name="web-2")
        world.emulator.revoke_credential(KEY)
        status, reason, message = condition(answer(lambda: world.sync_poddnat(waiting)))
        assert (status, reason) == ("False", "AccessDenied")
        assert "InvalidAccessKeyId.NotFound" in message
        assert "an operator has to mend them" in message
        assert world.warnings() == [("PodDNAT", "AccessDenied")]
        assert condition(answer(lambda: world.sync_poddnat(working)))[1] == "Ready"

        mount.write(OTHER_KEY)
        wait_until(lambda: condition(answer(lambda: world.sync_poddnat(waiting)))[1] == "Ready", 10, "it to work")
        assert len(world.entries()) == 2
