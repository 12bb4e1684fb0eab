"""``emotion-recognize push``: upload a model folder to the Hugging Face hub."""

import argparse
from pathlib import Path
from typing import Any

from emo_fairseq.cli.processes import write


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser("push", help=about, description=about)
    parser.set_defaults(run=run, takes_further=False, loads_models=True)
    option = parser.add_argument
    option("model", type=Path, metavar="FOLDER", help="model folder, or an ensemble")
    option(
        "name", metavar="ORG/NAME", help="name on the hub; with @BRANCH, another branch than main"
    )
    option("--public", action="store_true", help="let everybody read the model, if it is new")
    default = "Upload the model"
    option("--message", default=default, help="message of the commit (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Upload the folder.

    Raises:
        UsageError: no model folder, or the hub refuses it or cannot be reached.
    """
    from emo_fairseq.export.upload import upload

    uploaded = upload(options.model, options.name, public=options.public, message=options.message)
    readers = "private" if uploaded.is_private else "public"
    write(f"{uploaded.url}: uploaded, {readers}")
    write(f"emotion-recognize predict {uploaded.name} …")
    return 0
