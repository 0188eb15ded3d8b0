"""How fast a server and this library are together: what `rustok-iggy bench` measures.

timing.py is also what the project's own benchmarks time with, which compare with the raw client.
"""
