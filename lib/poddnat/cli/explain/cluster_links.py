"""The links that lie in the cluster: the pod, what it asks for, who calls the hooks, and its PodDNAT."""

from poddnat.api import (
    INSTALLATION,
    AnnotationError,
    Problem,
    SpecError,
    annotations,
    installation,
    is_terminating,
    made_by_another,
    observed_condition,
    parse_spec,
    pod_facts,
    readiness,
    spec_of,
)
from poddnat.cli.explain.facts import Facts, Server, Unread
from poddnat.cli.explain.links import Finding, ok, unknown, warning, wrong
from poddnat.cli.intervals import HOOKS_HEARD_WITHIN
from poddnat.controllers import (
    check_pod,
    name_taken_by_others,
    not_adopted,
    on_node_network,
    on_virtual_node,
    without_ipv4,
)
from poddnat.timestamps import parse, rfc3339


def pod(facts: Facts) -> Finding:
    """Judge whether there is such a pod, and it runs."""
    if facts.pod is None:
        act = f"the user has to see whether it is called so: kubectl get pods -n {facts.namespace}"
        return wrong(f"There is no pod {facts.key}; {act}.")
    status = facts.pod.get("status") or {}
    phase = str(status.get("phase") or "Pending")
    if pod_facts.has_finished(facts.pod):
        return wrong(f"It has ended ({phase}), and has no address any more; the user has to start it again.")
    node = facts.pod["spec"].get("nodeName")
    if not node:
        act = f"the user has to see why: kubectl describe pod -n {facts.namespace} {facts.name}"
        return wrong(f"It is on no node yet ({phase}); {act}.")
    if is_terminating(facts.pod):
        return warning("It is terminating: it keeps what works until it is gone, and gets nothing more.")
    waiting = [one["name"] for one in status.get("containerStatuses") or [] if not one.get("ready")]
    if waiting and phase == "Running":
        text = f"Running on {node}, but not ready: {', '.join(waiting)}"
        return warning(f"{text}; does it listen? kubectl logs -n {facts.namespace} {facts.name}")
    return ok(f"{phase} on {node}")


def asked(facts: Facts) -> Finding:
    """Judge whether it asks for public ports, in a way that can be read."""
    metadata = (facts.pod or {"metadata": {}})["metadata"]
    if not facts.installation.serves(metadata):
        text = f"By its labels the pod is for {installation.of_pod(metadata)}, and these values are of"
        return wrong(
            f"{text} {facts.installation}; the user has to give the values of the first, or label the pod anew."
        )
    found = pod_facts.annotations_of(facts.pod or {"metadata": {}})
    try:
        exposure = annotations.parse(found)
    except AnnotationError as error:
        return wrong(f"{error}; the user has to correct it.")
    if exposure is None and annotations.POD_DNAT in found:
        return wrong(f'{annotations.POD_DNAT} is "false"; the user has to set it to "true".')
    if exposure is None:
        near = annotations.near_misses(found)
        has = f"; it has {', '.join(near)}" if near else ""
        where = "in a Deployment or StatefulSet under spec.template.metadata"
        return wrong(f'It has no annotation {annotations.POD_DNAT}{has}; the user has to set it to "true", {where}.')
    if oddities := annotations.oddities(found):
        return warning(" ".join(oddities))
    fixed = ", fixed" if exposure.fixed else ""
    return ok(f"asks for {', '.join(map(str, exposure.items))}{fixed}")


def address(facts: Facts) -> Finding:
    """Judge whether it has an address of its own that can be exposed."""
    found = facts.pod or {"spec": {}, "metadata": {}}
    if (problem := on_node_network(found)) is not None:
        return wrong(problem.message)
    if facts.on_virtual_node is True:
        return wrong(on_virtual_node(found["spec"].get("nodeName")).message)
    if (problem := without_ipv4(found)) is not None:
        return wrong(problem.message)
    ip = pod_facts.address_of(found)
    if ip is None:
        act = f"the user has to see why: kubectl describe pod -n {facts.namespace} {facts.name}"
        return wrong(f"It has no IP yet; {act}.")
    return ok(ip)


def namespace(facts: Facts) -> Finding:
    """Judge whether pods of its namespace may have public ports."""
    refusal = facts.namespace_refusal
    if isinstance(refusal, Unread):
        return unknown(refusal)
    return wrong(refusal.message) if isinstance(refusal, Problem) else ok(f"{facts.namespace} may have public ports")


def controllers(facts: Facts) -> Finding:
    """Judge whether what calls the hooks is installed."""
    act = "changes would not be noticed" if facts.served else "so nobody acts for the pod"
    blame = warning if facts.served else wrong
    if not facts.crd_installed:
        text = "The CRD poddnats.alibabacloud.com is not installed"
        return wrong(f"{text}; an operator has to apply metacontroller/crd.yaml.")
    if not facts.metacontroller_installed:
        return blame(f"Metacontroller is not installed, {act}; an operator has to install it.")
    missing = facts.missing_controllers
    if isinstance(missing, Unread):
        return unknown(missing)
    if missing:
        text = f"Metacontroller has no controller {', '.join(missing)}, {act}"
        if facts.installation.name:
            label = f"the pod's label {INSTALLATION} has to name one that there is"
            return blame(f"{text}; an operator has to install {facts.installation}, or {label}.")
        return blame(f"{text}; an operator has to apply metacontroller/controllers.yaml.")
    return ok("Metacontroller has those of poddnat")


