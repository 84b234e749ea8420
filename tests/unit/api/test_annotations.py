"""A pod's annotations: what is asked for, what is refused and how, and what the pod's status says."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poddnat.api import FIXED, POD_DNAT, RESYNC_TRIGGERED_AT, AnnotationError
from poddnat.api.annotations import EXPOSE_PORT, EXPOSE_PROTOCOL, format_result, format_status, oddities, parse
from poddnat.model import ExposedPort, Exposure, Ports, Transport
from tests.unit.samples import items, working


def asking(*, on: str = "true", ports: str = "80", **more: str) -> dict[str, str]:
    """Write a pod's annotations: what is asked for, unless said otherwise, is port 80."""
    keys = {"protocol": EXPOSE_PROTOCOL, "fixed": FIXED}
    return {POD_DNAT: on, EXPOSE_PORT: ports} | {keys[word]: value for word, value in more.items()}


def problems(annotations: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(AnnotationError) as caught:
        parse(annotations)
    return caught.value.problems


def exposed(annotations: dict[str, str]) -> Exposure:
    exposure = parse(annotations)
    assert exposure is not None
    return exposure


# What is asked for


def test_annotations_are_those_of_ack() -> None:
    assert (POD_DNAT, EXPOSE_PORT, EXPOSE_PROTOCOL, FIXED) == (
        "k8s.aliyun.com/pod-dnat",
        "k8s.aliyun.com/pod-dnat-expose-port",
        "k8s.aliyun.com/pod-dnat-expose-protocol",
        "k8s.aliyun.com/pod-dnat-fixed",
    )


@pytest.mark.parametrize("on", ["", "true", "True", "TRUE", " true "])
def test_pod_that_turns_it_on_is_exposed(on: str) -> None:
    assert parse(asking(on=on)) == Exposure(items("80"))


@pytest.mark.parametrize("off", ["false", "False", " false "])
def test_pod_that_turns_it_off_asks_for_nothing(off: str) -> None:
    assert parse(asking(on=off)) is None


def test_pod_without_the_annotation_asks_for_nothing() -> None:
    assert parse({EXPOSE_PORT: "80", EXPOSE_PROTOCOL: "tcp"}) is None


def test_pod_that_turns_it_off_is_not_bothered_about_the_rest() -> None:
    assert parse(asking(on="false", ports="http", protocol="sctp")) is None


@pytest.mark.parametrize("ports", ["80,443", "80, 443", " 80 ,443 ", "80,\t443", "080,443"])
def test_ports_are_separated_by_commas_and_perhaps_spaces(ports: str) -> None:
    assert exposed(asking(ports=ports)).items == items("80", "443")


def test_ports_keep_the_order_given() -> None:
    assert exposed(asking(ports="443,80,8080")).items == items("443", "80", "8080")


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("tcp", Transport.TCP),
        ("TCP", Transport.TCP),
        ("Tcp", Transport.TCP),
        ("udp", Transport.UDP),
        ("UDP", Transport.UDP),
        (" udp ", Transport.UDP),
        ("tcpudp", Transport.TCPUDP),
        ("TCPUDP", Transport.TCPUDP),
        ("", Transport.TCP),
    ],
)
def test_protocol_is_read_in_any_case(protocol: str, expected: Transport) -> None:
    assert exposed(asking(protocol=protocol)).items == (ExposedPort(Ports.of(80), expected),)


def test_protocol_is_tcp_when_left_out() -> None:
    assert exposed(asking()).items == items("80/tcp")


def test_protocol_of_an_item_goes_before_that_of_the_pod() -> None:
    mixed = exposed(asking(ports="80/tcp, 53, 9000-9010", protocol="udp"))
    assert mixed.items == items("80/tcp", "53/udp", "9000-9010/udp")


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [("true", True), ("True", True), ("false", False), ("", False), (" ", False)],
)
def test_fixed_is_on_only_when_it_says_so(fixed: str, expected: bool) -> None:  # noqa: FBT001
    assert exposed(asking(fixed=fixed)).fixed is expected


# What is refused


