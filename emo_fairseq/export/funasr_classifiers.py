"""emotion2vec+ of FunASR, whose classifier is a linear layer on the mean of the frames.

Its labels are the lines of ``tokens.txt`` beside the weights, such as ``生气/angry``, of which the
name behind the slash is taken. Outputs whose name begins with ``unuse`` are left out of its
softmax.
"""

from pathlib import Path

from emo_fairseq import pretrained
from emo_fairseq.compat.torch_files import refuse_non_finite
from emo_fairseq.errors import UsageError
from emo_fairseq.export.classifiers import Classifier
from emo_fairseq.modalities import SPEECH
from emo_fairseq.models.config import LINEAR
from emo_fairseq.pretrained.fairseq_files import find_checkpoint
from emo_fairseq.pretrained.funasr_files import read_projection

LABELS_FILE = "tokens.txt"
_LEFT_OUT = "unuse"


def read_funasr_classifier(source: str) -> Classifier:
    """Read the classifier of a folder with ``model.pt``, ``config.yaml`` and ``tokens.txt``.

    Raises:
        UsageError: it is no model of FunASR, or one without a classifier.
    """
    encoder = pretrained.describe(SPEECH, f"fairseq:{source}")
    file = find_checkpoint(source)
    projection = read_projection(file)
    if projection is None:
        raise UsageError(
            f"fairseq:{source}: holds no classifier (proj.weight of FunASR); give an emotion2vec+, "
            f"or train one on its encoder by `emotion-recognize train … --speech-encoder "
            f"fairseq:{source}`",
            "classifier-missing",
        )
    weight, bias = projection
    names = _read_labels(file.parent / LABELS_FILE)
    kept = [row for row, name in enumerate(names) if not name.startswith(_LEFT_OUT)]
    if len(names) == len(bias):
        names, weight, bias = [names[row] for row in kept], weight[kept], bias[kept]
    weights = {"head.out_proj.weight": weight.float(), "head.out_proj.bias": bias.float()}
    refuse_non_finite(weights, f"fairseq:{source}")
    return Classifier(SPEECH, encoder, {"head": LINEAR}, weights, names)


def _read_labels(file: Path) -> list[str]:
    """Return the names of the outputs; none where there is no such file."""
    if not file.is_file():
        return []
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: cannot be read as UTF-8 text; fetch the model again", "text-not-utf8"
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    return [name.rpartition("/")[2] for name in names]
