"""ports, audit and check-config, as people and scripts run them, against a cloud and a cluster on loopback."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from metacontroller_standin.kubeconfig import kubeconfig
from metacontroller_standin.waiting import wait_until
from poddnat.cli import operate
from poddnat.cli.audit import compare, repair, steps_for
from poddnat.cli.commands import app
from poddnat.cli.site import Site
from poddnat.cloud import CloudClient
from poddnat.gateway import Ownership
from poddnat.kube import KubeClient
from tests.hushed import leaks
from tests.unit.hooks import acks
from tests.unit.hooks import world as small
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, KEY, World, cluster

if TYPE_CHECKING:
    from pathlib import Path


FREE_IP = "172.16.1.9"
GONE = Ownership("c-test").name_of("uid-of-one-that-is-gone")


@dataclass
class Terminal:
    """Where commands are run."""

    world: World
    values: Path
    kubeconfig: Path

    def run(self, command: str, *options: str) -> Result:
        """Run a command on the world."""
        where = [] if command == "check-config" else ["--kubeconfig", str(self.kubeconfig)]
        result = CliRunner().invoke(app, [command, "--values", str(self.values), *where, *options])
        assert leaks(result.output) == []
        return result

    def read(self, command: str, *options: str) -> Any:
        """Run a command, and read what it writes for programs."""
        return json.loads(self.run(command, "-o", "json", *options).stdout)

    def change_values(self, **changes: Any) -> None:
        """Change keys of the pool's entry."""
        content = yaml.safe_load(self.values.read_text(encoding="utf-8"))
        content["networkController"]["natGwPool"][0].update(changes)
        self.values.write_text(yaml.safe_dump(content))


