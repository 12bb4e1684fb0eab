"""Models of the Hugging Face hub, as folders in its local cache.

A model is written ``ORG/NAME`` or ``ORG/NAME@REVISION``, where a revision is a branch, a tag or a
commit. All of its files that are read are downloaded at once, before the first is opened, so that a
model is of one commit, and a network that fails does so once and not for each file.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from data_prep.errors import CodedError
from data_prep.messages import one_line

logger = logging.getLogger(__name__)

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
_NAME = re.compile(rf"(?P<repo>{_PART}(?:/{_PART})?)(?:@(?P<revision>[\w./+-]+))?", re.ASCII)
_TRUE = ("1", "ON", "YES", "TRUE")  # values of the hub's variables
_SECONDS = 5  # to reach the hub
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")

HUB = "hf:"  # before the name of a model
_CACHED = re.compile(r"models--(.+)")  # the folder of a model in the cache

Choose = Callable[[Sequence[str]], Collection[str]]


class HubName(NamedTuple):
    """The name of a model on the hub, and the revision; None is its main branch."""

    repo: str
    revision: str | None = None


def parse_hub_name(text: str) -> HubName | None:
    """Return the name of a model on the hub; None if the hub can have no such name.

    >>> parse_hub_name("FacebookAI/roberta-base@main")
    HubName(repo='FacebookAI/roberta-base', revision='main')
    >>> parse_hub_name("models/my/encoder"), parse_hub_name("a--b"), parse_hub_name("./model")
    (None, None, None)
    """
    match = _NAME.fullmatch(text)
    if match is None or "--" in match["repo"] or ".." in match["repo"]:
        return None
    return HubName(match["repo"], match["revision"])


def encoder_files(names: Sequence[str]) -> list[str]:
    """Choose the files of an encoder: settings and tokenizer, and its weights in one format.

    >>> encoder_files(["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"])
    ['config.json', 'model.safetensors']
    """
    outermost = [name for name in names if "/" not in name]
    weights = [name for name in outermost if name.endswith(".safetensors")]
    weights = weights or [name for name in outermost if re.fullmatch(r"pytorch_model.*\.bin", name)]
    settings = (".json", ".txt", ".model", ".jinja")
    return sorted(list(weights) + [name for name in outermost if name.endswith(settings)])


def all_files(names: Sequence[str]) -> list[str]:
    """Choose every file."""
    return list(names)


def local_folder(path: str | Path) -> Path:
    """Return a path itself, or of ``hf:ORG/NAME[@REVISION]`` the folder that it is downloaded to.

    Raises:
        CodedError: see :func:`download`.
    """
    text = str(path)
    return download(text.removeprefix(HUB)) if text.startswith(HUB) else Path(path)


def name_of_folder(folder: Path) -> str:
    """Return the name of a folder, or of one in the hub's cache the name of the model.

    >>> name_of_folder(Path("models/final"))
    'final'
    >>> name_of_folder(Path("hub/models--org--name/snapshots/0123456789"))
    'org/name'
    """
    match = _CACHED.fullmatch(folder.parent.parent.name)
    is_cached = match is not None and folder.parent.name == "snapshots"
    return match[1].replace("--", "/") if match and is_cached else folder.name


def download(text: str, choose: Choose = all_files) -> Path:
    """Return the folder of a model of the hub, downloaded into the local cache unless it is there.

    Without a network the cached files are read, and a warning names their commit. With
    ``HF_HUB_OFFLINE`` nothing is requested.

    Args:
        text: ``ORG/NAME`` or ``ORG/NAME@REVISION``.
        choose: returns which of the files of the model are read.

    Raises:
        CodedError: huggingface_hub is not installed; or the hub has no such model or revision, may
            not be read, or cannot be reached while the cache does not have it.
    """
    name = parse_hub_name(text)
    if name is None:
        raise CodedError(
            f"hf:{text}: no name of a model on the hub; write hf:ORG/NAME or hf:ORG/NAME@REVISION",
            "hub-name-invalid",
        )
    return _download(name, choose)


@functools.cache
def _download(name: HubName, choose: Choose) -> Path:
    hub = require_hub()
    if hub.constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return _cached(name, "HF_HUB_OFFLINE is set; leave it out, or fetch the model before")
    try:
        check_reachable()
    except OSError as error:
        return _cached(name, f"{error}; give the folder of the model")
    try:
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        info = api.model_info(name.repo, revision=name.revision, timeout=_SECONDS)
        files = list(choose([file.rfilename for file in info.siblings or ()]))
        # By the name of the branch, under which the cache is searched without a network.
        folder = api.snapshot_download(name.repo, revision=name.revision, allow_patterns=files)
    except Exception as error:  # of httpx, of requests and of the hub, by version
        raise refused(name, error) from error
    logger.info("hf:%s: commit %s", name.repo, Path(folder).name)
    return Path(folder)


def _cached(name: HubName, why: str) -> Path:
    """Return the folder of the cache; raise a `CodedError` with the reason why it is needed."""
    if folder := _find_cached(name):
        logger.warning("hf:%s: commit %s of the local cache is read", name.repo, folder.name)
        return folder
    text = name.repo if name.revision is None else f"{name.repo}@{name.revision}"
    raise CodedError(
        f"hf:{text}: there is no such folder, the local cache of the hub does not have it, and "
        f"{why}",
        "hub-unreachable",
    )


def _find_cached(name: HubName) -> Path | None:
    hub = require_hub()
    try:
        return Path(hub.snapshot_download(name.repo, revision=name.revision, local_files_only=True))
    except hub.errors.LocalEntryNotFoundError:
        return None


def refused(name: HubName, error: Exception) -> CodedError:
    """Return the error for a request that the hub has refused, or that has failed."""
    errors = require_hub().errors
    if isinstance(error, errors.GatedRepoError):
        return CodedError(
            f"hf:{name.repo}: access is granted on its page only; accept its terms there, and run "
            "`hf auth login`",
            "hub-access",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return CodedError(f"hf:{name.repo}: has no revision {name.revision}", "hub-unknown")
    if isinstance(error, errors.RepositoryNotFoundError):
        return CodedError(
            f"hf:{name.repo}: there is no such folder, and the hub has no such model, or it is "
            "private; check the name, or run `hf auth login`",
            "hub-unknown",
        )
    return CodedError(
        f"hf:{name.repo}: the transfer has failed ({one_line(str(error))}); run the command again, "
        "what is complete is kept",
        "hub-unreachable",
    )


def check_reachable() -> None:
    """Raise an `OSError` at once where the hub cannot be reached, which its libraries retry."""
    if any(os.environ.get(proxy) for proxy in _PROXIES):
        return
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_SECONDS).close()
    except OSError as error:
        raise OSError(f"the hub {address.hostname} cannot be reached ({error})") from error


def require_hub() -> Any:
    """Import and return the library huggingface_hub.

    Raises:
        CodedError: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise CodedError(
            "models of the hub need the library huggingface_hub: `pip install -e .[hf]`",
            "library-missing",
        ) from error
    return huggingface_hub
