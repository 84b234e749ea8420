"""Draws the pictures of the pages: `.venv/bin/python docs/pictures/draw.py`, after `make demo`.

Architecture and life of a pod are drawn from the words below, in both languages, the demo's screen from what
`make demo` prints. Pictures are narrow, so that they can be read on a telephone; they follow the reader's dark mode,
on a ground of their own.
"""

from __future__ import annotations

import subprocess
import unicodedata
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
STYLE = """
  svg { --ground: #fff; --ink: #1f2933; --soft: #5b6b7b; --line: #aab4bf; --box: #eef4fb; --ours: #d9f0e3;
        --traffic: #1a7f4e; --control: #1f5fbf; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #14181f; --ink: #e6ebf1; --soft: #a9b6c4; --line: #55606d; --box: #202a38; --ours: #17402c;
          --traffic: #57c98c; --control: #7fb0ff; }
  }
  text { fill: var(--ink); font: 13px system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
  text.name { font-size: 14px; font-weight: 600; }
  text.soft { fill: var(--soft); }
  text.over { paint-order: stroke; stroke: var(--ground); stroke-width: 5px; }
  text.code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12px; }
  text.screen { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; }
  rect { fill: var(--box); stroke: var(--line); }
  rect.ground { fill: var(--ground); }
  rect.ours { fill: var(--ours); }
  path { fill: none; stroke: var(--control); stroke-width: 1.6; }
  path.traffic { stroke: var(--traffic); stroke-width: 3; }
  path.line { stroke: var(--line); stroke-width: 1; }
  path.later { stroke-dasharray: 5 4; }
  path.head { fill: var(--control); stroke: none; }
  path.head.traffic { fill: var(--traffic); }
"""

WORDS = {
    "en": {
        "client": "Client",
        "where": "on the Internet",
        "gateway": "NAT gateway",
        "entry": "forward entry:",
        "annotated": "annotated",
        "asks": "asks",
        "answers": "answers",
        "writes": "creates and\ndeletes\nforward entries",
        "watches": "watches",
        "makes": "makes it, keeps its status",
        "owned": "owned by the pod",
        "replicas": "one active,\none standing by",
    },
    "zh": {
        "client": "客户端",
        "where": "位于公网",
        "gateway": "NAT 网关",
        "entry": "DNAT 条目：",
        "annotated": "带有注解",
        "asks": "询问",
        "answers": "响应",
        "writes": "创建和删除\nDNAT 条目",
        "watches": "监视",
        "makes": "创建它，维护其状态",
        "owned": "属于该 Pod",
        "replicas": "一个为主，\n一个为备",
    },
}

API, CALLER, OURS, CLOUD = range(4)
LIFE: list[tuple[int, int, str, str]] = [
    (API, CALLER, "a pod with the annotation has an IP", "带注解的 Pod 有了 IP"),
    (CALLER, OURS, "POST /pod/sync", "POST /pod/sync"),
    (OURS, CALLER, "a PodDNAT: gateway, address, free ports", "一个 PodDNAT：网关、地址、空闲端口"),
    (CALLER, API, "creates the PodDNAT; the pod owns it", "创建 PodDNAT，归该 Pod 所有"),
    (CALLER, OURS, "POST /poddnat/sync", "POST /poddnat/sync"),
    (OURS, API, "reads the pod: does it ask for this?", "读取 Pod：它确实请求了这些吗？"),
    (OURS, CLOUD, "CreateForwardEntry", "CreateForwardEntry"),
    (OURS, CALLER, "429: nothing to say yet", "429：尚无结果"),
    (CLOUD, OURS, "the entry is Available", "条目变为 Available"),
    (OURS, API, "the PodDNAT's status: Ready", "PodDNAT 的状态：Ready"),
    (API, CALLER, "the PodDNAT has changed", "PodDNAT 有变化"),
    (CALLER, OURS, "POST /pod/sync", "POST /pod/sync"),
    (OURS, CALLER, "the pod's annotations: address and ports", "Pod 的注解：地址和端口"),
    (CALLER, API, "writes them to the pod", "写入 Pod"),
    (API, API, "The pod is deleted", "Pod 被删除"),
    (API, CALLER, "its PodDNAT is deleted; the finalizer holds it", "其 PodDNAT 被删除，由 finalizer 暂留"),
    (CALLER, OURS, "POST /poddnat/finalize", "POST /poddnat/finalize"),
    (OURS, CLOUD, "DeleteForwardEntry", "DeleteForwardEntry"),
    (OURS, CALLER, "finalized: true", "finalized: true"),
    (CALLER, API, "takes the finalizer off; the PodDNAT is gone", "移除 finalizer，PodDNAT 消失"),
]
"""Who tells whom what; who tells himself begins a part."""


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    """Write words, a line for each of theirs."""
    lines = words.split("\n")
    return "".join(
        f'<text x="{x:g}" y="{y + 16 * number:g}" text-anchor="{anchor}" class="{kind}">{escape(line)}</text>\n'
        for number, line in enumerate(lines)
    )


