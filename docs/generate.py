"""Write the generated parts of the documentation: docs/configuration.md and a table in docs/api.md.

Usage: python docs/generate.py [--check]; `--check` only compares, and exits with 1 if a file differs.
"""

import re
import sys
from pathlib import Path

from specreason import extensions
from specreason.config.explain import Knob, as_markdown, knobs
from specreason.server.overrides import RequestSettings

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- Written by docs/generate.py: .* -->\n).*?(<!-- end -->\n)", re.DOTALL)

INTRO = """\
<!-- Written by docs/generate.py from src/specreason/config/settings.py: change it there. -->

# Configuration

Settings come from three places. Each one goes before those above it:

1. a TOML file: `--config`, else the variable `SPECREASON_CONFIG`, else `specreason.toml` in the current
   folder;
2. the environment: `base.url` is `SPECREASON_BASE__URL`, `pair` is `SPECREASON_PAIR`; tables are written as
   TOML inline tables, for example `{priority = 1}`;
3. flags of the command.

An unknown name in any of them is an error. `specreason config` shows what the file and the environment set.
`SPECREASON_CACHE` is no setting of a run: it is the folder of the weights (see [models](models.md)).

- The sections `[base]` and `[small]` have the same keys. So has `[models.NAME]` for each further model that a
  policy asks.
- Each policy has a section `[policy.NAME]` with its knobs. An installed package can
  [add policies](extending.md#a-policy); `specreason config --explain` lists their sections too.
- Every command takes `--set KEY=VALUE`. The last part of a key is enough if no other key of `[reasoning]`,
  `[sampling]` and `[policy.*]` ends like that: `--set threshold=6` sets `policy.specreason.threshold`.

"""


def pages() -> dict[Path, str]:
    """Each page and its text."""
    api = DOCS / "api.md"
    table = request_settings()
    filled = BLOCK.sub(lambda block: f"{block[1]}{table}{block[2]}", api.read_text(encoding="utf-8"))
    return {DOCS / "configuration.md": INTRO + as_markdown(), api: filled}


def request_settings() -> str:
    """The table of the `specreason` object of a request."""
    rows = ["| field | type | range, unit | meaning |", "|---|---|---|---|"]
    steps = RequestSettings.model_fields["include_steps"]
    rows.append(f"| `include_steps` | bool |  | {steps.description} |")
    for knob in knobs():
        if knob.key.startswith(("reasoning.", "policy.")):
            rows.append(_row(knob.key.removeprefix("reasoning."), knob))
    return "\n".join(rows) + "\n"


def _row(field: str, knob: Knob) -> str:
    span = ", ".join(part for part in (knob.range, knob.unit) if part)
    kind = knob.type.replace("|", "\\|")
    return f"| `{field}` | {kind} | {span} | {knob.description} |"


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` return 1 if a file differs from its page."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = [path for path, text in pages().items() if path.read_text(encoding="utf-8") != text]
    if not arguments:
        for path in stale:
            path.write_text(pages()[path], encoding="utf-8")
        return 0
    for path in stale:
        print(f"{path} differs from the code; run: python docs/generate.py", file=sys.stderr)
    return 1 if stale else 0


def no_packages(group: str) -> tuple[()]:
    """What other packages add to this environment is no part of our pages."""
    return ()


if __name__ == "__main__":
    setattr(extensions, "entry_points", no_packages)  # noqa: B010
    sys.exit(main(sys.argv[1:]))