@pytest.mark.parametrize(
    ("annotations", "wrong", "right"),
    [
        pytest.param({POD_DNAT: "true"}, "names no port", '"80,53/udp,9000-9010/udp"', id="no ports at all"),
        pytest.param(asking(ports=""), "names no port", '"80,53/udp,9000-9010/udp"', id="no port"),
        pytest.param(asking(ports=" "), "names no port", '"80,53/udp,9000-9010/udp"', id="blank"),
        pytest.param(asking(ports="http"), 'has the item "http"', '"80,53/udp,9000-9010/udp"', id="name"),
        pytest.param(asking(protocol="sctp"), 'is "sctp"', 'use "tcp", "udp" or "tcpudp"', id="sctp"),
        pytest.param(asking(protocol="tcp,udp"), 'is "tcp,udp"', '"tcpudp"', id="both protocols"),
        pytest.param(asking(on="yes"), 'is "yes"', '"true" to turn it on', id="switch"),
        pytest.param(asking(fixed="always"), 'is "always"', '"false" to turn it off', id="fixed"),
    ],
)
def test_refusal_says_what_is_wrong_and_what_would_be_right(
    annotations: dict[str, str], wrong: str, right: str
) -> None:
    (problem,) = problems(annotations)
    assert problem.startswith("k8s.aliyun.com/pod-dnat")
    assert wrong in problem
    assert right in problem


def test_all_problems_are_reported_at_once() -> None:
    found = problems(asking(on="on", ports="80,http,80", protocol="sctp", fixed="1"))
    assert [problem.split()[0] for problem in found] == [POD_DNAT, FIXED, EXPOSE_PROTOCOL, EXPOSE_PORT, EXPOSE_PORT]


def test_error_shows_every_problem() -> None:
    annotations = asking(ports="http", protocol="sctp")
    with pytest.raises(AnnotationError) as caught:
        parse(annotations)
    assert str(caught.value) == "; ".join(problems(annotations))


@pytest.mark.parametrize(
    "ports", [",".join(f"port-{n}" for n in range(9_000)), "9" * 100_000, "80," * 30_000 + "80", "5,5," * 9_000 + "5"]
)
def test_refusal_is_short_however_long_the_annotation(ports: str) -> None:
    assert len("; ".join(problems(asking(ports=ports)))) < 600


pieces = st.sampled_from(["80", "443", ",", " ", "0", "true", "false", "tcp", "UDP", "65536", "-", "/", "\x00", "६"])
texts = st.text() | st.lists(pieces).map("".join)


@given(st.dictionaries(st.sampled_from([POD_DNAT, EXPOSE_PORT, EXPOSE_PROTOCOL, FIXED]), texts))
@example({POD_DNAT: "true", EXPOSE_PORT: "9" * 5000})
@example({POD_DNAT: "true", EXPOSE_PORT: "²"})
def test_any_text_is_either_understood_or_refused(annotations: dict[str, str]) -> None:
    with suppress(AnnotationError):
        exposure = parse(annotations)
        assert exposure is None or exposure.items


@given(st.lists(st.integers(1, 65535), min_size=1, unique=True), st.sampled_from(["tcp", "udp"]))
def test_every_list_of_ports_is_given_back_in_full(ports: list[int], protocol: str) -> None:
    exposure = exposed(asking(ports=", ".join(map(str, ports)), protocol=protocol))
    assert exposure.items == items(*(f"{port}/{protocol}" for port in ports))


# What the pod's status says


def test_result_is_a_json_list_with_an_object_for_each_item() -> None:
    written = format_result([working("512->80"), working("513-523->9000-9010/udp"), working("524->53/tcpudp")])
    assert json.loads(written) == [
        {"externalIP": "203.0.113.10", "externalPort": "512", "internalPort": "80", "protocol": "tcp"},
        {"externalIP": "203.0.113.10", "externalPort": "513-523", "internalPort": "9000-9010", "protocol": "udp"},
        {"externalIP": "203.0.113.10", "externalPort": "524", "internalPort": "53", "protocol": "tcpudp"},
    ]


