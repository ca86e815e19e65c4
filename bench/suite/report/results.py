"""The folder of results: one for a day and a commit, with a JSON file and a plot for each series and all tables.

    bench/results/<date>-<commit>/
      machine.json     what was measured on
      <series>.json    its summary, and every run with its commands and all that the load generator reported
      <series>.svg     its plot
      profile-flame.svg, profile.folded
      README.md        all tables, the verdict last
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

from report import chart
from report import verdict
from report.outcome import Outcome, Series, Table
from report.spread import Spread
from runs import machine
from runs.machine import ROOT
from runs.processes import Failed

FOLDER = ROOT / "bench" / "results"
# Plots carry these words, so that one that is passed around says what it is of.
SEPARATOR = ", "


class Results:
    """The folder that is written to."""

    def __init__(self, quick: bool, command: str, folder: Optional[Path] = None) -> None:
        self.commit = machine.commit()
        self.machine = machine.facts()
        name = f"{machine.today()}-{self.commit}" + ("-quick" if quick else "")
        self.folder = folder or FOLDER / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.note_machine(command)

    def note_machine(self, command: str) -> None:
        """Notes the machine, and each command that added to the folder."""
        path = self.folder / "machine.json"
        earlier = read(path)
        commands = [*(earlier or {}).get("commands", []), command]
        if earlier and identity(earlier) != identity({"commit": self.commit, "machine": self.machine}):
            # Series of two machines or commits side by side would be compared.
            raise Failed(f"{path} is of another machine or commit: move its folder away, or name one with --results")
        found = {"commit": self.commit, "machine": self.machine, "commands": commands}
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def write(self, series: Series, outcome: Outcome, seconds: float) -> None:
        """Writes all that a series has found."""
        head = {"series": series.name, "title": series.title, "commit": self.commit, "date": machine.today()}
        head |= {"seconds": round(seconds, 1), "machine": self.machine, "summary": outcome.summary()}
        text = json.dumps(head, indent=2, ensure_ascii=False).removesuffix("\n}")
        # A run is a line: so that many runs stay readable, and a search finds whole runs.
        runs = ",\n".join("    " + json.dumps(run.as_json(), ensure_ascii=False) for run in outcome.runs)
        text += ',\n  "runs": [\n' + runs + "\n  ]\n}\n"
        self.path(series, "json").write_text(text, encoding="utf-8")
        self.path(series, "svg").unlink(missing_ok=True)
        if outcome.panels:
            drawn = chart.plot(series.title, self.source(), outcome.panels)
            self.path(series, "svg").write_text(drawn, encoding="utf-8")
        for name, content in outcome.files.items():
            (self.folder / name).write_text(content, encoding="utf-8")

    def path(self, series: Series, ending: str) -> Path:
        return self.folder / f"{series.name}.{ending}"

    def source(self) -> str:
        return SEPARATOR.join([f"commit {self.commit}", machine.today(), machine.sentence(self.machine)])

    def summaries(self, names: list[str]) -> dict[str, dict]:
        """What stands in the folder of these series, also from an earlier start of the suite on the same commit."""
        found = {name: read(self.folder / f"{name}.json") for name in names}
        return {name: one for name, one in found.items() if one}

    def verdict(self, names: list[str]) -> Table:
        measures: dict[str, dict] = {}
        for one in self.summaries(names).values():
            measures |= one["summary"]["measures"]
        return verdict.table(lambda key: Spread.from_json(measures[key]) if key in measures else None)

    def write_page(self, names: list[str], judged: Table) -> None:
        """All tables on one page."""
        parts = [f"# {self.folder.name}", machine.sentence(self.machine) + f"; commit {self.commit}."]
        if list(self.folder.glob("machine.json")):
            commands = (read(self.folder / "machine.json") or {}).get("commands", [])
            parts.append("```sh\n" + "\n".join(commands) + "\n```")
        for name, one in self.summaries(names).items():
            parts.append(f"## {name}: {one['title']}")
            if (self.folder / f"{name}.svg").exists():
                parts.append(f"![{one['title']}]({name}.svg)")
            parts += [Table(**found).markdown() for found in one["summary"]["tables"]]
            parts += [f"- {note}" for note in one["summary"]["notes"] + one["summary"]["errors"]]
            if name == "profile" and (self.folder / "profile-flame.svg").exists():
                parts.append("![Flame graph](profile-flame.svg)")
        parts += ["## verdict", judged.markdown()]
        (self.folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def identity(found: dict) -> tuple:
    """What makes results comparable: the commit, and all of the machine but how busy it was."""
    return found["commit"], {key: value for key, value in found["machine"].items() if key != "load_average_at_start"}


def read(path: Path) -> Optional[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