def hooks(facts: Facts) -> Finding:
    """Judge whether hooks are called for it, and answered."""
    if facts.served:
        return _server_after_all(facts)
    errors = facts.sync_errors
    if not isinstance(errors, Unread) and errors:
        act = f"an operator has to see that the server runs: kubectl -n {facts.server_namespace} get pods"
        return wrong(f"Metacontroller got no good answer ({errors[-1].rstrip('.')}); {act}.")
    if facts.server in {Server.SILENT, Server.NOBODY}:
        return wrong(f"{_silent(facts)} {_see_server(facts)}")
    if facts.heard:
        return ok("the server has answered for this pod")
    seconds = _age(facts)
    if seconds < HOOKS_HEARD_WITHIN:
        return unknown(f"not heard of the pod yet, which is {seconds:.0f} s old; nobody has to act, ask again soon.")
    text = f"No hook was called for this pod, which is {_span(seconds)} old"
    act = "an operator has to see that Metacontroller runs: kubectl -n metacontroller get pods"
    return wrong(f"{text}; {act}.")


def _server_after_all(facts: Facts) -> Finding:
    if facts.server in {Server.SILENT, Server.NOBODY}:
        text = f"{_silent(facts)} What works goes on working, changes are not noticed;"
        return warning(f"{text} {_see_server(facts)[0].lower()}{_see_server(facts)[1:]}")
    return ok("the server has answered for this pod")


def _silent(facts: Facts) -> str:
    lease = f"the Lease poddnat in {facts.server_namespace}"
    return f"Nobody holds {lease}." if facts.server is Server.NOBODY else f"The server does not renew {lease}."


def _see_server(facts: Facts) -> str:
    return f"An operator has to see that the server runs: kubectl -n {facts.server_namespace} get pods."


def _age(facts: Facts) -> float:
    created = str((facts.pod or {}).get("metadata", {}).get("creationTimestamp") or rfc3339(facts.asked_at))
    return max(0.0, (facts.asked_at - parse(created)).total_seconds())


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"  # noqa: PLR2004


def poddnat(facts: Facts) -> Finding:
    """Judge whether there is a PodDNAT of its own, which it allows."""
    found = facts.poddnat
    if isinstance(found, Unread):
        return unknown(found)
    if found is None:
        return wrong(_server_says(facts) or "There is none yet; nobody has to act, it is about to be made.")
    if made_by_another(found["metadata"]):
        return wrong(not_adopted(facts.name).message)
    if not facts.installation.has(found["metadata"]):
        return wrong(name_taken_by_others(found["metadata"]).message)
    if facts.own is None:
        text = f"PodDNAT {facts.name} is not this pod's"
        return wrong(_server_says(facts) or f"{text}, but of another one; nobody has to act while that is removed.")
    try:
        desired = parse_spec(spec_of(found))
    except SpecError as error:
        return wrong(f"{error}; the user has to correct or delete this PodDNAT.")
    if is_terminating(found):
        return wrong("It is being deleted; nobody has to act, the pod gets another one if it still asks for ports.")
    verdict = check_pod(facts.pod or {}, desired, facts.installation)
    if isinstance(verdict, Problem):
        return wrong(verdict.message)
    return ok("it is this pod's, and asks for what the pod does")


def status(facts: Facts) -> Finding:
    """Tell what the server says of it."""
    if isinstance(facts.poddnat, Unread):
        return unknown(facts.poddnat)
    if facts.served:
        condition = observed_condition((facts.own or {}).get("status") or {})
        shown = pod_facts.annotations_of(facts.pod or {"metadata": {}}).get(annotations.STATUS)
        if shown != annotations.READY:
            return warning(f"Ready; the pod is not told so yet ({shown or 'no annotation'}); nobody has to act.")
        return ok(f"Ready: {condition.message if condition else ''}".rstrip(": "))
    return wrong(_server_says(facts) or "The server has not said yet that it works; nobody has to act, ask again soon.")


def _server_says(facts: Facts) -> str:
    told = facts.told
    return f"{told.reason}: {told.message}" if told is not None else ""


def gate(facts: Facts) -> Finding:
    """Judge whether its readiness waits for its ports."""
    found = facts.pod or {"spec": {}}
    if not readiness.has_gate(found):
        return ok("the pod has none, and needs none")
    conditions = (found.get("status") or {}).get("conditions") or []
    if any(one.get("type") == readiness.CONDITION and one.get("status") == "True" for one in conditions):
        return ok("open")
    return warning("Not open yet, so Services don't lead to the pod; nobody has to act, the server opens it.")
