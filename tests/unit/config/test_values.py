"""The values file: what is accepted, and how everything that is wrong with it is explained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from poddnat.api import UNNAMED, Installation
from poddnat.config import AccessKey, Endpoints, Limits, Policy, Values, ValuesError, load
from poddnat.config.pool import PoolEntry
from poddnat.config.values import parse
from poddnat.model import Ports

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
Place = tuple[str | int, ...]

# The keys of ack-extend-network-controller's natgw controller, filled in.
FILE = """
clusterID: "c4f0a9d27b6e84c1f93d5e7a1b2c30d68"
regionID: "cn-hangzhou"
vpcID: "vpc-bp1rkq0z7v3m9xw2ty4ha"
enableControllers:
  - natgw

networkController:
  natGwPool:
    - natgwId: "ngw-bp1uewa15k4iy5e8dn3jr"
      zoneId: "cn-hangzhou-j"
      portRangeStart: 512
      portRangeEnd: 1024
      eips:
        - "203.0.113.10"
        - "203.0.113.11"

credential:
  accessKey: "LTAI5tExample"
  accessSecret: "Tr0ub4dor-and-3"
"""
SECRET = "Tr0ub4dor-and-3"
GATEWAY = "ngw-bp1uewa15k4iy5e8dn3jr"
POOL = ("networkController", "natGwPool")
POOL_0 = "networkController.natGwPool[0]"
EXPRESSION_0 = "networkController.allowedNamespaces.selector.matchExpressions[0]"


def content() -> Json:
    read: Json = yaml.safe_load(FILE)
    return read


def changed(*changes: tuple[Place, object], of: Json | None = None) -> Json:
    """Give the file's content with other values in some places; Ellipsis takes a key away."""
    result = copy.deepcopy(content() if of is None else of)
    for place, value in changes:
        target: Any = result
        for step in place[:-1]:
            target = target[step]
        if value is ...:
            del target[place[-1]]
        else:
            target[place[-1]] = value
    return result


def pool(*entries: Json) -> Json:
    """Give content whose pool has these entries, each the file's own but for the keys given."""
    first = content()["networkController"]["natGwPool"][0]
    return changed((POOL, [{**first, **entry} for entry in entries]))


def network(**keys: object) -> Json:
    """Give the file's content with more keys under networkController."""
    return changed(*((("networkController", key), value) for key, value in keys.items()))


def expression(**keys: object) -> Json:
    """Give content whose allowedNamespaces select by one expression on a label."""
    return network(allowedNamespaces={"selector": {"matchExpressions": [{"key": "public", **keys}]}})


def problems(of: object) -> tuple[str, ...]:
    with pytest.raises(ValuesError) as caught:
        parse(of)
    return caught.value.problems


def problem(of: object) -> str:
    (only,) = problems(of)
    return only


# What is accepted


def test_file_of_acks_controller_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(FILE, encoding="utf-8")
    assert load(path) == Values(
        cluster_id="c4f0a9d27b6e84c1f93d5e7a1b2c30d68",
        region_id="cn-hangzhou",
        vpc_id="vpc-bp1rkq0z7v3m9xw2ty4ha",
        pool=(PoolEntry(GATEWAY, "cn-hangzhou-j", Ports(512, 1024), ("203.0.113.10", "203.0.113.11")),),
        credential=AccessKey("LTAI5tExample", SECRET),
    )


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(..., id="left out"),
        pytest.param(None, id="nothing under it"),
        pytest.param({}, id="empty"),
        pytest.param({"accessKey": "", "accessSecret": ""}, id="empty texts"),
    ],
)
def test_without_a_key_the_ram_role_is_used(credential: object) -> None:
    assert parse(changed((("credential",), credential))).credential is None


@pytest.mark.parametrize(
    "eips",
    [pytest.param(..., id="left out"), pytest.param(None, id="nothing under it"), pytest.param([], id="empty list")],
)
def test_without_eips_all_of_the_gateway_are_used(eips: object) -> None:
    assert parse(changed(((*POOL, 0, "eips"), eips))).pool[0].eips is None


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(512, 1024, id="integers"),
        pytest.param("512", "1024", id="texts"),
        pytest.param(512, "1024", id="both"),
    ],
)
def test_ports_are_integers_or_digits(start: object, end: object) -> None:
    assert parse(pool({"portRangeStart": start, "portRangeEnd": end})).pool[0].ports == (512, 1024)


