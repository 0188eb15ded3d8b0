"""How fast this library is beside the raw client: `python -m benchmarks`, or `make bench`."""
