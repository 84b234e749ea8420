"""How both pod hooks write their answer."""

from hooks.validation import Json
from poddnat.controllers import PodAnswer, RequeueAfter


def write(answer: PodAnswer | RequeueAfter) -> Json | RequeueAfter:
    """Turn an answer into what a DecoratorController reads."""
    if isinstance(answer, RequeueAfter):
        return answer
    written: Json = {"attachments": answer.attachments}
    if answer.annotations:
        written["annotations"] = answer.annotations
    if answer.resync_after:
        written["resyncAfterSeconds"] = answer.resync_after
    return written