@pytest.fixture
def terminal(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(operate, "AUDIT_PAUSE", 0.0)
    wait_until(lambda: all(gateway.loaded for gateway in world.service.fleet.gateways()), 10, "the tables to be listed")
    url = world.values.endpoints.vpc
    assert url is not None
    values, path = tmp_path / "values.yaml", tmp_path / "kubeconfig"
    values.write_text(yaml.safe_dump(small.values(url)))
    path.write_text(yaml.safe_dump(kubeconfig(world.memory.url)))
    return Terminal(world, values, path)


@pytest.fixture
def exposed(terminal: Terminal) -> Terminal:
    """A terminal at a world with one pod whose port works."""
    terminal.world.expose(terminal.world.make_pod(EXPOSE_80))
    return terminal


def add_entry(world: World, name: str, port: int = 600) -> str:
    """Put an entry into the table behind everybody's back; return its id."""
    entry = world.emulator.add_entry(
        GATEWAY, external_ip=EIP, external_port=port, internal_ip=FREE_IP, internal_port=port, name=name
    )
    return entry.id


def kinds(terminal: Terminal) -> list[str]:
    """Audit, and return the kinds of what is found."""
    return [finding["kind"] for finding in terminal.read("audit")["findings"]]


def claims(world: World) -> list[str]:
    """Return the ids of the entries that the PodDNAT says work."""
    status = (world.poddnat() or {}).get("status", {})
    return [entry["forwardEntryId"] for entry in status.get("entries", [])]


# ports


def test_ports_tells_what_is_free_and_used(exposed: Terminal) -> None:
    add_entry(exposed.world, "somebody-else")
    reported = exposed.read("ports")
    (gateway,) = reported["gateways"]
    (eip,) = reported["eips"]
    assert (gateway["entries"], gateway["ours"], gateway["foreign"]) == (2, 1, 1)
    assert (eip["eip"], eip["ports"], eip["freeTCP"], eip["freeUDP"]) == (EIP, 513, 511, 513)
    assert [(m["external"], m["podDNAT"]) for m in reported["mappings"]] == [
        (f"{EIP}:512", "default/web-1"),
        (f"{EIP}:600", ""),
    ]


def test_ports_shows_tables_to_people(exposed: Terminal) -> None:
    result = exposed.run("ports", "--mappings")
    assert result.exit_code == 0
    for shown in (GATEWAY, EIP, "in use", "default/web-1", "FREE UDP"):
        assert shown in result.stdout


def test_ports_offers_none_on_an_eip_that_the_gateway_has_not(exposed: Terminal) -> None:
    exposed.change_values(eips=[EIP, "203.0.113.77"])
    (_, other) = exposed.read("ports")["eips"]
    assert (other["state"], other["freeTCP"]) == ("not on the gateway", 0)


# audit


def test_audit_is_clean_when_cluster_and_cloud_agree(exposed: Terminal) -> None:
    result = exposed.run("audit")
    assert result.exit_code == 0
    assert "0 missing, 0 drifted, 0 leftover, 0 foreign" in result.stdout


def test_audit_finds_an_entry_that_was_deleted_by_hand(exposed: Terminal) -> None:
    (entry,) = exposed.world.entries()
    exposed.world.emulator.delete_entry(GATEWAY, entry.id)
    assert exposed.run("audit").exit_code == 1
    (finding,) = exposed.read("audit")["findings"]
    assert (finding["kind"], finding["entry"], finding["podDNAT"]) == ("missing", entry.id, "default/web-1")


@pytest.mark.parametrize("change", [{"internal_ip": FREE_IP}, {"name": "mine-now"}], ids=str)
def test_audit_finds_an_entry_that_was_edited_by_hand(exposed: Terminal, change: dict[str, str]) -> None:
    (entry,) = exposed.world.entries()
    exposed.world.emulator.edit_entry(GATEWAY, entry.id, **change)
    assert kinds(exposed) == ["drifted"]


def test_audit_finds_a_leftover_and_leaves_it_alone(terminal: Terminal) -> None:
    add_entry(terminal.world, GONE)
    result = terminal.run("audit")
    assert result.exit_code == 1
    assert "1 leftover" in result.stdout
    assert len(terminal.world.entries()) == 1


def test_foreign_entries_are_shown_but_no_fault(terminal: Terminal) -> None:
    add_entry(terminal.world, "somebody-else")
    assert kinds(terminal) == ["foreign"]
    assert terminal.run("audit").exit_code == 0


def test_nameless_entry_on_a_port_of_the_pool_is_foreign_and_may_be_of_an_adopted_poddnat(terminal: Terminal) -> None:
    add_entry(terminal.world, "", port=600)
    add_entry(terminal.world, "", port=5000)
    details = {finding["rule"]: finding["detail"] for finding in terminal.read("audit")["findings"]}
    assert "adopted" in next(detail for rule, detail in details.items() if ":600 " in rule)
    assert next(detail for rule, detail in details.items() if ":5000 " in rule) == "without a name"


def test_entries_of_another_cluster_are_foreign(terminal: Terminal) -> None:
    add_entry(terminal.world, Ownership("c-other").name_of("some-uid"))
    assert kinds(terminal) == ["foreign"]


def test_entries_of_a_poddnat_on_its_way_out_are_no_fault(exposed: Terminal) -> None:
    poddnat = exposed.world.poddnat()
    assert poddnat is not None
    world = exposed.world
    patch = {"metadata": {"finalizers": ["example.com/held"]}}
    world.api.patch(world.poddnats, "web-1", patch, "default")
    world.api.delete(world.poddnats, "web-1", "default")
    wait_until(lambda: world.entries() == [], 10, "the server to withdraw the entry")
    assert kinds(exposed) == []


def test_fix_says_what_it_would_do_and_does_nothing_without_yes_where_nobody_can_be_asked(terminal: Terminal) -> None:
    entry_id = add_entry(terminal.world, GONE)
    result = terminal.run("audit", "--fix")
    assert result.exit_code == 1
    assert f"would delete entry {entry_id}" in result.stderr
    assert "--yes" in result.stderr
    assert len(terminal.world.entries()) == 1


def test_audit_names_a_mass_that_the_server_leaves_alone_and_fix_deletes_it(terminal: Terminal) -> None:
    ownership = Ownership("c-test")
    for number in range(8):
        add_entry(terminal.world, ownership.name_of(f"gone-{number}"), 600 + number)
    result = terminal.run("audit", "--output", "json")
    details = {finding["detail"] for finding in json.loads(result.stdout)["findings"]}
    assert details == {
        f"PodDNAT gone-{n} is gone with 7 others, too many for the server to delete by itself" for n in range(8)
    }
    assert terminal.run("audit", "--fix", "--yes").exit_code == 0
    assert terminal.world.entries() == []


def test_fix_deletes_leftovers_and_no_foreign_entry(terminal: Terminal) -> None:
    add_entry(terminal.world, GONE, port=600)
    add_entry(terminal.world, GONE, port=601)
    foreign = add_entry(terminal.world, "somebody-else", port=602)
    result = terminal.run("audit", "--fix", "--yes")
    assert result.exit_code == 0, result.output
    assert [entry.id for entry in terminal.world.entries()] == [foreign]


def test_fix_has_the_server_make_a_missing_entry_anew_at_once(terminal: Terminal) -> None:
    world = terminal.world
    with cluster(world):
        world.make_pod(EXPOSE_80)
        wait_until(lambda: claims(world), 10, "the pod to be exposed")
        (entry,) = world.entries()
        world.emulator.delete_entry(GATEWAY, entry.id)
        result = terminal.run("audit", "--fix", "--yes")
        assert result.exit_code == 0, result.output
        wait_until(lambda: world.entries() and claims(world) == [e.id for e in world.entries()], 10, "the entry again")


def test_fix_gets_over_a_poddnat_that_went_meanwhile(exposed: Terminal) -> None:
    (entry,) = exposed.world.entries()
    exposed.world.emulator.delete_entry(GATEWAY, entry.id)
    values, connection = exposed.world.values, exposed.world.connection
    site = Site(values, CloudClient(values), KubeClient(connection))
    steps = steps_for(compare(site.snapshot(), values))
    exposed.world.api.delete(exposed.world.poddnats, "web-1", "default")
    results: list[bool] = []
    repair(site, steps, lambda _step, succeeded: results.append(succeeded))
    assert results == [True]


def test_fix_leaves_a_renamed_entry_to_people(exposed: Terminal) -> None:
    (entry,) = exposed.world.entries()
    exposed.world.emulator.rename_entry(GATEWAY, entry.id, "mine-now")
    result = exposed.run("audit", "--fix", "--yes")
    assert result.exit_code == 1
    assert [e.name for e in exposed.world.entries()] == ["mine-now"]


def test_adopt_can_be_tried_on_one_poddnat_first(terminal: Terminal) -> None:
    world = terminal.world
    for number in (1, 2):
        pod = world.make_pod({}, name=f"web-{number}", ip=f"172.16.1.{number}")
        made = acks.entry(world.emulator, ip=f"172.16.1.{number}", port=700 + number)
        world.api.create(world.poddnats, acks.poddnat(pod, made))
    assert [move["podDNAT"] for move in terminal.read("adopt")["moves"]] == ["default/web-1", "default/web-2"]
    assert [move["podDNAT"] for move in terminal.read("adopt", "default/web-2")["moves"]] == ["default/web-2"]
    assert [move["podDNAT"] for move in terminal.read("adopt", "-n", "default", "web-2")["moves"]] == ["default/web-2"]
    typo = terminal.run("adopt", "web-2")
    assert typo.exit_code == 2
    assert "there are default/web-1, default/web-2" in typo.stderr


@pytest.mark.parametrize("command", ["audit", "ports"])
def test_cloud_that_refuses_is_reported_in_a_sentence(exposed: Terminal, command: str) -> None:
    exposed.world.emulator.revoke_credential(KEY)
    result = exposed.run(command)
    assert result.exit_code == 2
    assert "the cloud did not tell: " in result.stderr
    assert "InvalidAccessKeyId" in result.stderr


@pytest.mark.parametrize("command", ["audit", "ports"])
def test_kubeconfig_that_is_none_is_reported_in_a_sentence(terminal: Terminal, command: str) -> None:
    terminal.kubeconfig.write_text("kind: Config\n")
    result = terminal.run(command)
    assert result.exit_code == 2
    assert "kubeconfig" in result.stderr


# check-config


def checks(terminal: Terminal) -> dict[tuple[str, str], tuple[str, str]]:
    """Check, and return results and texts by what was checked."""
    return {(c["check"], c["subject"]): (c["result"], c["text"]) for c in terminal.read("check-config")}


def test_check_config_finds_nothing_wrong_in_a_cloud_that_is_as_the_file_says(terminal: Terminal) -> None:
    assert terminal.run("check-config").exit_code == 0
    assert {result for result, _ in checks(terminal).values()} == {"ok"}
    assert len([1 for check, _ in checks(terminal) if check == "permission"]) == 8


def test_check_config_changes_nothing_in_the_cloud(terminal: Terminal) -> None:
    terminal.run("check-config")
    outcomes = terminal.world.emulator.calls
    assert outcomes.count("CreateForwardEntry") == 1
    assert terminal.world.entries() == []


ACTIONS = [
    "vpc:CreateForwardEntry",
    "vpc:DeleteForwardEntry",
    "vpc:DescribeEipAddresses",
    "vpc:DescribeForwardTableEntries",
    "vpc:DescribeNatGateways",
    "vpc:DescribeRouteEntryList",
    "vpc:DescribeRouteTableList",
    "ecs:DescribeNetworkInterfaces",
]


@pytest.mark.parametrize("missing", ACTIONS)
def test_permission_that_the_policy_lacks_is_named(terminal: Terminal, missing: str) -> None:
    terminal.world.emulator.set_allowed_actions(KEY, [action for action in ACTIONS if action != missing])
    assert checks(terminal)["permission", missing] == (
        "wrong",
        f"not allowed (Forbidden.RAM): add {missing} to the RAM policy",
    )
    assert terminal.run("check-config").exit_code == 1


def test_gateway_that_is_locked_is_reported_with_what_to_do(terminal: Terminal) -> None:
    terminal.world.emulator.set_business_status(GATEWAY, "FinancialLocked")
    result, text = checks(terminal)["gateway", GATEWAY]
    assert (result, "pay what is due" in text) == ("wrong", True)


def test_credentials_that_the_cloud_does_not_know_are_reported(terminal: Terminal) -> None:
    terminal.world.emulator.revoke_credential(KEY)
    result, text = checks(terminal)["credentials", ""]
    assert result == "wrong"
    assert "InvalidAccessKeyId" in text


@pytest.mark.parametrize(
    ("key", "value", "what", "right"),
    [
        pytest.param("vpcID", "vpc-wrong", "vpc", "correct vpcID, or regionID", id="VPC"),
        pytest.param("regionID", "cn-beijing", "region", "correct regionID", id="region"),
        pytest.param("endpoints", {"vpc": "http://127.0.0.1:9"}, "endpoint", "correct endpoints.vpc", id="endpoint"),
    ],
)
def test_wrong_place_is_reported_as_that_and_credentials_are_not_blamed(
    terminal: Terminal, key: str, value: object, what: str, right: str
) -> None:
    content = yaml.safe_load(terminal.values.read_text(encoding="utf-8"))
    terminal.values.write_text(yaml.safe_dump({**content, key: value}), encoding="utf-8")
    found = checks(terminal)
    ((subject, (result, text)),) = [(of, found[check, of]) for check, of in found if check == what]
    assert result == "wrong"
    assert right in text
    assert subject
    assert ("credentials", "") not in found


def test_ecs_endpoint_that_does_not_answer_is_reported(terminal: Terminal) -> None:
    content = yaml.safe_load(terminal.values.read_text(encoding="utf-8"))
    content["endpoints"]["ecs"] = "http://127.0.0.1:9"
    terminal.values.write_text(yaml.safe_dump(content), encoding="utf-8")
    result, text = checks(terminal)["endpoint", "http://127.0.0.1:9"]
    assert result == "wrong"
    assert "correct endpoints.ecs" in text


def test_gateway_that_is_not_there_is_reported_with_those_that_are(terminal: Terminal) -> None:
    terminal.change_values(natgwId="ngw-typo")
    result, text = checks(terminal)["gateway", "ngw-typo"]
    assert result == "wrong"
    assert GATEWAY in text


def test_eip_that_is_not_on_the_gateway_is_reported_with_those_that_are(terminal: Terminal) -> None:
    terminal.change_values(eips=["203.0.113.77"])
    result, text = checks(terminal)["eip", "203.0.113.77"]
    assert result == "wrong"
    assert EIP in text


def test_zone_that_the_gateway_is_not_in_is_reported(terminal: Terminal) -> None:
    terminal.change_values(zoneId="cn-hangzhou-b")
    assert checks(terminal)["gateway", GATEWAY] == ("warning", "it is in zone cn-hangzhou-j; zoneId says cn-hangzhou-b")


def test_gateway_that_no_route_leads_to_is_reported(terminal: Terminal) -> None:
    terminal.world.emulator.set_default_route("vtb-1", "", "")
    found = checks(terminal)
    assert found["route", GATEWAY][0] == "wrong"
    assert found["route", "vtb-1"][0] == "warning"


def test_offline_asks_the_cloud_nothing(terminal: Terminal) -> None:
    wait_until(lambda: terminal.world.service.fleet.known, 10, "the service to have started")
    before = terminal.world.emulator.calls.count("DescribeNatGateways")
    assert terminal.run("check-config", "--offline").exit_code == 0
    assert terminal.world.emulator.calls.count("DescribeNatGateways") == before
