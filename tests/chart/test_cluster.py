"""A release's life on a real API server, by the commands that the pages have."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from metacontroller_standin.api import ApiError, name_of
from metacontroller_standin.manifests import point_at
from metacontroller_standin.standin import StandIn
from metacontroller_standin.waiting import wait_until
from tests.chart import sources
from tests.chart.clone import example
from tests.chart.helm import Helm, values_in
from tests.chart.sources import BASE, CHART
from tests.e2e.replicas import Door, Node
from tests.e2e.runners import CRDS
from tests.e2e.site import UsersPods
from tests.e2e.world import SYSTEM, read
from tests.unit.docs.pages import blocks, commands, page, section
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, RESULT, STATUS, cloud, values
from vpc_emulator import EmulatorServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.controlplane import ControlPlane

Json = dict[str, Any]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]

INSTALLATIONS, INSTALLING, SECURITY, SIZE, UNINSTALL, UPGRADING = (
    page(f"operators/{name}") for name in ("installations", "install", "security", "size", "uninstall", "upgrade")
)
INSTALL = ["install", "poddnat", str(CHART), f"--namespace={SYSTEM}", "--create-namespace"]
UPGRADE = ["upgrade", "poddnat", str(CHART), f"--namespace={SYSTEM}"]
CONTROLLERS = "decoratorcontrollers,compositecontrollers"
NAME_OF_CRD = "poddnats.alibabacloud.com"


@pytest.fixture
def helm(plane: ControlPlane, tmp_path: Path) -> Helm:
    return Helm(sources.helm_program(), tmp_path / "helm", plane.kubeconfig)


def clone(folder: Path, values_file: Path = sources.ACK_VALUES) -> Path:
    """Make what the pages' commands find in a clone, with a values file beside it."""
    here = folder / "clone"
    if not here.exists():
        here.mkdir()
        (here / "metacontroller").symlink_to(BASE)
        (here / "ack-values.yaml").symlink_to(values_file)
    return here


