"""What things cost, measured: `python -m tests.benchmarks --help`. How to read the tables: docs/performance.md."""
