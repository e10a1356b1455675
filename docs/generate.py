"""Write docs/configuration.md from the definitions of the settings.

Usage: python docs/generate.py [--check]; `--check` only compares, and exits with 1 if the file differs.
"""

import sys
from pathlib import Path

from specreason.config.explain import as_markdown

PAGE = Path(__file__).with_name("configuration.md")

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
The sections `[base]` and `[small]` have the same keys.

"""


def page() -> str:
    """The whole page."""
    return INTRO + as_markdown()


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` return 1 if the file differs from it."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    if not arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE} differs from the settings; run: python docs/generate.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
