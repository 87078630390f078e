"""All benchmarks: `python -m benchmarks`."""

from benchmarks.exact import main

main()
