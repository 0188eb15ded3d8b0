"""How the site is built: `make docs`. The pages are Markdown; the navigation is the toctrees of index.md."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from sphinx.application import Sphinx

project = html_title = "rustok-iggy"
extensions = ["myst_parser"]
myst_heading_anchors = 4  # links may name a heading, as on GitHub
nitpicky = True  # with -W a link that leads nowhere fails the build

html_theme = "furo"
html_extra_path = ["llms.txt"]
html_static_path = ["assets"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False


def copy_pages(app: Sphinx, error: Exception | None) -> None:
    """Lay each page's Markdown beside its HTML: llms.txt points there."""
    if error is None:
        for name in app.env.found_docs:
            copyfile(app.env.doc2path(name), Path(app.outdir, f"{name}.md"))


def setup(app: Sphinx) -> None:
    app.connect("build-finished", copy_pages)
