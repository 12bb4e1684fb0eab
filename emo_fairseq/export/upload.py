"""Upload a model folder to the Hugging Face hub."""

import os
from pathlib import Path
from typing import NamedTuple

from data_prep.files.hub import HUB, check_reachable, parse_hub_name, refused, require_hub
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import CONFIG_FILE, ENSEMBLE_FILE
from emo_fairseq.inference.predictor import load_predictor

_NOT_SENT = (".*", "*/.*")  # such as the files of git


class Uploaded(NamedTuple):
    """Where a model is on the hub.

    Attributes:
        name: ``hf:ORG/NAME@COMMIT``, as the commands that load a model take it.
        url: of its page.
        is_private: whether only its owners can read it.
    """

    name: str
    url: str
    is_private: bool


def upload(
    folder: Path, name: str, *, public: bool = False, message: str = "Upload the model"
) -> Uploaded:
    """Upload a model folder, or an ensemble, as one commit.

    The files are sent first and the commit is made last, so that an upload which is interrupted
    changes no model; another one does not send again what has arrived.

    Args:
        folder: of ``emotion-recognize export``; loaded first, which verifies its files.
        name: ``ORG/NAME``, or ``ORG/NAME@BRANCH``. A model that does not exist is made, private
            unless `public`; whether others can read an existing one does not change.
        public: whether everybody can read a new model.
        message: of the commit.

    Raises:
        UsageError: the folder holds no model or a damaged one; the name is none of the hub; or the
            hub refuses the upload, or cannot be reached.
    """
    target = parse_hub_name(name.removeprefix(HUB))
    if target is None or "/" not in target.repo:
        raise UsageError(
            f"push {name}: no name of a model on the hub; write ORG/NAME or ORG/NAME@BRANCH",
            "hub-name-invalid",
        )
    if not any((folder / file).is_file() for file in (CONFIG_FILE, ENSEMBLE_FILE)):
        raise UsageError(
            f"push {folder}: is no model folder; write one with `emotion-recognize export`",
            "model-folder-missing",
        )
    load_predictor(folder, "cpu")
    try:
        api = require_hub().HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        check_reachable()
    except OSError as error:
        raise UsageError(f"push {name}: {error}", "hub-unreachable") from error
    try:
        api.create_repo(target.repo, private=not public, exist_ok=True)
        if target.revision is not None:
            api.create_branch(target.repo, branch=target.revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=target.repo,
            folder_path=folder,
            revision=target.revision,
            commit_message=message,
            ignore_patterns=list(_NOT_SENT),
        )
        info = api.model_info(target.repo, revision=commit.oid)
    except Exception as error:  # of httpx, of requests and of the hub, by version
        raise refused(target, error) from error
    return Uploaded(f"{HUB}{target.repo}@{commit.oid}", commit.repo_url.url, bool(info.private))
