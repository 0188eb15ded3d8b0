"""Runs in a fresh environment that holds only the built wheel: what a user gets is complete and works."""

import importlib
import sys
from importlib.resources import files
from pathlib import Path

for package in ("rustok_iggy", "rustok_iggy_connector"):
    module = importlib.import_module(package)
    assert module.__file__, package
    location = Path(module.__file__)
    assert location.is_relative_to(sys.prefix), f"{package} comes from {location}, not from the wheel"
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing, f"{package} lacks {missing}"
    assert files(package).joinpath("py.typed").is_file(), f"{package} has no py.typed"
    print(f"{package}: {len(module.__all__)} public names")
