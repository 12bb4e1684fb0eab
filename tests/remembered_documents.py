"""YAML documents, parsed once for all that read them: the card of tokens 16 times a training."""

import functools
import pickle
from collections import OrderedDict

from data_prep.files import documents

_MOST = 256
_LONGEST = 20_000  # characters


def remember_documents() -> None:
    """Let :mod:`data_prep.files.documents` remember what a short text was parsed to."""
    build, known = documents.build_yaml, OrderedDict[str, bytes]()

    @functools.wraps(build)
    def build_yaml(text: str) -> object:
        if len(text) > _LONGEST:
            return build(text)
        if text not in known:
            known[text] = pickle.dumps(build(text), pickle.HIGHEST_PROTOCOL)
            if len(known) > _MOST:
                known.popitem(last=False)
        return pickle.loads(known[text])

    if not hasattr(build, "__wrapped__"):
        documents.build_yaml = build_yaml