def test_installation_may_have_a_name() -> None:
    assert parse(content()).installation == UNNAMED
    assert parse(changed((("installation",), "eu-2"))).installation == Installation("eu-2")


@pytest.mark.parametrize(
    "name", ["", "view", "view-eu", "opt-out", "opt-out-eu", "EU", "eu.1", "-eu", "eu-", "e" * 41, 7, None]
)
def test_name_that_is_none_for_an_installation_is_refused(name: object) -> None:
    with pytest.raises(ValuesError) as caught:
        parse(changed((("installation",), name)))
    (problem,) = caught.value.problems
    assert problem.startswith("installation: ")


def test_range_may_be_a_single_port() -> None:
    assert parse(pool({"portRangeStart": 512, "portRangeEnd": 512})).pool[0].ports.size == 1


@pytest.mark.parametrize("controllers", [..., ["natgw"], ["eip", "natgw"]])
def test_other_controllers_may_be_enabled_beside_ours(controllers: object) -> None:
    assert parse(changed((("enableControllers",), controllers))) == parse(content())


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("vpc-vpc.cn-hangzhou.aliyuncs.com", "https://vpc-vpc.cn-hangzhou.aliyuncs.com"),
        ("https://vpc-vpc.cn-hangzhou.aliyuncs.com", "https://vpc-vpc.cn-hangzhou.aliyuncs.com"),
        ("127.0.0.1:9090", "https://127.0.0.1:9090"),
    ],
)
def test_endpoint_may_be_a_host_name_or_a_url(server: str, url: str) -> None:
    assert parse(content() | {"endpoints": {"vpc": server, "ecs": server}}).endpoints == Endpoints(vpc=url, ecs=url)


def test_endpoints_lead_to_other_servers() -> None:
    url = "http://127.0.0.1:9090"
    assert parse(content() | {"endpoints": {"vpc": url}}).endpoints == Endpoints(vpc=url, ecs=None)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"portRangeStart": 1025, "portRangeEnd": 2000}, id="next ports"),
        pytest.param({"eips": ["203.0.113.12"]}, id="other EIPs"),
        pytest.param({"natgwId": "ngw-other", "eips": None}, id="all EIPs of another gateway"),
    ],
)
def test_ranges_may_lie_side_by_side(other: Json) -> None:
    assert len(parse(pool({}, other)).pool) == 2


def test_pods_are_spread_evenly_unless_the_entry_says_otherwise() -> None:
    assert [entry.policy for entry in parse(pool({})).pool] == [Policy.UNIFORM]


@pytest.mark.parametrize("policy", list(Policy))
def test_entry_says_how_pods_are_spread(policy: Policy) -> None:
    assert parse(pool({"policy": policy.value})).pool[0].policy is policy


def test_quota_belongs_to_the_gateway_whichever_entry_says_it() -> None:
    values = parse(pool({}, {"portRangeStart": 2000, "portRangeEnd": 3000, "quota": 50}))
    assert values.quota_of(GATEWAY) == 50
    assert values.quota_of("ngw-other") is None


@pytest.mark.parametrize(
    ("address", "blocked"),
    [
        ("203.0.113.10", True),
        ("203.0.113.11", False),
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("no address", False),
    ],
)
def test_eips_are_blocked_one_by_one_or_by_network(address: str, blocked: bool) -> None:  # noqa: FBT001
    values = parse(network(blockedEips=["203.0.113.10", "198.51.100.0/29"]))
    assert values.is_blocked(address) is blocked


@pytest.mark.parametrize(("written", "moves"), [({}, False), ({"moveFromBlockedEips": True}, True)])
def test_pods_stay_on_blocked_eips_unless_told_to_move(written: Json, moves: bool) -> None:  # noqa: FBT001
    assert parse(network(**written)).move_from_blocked is moves


@pytest.mark.parametrize(
    "written", [{}, {"blockedEips": None, "allowedNamespaces": None, "limits": None}, {"blockedEips": [], "limits": {}}]
)
def test_nothing_is_blocked_or_limited_unless_the_file_says_so(written: Json) -> None:
    assert parse(network(**written)) == parse(content())


