"""A flame graph: the outermost functions below, what they call above them, as wide as the time that was spent there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape

from report.chart import document, text
from report.stages import STAGES, plain, stage_of

WIDTH = 1200
MARGIN = 10
ROW = 17
HEAD = 64
CHARACTER = 6.3
# What is narrower cannot be seen or pointed at.
PIXELS_MIN = 0.4

# A colour for each stage, in their order.
COLOURS = [
    "#e0a458", "#c9b458", "#8fb35d", "#5fae8b", "#5b9bd5", "#7f87d6", "#ad7fd0", "#d9776a", "#9aa5b1", "#b9c0c8",
    "#cfa9b4",
]
STYLE = """
  text { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328; }
  .ground { fill: #ffffff; }
  .title { font-weight: 600; font-size: 14px; }
  .note { fill: #59636e; }
  rect.f { stroke: #ffffff; stroke-width: 0.5; }
  g:hover > rect.f { stroke: #1f2328; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; }
    .title, .key { fill: #e6edf3; }
    .note { fill: #9198a1; }
    rect.f { stroke: #0d1117; }
    g:hover > rect.f { stroke: #e6edf3; }
  }
"""


@dataclass
class Frame:
    """A function at one place of the stacks."""

    name: str
    count: int = 0
    calls: dict[str, "Frame"] = field(default_factory=dict)
    # How its samples are shared among stages; the largest gives the colour.
    stages: Counter = field(default_factory=Counter)


def tree(folded: Counter) -> Frame:
    """All stacks as one tree."""
    root = Frame("all")
    for stack, count in folded.items():
        stage = stage_of(list(stack[1:]))
        here = root
        here.count += count
        here.stages[stage] += count
        for name in stack:
            here = here.calls.setdefault(name, Frame(name))
            here.count += count
            here.stages[stage] += count
    return root


def short(name: str) -> str:
    """The last parts of a path: what a box has room for."""
    return "::".join(plain(name).split("::")[-2:])


def depth(frame: Frame, scale: float) -> int:
    """Rows that are needed above and with a frame."""
    seen = [depth(one, scale) for one in frame.calls.values() if one.count * scale >= PIXELS_MIN]
    return 1 + max(seen, default=0)


def draw(frame: Frame, left: float, level: int, base: float, scale: float, whole: int) -> list[str]:
    """The box of a frame and those of what it calls."""
    width = frame.count * scale
    if width < PIXELS_MIN:
        return []
    y = base - ROW * (level + 1)
    stage = frame.stages.most_common(1)[0][0]
    colour = COLOURS[STAGES.index(stage)]
    told = f"{frame.name} — {frame.count} samples, {frame.count / whole:.1%}, {stage}"
    lines = [
        f"<g><title>{escape(told)}</title>"
        f'<rect class="f" fill="{colour}" x="{left:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}"/>'
    ]
    room = int((width - 6) / CHARACTER)
    if room >= 4:
        name = short(frame.name)
        lines.append(text(left + 3, y + 12, name if len(name) <= room else name[: room - 1] + "…"))
    lines.append("</g>")
    for called in sorted(frame.calls.values(), key=lambda one: one.name):
        lines += draw(called, left, level + 1, base, scale, whole)
        left += called.count * scale
    return lines


def graph(title: str, source: str, folded: Counter) -> str:
    """The flame graph of folded stacks as SVG."""
    root = tree(folded)
    scale = (WIDTH - 2 * MARGIN) / max(root.count, 1)
    height = HEAD + ROW * depth(root, scale) + MARGIN
    body = [text(MARGIN, 22, title, "title"), text(MARGIN, 40, source, "note"), *key(root)]
    body += draw(root, MARGIN, 0, height - MARGIN, scale, max(root.count, 1))
    return document(WIDTH, height, body, STYLE, title)


def key(root: Frame) -> list[str]:
    """Which colour is which stage, of those that were seen."""
    lines, x = [], float(MARGIN)
    for stage, colour in zip(STAGES, COLOURS):
        if root.stages[stage]:
            lines.append(f'<rect fill="{colour}" x="{x:.0f}" y="47" width="10" height="10"/>')
            lines.append(text(x + 14, 56, stage, "key"))
            x += 14 + CHARACTER * len(stage) + 14
    return lines
