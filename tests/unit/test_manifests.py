"""The manifests under `metacontroller/`, as shipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
import yaml

from hooks.app import create_app
from poddnat.api import API_VERSION, INSTALLATION, KIND, PLURAL
from poddnat.config import ValuesError, load
from poddnat.kube.active_endpoint import PORT_NAME
from tests.unit.docs.pages import page, section, tables

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "metacontroller"
EXAMPLES = FOLDER / "examples"
BUILD = ROOT / "tests" / "controlplane" / "build"
NAMESPACE = "poddnat-system"


def read(path: Path) -> list[Json]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


KUSTOMIZATION = read(FOLDER / "kustomization.yaml")[0]
MANIFESTS = [manifest for name in KUSTOMIZATION["resources"] for manifest in read(FOLDER / name)]


def all_of(kind: str) -> list[Json]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


def the(kind: str) -> Json:
    (manifest,) = all_of(kind)
    return manifest


def servers_role() -> Json:
    (role,) = (role for role in all_of("ClusterRole") if role["metadata"]["name"] == "poddnat")
    return role


def webhooks() -> dict[str, Json]:
    """Return all webhooks by the path that they call."""
    controllers = all_of("DecoratorController") + all_of("CompositeController")
    found = [hook["webhook"] for controller in controllers for hook in controller["spec"]["hooks"].values()]
    return {urlsplit(webhook["url"]).path: webhook for webhook in found}


def pod_template() -> Json:
    template: Json = the("Deployment")["spec"]["template"]
    return template


def container() -> Json:
    (only,) = pod_template()["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def served(method: str) -> set[str]:
    """Return the paths that the hook server answers."""
    return {rule.rule for rule in create_app(Mock()).url_map.iter_rules() if method in (rule.methods or ())}


def test_kustomization_lists_every_manifest() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files


def kustomize(folder: Path) -> dict[tuple[str, str], Json]:
    """Build a kustomization; return its manifests by kind and name."""
    assets = subprocess.run([str(BUILD)], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    command = [f"{assets}/kubectl", "kustomize", str(folder)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(printed)}


@pytest.mark.controlplane
def test_kustomize_changes_nothing_but_the_image() -> None:
    built = kustomize(FOLDER)
    expected = {(item["kind"], item["metadata"]["name"]): item for item in MANIFESTS}
    deployment = built.pop(("Deployment", "poddnat"))
    image = deployment["spec"]["template"]["spec"]["containers"][0].pop("image")
    assert (
        image == f"{expected['Deployment', 'poddnat']['spec']['template']['spec']['containers'][0].pop('image')}:0.1.0"
    )
    assert deployment == expected.pop(("Deployment", "poddnat"))


# The components


def with_components(folder: Path) -> Path:
    """Write into a new folder in this one what is installed with all components, and Secrets as they ask for."""
    shutil.copytree(FOLDER, folder / "metacontroller")
    site = folder / "sites" / "a"
    site.mkdir(parents=True)
    files = {"token": ["token", "accepted"], "tls": ["tls.crt", "tls.key", "ca.crt"]}
    for name in (name for names in files.values() for name in names):
        (site / name).write_text(f"what is in {name}")
    options = {"namespace": NAMESPACE, "options": {"disableNameSuffixHash": True}}
    content = {
        "resources": ["../../metacontroller"],
        "components": [f"../../metacontroller/{name}" for name in ("monitoring", *files)],
        "secretGenerator": [{"name": f"poddnat-{name}", "files": names, **options} for name, names in files.items()],
    }
    (site / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return site


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Json]:
    """What is installed with all components."""
    return kustomize(with_components(tmp_path_factory.mktemp("secured")))


@pytest.mark.controlplane
def test_components_let_every_webhook_show_the_token_and_check_the_certificate(
    secured: dict[tuple[str, str], Json],
) -> None:
    secrets = {"token": ("poddnat-token", "token"), "ca": ("poddnat-tls", "ca.crt")}
    refs = {
        what: {"secretRef": {"namespace": NAMESPACE, "name": name, "key": key}} for what, (name, key) in secrets.items()
    }
    controllers = [item for (kind, _), item in secured.items() if kind.endswith("Controller")]
    hooks = [hook["webhook"] for item in controllers for hook in item["spec"]["hooks"].values()]
    assert {webhook["url"] for webhook in hooks} == {
        webhook["url"].replace("http:", "https:") for webhook in webhooks().values()
    }
    for webhook in hooks:
        assert webhook["authorization"] == {"type": "Bearer", **refs["token"]}
        assert webhook["caBundle"] == refs["ca"]
    for name, key in secrets.values():
        assert key in secured["Secret", name]["data"]


@pytest.mark.controlplane
def test_components_give_the_server_its_files(secured: dict[tuple[str, str], Json]) -> None:
    spec = secured["Deployment", "poddnat"]["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    given = dict(argument[2:].split("=") for argument in server["args"] if "=" in argument)
    assert given == {
        "token-file": "/etc/poddnat-token/accepted",
        "tls-cert": "/etc/poddnat-tls/tls.crt",
        "tls-key": "/etc/poddnat-tls/tls.key",
    }
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    volumes = {volume["name"]: volume["secret"] for volume in spec["volumes"]}
    for name, items in {"token": ["accepted"], "tls": ["tls.crt", "tls.key"]}.items():
        assert mounts[name] == {"name": name, "mountPath": f"/etc/poddnat-{name}", "readOnly": True}
        assert volumes[name]["secretName"] == f"poddnat-{name}"
        assert set(items) <= set(secured["Secret", f"poddnat-{name}"]["data"])
        assert [item["key"] for item in volumes[name]["items"]] == items
        assert volumes[name]["defaultMode"] == 0o440


@pytest.mark.controlplane
def test_probes_speak_tls_where_the_server_does(secured: dict[tuple[str, str], Json]) -> None:
    (server,) = secured["Deployment", "poddnat"]["spec"]["template"]["spec"]["containers"]
    assert {server[probe]["httpGet"]["scheme"] for probe in ("readinessProbe", "livenessProbe")} == {"HTTPS"}


@pytest.mark.controlplane
def test_prometheus_is_let_in_and_checks_the_certificate(secured: dict[tuple[str, str], Json]) -> None:
    (endpoint,) = secured["PodMonitor", "poddnat"]["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    authority = endpoint["tlsConfig"]["ca"]["secret"]
    assert authority["key"] in secured["Secret", authority["name"]]["data"]
    rules = secured["NetworkPolicy", "poddnat"]["spec"]["ingress"]
    callers = [rule["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for rule in rules]
    assert callers == ["metacontroller", "monitoring"]
    assert rules[0]["ports"] == rules[1]["ports"]


def test_secrets_of_users_stay_out_of_the_image_and_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8")
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for path in ("values.yaml", "chart*/*-values.yaml", "token/token", "token/accepted", "tls/*.crt", "tls/*.key"):
        assert f"/metacontroller/{path}\n" in ignored
        assert f"\nmetacontroller/{path}\n" in left_out


# The controllers


def test_pod_decorator_takes_pods_with_any_value_of_the_annotation() -> None:
    (decorator,) = (c for c in all_of("DecoratorController") if c["metadata"]["name"] == "pod-dnat")
    (rule,) = decorator["spec"]["resources"]
    assert (rule["apiVersion"], rule["resource"]) == ("v1", "pods")
    assert rule["annotationSelector"] == {
        "matchExpressions": [{"key": "k8s.aliyun.com/pod-dnat", "operator": "Exists"}]
    }


def test_opt_out_decorator_takes_pods_with_a_result_and_no_request() -> None:
    (decorator,) = (c for c in all_of("DecoratorController") if c["metadata"]["name"] == "pod-dnat-opt-out")
    (rule,) = decorator["spec"]["resources"]
    expressions = rule["annotationSelector"]["matchExpressions"]
    assert {(item["key"], item["operator"]) for item in expressions} == {
        ("k8s.aliyun.com/pod-dnat-status", "Exists"),
        ("k8s.aliyun.com/pod-dnat", "DoesNotExist"),
    }
    assert "attachments" not in decorator["spec"]


def test_attachments_are_updated_in_place() -> None:
    attachments = [a for c in all_of("DecoratorController") for a in c["spec"].get("attachments", [])]
    assert attachments == [{"apiVersion": API_VERSION, "resource": PLURAL, "updateStrategy": {"method": "InPlace"}}]


def test_no_decorator_has_a_finalize_hook() -> None:
    for decorator in all_of("DecoratorController"):
        assert list(decorator["spec"]["hooks"]) == ["sync"]


def test_what_is_labelled_for_an_installation_with_a_name_is_left_to_it() -> None:
    unlabelled = {"matchExpressions": [{"key": INSTALLATION, "operator": "DoesNotExist"}]}
    rules = [rule for decorator in all_of("DecoratorController") for rule in decorator["spec"]["resources"]]
    rules.append(the("CompositeController")["spec"]["parentResource"])
    assert [rule["labelSelector"] for rule in rules] == [unlabelled] * 3


def test_composite_watches_poddnats_and_needs_no_selector_of_children() -> None:
    spec = the("CompositeController")["spec"]
    assert spec["generateSelector"] is True
    rule = {key: value for key, value in spec["parentResource"].items() if key != "labelSelector"}
    assert rule == {"apiVersion": API_VERSION, "resource": PLURAL, "ignoreStatusChanges": True}
    assert list(spec["hooks"]) == ["sync", "finalize"]


def test_hooks_are_those_that_have_schemas() -> None:
    names = {path.name.removesuffix("-request.json") for path in (ROOT / "schemas").glob("*-request.json")}
    assert {path.removeprefix("/").replace("/", "-") for path in webhooks()} == names


def test_hooks_are_those_that_the_server_knows() -> None:
    assert served("POST") == set(webhooks())


def test_webhooks_call_the_service() -> None:
    service = the("Service")
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    for webhook in webhooks().values():
        url = urlsplit(webhook["url"])
        assert (url.scheme, url.hostname, url.port) == ("http", host, service["spec"]["ports"][0]["port"])


def test_webhooks_have_ten_seconds() -> None:
    assert {webhook["timeout"] for webhook in webhooks().values()} == {"10s"}


# The CRD


def test_crd_is_that_of_poddnat() -> None:
    crd = the("CustomResourceDefinition")
    spec = crd["spec"]
    assert crd["metadata"]["name"] == f"{PLURAL}.{spec['group']}"
    assert (spec["names"]["kind"], spec["names"]["plural"], spec["scope"]) == (KIND, PLURAL, "Namespaced")
    assert spec["conversion"] == {"strategy": "None"}


def test_crd_serves_both_versions_alike_and_stores_v1() -> None:
    v1, v1beta1 = the("CustomResourceDefinition")["spec"]["versions"]
    assert (v1["name"], v1["storage"], v1["served"]) == ("v1", True, True)
    assert v1beta1 == {**v1, "name": "v1beta1", "storage": False}
    assert v1["subresources"] == {"status": {}}


# The server


def test_ports_match_from_service_to_server() -> None:
    (port,) = the("Service")["spec"]["ports"]
    (opened,) = container()["ports"]
    assert port["targetPort"] == opened["name"]
    assert port["port"] == opened["containerPort"]
    (allowed,) = the("NetworkPolicy")["spec"]["ingress"][0]["ports"]
    assert allowed == {"protocol": "TCP", "port": opened["containerPort"]}
    assert {container()[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} == {"http"}


def test_labels_lead_to_the_server() -> None:
    labels = pod_template()["metadata"]["labels"]
    assert the("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


def test_probes_ask_for_health_and_readiness() -> None:
    paths = [container()[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")]
    assert paths == ["/readyz?standbyok", "/healthz"]
    assert {urlsplit(path).path for path in paths} <= served("GET")


def test_server_reads_the_values_from_the_secret() -> None:
    (volume,) = pod_template()["spec"]["volumes"]
    (mount,) = container()["volumeMounts"]
    assert volume["secret"]["secretName"] == "poddnat-values"
    assert mount["name"] == volume["name"]
    assert container()["args"][:3] == ["serve", "--values", f"{mount['mountPath']}/values.yaml"]


def test_replicas_share_the_lease_of_the_services_name_and_know_who_they_are() -> None:
    service = the("Service")
    assert container()["args"][3:5] == ["--lease", f"{service['metadata']['namespace']}/{service['metadata']['name']}"]
    fields = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in container()["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_IP": "status.podIP"}


def test_service_is_led_to_the_active_replica_alone() -> None:
    spec = the("Service")["spec"]
    assert "selector" not in spec
    assert [port["name"] for port in spec["ports"]] == [PORT_NAME]


def test_server_runs_with_no_more_rights_than_it_needs() -> None:
    assert the("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = pod_template()["spec"]["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"]) == (True, 65532)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_image_runs_as_the_user_of_the_deployment() -> None:
    security = pod_template()["spec"]["securityContext"]
    user = f"USER {security['runAsUser']}:{security['runAsGroup']}"
    assert user in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()


def test_security_page_tells_every_right() -> None:
    rules = [
        (role["metadata"].get("namespace"), *rule.values())
        for role in (servers_role(), the("Role"))
        for rule in role["rules"]
    ]
    rows = []
    for namespace, (group,), (resource,), verbs in rules:
        where = f" in `{namespace}`" if namespace else ""
        rows.append(f"| `{resource}{'.' if group else ''}{group}`{where} | {', '.join(verbs)} |")
    (table,) = tables(section(page("operators/security"), "Rights in the cluster"))
    assert [line.rpartition("|")[0].rpartition("|")[0] + "|" for line in table[2:]] == rows


def test_rights_go_to_the_server() -> None:
    account = {"kind": "ServiceAccount", "name": pod_template()["spec"]["serviceAccountName"], "namespace": NAMESPACE}
    for rule in the("ValidatingAdmissionPolicy")["spec"]["validations"]:
        assert f"'system:serviceaccount:{NAMESPACE}:{account['name']}'" in rule["expression"]
    assert the("ServiceAccount")["metadata"] == {"name": account["name"], "namespace": NAMESPACE}
    for binding in (the("ClusterRoleBinding"), the("RoleBinding")):
        assert binding["subjects"] == [account]


# The values files


def test_example_values_can_be_used() -> None:
    assert load(EXAMPLES / "values.yaml").region_id == "cn-hangzhou"


def test_shipped_values_want_filling_in() -> None:
    with pytest.raises(ValuesError) as caught:
        load(EXAMPLES / "ack-values.yaml")
    places = [problem.partition(":")[0] for problem in caught.value.problems]
    assert places == [
        "clusterID",
        "networkController.natGwPool[0].natgwId",
        "networkController.natGwPool[0].zoneId",
        "regionID",
        "vpcID",
    ]
