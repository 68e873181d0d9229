"""What Hanse costs, measured side by side with its peers: ``python -m benchmarks`` writes docs/benchmarks.md."""