def test_limits_are_reported_apart() -> None:
    assert parse(network(limits={"portsPerPod": 4})).limits == Limits(ports_per_pod=4)
    assert parse(network(limits={"portsPerNamespace": 40})).limits == Limits(ports_per_namespace=40)


@pytest.mark.parametrize(
    ("name", "labels", "allowed"),
    [
        pytest.param("games", {}, True, id="by name"),
        pytest.param("arena", {"public": "true"}, True, id="by labels"),
        pytest.param("arena", {"public": "true", "stage": "test"}, False, id="but not all of them"),
        pytest.param("arena", {}, False, id="by neither"),
    ],
)
def test_namespace_is_allowed(name: str, labels: dict[str, str], allowed: bool) -> None:  # noqa: FBT001
    expression = {"key": "stage", "operator": "NotIn", "values": ["test", "dev"]}
    selector = {"matchLabels": {"public": "true"}, "matchExpressions": [expression]}
    namespaces = parse(network(allowedNamespaces={"names": ["games"], "selector": selector})).namespaces
    assert namespaces is not None
    assert namespaces.allows(name, labels) is allowed
    assert str(namespaces) == "games and those with the labels public=true,stage notin (test,dev)"


def test_gateways_are_listed_once_in_the_files_order() -> None:
    values = parse(
        pool({"natgwId": "ngw-b"}, {"natgwId": "ngw-a", "eips": None}, {"natgwId": "ngw-b", "eips": ["203.0.113.99"]})
    )
    assert values.gateway_ids == ("ngw-b", "ngw-a")


@pytest.mark.parametrize(
    ("gateway_id", "external_ip", "ports", "allowed"),
    [
        pytest.param(GATEWAY, "203.0.113.10", Ports(512, 512), True, id="first"),
        pytest.param(GATEWAY, "203.0.113.10", Ports(1020, 1024), True, id="last"),
        pytest.param(GATEWAY, "203.0.113.10", Ports(1020, 1025), False, id="partly above"),
        pytest.param(GATEWAY, "203.0.113.10", Ports(511, 511), False, id="below"),
        pytest.param(GATEWAY, "203.0.113.12", Ports(512, 512), False, id="another address"),
        pytest.param("ngw-other", "203.0.113.10", Ports(512, 512), False, id="another gateway"),
    ],
)
def test_pool_allows(gateway_id: str, external_ip: str, ports: Ports, allowed: bool) -> None:  # noqa: FBT001
    assert parse(content()).allows(gateway_id, external_ip, ports) is allowed


def test_pool_without_eips_allows_any_address_of_its_gateway() -> None:
    assert parse(pool({"eips": None})).allows(GATEWAY, "198.51.100.1", Ports(512, 512))


# What is refused