def test_result_without_entries_is_an_empty_list() -> None:
    assert format_result([]) == "[]"


def test_status_is_a_reason_and_a_sentence() -> None:
    assert format_status("NoFreePorts", "No port is free.") == "NoFreePorts: No port is free."


ASKING = {"k8s.aliyun.com/pod-dnat": "true", "k8s.aliyun.com/pod-dnat-expose-port": "80"}


@pytest.mark.parametrize(
    ("key", "value", "reported"),
    [
        pytest.param(
            "pod-dnat-expose-protocal", "udp", "did you mean k8s.aliyun.com/pod-dnat-expose-protocol?", id="1"
        ),
        pytest.param("pod-dnat-expose-ports", "80", "did you mean k8s.aliyun.com/pod-dnat-expose-port?", id="2"),
        pytest.param("pod-dnat-protocol", "udp", "did you mean k8s.aliyun.com/pod-dnat-expose-protocol?", id="3"),
        pytest.param("pod-dnat-Fixed", "true", "did you mean k8s.aliyun.com/pod-dnat-fixed?", id="4"),
        pytest.param(
            "pod-dnat-prefer-own-ports", "true", "did you mean poddnat.alibabacloud.com/prefer-own-ports?", id="5"
        ),
        pytest.param(
            "pod-dnat-release-strategy", "Never", 'set k8s.aliyun.com/pod-dnat-fixed: "true".', id="not fixed"
        ),
    ],
)
def test_annotation_without_effect_is_reported_with_what_may_be_meant(key: str, value: str, reported: str) -> None:
    (oddity,) = oddities({**ASKING, f"k8s.aliyun.com/{key}": value})
    assert f"k8s.aliyun.com/{key}" in oddity
    assert reported in oddity
    assert "the user has to" in oddity


@pytest.mark.parametrize(
    "key",
    [
        "poddnat.alibabacloud.com/prefer-own-port",
        "poddnat.alibabacloud.com/Prefer-Own-Ports",
        "poddnat.alibabacloud.com/own-ports",
        "podnat.alibabacloud.com/prefer-own-ports",
    ],
)
def test_misspelt_annotation_of_our_own_is_reported_with_the_right_one(key: str) -> None:
    (oddity,) = oddities({**ASKING, key: "true"})
    assert oddity.startswith(f"The annotation {key} has no effect")
    assert "did you mean poddnat.alibabacloud.com/prefer-own-ports?" in oddity


def test_annotation_of_ack_with_our_domain_is_reported_with_the_right_one() -> None:
    (oddity,) = oddities({**ASKING, "poddnat.alibabacloud.com/pod-dnat-fixed": "true"})
    assert "did you mean k8s.aliyun.com/pod-dnat-fixed?" in oddity


@pytest.mark.parametrize(
    "found",
    [
        ASKING,
        {**ASKING, "poddnat.alibabacloud.com/prefer-own-ports": "true", "poddnat.alibabacloud.com/ready": "True"},
        {**ASKING, "example.com/prefer-own-ports": "true"},
        {**ASKING, "k8s.aliyun.com/pod-dnat-status": "Ready", "k8s.aliyun.com/pod-dnat-result": "[]", "other": "x"},
        {**ASKING, "k8s.aliyun.com/pod-dnat-fixed": "True", "k8s.aliyun.com/pod-dnat-release-strategy": "Never"},
        {"k8s.aliyun.com/pod-dnat": "false", "k8s.aliyun.com/pod-dnat-expose-ports": "80"},
        {"k8s.aliyun.com/pod-dnat-expose-ports": "80"},
    ],
    ids=["usual", "ours", "others'", "told", "fixed", "off", "not asking"],
)
def test_annotations_that_have_their_effect_are_not_odd(found: dict[str, str]) -> None:
    assert oddities(found) == ()


def test_annotation_by_which_the_server_itself_has_a_pod_synced_is_no_mistake() -> None:
    assert oddities({POD_DNAT: "true", RESYNC_TRIGGERED_AT: "2026-11-26T12:00:00Z"}) == ()