def shell(plane: ControlPlane, helm: Helm, folder: Path, text: str) -> str:
    """Run a text's blocks of shell, one after the other, in a clone; return what they print."""
    programs = folder / "programs"
    if not programs.exists():
        programs.mkdir()
        (programs / "kubectl").symlink_to(plane.kubectl_program)
        (programs / "helm").symlink_to(helm.program)
    environment = {
        **os.environ,
        "KUBECONFIG": str(plane.kubeconfig),
        "PATH": f"{programs}:{os.environ['PATH']}",
        **{f"HELM_{kind}_HOME": str(helm.home / kind) for kind in ("CACHE", "CONFIG", "DATA")},
    }
    command = ["bash", "-euo", "pipefail", "-c", "\n".join(blocks(text, "sh"))]
    done = subprocess.run(
        command, cwd=clone(folder), env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Installed:
    """The release's pods, as programs, and who calls them."""

    plane: ControlPlane
    node: Node
    callers: dict[str, StandIn]
    """By the name of the controller."""

    def follow(self) -> None:
        """Let only those controllers call that the API server still has."""
        there = {name.rpartition("/")[2] for name in names(self.plane, CONTROLLERS)}
        for name in set(self.callers) - there:
            self.callers.pop(name).stop()


@contextmanager
def running(plane: ControlPlane, folder: Path) -> Iterator[Installed]:
    """Run the release's pods, and who calls them."""
    folder.mkdir()
    # The values file is the one that the chart made.
    with Node(plane, values_given(plane), folder) as node, Door(plane.api, node) as door:

        def is_active() -> bool:
            # An earlier release's EndpointSlice may be there still.
            leads_to = door.leads_to()
            return any(one.ip == leads_to and one.is_ready("/readyz") for one in list(node.containers.values()))

        wait_until(is_active, 60, "a replica to be active")
        plane.kubectl("rollout", "status", "deployment/poddnat", f"--namespace={SYSTEM}", "--timeout=90s")
        controllers = json.loads(plane.kubectl("get", CONTROLLERS, "--output=json"))["items"]
        callers = {name_of(one): StandIn(plane.api, [one]) for one in point_at(controllers, door.url)}
        for caller in callers.values():
            caller.start()
        try:
            yield Installed(plane, node, callers)
        finally:
            while callers:
                callers.popitem()[1].stop()


def values_given(plane: ControlPlane) -> Json:
    secret = plane.api.get(plane.api.resource("v1", "secrets"), "poddnat-values", SYSTEM)
    return values_in(secret)


def names(plane: ControlPlane, kinds: str, *arguments: str) -> list[str]:
    return plane.kubectl("get", kinds, "--output=name", *arguments).split()


def uid(plane: ControlPlane, kind: str, name: str, *arguments: str) -> str:
    return plane.kubectl("get", kind, name, "--output=jsonpath={.metadata.uid}", *arguments)


def test_release_from_its_installation_to_its_end(plane: ControlPlane, helm: Helm, tmp_path: Path) -> None:
    addresses = (f"172.16.1.{number}" for number in range(1, 15))
    with EmulatorServer(cloud(settle_seconds=0.2)) as sky, UsersPods(plane.api, addresses, node="node-2"):
        file = tmp_path / "ack-values.yaml"
        given = values(sky.url)
        file.write_text(yaml.safe_dump(given))
        plane.install_crds(*read(CRDS))

        clone(tmp_path, file)
        began = time.monotonic()
        *first, last = section(INSTALLING, "poddnat").split("```sh\n")[1].split("```")[0].splitlines()
        assert last == "kubectl -n poddnat-system rollout status deployment/poddnat"  # Done below.
        notes = shell(plane, helm, tmp_path, "```sh\n{}\n```".format("\n".join(first)))
        assert "--client-go-qps=100 --client-go-burst=200 --workers=8" in notes
        with running(plane, tmp_path / "first") as installed:
            expose(plane, "web")
            shown = plane.kubectl("get", "pdnat")
            print(f"\n{notes}\n{shown}\nsince helm install: {time.monotonic() - began:.1f} s")  # noqa: T201
            assert EIP in shown
            kept = uid(plane, "crd", NAME_OF_CRD), uid(plane, "pdnat", "web")

            # Other values: the Secret and the Deployment follow, and nothing else.
            given["networkController"]["natGwPool"][0]["portRangeEnd"] = 2000
            file.write_text(yaml.safe_dump(given))
            shell(plane, helm, tmp_path, UPGRADING)
            assert values_given(plane) == given
            plane.kubectl("rollout", "status", "deployment/poddnat", f"--namespace={SYSTEM}", "--timeout=90s")
            assert kept == (uid(plane, "crd", NAME_OF_CRD), uid(plane, "pdnat", "web"))
            assert status(plane, "web") == "Ready"
            entries = sky.emulator.forward_entries(GATEWAY)

            # Uninstalled without being drained: public ports go on working.
            uninstall(helm, installed)
        assert kept == (uid(plane, "crd", NAME_OF_CRD), uid(plane, "pdnat", "web"))
        assert sky.emulator.forward_entries(GATEWAY) == entries

        # A new installation takes them over.
        assert "image poddnat:0.1.0 has no registry" in helm(*INSTALL, f"--values={file}")
        with running(plane, tmp_path / "second") as installed:
            assert kept == (uid(plane, "crd", NAME_OF_CRD), uid(plane, "pdnat", "web"))
            expose(plane, "web-2")
            assert status(plane, "web") == "Ready"
            assert entries[0] in sky.emulator.forward_entries(GATEWAY)
            uninstall_as_documented(helm, installed)
        assert sky.emulator.forward_entries(GATEWAY) == []
        assert sky.emulator.bugs == []
    check_that_nothing_is_left(plane, pods=2)


def uninstall(helm: Helm, installed: Installed) -> None:
    helm("uninstall", "poddnat", f"--namespace={SYSTEM}")
    wait_until(lambda: not installed.node.containers, 60, "the server to end")


def uninstall_as_documented(helm: Helm, installed: Installed) -> None:
    # tests/e2e/test_uninstall.py drains with the program.
    steps = commands(section(UNINSTALL, "Without the program")) + commands(section(UNINSTALL, "With Helm"))
    for program, *arguments in steps:
        if program == "helm":
            assert arguments == ["uninstall", "poddnat", "--namespace", SYSTEM]
            uninstall(helm, installed)
        else:
            assert program == "kubectl"
            # Kubernetes takes five seconds for the end of a namespace.
            wait = ["--wait=false"] if arguments[:2] == ["delete", "namespace"] else []
            installed.plane.kubectl(*arguments, *wait)
        installed.follow()


def check_that_nothing_is_left(plane: ControlPlane, pods: int) -> None:
    kinds = (
        f"customresourcedefinitions,clusterroles,clusterrolebindings,{CONTROLLERS},"
        "validatingadmissionpolicies,validatingadmissionpolicybindings"
    )
    assert not [name for name in names(plane, kinds) if "dnat" in name]
    left = json.loads(plane.kubectl("get", "pods", "--output=json"))["items"]
    assert len(left) == pods
    assert not [pod for pod in left if {STATUS, RESULT} & set(pod["metadata"]["annotations"])]


def expose(plane: ControlPlane, name: str) -> None:
    """Create a pod, and wait until it has a public address."""
    spec = {"containers": [{"name": "web", "image": "nginx"}]}
    metadata = {"name": name, "namespace": "default", "annotations": EXPOSE_80}
    plane.api.create(plane.api.resource("v1", "pods"), {"metadata": metadata, "spec": spec})
    wait_until(lambda: status(plane, name) == "Ready", 30, f"the public address of {name}")


def status(plane: ControlPlane, name: str) -> str | None:
    pod = plane.api.get(plane.api.resource("v1", "pods"), name, "default")
    found: str | None = pod["metadata"]["annotations"].get(STATUS)
    return found


def test_metacontroller_comes_first(plane: ControlPlane, helm: Helm) -> None:
    said = helm.refusal(*INSTALL, f"--values={sources.ACK_VALUES}")
    assert "Metacontroller is not in this cluster" in said
    assert not [name for name in names(plane, "clusterroles,customresourcedefinitions") if "poddnat" in name]


def test_clusters_that_lack_something_or_have_it_already(plane: ControlPlane, helm: Helm) -> None:
    plane.install_crds(*read(CRDS))
    from_file = ["--values", str(sources.ACK_VALUES)]
    said = helm.refusal(*INSTALL, *from_file, "--set", "monitoring.enabled=true")
    for switch in ("podMonitor", "alerts"):
        assert f"monitoring.{switch}=false" in said

    # The CRD is another chart's.
    plane.install_crds(*read(BASE / "crd.yaml"))
    crd = uid(plane, "crd", NAME_OF_CRD)
    assert NAME_OF_CRD in helm.refusal(*INSTALL, *from_file)
    helm(*INSTALL, *from_file, "--take-ownership")
    assert uid(plane, "crd", NAME_OF_CRD) == crd
    helm(*UPGRADE, *from_file, "--set=crds.install=false")
    assert uid(plane, "crd", NAME_OF_CRD) == crd

    # The server's pods are admitted where the namespace asks for the level "restricted".
    plane.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    plane.kubectl("delete", "pods", "--all", f"--namespace={SYSTEM}", "--force", "--grace-period=0")
    wait_until(lambda: len(names(plane, "pods", f"--namespace={SYSTEM}")) == 2, 30, "the server's pods")

    # There is one poddnat in a cluster.
    elsewhere = ["install", "other", str(CHART), "--namespace=other", "--create-namespace", *from_file]
    assert "cannot be imported" in helm.refusal(*elsewhere)


def test_second_installation_comes_and_goes_as_the_pages_say(plane: ControlPlane, helm: Helm, tmp_path: Path) -> None:
    plane.install_crds(*read(CRDS))
    helm(*INSTALL, f"--values={sources.ACK_VALUES}")
    kinds = (
        f"clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,{CONTROLLERS}"
    )

    def ours() -> dict[str, str]:
        found = json.loads(plane.kubectl("get", f"{kinds},customresourcedefinitions", "--output=json"))["items"]
        versions = {f"{one['kind']}/{name_of(one)}": one["metadata"]["resourceVersion"] for one in found}
        # The CRD's status is written a moment after it is made.
        return {name: version for name, version in versions.items() if "dnat" in name and "Definition" not in name}

    wait_until(lambda: ours() == ours(), 20, "nothing to change any more", interval=1)
    before = ours()
    (named,) = (one for one in blocks(INSTALLATIONS, "yaml") if one.startswith("installation:"))
    given = {**yaml.safe_load(sources.ACK_VALUES.read_text(encoding="utf-8")), **yaml.safe_load(named)}
    file = clone(tmp_path) / "eu-values.yaml"
    file.write_text(yaml.safe_dump(given))
    (install, overlay) = blocks(section(INSTALLATIONS, "Add one"), "sh")
    assert overlay.endswith("kubectl apply -k sites/eu\n")  # tests/e2e/test_installations.py does that.
    said = helm.refusal(*INSTALL[:1], "poddnat-eu", *INSTALL[2:3], "--namespace=poddnat-eu", f"--values={file}")
    assert NAME_OF_CRD in said
    notes = shell(plane, helm, tmp_path, f"```sh\n{install}```")
    assert "Only pods with the label poddnat.alibabacloud.com/installation=eu are served." in notes
    assert {name: version for name, version in ours().items() if not name.endswith("-eu")} == before
    assert {name.removesuffix("-eu") for name in ours() if name.endswith("-eu")} == set(before)
    again = ["install", "other", str(CHART), "--namespace=other", f"--values={file}", "--set=crds.install=false"]
    assert "cannot be imported" in helm.refusal(*again, "--create-namespace")

    (leave,) = blocks(section(UNINSTALL, "One of several"), "sh")
    drain, *rest = leave.splitlines(keepends=True)
    assert drain == ".venv/bin/poddnat drain --installation eu\n"  # Done there, too.
    shell(plane, helm, tmp_path, f"```sh\n{''.join(rest)}```")
    assert ours() == before
    assert NAME_OF_CRD in plane.kubectl("get", "customresourcedefinitions", "--output=name")


def test_token_and_tls_come_and_go_with_an_upgrade(plane: ControlPlane, helm: Helm, tmp_path: Path) -> None:
    def hooks() -> list[Json]:
        controllers = json.loads(plane.kubectl("get", CONTROLLERS, "--output=json"))["items"]
        return [hook["webhook"] for one in controllers for hook in one["spec"]["hooks"].values()]

    plane.install_crds(*read(CRDS))
    helm(*INSTALL, f"--values={sources.ACK_VALUES}")
    before, given = hooks(), values_given(plane)
    told = shell(plane, helm, tmp_path, section(SECURITY, "Token and TLS"))
    assert told.count("secret/poddnat-token configured") == 3
    secrets = plane.api.resource("v1", "secrets")
    token = plane.api.get(secrets, "poddnat-token", SYSTEM)["data"]
    assert token["token"] == token["accepted"]
    assert set(plane.api.get(secrets, "poddnat-tls", SYSTEM)["data"]) == {"ca.crt", "tls.crt", "tls.key"}
    for hook in hooks():
        assert hook["url"].startswith("https://")
        assert hook["authorization"]["secretRef"]["name"] == "poddnat-token"
        assert hook["caBundle"]["secretRef"]["name"] == "poddnat-tls"
    assert values_given(plane) == given
    helm(*UPGRADE, f"--values={sources.ACK_VALUES}")
    assert hooks() == before


def test_server_gets_the_memory_that_many_poddnats_take(plane: ControlPlane, helm: Helm, tmp_path: Path) -> None:
    plane.install_crds(*read(CRDS))
    helm(*INSTALL, f"--values={sources.ACK_VALUES}")
    given = values_given(plane)
    shell(plane, helm, tmp_path, section(SIZE, "Memory"))
    deployment = plane.api.get(plane.api.resource("apps/v1", "deployments"), "poddnat", SYSTEM)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "50m", "memory": "512Mi"}
    assert container["resources"]["limits"] == {"memory": "768Mi"}
    assert values_given(plane) == given