@pytest.mark.parametrize(
    ("of", "where", "right"),
    [
        pytest.param(
            pool({"portRangeStart": 1024, "portRangeEnd": 512}),
            f"{POOL_0}.portRangeEnd: 512 lies below portRangeStart, 1024",
            "swap them",
            id="range upside down",
        ),
        pytest.param(
            pool({"portRangeStart": 0}), f"{POOL_0}.portRangeStart: 0 does not fit", "from 1 to 65535", id="port 0"
        ),
        pytest.param(
            pool({"portRangeEnd": 65536}), f"{POOL_0}.portRangeEnd: 65536 does", "from 1 to 65535", id="port too high"
        ),
        pytest.param(
            pool({"portRangeEnd": "70000"}), f"{POOL_0}.portRangeEnd: '70000' does", "from 1 to 65535", id="in digits"
        ),
        pytest.param(
            pool({"portRangeEnd": "high"}),
            f"{POOL_0}.portRangeEnd: 'high' does",
            "from 1 to 65535",
            id="word for a port",
        ),
        pytest.param(
            pool({"portRangeEnd": 1024.5}), f"{POOL_0}.portRangeEnd: 1024.5 does", "from 1 to 65535", id="fraction"
        ),
        pytest.param(
            pool({"portRangeEnd": float("inf")}), f"{POOL_0}.portRangeEnd: inf does", "from 1 to 65535", id="infinity"
        ),
        pytest.param(pool({"portRangeEnd": True}), f"{POOL_0}.portRangeEnd: True does", "from 1 to 65535", id="yes"),
        pytest.param(
            pool({"eips": ["203.0.113.300"]}), f"{POOL_0}.eips[0]: '203.0.113.300'", "such as 203.0.113.10", id="no IP"
        ),
        pytest.param(
            pool({"natgwId": "nat-1"}), f"{POOL_0}.natgwId: 'nat-1' does not fit", "such as ngw-", id="another id"
        ),
        pytest.param(
            changed(((*POOL, 0, "zoneId"), ...)), f"{POOL_0}.zoneId: missing", "such as cn-hangzhou-j", id="missing"
        ),
        pytest.param(changed((("vpcID",), ...)), "vpcID: missing", "such as vpc-", id="missing at the top"),
        pytest.param(changed((POOL, [])), "networkController.natGwPool: []", "at least one", id="empty pool"),
        pytest.param(changed((POOL, None)), "networkController.natGwPool: nothing", "a list", id="no pool"),
        pytest.param(pool({"zone": 1}), f"{POOL_0}.zone: unknown key", "did you mean zoneId?", id="unknown key"),
        pytest.param(pool({"ram": 1}), f"{POOL_0}.ram: unknown key", "known here: natgwId", id="key of nobody"),
        pytest.param(
            network(allowedNamespace={"names": ["games"]}),
            "networkController.allowedNamespace: unknown key",
            "did you mean allowedNamespaces?",
            id="misspelt restriction",
        ),
        pytest.param(
            content() | {"regionId": "x"}, "regionId: unknown key", "did you mean regionID?", id="misspelt key"
        ),
        pytest.param(
            pool({"eip": []}), f"{POOL_0}.eip: unknown key", "did you mean eips?", id="misspelt key of the pool"
        ),
        pytest.param(
            changed((("enableControllers",), ["eip"])), 'enableControllers: "natgw" is not', "add it", id="not enabled"
        ),
        pytest.param(
            changed((("credential", "accessSecret"), "")), "credential: only accessKey", "set both", id="half a key"
        ),
        pytest.param(
            pool({"policy": "inorder"}),
            f"{POOL_0}.policy: 'inorder' is not known",
            "did you mean InOrder?",
            id="policy",
        ),
        pytest.param(
            pool({"policy": "Spread"}), f"{POOL_0}.policy: 'Spread' does not fit", "how pods are", id="no policy at all"
        ),
        pytest.param(pool({"quota": 0}), f"{POOL_0}.quota: 0 does not fit", "such as 100", id="quota of nothing"),
        pytest.param(
            pool({"quota": 100}, {"portRangeStart": 2000, "portRangeEnd": 3000, "quota": 50}),
            "networkController.natGwPool[1].quota: 50 differs from that of natGwPool[0], 100",
            "give one quota for a gateway",
            id="two quotas",
        ),
        pytest.param(
            network(blockedEips=["203.0.113.10/24"]),
            "networkController.blockedEips[0]: '203.0.113.10/24' has bits set behind its prefix",
            "write 203.0.113.0/24 for the network, or 203.0.113.10 for the one address",
            id="host bits",
        ),
        pytest.param(
            network(blockedEips=["203.0.113.0/33"]),
            "networkController.blockedEips[0]: '203.0.113.0/33' does not fit",
            "such as 203.0.113.0/28",
            id="prefix too long",
        ),
        pytest.param(
            network(blockedEips="203.0.113.10"), "networkController.blockedEips: '203.", "a list", id="no list"
        ),
        pytest.param(
            network(blockedEIPs=[]), "networkController.blockedEIPs: unknown key", "mean blockedEips?", id="capitals"
        ),
        pytest.param(
            network(moveFromBlockedEips="yes"),
            "networkController.moveFromBlockedEips: 'yes' does not fit",
            "either true",
            id="word for true",
        ),
        pytest.param(
            network(allowedNamespaces={}),
            "networkController.allowedNamespaces: it names no namespace",
            "leave it out to allow all",
            id="namespaces without any",
        ),
        pytest.param(
            network(allowedNamespaces={"selector": {"matchLabels": {}}}),
            "networkController.allowedNamespaces.selector: empty",
            "leave allowedNamespaces out to allow all",
            id="empty selector",
        ),
        pytest.param(
            network(allowedNamespaces={"names": ["game-*"]}),
            "networkController.allowedNamespaces.names[0]: 'game-*' does not fit",
            "for patterns use selector",
            id="pattern for a namespace",
        ),
        pytest.param(
            network(allowedNamespaces={"selector": {"matchLabels": {"public": True}}}),
            "networkController.allowedNamespaces.selector.matchLabels.public: True does not fit",
            "quote true",
            id="label that is no text",
        ),
        pytest.param(
            expression(operator="in", values=["true"]),
            f"{EXPRESSION_0}.operator: 'in' is not known",
            "did you mean In?",
            id="operator",
        ),
        pytest.param(
            expression(operator="In"), f"{EXPRESSION_0}.values: missing", "In needs at least one value", id="no values"
        ),
        pytest.param(
            expression(operator="Exists", values=["true"]),
            f"{EXPRESSION_0}.values: Exists takes no values",
            "leave them out",
            id="values for Exists",
        ),
        pytest.param(
            network(limits={"portsPerPod": 0}),
            "networkController.limits.portsPerPod: 0 does not fit",
            "such as 20",
            id="limit of nothing",
        ),
        pytest.param(
            network(limits={"portPerPod": 5}),
            "networkController.limits.portPerPod: unknown key",
            "did you mean portsPerPod?",
            id="misspelt limit",
        ),
        pytest.param(None, "the file: it does not fit", "the keys and values of", id="empty file"),
        pytest.param([content()], "the file: it does not fit", "the keys and values of", id="a list"),
    ],
)
def test_refusal_names_the_place_and_what_would_be_right(of: object, where: str, right: str) -> None:
    message = problem(of)
    assert message.startswith(where)
    assert right in message