def box(x: float, y: float, width: float, height: float, kind: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7" class="{kind}"/>\n'


def arrow(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    """Draw an arrow, level or upright."""
    dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
    side = f"{x2 - 9 * dx + 5 * dy:g},{y2 - 9 * dy + 5 * dx:g} {x2 - 9 * dx - 5 * dy:g},{y2 - 9 * dy - 5 * dx:g}"
    line = f'<path d="M{x1:g},{y1:g} L{x2 - 7 * dx:g},{y2 - 7 * dy:g}" class="{kind}"/>\n'
    return line + f'<path d="M{x2:g},{y2:g} L{side} Z" class="head {kind}"/>\n'


def picture(width: float, height: float, title: str, *parts: str) -> str:
    """Put parts on a ground of their own."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="10" class="ground"/>\n'
        f"{''.join(parts)}</svg>\n"
    )


def architecture(language: str) -> str:
    """Draw who tells whom, and which way traffic goes."""
    word = WORDS[language]
    return picture(
        480, 418, "poddnat",
        box(10, 20, 116, 92), text(68, 60, word["client"], "name"), text(68, 82, word["where"], "soft"),
        arrow(126, 66, 158, 66, "traffic"),
        box(160, 20, 156, 92), text(238, 44, word["gateway"], "name"), text(238, 66, word["entry"], "soft"),
        text(238, 84, "203.0.113.10:512", "code"), text(238, 101, "→ 172.16.8.12:7777", "code"),
        arrow(316, 66, 348, 66, "traffic"),
        box(350, 20, 120, 92), text(410, 60, "Pod", "name"), text(410, 82, word["annotated"], "soft"),
        arrow(238, 236, 238, 114),
        text(228, 152, "VPC API", "name", "end"), text(228, 172, word["writes"], "soft", "end"),
        arrow(410, 112, 410, 236), text(400, 178, word["watches"], "soft", "end"),
        box(150, 238, 126, 80, "ours"), text(213, 266, "poddnat", "name"), text(213, 287, word["replicas"], "soft"),
        box(344, 238, 126, 80), text(407, 283, "Metacontroller", "name"),
        arrow(344, 262, 278, 262), text(311, 254, word["asks"], "soft"),
        arrow(276, 296, 342, 296, "later"), text(310, 313, word["answers"], "soft"),
        arrow(407, 318, 407, 352), text(398, 340, word["makes"], "soft", "end"),
        box(344, 354, 126, 50), text(407, 375, "PodDNAT", "name"), text(407, 394, word["owned"], "soft"),
    )  # fmt: skip


def life(language: str) -> str:
    """Draw the life of a pod, from top to bottom."""
    at = [54, 180, 304, 426]
    parts: list[str] = []
    y = 66.0
    for source, target, english, chinese in LIFE:
        words = english if language == "en" else chinese
        if source == target:
            parts += [f'<path d="M14,{y - 8:g} H466" class="line"/>\n', text(240, y + 12, words, "name over")]
            y += 42
            continue
        half = 3.5 * sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in words)
        middle = min(max((at[source] + at[target]) / 2, 10 + half), 470 - half)
        parts += [
            text(middle, y, words, "over"),
            arrow(at[source], y + 9, at[target], y + 9, "later" * ("429" in words)),
        ]
        y += 34
    actors = ["API server" if language == "en" else "API Server", "Metacontroller", "poddnat", "VPC API"]
    heads = [
        box(x - 52, 12, width, 30, "ours" * (actor == "poddnat")) + text(x - 52 + width / 2, 32, actor, "name")
        for x, width, actor in zip([62, 180, 308, 424], [96, 116, 100, 96], actors, strict=True)
    ]
    lines = [f'<path d="M{x},42 V{y - 14:g}" class="line"/>\n' for x in at]
    return picture(480, y, "poddnat", *lines, *heads, *parts)


def screen(printed: str) -> str:
    """Draw what a program has printed, each character in its column."""
    lines = ["$ make demo", "", *(line.rstrip() for line in printed.splitlines())]
    width = 7.8 * max(map(len, lines)) + 32
    rows = [
        f'<text x="16" y="{28 + 18 * number}" class="screen" xml:space="preserve" textLength="{7.8 * len(line):g}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(line)}</text>\n'
        for number, line in enumerate(lines)
        if line
    ]
    return picture(width, 18 * len(lines) + 26, "make demo", *rows)


def demo() -> str:
    """Run the demo, and return what it prints."""
    command = ["make", "--silent", "demo"]
    return subprocess.run(command, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True, check=True).stdout


def drawn() -> dict[str, str]:
    """Draw what is the same each time."""
    return {
        f"{name}.{language}.svg": draw(language)
        for name, draw in (("architecture", architecture), ("life", life))
        for language in ("en", "zh")
    }


def main() -> None:
    for name, content in {**drawn(), "demo.svg": screen(demo())}.items():
        (HERE / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
