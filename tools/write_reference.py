"""Writes the pages of docs/reference that come from the source: `make reference`."""

from __future__ import annotations

from pathlib import Path

from tools import reference_api, reference_configuration, reference_errors, reference_wire

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def files() -> dict[Path, str]:
    """Return what stands in each generated file."""
    return {
        FOLDER / "configuration.md": reference_configuration.page(),
        FOLDER / "errors.md": reference_errors.page(),
        FOLDER / "api.md": reference_api.transport_page(),
        FOLDER / "api-connector.md": reference_api.connector_page(),
        FOLDER / "api-testing.md": reference_api.testing_page(),
        FOLDER / "wire.md": reference_wire.page(),
    }


def main() -> None:
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
