"""Write LoRA in peft's format: ``python -m emo_fairseq.export.adapter CHECKPOINT FOLDER``.

``peft.PeftModel.from_pretrained(AutoModel.from_pretrained(ENCODER), FOLDER)`` then computes what
the encoder of the checkpoint does; ``--lora-from FOLDER`` starts another training with it. Fusion
and head are not part of it.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITIES

logger = logging.getLogger(__name__)


def export_adapter(checkpoint: Path, folder: Path, modality: str | None = None) -> list[str]:
    """Write the adapter of one encoder.

    Args:
        checkpoint: of fairseq-train.
        folder: is created; an adapter in it is replaced.
        modality: of the encoder; by default the one that has LoRA.

    Returns:
        The names of the adapted layers.

    Raises:
        UsageError: there is no such checkpoint; no encoder, or not that one, has LoRA, or several
            have; or it is not of Hugging Face.
    """
    # Here, so that the command line is parsed without torch.
    from emo_fairseq.inference.checkpoint import build_checkpoint_model, read_checkpoint
    from emo_fairseq.modules.lora import has_lora
    from emo_fairseq.pretrained.peft_adapters import library_model, write_adapter

    state, model = build_checkpoint_model(read_checkpoint(checkpoint), checkpoint)
    adapted = [name for name, encoder in model.encoders.items() if has_lora(encoder.backbone)]
    chosen = [name for name in adapted if modality in (None, name)]
    if not chosen:
        raise UsageError(
            f"{checkpoint}: {f'the {modality} encoder has no' if modality else 'no encoder has'} "
            "LoRA; there is no adapter to write",
            "lora-missing",
        )
    if len(chosen) > 1:
        raise UsageError(
            f"{checkpoint}: the encoders of {' and '.join(chosen)} have LoRA; choose one with "
            "--modality",
            "adapter-other",
        )
    encoder = library_model(model.encoders[chosen[0]].backbone)
    return write_adapter(folder, encoder, state.encoders[chosen[0]].source)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    excepthook.apply()
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.export.adapter", description="Write LoRA in peft's format."
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--modality", choices=MODALITIES, help="whose encoder, where several have LoRA"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    layers = export_adapter(options.checkpoint, options.folder, options.modality)
    logger.info("%s: an adapter of %d layers", options.folder, len(layers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
