"""Plots: bars with whiskers from least to greatest, as SVG that is readable on light and dark ground."""

from __future__ import annotations

from html import escape

from report.outcome import Bar, Panel

WIDTH = 820
MARGIN = 16
ROW = 26
BAR = 14
CHARACTER = 6.7
LABEL_MAX = 340
VALUE_ROOM = 150
TONES = 4

STYLE = """
  text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328; }
  .ground { fill: #ffffff; }
  .title { font-weight: 600; font-size: 14px; }
  .value { stroke: #ffffff; stroke-width: 3px; paint-order: stroke; }
  .note { fill: #59636e; }
  .axis { stroke: #8c959f; }
  .whisker { stroke: #1f2328; stroke-width: 1.5; }
  .mark { stroke: #cf222e; stroke-dasharray: 4 3; }
  .markname { fill: #cf222e; font-size: 11px; }
  .t0 { fill: #4c8ed9; } .t1 { fill: #3fa372; } .t2 { fill: #d08a2e; } .t3 { fill: #a374cf; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .ground { fill: #0d1117; }
    .value { stroke: #0d1117; }
    .note { fill: #9198a1; }
    .axis { stroke: #656c76; }
    .whisker { stroke: #e6edf3; }
    .mark { stroke: #ff7b72; }
    .markname { fill: #ff7b72; }
    .t0 { fill: #316dca; } .t1 { fill: #2c7d55; } .t2 { fill: #9e6a03; } .t3 { fill: #7d55a8; }
  }
"""


def document(width: float, height: float, body: list[str], style: str = STYLE, about: str = "") -> str:
    """An SVG file."""
    size = f'width="{width:.0f}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {size}>'
    lines = [head, f"<title>{escape(about)}</title>", f"<style>{style}</style>", f'<rect class="ground" {size}/>']
    return "\n".join([*lines, *body, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{name} text-anchor="{anchor}">{escape(words)}</text>'


def stroke(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


class Scale:
    """Places values of one panel between two positions; zero is always on it."""

    def __init__(self, panel: Panel, left: float, right: float) -> None:
        ends = [0.0, *(value for value, _ in panel.marks)]
        for bar in panel.bars:
            if bar.value:
                ends += [bar.value.low, bar.value.high]
        self.low, high = min(ends), max(ends)
        self.left = left
        self.by = (right - left) / ((high - self.low) or 1.0)

    def at(self, value: float) -> float:
        return self.left + (value - self.low) * self.by


def plot(title: str, source: str, panels: list[Panel]) -> str:
    """One file with the panels below each other."""
    body = [text(MARGIN, 26, title, "title"), text(MARGIN, 44, source, "note")]
    top = 60.0
    for panel in panels:
        lines, height = draw(panel, top)
        body += lines
        top += height
    return document(WIDTH, top + MARGIN / 2, body, about=title)


def draw(panel: Panel, top: float) -> tuple[list[str], float]:
    """The lines of one panel and the height that it takes."""
    longest = max((len(bar.label) for bar in panel.bars), default=0)
    left = MARGIN + min(LABEL_MAX, longest * CHARACTER + 10)
    widest = max((len(bar.value.text(panel.digits)) for bar in panel.bars if bar.value), default=0)
    scale = Scale(panel, left, WIDTH - MARGIN - max(VALUE_ROOM, widest * CHARACTER + 10))
    marks_room = 16 if panel.marks else 0
    first = top + 26 + marks_room
    bottom = first + ROW * len(panel.bars)
    lines = [text(MARGIN, top + 16, panel.title, "title"), stroke(scale.at(0), first - 4, scale.at(0), bottom, "axis")]
    for number, bar in enumerate(panel.bars):
        lines += row(bar, scale, first + ROW * number)
    for value, _ in panel.marks:
        x = scale.at(value)
        lines.append(stroke(x, first - 4, x, bottom, "mark"))
    # Figures last: they keep a margin of ground around them where a mark passes.
    for number, bar in enumerate(panel.bars):
        if bar.value:
            x = scale.at(max(bar.value.high, bar.value.median, 0.0)) + 6
            lines.append(text(x, first + ROW * number + ROW / 2 + 2, bar.value.text(panel.digits), "value"))
    lines += mark_names(panel, scale, first - 8)
    return lines, bottom - top + 14


def mark_names(panel: Panel, scale: Scale, y: float) -> list[str]:
    """Names of the marks, those on the left turned to the left, so that neighbours do not overlap."""
    if not panel.marks:
        return []
    greatest = max(value for value, _ in panel.marks)
    names = []
    for value, name in panel.marks:
        alone_or_right = value == greatest
        anchor = "start" if alone_or_right else "end"
        names.append(text(scale.at(value) + (2 if alone_or_right else -2), y, f"{name} {value:g}", "markname", anchor))
    return names


def row(bar: Bar, scale: Scale, y: float) -> list[str]:
    """One bar and its whisker."""
    middle = y + ROW / 2 - 2
    room = int((LABEL_MAX - 10) / CHARACTER)
    label = bar.label if len(bar.label) <= room else bar.label[: room - 1] + "…"
    lines = [text(MARGIN, middle + 4, label)]
    if bar.value is None:
        return lines + [text(scale.at(0) + 6, middle + 4, "no valid run", "note")]
    start, end = sorted((scale.at(0), scale.at(bar.value.median)))
    size = f'width="{end - start:.1f}" height="{BAR}" rx="2"'
    lines.append(f'<rect class="t{bar.tone % TONES}" x="{start:.1f}" y="{middle - BAR / 2:.1f}" {size}/>')
    low, high = scale.at(bar.value.low), scale.at(bar.value.high)
    if bar.value.count > 1:
        lines.append(stroke(low, middle, high, middle, "whisker"))
        lines += [stroke(x, middle - 4, x, middle + 4, "whisker") for x in (low, high)]
    return lines