@pytest.mark.parametrize(
    ("place", "placeholder"),
    [
        pytest.param((*POOL, 0, "natgwId"), "< nat gateway id. >", id="gateway"),
        pytest.param((*POOL, 0, "zoneId"), "< nat gateway zone id. cn-hangzhou-j >", id="zone"),
        pytest.param((*POOL, 0, "eips", 0), "<auto config all nat gateway eips if not config. 0.0.0.0 >", id="EIP"),
        pytest.param(("clusterID",), "<cluster id>", id="cluster"),
        pytest.param(("credential", "accessKey"), "<access key>", id="key"),
        pytest.param(("credential", "accessSecret"), "<access secret>", id="secret"),
    ],
)
def test_untouched_placeholder_is_called_one(place: Place, placeholder: str) -> None:
    message = problem(changed((place, placeholder)))
    assert f"still the placeholder '{placeholder}'; put the real value" in message


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        pytest.param({}, {}, "on 203.0.113.10, 203.0.113.11", id="the same twice"),
        pytest.param({}, {"portRangeStart": 1024, "portRangeEnd": 2000}, "1024-2000 overlap", id="one port"),
        pytest.param({}, {"eips": ["203.0.113.11"]}, "on 203.0.113.11;", id="one EIP"),
        pytest.param({"eips": None}, {}, f"on EIPs of {GATEWAY}", id="all EIPs and some"),
        pytest.param({"eips": None}, {"eips": None}, f"on EIPs of {GATEWAY}", id="all EIPs twice"),
        pytest.param({}, {"natgwId": "ngw-other"}, "on 203.0.113.10,", id="one EIP on two gateways"),
    ],
)
def test_ranges_that_overlap_on_an_eip_are_refused(one: Json, other: Json, shared: str) -> None:
    message = problem(pool(one, other))
    assert message.startswith("networkController.natGwPool[1]: ports ")
    assert "those of natGwPool[0], 512-1024" in message
    assert shared in message
    assert message.endswith("keep the ranges apart")


