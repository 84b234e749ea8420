"""What the chart makes of values, without a cluster; and that it is what kustomize makes."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from poddnat.api import INSTALLATION, Installation
from tests.chart import sources
from tests.chart.clone import ACK, example, named, overlay, tree
from tests.chart.helm import Objects, comparable, kustomize, values_in
from tests.chart.sources import ACK_VALUES, BASE, CHART, FOR, ROOT
from tests.unit.docs.pages import blocks, page, tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.helm import Helm

Json = dict[str, Any]

DEFAULTS: Json = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
EU = Installation("eu")
SECRET = ("Secret", "poddnat-system", "poddnat-values")
BY_NAME: Json = {
    "token": {"existingSecret": "poddnat-token"},
    "tls": {"existingSecret": "poddnat-tls"},
    "monitoring": {"enabled": True},
}
COMPONENTS = ["monitoring", "token", "tls"]

# Both helm and kubectl are built with Go.
real = pytest.mark.controlplane


# What the chart takes from elsewhere


@pytest.mark.parametrize("copy", list(sources.COPIES), ids=lambda copy: copy.name)
def test_copies_are_what_they_are_copied_from(copy: Path) -> None:
    assert copy.read_bytes() == sources.COPIES[copy].read_bytes(), "make chart copies it"


def test_chart_has_no_other_files() -> None:
    assert set((CHART / "files").iterdir()) == set(sources.COPIES)


def test_schema_is_the_programs_for_acks_keys() -> None:
    properties = json.loads(sources.SCHEMA.read_text(encoding="utf-8"))["properties"]
    assert {key: properties[key] for key in sources.ack_properties()} == sources.ack_properties(), "make chart does so"
    assert set(properties) == {*sources.ack_properties(), *DEFAULTS, "global"}


def test_schema_knows_every_key_of_the_charts_own() -> None:
    def check(values: Json, schema: Json, path: str) -> None:
        for key, value in values.items():
            if "properties" in schema:
                assert key in schema["properties"], f"{path}.{key}"
                if isinstance(value, dict):
                    check(value, schema["properties"][key], f"{path}.{key}")
        assert set(schema.get("properties", values)) == set(values), path

    properties = json.loads(sources.SCHEMA.read_text(encoding="utf-8"))["properties"]
    check(DEFAULTS, {"properties": {key: properties[key] for key in DEFAULTS}}, "values")


def test_defaults_add_nothing_to_acks_file() -> None:
    assert not set(DEFAULTS) & set(sources.ack_properties())


@real
def test_golden_render(helm: Helm) -> None:
    assert helm.program
    assert sources.golden() == sources.GOLDEN.read_text(encoding="utf-8"), "make chart writes it anew"


@real
@pytest.mark.parametrize("more", [{}, {**BY_NAME, "replicas": 3}], ids=["as shipped", "with everything"])
def test_lint_finds_nothing(helm: Helm, more: Json) -> None:
    text = yaml.safe_dump({**ACK, **more})
    assert "1 chart(s) linted, 0 chart(s) failed" in helm(
        "lint", "--strict", str(CHART), "--values", "-", FOR, stdin=text
    )


# One source


@real
@pytest.mark.parametrize("namespace", ["poddnat-system", "public-ports"])
@pytest.mark.parametrize(("more", "components"), [({}, []), (BY_NAME, COMPONENTS)], ids=["base", "components"])
def test_chart_and_kustomize_make_the_same_objects(
    helm: Helm, tmp_path: Path, namespace: str, more: Json, components: list[str]
) -> None:
    rendered = helm.template({**ACK, **more}, namespace=namespace)
    built = kustomize(overlay(tree(tmp_path), namespace, components))
    assert comparable(rendered) == comparable(built)


@real
def test_another_namespace_is_named_everywhere(helm: Helm, tmp_path: Path) -> None:
    built = kustomize(overlay(tree(tmp_path), "public-ports", COMPONENTS))
    for objects in (helm.template({**ACK, **BY_NAME}, namespace="public-ports"), built):
        assert "poddnat-system" not in json.dumps(list(objects.values()))
        controllers = [item for key, item in objects.items() if key[0].endswith("Controller")]
        hooks = [hook["webhook"] for item in controllers for hook in item["spec"]["hooks"].values()]
        assert {hook["url"].split(":8080")[0] for hook in hooks} == {"https://poddnat.public-ports.svc"}
        places = [hook[part]["secretRef"] for hook in hooks for part in ("authorization", "caBundle")]
        assert {place["namespace"] for place in places} == {"public-ports"}
        args = objects["Deployment", "public-ports", "poddnat"]["spec"]["template"]["spec"]["containers"][0]["args"]
        assert args[args.index("--lease") + 1] == "public-ports/poddnat"
        for rule in objects["ValidatingAdmissionPolicy", "", "poddnat-fixed"]["spec"]["validations"]:
            assert "'system:serviceaccount:public-ports:poddnat'" in rule["expression"]


@real
def test_namespace_that_is_named_too_late_is_refused(tmp_path: Path) -> None:
    folder = overlay(tree(tmp_path), "public-ports", [])
    file = folder / "kustomization.yaml"
    late = {**yaml.safe_load(file.read_text(encoding="utf-8")), "components": ["../../metacontroller/namespace"]}
    file.write_text(yaml.safe_dump({**late, "namespace": "public-ports"}))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        kustomize(folder)
    assert "nonexistent key: namespace" in caught.value.stderr


# Installations with a name


@real
@pytest.mark.parametrize(("more", "components"), [({}, []), (BY_NAME, COMPONENTS)], ids=["base", "components"])
def test_installation_with_a_name_is_the_same_from_chart_and_kustomize(
    helm: Helm, tmp_path: Path, more: Json, components: list[str]
) -> None:
    values = {**ACK, **more, "crds": {"install": False}, "installation": "eu"}
    rendered = helm.template(values, namespace="poddnat-eu")
    built = kustomize(named(tree(tmp_path), overlay(tmp_path, "poddnat-eu", components), "eu"))
    for objects in (rendered, built):
        assert objects.pop(("Secret", "poddnat-eu", "poddnat-values"))["data"]
    assert comparable(rendered) == comparable(built)


@real
def test_installations_have_no_object_in_common_and_select_apart(helm: Helm) -> None:
    unnamed = helm.template(ACK)
    values = {**ACK, "crds": {"install": False}}
    one, other = (
        helm.template({**values, "installation": name}, namespace=f"poddnat-{name}") for name in ("eu", "a-very-long-1")
    )
    assert set(one) & set(unnamed) == set(one) & set(other) == set()
    assert values_in(one["Secret", "poddnat-eu", "poddnat-values"])["installation"] == "eu"
    label = {"matchLabels": {INSTALLATION: "eu"}}
    controllers = {name: item for (kind, _, name), item in one.items() if kind.endswith("Controller")}
    assert set(controllers) == {EU.named(name) for name in ("pod-dnat", "pod-dnat-opt-out", "poddnat")}
    for item in controllers.values():
        spec = item["spec"]
        rules = [spec["parentResource"]] if "parentResource" in spec else spec["resources"]
        assert [rule["labelSelector"] for rule in rules] == [label]
    assert one["ValidatingAdmissionPolicyBinding", "", "poddnat-fixed-eu"]["spec"]["policyName"] == "poddnat-fixed-eu"
    assert one["ClusterRoleBinding", "", "poddnat-eu"]["roleRef"]["name"] == "poddnat-eu"


@real
def test_secret_that_is_made_elsewhere_goes_with_the_name_of_an_installation(helm: Helm) -> None:
    rendered = helm.template({"existingSecret": "mine", "installation": "eu"})
    assert ("ClusterRole", "", "poddnat-eu") in rendered
    assert not [key for key in rendered if key[0] == "Secret"]


@real
@pytest.mark.parametrize("name", ["", "view", "opt-out", "opt-out-eu", "EU", "-eu", "e" * 41])
def test_name_that_an_installation_can_not_have_is_refused(helm: Helm, name: str) -> None:
    arguments = ["template", "poddnat", str(CHART), "--values", "-", FOR]
    assert "installation" in helm.refusal(*arguments, stdin=json.dumps({**ACK, "installation": name}))


# The example overlay


@real
def test_example_overlay_is_the_chart_with_the_same_choices(helm: Helm, tmp_path: Path) -> None:
    chosen = {
        **BY_NAME,
        "existingSecret": "poddnat-values",
        "replicas": 3,
        "image": {"repository": "registry.example.com/poddnat"},
        "metacontroller": {"namespace": "control"},
    }
    built = kustomize(example(tmp_path))
    assert comparable(built) == comparable(helm.template(chosen, namespace="public-ports"))
    assert not [key for key in built if key[0] == "Secret"]


@real
def test_example_overlay_may_make_its_secrets_from_files_of_its_own(tmp_path: Path) -> None:
    folder = example(tmp_path)
    before = kustomize(folder)
    own = folder / "own" / "kustomization.yaml"
    text = own.read_text(encoding="utf-8")
    comment = text[text.index("# secretGenerator:") : text.index("patches:")]
    own.write_text(text.replace(comment, comment.replace("# ", "", 1).replace("\n# ", "\n")))
    (folder / "own" / "ack-values.yaml").write_text(yaml.safe_dump({**ACK, "clusterID": "another"}))
    for name in ("token", "accepted", "tls.crt", "tls.key", "ca.crt"):
        (folder / "own" / name).write_text(f"what is in {name}")
    built = kustomize(folder)
    values, token, tls = (
        built.pop(("Secret", "public-ports", f"poddnat-{name}")) for name in ("values", "token", "tls")
    )
    assert values_in(values)["clusterID"] == "another"
    assert set(token["data"]) == {"token", "accepted"}
    assert set(tls["data"]) == {"tls.crt", "tls.key", "ca.crt"}
    assert built == before


def documented(name: str, words: str) -> str:
    """Return the block of YAML in a page that has these words."""
    (block,) = (one for one in blocks(page(f"operators/{name}"), "yaml") if words in one)
    return block


def least_overlay(folder: Path, **more: Any) -> Path:
    """Write the least overlay of the page, with more in it."""
    tree(folder)
    site = folder / "sites" / "a"
    site.mkdir(parents=True)
    least = yaml.safe_load(documented("install", "- ../../metacontroller\n"))
    (site / "kustomization.yaml").write_text(yaml.safe_dump({**least, **more}))
    (site / "ack-values.yaml").write_text(ACK_VALUES.read_text(encoding="utf-8"))
    return site


IMAGE = {**ACK, "image": {"repository": "registry.example.com/poddnat"}}


@real
def test_least_overlay_of_the_page_is_the_chart(helm: Helm, tmp_path: Path) -> None:
    assert comparable(kustomize(least_overlay(tmp_path))) == comparable(helm.template(IMAGE))


@real
def test_policy_is_left_out_of_an_overlay_as_the_page_says(helm: Helm, tmp_path: Path) -> None:
    patches = yaml.safe_load(documented("install", "ValidatingAdmissionPolicyBinding"))
    without = helm.template({**IMAGE, "admissionPolicy": {"enabled": False}})
    assert comparable(kustomize(least_overlay(tmp_path, **patches))) == comparable(without)


@real
def test_prometheus_in_another_namespace_is_let_in_as_the_page_says(helm: Helm, tmp_path: Path) -> None:
    patches = yaml.safe_load(documented("monitoring", "kind: NetworkPolicy").replace("NAMESPACE", "watching"))
    built = kustomize(least_overlay(tmp_path, components=["../../metacontroller/monitoring"], **patches))
    chosen = helm.template({**IMAGE, "monitoring": {"enabled": True, "namespace": "watching"}})
    policy = ("NetworkPolicy", "poddnat-system", "poddnat")
    assert comparable({policy: built[policy]}) == comparable({policy: chosen[policy]})


@real
def test_example_of_rrsa_is_the_same_for_chart_and_overlay(helm: Helm, tmp_path: Path) -> None:
    folder = BASE / "examples" / "rrsa"
    values = yaml.safe_load((folder / "helm.yaml").read_text(encoding="utf-8"))
    assert values["env"] == yaml.safe_load(documented("values", "env:"))["env"]
    built = kustomize(least_overlay(tmp_path, components=["../../metacontroller/examples/rrsa"]))
    chosen = helm.template({**IMAGE, **values})
    account = ("ServiceAccount", "poddnat-system", "poddnat")
    assert comparable({account: built[account]}) == comparable({account: chosen[account]})
    assert _environment(built) == _environment(chosen)
    assert "ALIBABA_CLOUD_STS_REGION" in _environment(built)


def _environment(objects: Objects) -> dict[str, Any]:
    (container,) = objects["Deployment", "poddnat-system", "poddnat"]["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one for one in container["env"]}


def test_examples_of_metacontroller_and_all_that_is_told_have_the_same_flags() -> None:
    folder = BASE / "examples" / "metacontroller"
    helm, overlay = (yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("helm", "kustomization"))
    assert DEFAULTS["metacontroller-helm"]["commandArgs"] == helm["commandArgs"]
    flags = helm["commandArgs"][-3:]
    assert [one["value"] for one in yaml.safe_load(overlay["patches"][0]["patch"])] == flags
    for language in ("en", "zh"):
        rows = tables(page(f"docs/{language}/operators/install.md"))
        told = re.findall(r"--[a-z][^ `]+", " ".join(row.split("|")[1] for table in rows for row in table))
        assert told == flags, language
    notes = (CHART / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    assert " ".join(flags) in notes


def test_what_users_make_is_left_alone_by_git() -> None:
    made = [
        "ack-values.yaml",
        "my-values.yaml",
        "values.yaml",
        "metacontroller/chart/ack-values.yaml",
        "sites/a/kustomization.yaml",
        "sites/a/own/values.yaml",
        "sites/a/own/token",
        "sites/a/own/tls.key",
        # Where earlier versions had them.
        "metacontroller/values.yaml",
        "metacontroller/token/token",
        "metacontroller/token/accepted",
        "metacontroller/tls/tls.key",
    ]
    for path in made:
        done = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)
        assert done.returncode in {0, 128}, path  # 128: not a clone
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tracked.stdout == ""


# ACK's file


@real
def test_acks_file_reaches_the_server_as_it_is(helm: Helm) -> None:
    assert values_in(helm.template(ACK)[SECRET]) == ACK


@real
def test_charts_own_keys_do_not_reach_the_server(helm: Helm) -> None:
    assert values_in(helm.template({**DEFAULTS, **ACK, "replicas": 5})[SECRET]) == ACK


@real
def test_keys_of_acks_other_controllers_reach_the_server(helm: Helm) -> None:
    network = {**ACK["networkController"], "ipv6GatewayController": {"podMaxConcurrentReconcile": 10}}
    values = {**ACK, "enableControllers": ["natgw", "ipv6gw"], "networkController": network}
    assert values_in(helm.template(values)[SECRET]) == values


@real
@pytest.mark.parametrize(
    "text", ["no", "1e5", "0x1f", "012", "1_000", "12:30:45", "2001-01-01", "null", "123", "true", "1.5"]
)
def test_texts_stay_texts(helm: Helm, text: str) -> None:
    values = {**ACK, "credential": {"accessKey": text, "accessSecret": text}}
    assert values_in(helm.template(values)[SECRET]) == values


@real
def test_every_key_of_the_values_file_is_let_through(helm: Helm) -> None:
    network = {
        "natGwPool": [{**ACK["networkController"]["natGwPool"][0], "policy": "InOrder", "quota": 500}],
        "blockedEips": ["203.0.113.10", "198.51.100.0/29"],
        "moveFromBlockedEips": True,
        "allowedNamespaces": {
            "names": ["lobby"],
            "selector": {
                "matchLabels": {"team": "games"},
                "matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["test", "dev"]}],
            },
        },
        "limits": {"portsPerPod": 20, "portsPerNamespace": 4_000_000},
    }
    values = {**ACK, "networkController": network, "endpoints": {"vpc": "http://127.0.0.1:9090"}}
    assert values_in(helm.template(values)[SECRET]) == values


# What is refused


def refused(helm: Helm, values: Json, *arguments: str) -> str:
    command = ["template", "poddnat", str(CHART), "--values", "-", FOR, *arguments]
    return helm.refusal(*command, stdin=yaml.safe_dump(values))


def notes(helm: Helm, values: Json) -> str:
    """Tell what people read after an installation; nothing is installed."""
    command = ["install", "poddnat", str(CHART), "--namespace=poddnat-system", "--dry-run=client", "--values=-"]
    return helm(*command, stdin=yaml.safe_dump(values)).partition("NOTES:")[2]


@real
def test_unknown_keys_at_the_top_are_passed_over_and_named(helm: Helm) -> None:
    told = notes(helm, {**ACK, "replica": 3, "nodeselector": {}, "ipv6GatewayController": {"a": 1}})
    assert "Warning: ipv6GatewayController, nodeselector, replica have no effect" in told
    assert "nodeSelector" in told
    assert "Warning: replica has no effect" in notes(helm, {**ACK, "replica": 3})
    assert "Warning" not in notes(helm, ACK)


@real
def test_unknown_keys_below_the_charts_own_are_refused(helm: Helm) -> None:
    assert "additional properties 'tagg' not allowed" in refused(helm, {**ACK, "image": {"tagg": "1"}})


@real
def test_image_of_acks_controller_is_passed_over_and_told(helm: Helm) -> None:
    values = {
        **ACK,
        "image": "registry-vpc.cn-hangzhou.aliyuncs.com/acs/ack-extend-network-controller",
        "imageTag": "v1",
    }
    assert helm.template(values) == helm.template(ACK)
    told = notes(helm, values)
    assert "Warning: image is a text" in told
    (advice,) = re.findall(r"--set-json '(image=.*)'", told)
    rendered = helm.template(values, "--set-json", advice)["Deployment", "poddnat-system", "poddnat"]
    assert rendered["spec"]["template"]["spec"]["containers"][0]["image"].startswith("REGISTRY/poddnat:")


@real
def test_missing_values_are_told_all_at_once(helm: Helm) -> None:
    said = refused(helm, {})
    for key in ("clusterID", "regionID", "vpcID", "networkController"):
        assert f"{key}: missing" in said


@real
def test_values_that_are_not_filled_in_are_refused(helm: Helm) -> None:
    said = refused(helm, yaml.safe_load((BASE / "examples" / "ack-values.yaml").read_text(encoding="utf-8")))
    for key in ("/clusterID", "/regionID", "/vpcID", "/natgwId", "/zoneId"):
        assert key in said


@real
def test_nothing_to_do_and_half_a_key_are_refused(helm: Helm) -> None:
    half = {"accessKey": "key", "accessSecret": ""}
    said = refused(helm, {**ACK, "enableControllers": ["eip"], "credential": half})
    assert "enableControllers: natgw is not listed" in said
    assert "credential: set both" in said


@real
def test_two_values_files_are_refused(helm: Helm) -> None:
    said = refused(helm, {**ACK, "existingSecret": "theirs"})
    assert "existingSecret: the values file is in the Secret theirs already, so leave out clusterID" in said


@real
def test_old_kubernetes_is_told_what_to_switch_off(helm: Helm) -> None:
    assert "admissionPolicy.enabled=false" in refused(helm, ACK, "--kube-version", "1.28.3-aliyun.1")
    without = helm.template({**ACK, "admissionPolicy": {"enabled": False}}, "--kube-version", "1.28.3-aliyun.1")
    assert not [key for key in without if key[0].startswith("ValidatingAdmission")]


@real
@pytest.mark.parametrize("secret", ["not hushed", "<your secret>", 5])
def test_no_secret_is_told(helm: Helm, secret: object) -> None:
    credential = {"accessKey": "", "accessSecret": secret}
    assert str(secret) not in refused(helm, {**ACK, "credential": credential}).replace("poddnat", "")


# The chart's own keys


@real
def test_everything_of_the_pods_may_be_chosen(helm: Helm) -> None:
    digest = f"sha256:{'0' * 64}"
    toleration = {"key": "dedicated", "operator": "Exists"}
    chosen = {
        "image": {"repository": "registry.example.com/poddnat", "digest": digest, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "replicas": 3,
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"pool": "system"},
        "tolerations": [toleration],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [],
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"a": "1"},
        "podLabels": {"b": "2"},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "serviceAccount": {"annotations": {"pod-identity.alibabacloud.com/role-name": "poddnat"}},
        "lease": {"seconds": 30},
        "logs": {"format": "text"},
    }
    objects = helm.template({**ACK, **chosen})
    deployment = objects["Deployment", "poddnat-system", "poddnat"]["spec"]
    spec = deployment["template"]["spec"]
    (container,) = spec["containers"]
    assert deployment["replicas"] == 3
    assert container["image"] == f"registry.example.com/poddnat@{digest}"
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    assert container["env"][2:] == chosen["env"]
    assert container["args"][-3:] == ["--log-format", "text", "--lease-seconds=30"]
    for key in ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName"):
        assert spec[key] == chosen[key]
    assert spec["affinity"]["nodeAffinity"] == {}
    assert "topologySpreadConstraints" not in spec
    assert deployment["template"]["metadata"] == {
        "annotations": {"a": "1"},
        "labels": {"app.kubernetes.io/name": "poddnat", "b": "2"},
    }
    account = objects["ServiceAccount", "poddnat-system", "poddnat"]
    assert account["metadata"]["annotations"] == {"pod-identity.alibabacloud.com/role-name": "poddnat"}


@real
def test_parts_may_be_left_out(helm: Helm) -> None:
    off: Json = {
        "crds": {"install": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "admissionPolicy": {"enabled": False},
        "rbac": {"aggregateToView": False},
        "monitoring": {"enabled": True, "dashboard": False, "alerts": False},
        "existingSecret": "theirs",
    }
    left: Objects = helm.template(off)
    assert {key[0] for key in left} == {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
        *("Service", "Deployment", "PodMonitor", "CompositeController", "DecoratorController"),
    }
    assert ("ClusterRole", "", "poddnat-view") not in left
    volumes = left["Deployment", "poddnat-system", "poddnat"]["spec"]["template"]["spec"]["volumes"]
    assert [volume["secret"]["secretName"] for volume in volumes] == ["theirs"]


@real
def test_monitoring_has_the_labels_that_a_prometheus_looks_for(helm: Helm) -> None:
    monitoring = {"enabled": True, "labels": {"release": "prometheus"}, "namespace": "observability"}
    objects = helm.template({**ACK, "monitoring": monitoring})
    for kind in ("PodMonitor", "PrometheusRule"):
        assert objects[kind, "poddnat-system", "poddnat"]["metadata"]["labels"]["release"] == "prometheus"
    policy = objects["NetworkPolicy", "poddnat-system", "poddnat"]
    callers = [rule["from"][0]["namespaceSelector"]["matchLabels"] for rule in policy["spec"]["ingress"]]
    assert [list(caller.values()) for caller in callers] == [["metacontroller"], ["observability"]]
    dashboard = objects["ConfigMap", "poddnat-system", "poddnat-dashboard"]
    assert dashboard["data"]["poddnat.json"] == (BASE / "monitoring" / "dashboard.json").read_text(encoding="utf-8")


@real
def test_crd_stays_when_the_release_goes(helm: Helm) -> None:
    crd = helm.template(ACK)["CustomResourceDefinition", "", "poddnats.alibabacloud.com"]
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
