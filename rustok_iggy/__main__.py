"""`python -m rustok_iggy`: the same as the command `rustok-iggy`."""

from __future__ import annotations

from rustok_iggy.cli import main

if __name__ == "__main__":
    main()