def test_all_problems_are_reported_at_once() -> None:
    wrong = pool({"natgwId": "< nat gateway id. >", "portRangeEnd": 1}, {"eip": []}, {}, {"portRangeEnd": 70000})
    message = problems(
        changed(
            (("clusterID",), ...),
            (("enableControllers",), []),
            (("credential", "accessKey"), ""),
            (("vpcid",), 1),
            of=wrong,
        )
    )
    assert [text.partition(": ")[0] for text in message] == [
        "clusterID",
        "credential",
        "enableControllers",
        f"{POOL_0}.natgwId",
        f"{POOL_0}.portRangeEnd",
        "networkController.natGwPool[1].eip",
        "networkController.natGwPool[2]",
        "networkController.natGwPool[3].portRangeEnd",
        "vpcid",
    ]


@pytest.mark.parametrize(
    ("of", "where", "right"),
    [
        pytest.param(
            content() | {"image": "registry/controller"},
            "image: poddnat doesn't know this key",
            "leaves it to others",
            id="a chart's key",
        ),
        pytest.param(
            network(ipv6GatewayController={"enable": False}),
            "networkController.ipv6GatewayController: poddnat doesn't know this key",
            "leaves it to others",
            id="another controller's key",
        ),
        pytest.param(
            pool({"eips": ["203.0.113.10", "203.0.113.10"]}),
            f"{POOL_0}.eips: 203.0.113.10 is listed 2 times",
            "once is enough",
            id="EIP twice",
        ),
        pytest.param(
            pool({"eips": []}), f"{POOL_0}.eips is empty, which gives pods every EIP", "leave it out", id="no EIP"
        ),
        pytest.param(
            pool({}, {"natgwId": "ngw-other", "portRangeStart": 2000, "portRangeEnd": 3000, "eips": ["203.0.113.11"]}),
            f"networkController.natGwPool[1].eips: 203.0.113.11 is listed for ngw-other and, in natGwPool[0], "
            f"for {GATEWAY}",
            "take it out of the other",
            id="one EIP under two gateways",
        ),
        pytest.param(
            pool({}, {"zoneId": "cn-hangzhou-k", "portRangeStart": 2000, "portRangeEnd": 3000}),
            "networkController.natGwPool[1].zoneId: cn-hangzhou-k differs from that of natGwPool[0], cn-hangzhou-j",
            "a gateway is in one zone",
            id="one gateway in two zones",
        ),
        pytest.param(
            network(blockedEips=["203.0.113.0/24"]),
            "networkController.blockedEips: every EIP of the pool is blocked",
            "leave some open",
            id="all blocked",
        ),
    ],
)
def test_what_is_odd_but_no_fault_is_a_warning(of: object, where: str, right: str) -> None:
    (warning,) = parse(of).warnings
    assert warning.startswith(where)
    assert right in warning


@pytest.mark.parametrize("of", [content(), network(blockedEips=["203.0.113.10"])], ids=["usual", "one blocked"])
def test_usual_file_has_no_warnings(of: object) -> None:
    assert parse(of).warnings == ()


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param(
            FILE + "networkController: {natGwPool: []}\n",
            "networkController: given 2 times, in lines 8 and 21; keep one",
            id="section",
        ),
        pytest.param(
            FILE.replace("portRangeEnd: 1024", "portRangeEnd: 1024\n      portRangeEnd: 512"),
            f"{POOL_0}.portRangeEnd: given 2 times, in lines 13 and 14; keep one",
            id="key of the pool",
        ),
        pytest.param(
            FILE + 'image: "a"\nimage: "b"\n', "image: given 2 times, in lines 21 and 22; keep one", id="others' key"
        ),
        pytest.param(
            FILE.replace("portRangeStart: 512", "portRangeStart: 0512"),
            f"{POOL_0}.portRangeStart: 0512 in line 12 is 330 to YAML; write 512, or 330 if that is meant",
            id="octal",
        ),
        pytest.param(
            FILE.replace("portRangeEnd: 1024", "portRangeEnd: 0x400"),
            f'{POOL_0}.portRangeEnd: 0x400 in line 13 is 1024 to YAML; write 1024, or "0x400" for the text',
            id="hexadecimal",
        ),
        pytest.param("", "it is empty", id="empty"),
        pytest.param("# Nothing yet.\n", "it is empty", id="comment"),
        pytest.param(FILE + "---\n" + FILE, "it has 2 documents, parted by ---; leave one", id="two documents"),
        pytest.param(
            f"a: {'9' * 5000}\n", "it is not YAML: it has a value that can't be read", id="number of very many digits"
        ),
        pytest.param(
            "a: &a\n  b: *a\n", "it is not YAML: found a value that holds itself in line 1, column 4", id="loop"
        ),
        pytest.param("a: !!set {b}\n", "it is not YAML: found a value of a type of its own in line 1", id="set"),
    ],
)
def test_what_yaml_would_take_otherwise_than_it_looks_is_named_with_its_line(
    tmp_path: Path, written: str, complaint: str
) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(written, encoding="utf-8")
    with pytest.raises(ValuesError) as caught:
        load(path)
    assert any(problem.startswith(complaint) for problem in caught.value.problems)


