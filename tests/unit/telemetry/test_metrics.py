"""What /metrics shows, after real hook calls against a real cloud on loopback."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from metacontroller_standin.waiting import wait_until
from poddnat.api import Owner, fixed, parse_spec, release_strategy
from tests.unit.docs.pages import page
from tests.unit.hooks.world import EIP, EXPOSE_80, GATEWAY, POD_DNAT, PORTS, World, answer, running


def samples(world: World) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Scrape, and return each sample by its name and labels."""
    response = world.client.get("/metrics")
    assert response.status_code == 200
    families = text_string_to_metric_families(response.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def metric(world: World, name: str, **labels: str) -> float | None:
    """Scrape one metric; None: it isn't there."""
    return samples(world).get((name, frozenset(labels.items())))


def wait_for(world: World, value: float, name: str, **labels: str) -> None:
    """Wait until a metric has a value."""
    wait_until(lambda: metric(world, name, **labels) == value, 10, f"{name} to be {value}")


def test_calls_of_the_cloud_are_counted_once_each(world: World) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    counted = {
        (dict(labels)["action"], value)
        for (name, labels), value in samples(world).items()
        if name == "poddnat_cloud_calls_total"
    }
    made = {(action, float(world.emulator.calls.count(action))) for action, _ in counted}
    assert counted == made
    assert ("CreateForwardEntry", 1.0) in counted
    assert metric(world, "poddnat_cloud_calls_total", action="CreateForwardEntry", outcome="ok", code="OK") == 1


def test_failed_calls_are_reported_by_what_they_mean_and_by_code(world: World) -> None:
    world.emulator.set_quota(GATEWAY, 0)
    poddnat = world.make_poddnat(world.attachment(pod := world.make_pod(EXPOSE_80))["spec"], owner=pod)
    labels = {"action": "CreateForwardEntry", "outcome": "full", "code": "QuotaExceeded.ForwardEntry"}
    world.sync_poddnat(poddnat)
    wait_for(world, 1, "poddnat_cloud_calls_total", **labels)
    assert metric(world, "poddnat_gateway_entries_quota", gateway=GATEWAY) == 0


def test_hook_calls_are_counted_by_answer(world: World) -> None:
    world.client.post("/pod/sync", data="nonsense")
    world.client.get("/healthz")
    hooks = {
        tuple(sorted(labels)): value
        for (name, labels), value in samples(world).items()
        if name.startswith("poddnat_hook_calls_t") and value
    }
    assert hooks == {(("code", "400"), ("hook", "pod-sync")): 1.0}
    assert metric(world, "poddnat_hook_duration_seconds_count", hook="pod-sync") == 1


def test_what_an_alert_waits_for_is_reported_as_0_before_it_first_happens(world: World) -> None:
    """A counter that first shows up as 1 has not increased, as Prometheus sees it."""
    assert metric(world, "poddnat_lost_total", gateway=GATEWAY) == 0
    assert metric(world, "poddnat_swept_total", gateway=GATEWAY) == 0
    assert metric(world, "poddnat_hook_calls_total", hook="poddnat-finalize", code="500") == 0


def test_time_until_a_pod_is_exposed_is_reported_once(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    world.sync_poddnat(poddnat)
    assert metric(world, "poddnat_exposure_duration_seconds_count") == 1
    assert (metric(world, "poddnat_exposure_duration_seconds_sum") or 0) > 0


def test_pod_deleted_while_it_waits_is_not_counted_as_exposed(world: World) -> None:
    world.emulator.set_quota(GATEWAY, 0)
    poddnat = world.make_poddnat(world.attachment(pod := world.make_pod(EXPOSE_80))["spec"], owner=pod)
    world.service.poddnat_reconciler.gone(poddnat)
    assert metric(world, "poddnat_exposure_duration_seconds_count") == 0


def test_free_ports_are_reported_for_each_address_and_protocol(world: World) -> None:
    world.expose(world.make_pod({**EXPOSE_80, PORTS: "80,81"}))
    labels = {"gateway": GATEWAY, "eip": EIP}
    assert metric(world, "poddnat_eip_ports", **labels, protocol="tcp") == 513
    assert metric(world, "poddnat_eip_free_ports", **labels, protocol="tcp") == 511
    assert metric(world, "poddnat_eip_free_ports", **labels, protocol="udp") == 513


def test_ports_are_counted_by_namespace_and_those_retained_for_absent_pods_apart(world: World) -> None:
    world.expose(world.make_pod({**EXPOSE_80, PORTS: "80,9000-9002/udp"}))
    wait_for(world, 4, "poddnat_namespace_ports", namespace="default", state="used")
    poddnat = world.poddnat("web-1")
    assert poddnat is not None
    owner = Owner("apps/v1", "StatefulSet", "arena", "uid-of-arena")
    away = fixed.Fixed(owner, release_strategy.parse("Never"), "arena-0", "", "2026-11-26T00:00:00Z")
    spec = parse_spec({**poddnat["spec"], "portMapping": [{"externalPort": "700", "internalPort": "80"}]})
    world.api.create(world.poddnats, fixed.attachment("default", "arena-0", spec, away))
    wait_for(world, 1, "poddnat_namespace_ports", namespace="default", state="kept")
    assert metric(world, "poddnat_namespace_ports", namespace="default", state="used") == 4


def test_poddnat_that_hangs_in_terminating_is_reported_with_its_age(world: World) -> None:
    poddnat = world.expose(world.make_pod(EXPOSE_80))
    assert metric(world, "poddnat_terminating") == metric(world, "poddnat_oldest_terminating_seconds") == 0
    world.api.patch(world.poddnats, "web-1", {"metadata": {"finalizers": ["somebody.else/holds-it"]}}, "default")
    world.api.delete(world.poddnats, poddnat["metadata"]["name"], "default")
    wait_for(world, 1, "poddnat_terminating")
    wait_until(lambda: (metric(world, "poddnat_oldest_terminating_seconds") or 0) > 0.5, 10, "time to pass")


def test_time_of_the_last_call_is_reported_and_strangers_do_not_count(world: World) -> None:
    name = "poddnat_hook_last_call_timestamp_seconds"
    started = metric(world, name) or 0
    assert abs(started - time.time()) < 60
    world.client.post("/pod/sync", json={})
    assert metric(world, name) == started
    pod = world.make_pod(EXPOSE_80)
    answer(lambda: world.sync_pod(pod))
    assert (metric(world, name) or 0) > started


def test_poddnats_are_counted_by_reason(world: World) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    wait_for(world, 1, "poddnat_poddnats", ready="true", reason="Ready")
    assert metric(world, "poddnat_poddnats", ready="false", reason="Waiting") is None


def test_pods_are_counted_as_refused_by_reason_until_they_are_not(world: World) -> None:
    typo = world.make_pod({**EXPOSE_80, PORTS: "http"})
    greedy = world.make_pod({**EXPOSE_80, PORTS: "1-600"}, name="web-2")
    answer(lambda: world.sync_pod(typo))
    answer(lambda: world.sync_pod(typo))
    answer(lambda: world.sync_pod(greedy))
    assert metric(world, "poddnat_pods_refused", reason="InvalidAnnotation") == 1
    assert metric(world, "poddnat_pods_refused", reason="NoFreePorts") == 1
    answer(lambda: world.sync_pod(world.annotate(typo, {PORTS: "80"})))
    answer(lambda: world.opt_out(world.annotate(greedy, {POD_DNAT: None})))
    assert not [name for name, _ in samples(world) if name == "poddnat_pods_refused"]


def test_queue_of_a_gateway_is_reported_with_the_age_of_its_oldest() -> None:
    with running(settle_seconds=30) as world:
        world.emulator.set_writes_at_once(GATEWAY, 1)
        for number in range(1, 5):
            pod = world.make_pod(EXPOSE_80, name=f"web-{number}", ip=f"172.16.1.{number}")
            spec = world.attachment(pod)["spec"]
            world.sync_poddnat(world.make_poddnat(spec, owner=pod, name=f"web-{number}"))
        labels = {"gateway": GATEWAY, "kind": "create"}
        wait_for(world, 1, "poddnat_gateway_writes_unsettled", gateway=GATEWAY)
        wait_for(world, 3, "poddnat_gateway_waiting", **labels)  # One less while a write is tried.
        assert (metric(world, "poddnat_gateway_oldest_waiting_seconds", **labels) or 0) > 0
        assert metric(world, "poddnat_gateway_concurrency", gateway=GATEWAY) == 1
        assert metric(world, "poddnat_gateway_entries", gateway=GATEWAY) == 1


@pytest.mark.parametrize(("started", "expected"), [(True, 1), (False, 0)])
def test_active_is_the_one_that_answers(*, started: bool, expected: int) -> None:
    with running(started=started) as world:
        assert metric(world, "poddnat_active") == expected


def test_no_pod_is_named_and_every_name_follows_the_conventions(world: World) -> None:
    world.expose(world.make_pod(EXPOSE_80))
    text = world.client.get("/metrics").text
    assert "web-1" not in text
    ours = [f for f in text_string_to_metric_families(text) if f.name.startswith("poddnat_")]
    assert all(family.documentation.endswith(".") for family in ours)
    labels = set(itertools.chain.from_iterable(s.labels for family in ours for s in family.samples))
    assert labels <= {
        "action",
        "outcome",
        "code",
        "hook",
        "gateway",
        "eip",
        "protocol",
        "kind",
        "ready",
        "reason",
        "le",
        "namespace",
        "state",
    }


def test_page_lists_every_metric(world: World) -> None:
    reported = set(re.findall(r"^\| `(poddnat_\w+)`", page("operators/monitoring"), re.MULTILINE))
    families = text_string_to_metric_families(world.client.get("/metrics").text)
    names = {f"{f.name}_total" if f.type == "counter" else f.name for f in families if f.name.startswith("poddnat_")}
    assert reported == names
