"""All benchmarks: `python -m benchmarks [--quick] [--data FOLDER] [--output FILE]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import detection, overhead, postprocess, throughput
from benchmarks.images import DEFAULT_DATA, NoData, check_data
from benchmarks.report import Figure, cores, machine_line, parser, publish


def main() -> None:
    """Run every benchmark whose data and platform are available, and print the figures."""
    options = parser(__doc__)
    postprocess.add_scratch(options)
    options.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of HAM10000")
    given = options.parse_args()
    machine = machine_line()
    sections: dict[str, Sequence[Figure]] = {}
    try:
        check_data(given.data)
        sections[throughput.TITLE] = throughput.run(quick=given.quick, data=given.data)
    except NoData as error:
        print(f"throughput is skipped: {error}", file=sys.stderr)
    sections[postprocess.TITLE] = postprocess.run(quick=given.quick, scratch=given.scratch)
    sections[detection.TITLE] = detection.run(quick=given.quick)
    sections[overhead.TITLE] = overhead.run(quick=given.quick, workers=min(2, cores()))
    publish(sections, machine, given.output)


if __name__ == "__main__":
    main()
