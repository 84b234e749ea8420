"""How both pod hooks write their answer."""

from hooks.border import Json
from poddnat.pods import PodAnswer
from poddnat.progress import Later


def write(answer: PodAnswer | Later) -> Json | Later:
    """Turn an answer into what a DecoratorController reads."""
    if isinstance(answer, Later):
        return answer
    written: Json = {"attachments": answer.attachments}
    if answer.annotations:
        written["annotations"] = answer.annotations
    if answer.resync_after:
        written["resyncAfterSeconds"] = answer.resync_after
    return written