def test_numbers_of_others_keys_and_anchors_are_nobodys_fault(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(FILE + "mode: &mode {bits: 0644}\nother: {<<: *mode, more: *mode}\n", encoding="utf-8")
    assert len(load(path).warnings) == 2


def test_error_names_the_file_and_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("clusterID: c1\n", encoding="utf-8")
    with pytest.raises(ValuesError) as caught:
        load(path)
    first, *others = str(caught.value).splitlines()
    assert first == f"{path} can't be used:"
    assert [line.strip() for line in others] == list(caught.value.problems)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param(b"clusterID: [", "it is not YAML: ", id="broken YAML"),
        pytest.param(b"a: \x00", "it is not YAML: ", id="a character that YAML does not allow"),
        pytest.param(b"a: \xff", "it is not UTF-8 text: ", id="not UTF-8"),
        pytest.param(b"", "it is empty", id="empty"),
    ],
)
def test_file_that_is_no_values_file_is_refused(tmp_path: Path, written: bytes, complaint: str) -> None:
    path = tmp_path / "values.yaml"
    path.write_bytes(written)
    with pytest.raises(ValuesError, match=complaint):
        load(path)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValuesError, match="it can't be read: No such file or directory"):
        load(tmp_path / "values.yaml")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["512", "natgw", "<x>"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)
places: st.SearchStrategy[Place] = st.sampled_from(
    [(key,) for key in content()]
    + [POOL, (*POOL, 0)]
    + [(*POOL, 0, key) for key in content()["networkController"]["natGwPool"][0]]
    + [(*POOL, 0, key) for key in ("policy", "quota")]
    + [("networkController", key) for key in ("blockedEips", "moveFromBlockedEips", "allowedNamespaces", "limits")]
    + [("credential", "accessKey"), ("credential", "accessSecret"), ("endpoints",)]
)


@given(places, anything)
@example((*POOL, 0, "portRangeStart"), float("inf"))
@example((*POOL, 0, "portRangeStart"), "9" * 5000)
@example((*POOL, 0), {"natgwId": None, 7: "seven"})
@example(
    ("networkController", "allowedNamespaces"), {"selector": {"matchExpressions": [{"operator": [], "values": 1}]}}
)
@example(("networkController", "blockedEips"), [["203.0.113.10/24"], 5, "203.0.113.10/24", "1.2.3.4/1/2"])
def test_anything_in_any_place_is_either_accepted_or_refused(place: Place, value: object) -> None:
    try:
        values = parse(changed((place, value)))
    except ValuesError:
        return
    assert isinstance(values, Values)


# The secret


def test_secret_is_not_in_the_repr() -> None:
    assert SECRET not in repr(parse(content()))


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(changed((("credential",), SECRET)), id="in the credential's place"),
        pytest.param(changed((("credential", "accessSecret"), [SECRET])), id="in a list"),
        pytest.param(changed((("credential", "accessKey"), f"{SECRET} ")), id="in the key's place"),
        pytest.param(changed((("credential", "accessKey"), "")), id="alone"),
        pytest.param(SECRET, id="in the file's place"),
    ],
)
def test_secret_is_not_in_the_complaints(of: object) -> None:
    assert SECRET not in "".join(problems(of))


def test_secret_is_not_quoted_from_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(FILE.replace(f'"{SECRET}"', f'"{SECRET}" "'), encoding="utf-8")
    with pytest.raises(ValuesError) as caught:
        load(path)
    assert SECRET not in str(caught.value)
    assert "line" in str(caught.value)
