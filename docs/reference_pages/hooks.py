"""MkDocs calls these functions when it builds the site (mkdocs.yml names this file).

`on_files` adds the pages that are not kept in the repository: those of the Python interface, of the
error codes and of the notebooks. `on_post_page` warns of what a page would load from elsewhere,
which `--strict` makes an error.
"""

import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference_pages import api, error_codes, notebooks

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_logger = logging.getLogger("mkdocs.hooks")
_LOADED = re.compile(
    r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)"
)


def on_files(files: "Files", *, config: "MkDocsConfig") -> "Files":
    """Add the pages to the files of the site."""
    from mkdocs.structure.files import File

    for path, text in (api.pages() | error_codes.pages() | notebooks.pages()).items():
        files.append(File.generated(config, path, content=text))
    return files


def on_post_page(output: str, *, page: "Page", config: "MkDocsConfig") -> str:
    """Warn of everything that the page would load from elsewhere."""
    for address in remote_assets(output):
        _logger.warning("%s loads %s", page.file.src_uri, address)
    return output


def remote_assets(html: str) -> list[str]:
    """Return the addresses of scripts, styles, images and frames that are not part of the site.

    >>> remote_assets('<script src="https://a.org/x.js"></script> <a href="https://b.org/">b</a>')
    ['https://a.org/x.js']
    """
    return _LOADED.findall(html)
