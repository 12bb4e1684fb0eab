"""The one server that processes of tests are forked from, with what is slow to import loaded.

multiprocessing has one such server a process, which starts with the list that was set last: so that
list is here, for all. Of commands fairseq_cli.train comes first, which sets up logging.
"""

import contextlib
import multiprocessing
from multiprocessing import forkserver
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "tests.as_commands_import",
        "fairseq_cli.train",
        "fairseq_cli.validate",
        "fairseq_cli.hydra_train",
        "transformers.models.bert.modeling_bert",  # as pretrained encoders import
        "emo_fairseq.experiments.sweep",
        "emo_fairseq.tasks",  # which registers the plugin
        "tests.forked_before",
    ]
)

_REPOSITORY = Path(__file__).resolve().parents[1]
_ensure_running = forkserver._forkserver.ensure_running  # type: ignore[attr-defined]


def _ensure_running_in_the_repository() -> None:
    # Python 3.11 starts the server with the current folder first on its path, which a test may have
    # changed: the package would then be that of site-packages.
    with contextlib.chdir(_REPOSITORY):
        _ensure_running()


forkserver._forkserver.ensure_running = _ensure_running_in_the_repository  # type: ignore[attr-defined]
