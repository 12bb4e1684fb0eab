"""MkDocs calls these functions when it builds the site (mkdocs.yml names this file).

They add the pages that are not kept in the repository: those of the Python interface, of the error
codes and of the notebooks.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference_pages import api, error_codes, notebooks

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: "Files", *, config: "MkDocsConfig") -> "Files":
    """Add the pages to the files of the site."""
    from mkdocs.structure.files import File

    for path, text in (api.pages() | error_codes.pages() | notebooks.pages()).items():
        files.append(File.generated(config, path, content=text))
    return files
