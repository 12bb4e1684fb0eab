"""vq-wav2vec as a speech tokenizer, by the codes of its quantizer."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from data_prep.files.documents import (
    JsonObject,
    parse_json,
)
from emo_fairseq.compat.size_limits import (
    Stored,
    build_within,
    check_sizes,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, WAVEFORM
from emo_fairseq.pretrained.fairseq_checkpoints import build_fairseq, describe_fairseq, load_fairseq
from emo_fairseq.pretrained.fairseq_wav2vec import Wav2VecEncoder, build
from emo_fairseq.pretrained.waveforms import mask_beyond
from emo_fairseq.pretrained.weights import (
    read_note,
    read_tensors,
    write_tensors,
)

_SAFETENSORS = ".safetensors"


class VqWav2VecQuantizer(nn.Module):
    """Quantize waveforms to codes; always in evaluation mode.

    Attributes:
        n_groups: G, codes per frame.
        n_codes: codes are in 0 ... n_codes - 1.

    Raises:
        UsageError: the wav2vec has no quantizer.
    """

    def __init__(self, encoder: Wav2VecEncoder) -> None:
        super().__init__()
        if encoder.vector_quantizer is None:
            raise UsageError(
                "this wav2vec has no quantizer; give a checkpoint of vq-wav2vec",
                "encoder-unsupported",
            )
        self.encoder = encoder.requires_grad_(False).eval()
        self.n_groups: int = encoder.vector_quantizer.groups
        self.n_codes: int = encoder.vector_quantizer.num_vars

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> "VqWav2VecQuantizer":
        """Load a checkpoint of fairseq, or a file of :func:`write_quantizer`.

        Raises:
            UsageError: it is not a vq-wav2vec.
        """
        if Path(path).suffix == _SAFETENSORS:
            return cls(_read(Path(path)))
        encoder_spec = describe_fairseq(path, SPEECH)
        encoder = build_fairseq(encoder_spec) if encoder_spec.input == WAVEFORM else None
        if not isinstance(encoder, Wav2VecEncoder) or encoder.vector_quantizer is None:
            raise UsageError(
                f"{path}: not a vq-wav2vec; give a checkpoint of vq-wav2vec", "encoder-unsupported"
            )
        load_fairseq(encoder, encoder_spec)
        return cls(encoder)

    def train(self, mode: bool = True) -> "VqWav2VecQuantizer":
        super().train(False)  # in training mode a Gumbel quantizer samples its codes
        return self

    @torch.no_grad()
    def forward(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a padded batch of waveforms.

        Args:
            waveform: (B, samples) at 16 kHz.
            padding_mask: (B, samples), True = padding.

        Returns:
            Codes (B, T, G), and their padding mask (B, T); 100 frames a second.
        """
        model = self.encoder
        codes = [
            model.vector_quantizer.forward_idx(model.feature_extractor(samples))[1][0]  # T x G
            for samples in model.real_samples(waveform, padding_mask)
        ]
        lengths = torch.tensor([len(row) for row in codes], device=waveform.device)
        return pad_sequence(codes, batch_first=True), mask_beyond(lengths, int(lengths.max()))


def write_quantizer(checkpoint: str | Path, file: Path) -> None:
    """Write the quantizer of a checkpoint as safetensors, without code or optimizer state.

    Raises:
        UsageError: the checkpoint is not a vq-wav2vec.
    """
    encoder = VqWav2VecQuantizer.from_checkpoint(checkpoint).encoder
    architecture = dict(describe_fairseq(checkpoint, SPEECH).architecture)
    architecture.pop("family")
    write_tensors(file, encoder.state_dict(), json.dumps(architecture))


def _read(file: Path) -> Wav2VecEncoder:
    try:
        note = parse_json(
            read_note(file), JsonObject, name=f"{file}: note", remedy="export the model again"
        )
        check_sizes(note, f"{file}: ", "export the model again")
        tensors = read_tensors(file)
        with build_within(Stored.of(tensors), str(file), "export the model again"):
            encoder = build(note)
        encoder.load_state_dict(tensors)
    except (ValueError, TypeError, LookupError, RuntimeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"{file}: not a vq-wav2vec ({error}); export the model again", "encoder-unsupported"
        ) from error
    return encoder