def test_server_gets_a_ram_role_of_its_own(plane: ControlPlane, helm: Helm, tmp_path: Path) -> None:
    plane.install_crds(*read(CRDS))
    helm(*INSTALL, f"--values={sources.ACK_VALUES}")
    shell(plane, helm, tmp_path, section(SECURITY, "Credentials of the cloud"))
    account = plane.api.get(plane.api.resource("v1", "serviceaccounts"), "poddnat", SYSTEM)
    assert account["metadata"]["annotations"]["pod-identity.alibabacloud.com/role-name"] == "poddnat"
    (namespace,) = json.loads(plane.kubectl("get", "namespaces", SYSTEM, "--output=json"))["metadata"][
        "labels"
    ].items() & {("pod-identity.alibabacloud.com/injection", "on")}
    assert namespace


def test_example_overlay_is_taken_in_its_namespace(plane: ControlPlane, tmp_path: Path) -> None:
    plane.install_crds(*read(CRDS))
    folder = example(tmp_path)
    kustomization = folder / "kustomization.yaml"
    text = kustomization.read_text(encoding="utf-8")
    # There is no Prometheus operator.
    kustomization.write_text(text.replace("  - ../../metacontroller/monitoring\n", ""))
    plane.kubectl("apply", "-k", str(folder))
    # The namespace asks for the level "restricted".
    wait_until(lambda: len(names(plane, "pods", "--namespace=public-ports")) == 3, 30, "the server's pods")
    assert len(names(plane, CONTROLLERS)) == 3


def test_people_who_may_view_may_look_at_poddnats(plane: ControlPlane, helm: Helm) -> None:
    plane.install_crds(*read(CRDS))
    helm(*INSTALL, "--values", str(sources.ACK_VALUES))
    plane.kubectl("create", "serviceaccount", "viewer")
    plane.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", "--serviceaccount=default:viewer")
    with plane.client(plane.service_account_token("default", "viewer")) as viewer:
        poddnats = viewer.resource("alibabacloud.com/v1", "poddnats")

        def allowed() -> bool:
            try:
                viewer.list(poddnats, "default")
            except ApiError:
                return False
            return True

        wait_until(allowed, 15, "the role view to take it in")
        made = {
            "apiVersion": "alibabacloud.com/v1",
            "kind": "PodDNAT",
            "metadata": {"name": "a", "namespace": "default"},
        }
        with pytest.raises(ApiError, match="forbidden"):
            viewer.create(poddnats, made)
