"""`make bench`: what things cost, each held to its law. See docs/performance.md."""

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import tables

NAMES = ("intake", "queue", "waits", "startup", "visible")
DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all, if none is given")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller numbers: three minutes")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{DOCUMENT.name}")
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")

    unmet = []
    for name in [each for each in NAMES if each in given.names or not given.names]:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            found = importlib.import_module(f"tests.benchmarks.{name}_bench").run(Path(folder), quick=given.quick)
        for table in found:
            print(table.text(), flush=True)  # noqa: T201  what the benchmark is for
            unmet += [law for law in table.laws if not law.met]
        if given.write:
            how = "with --quick" if given.quick else "in full"
            tables.write(DOCUMENT, name, found, f"{how}, in {time.monotonic() - begun:.0f} s")
    for law in unmet:
        print(f"not met: {law}")  # noqa: T201  as above
    return 1 if unmet else 0


if __name__ == "__main__":
    sys.exit(main())
