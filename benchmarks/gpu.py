"""On a GPU: parity with the CPU, and speed beside a loop: ``python -m benchmarks.gpu``.

Takes under 8 minutes and no files. First, a small model of text and speech computes the same
output and gradients on the device as on the CPU in float32, and the same for a row at any padding.
Then RoBERTa-large and wav2vec 2.0 large with random weights are tuned in full in bfloat16, by the
model and optimizer of the plugin as ``fairseq-train --bf16`` runs them, and by a loop with autocast
round the same Hugging Face models, in turn. Prints utterances a second, their ratio, and MFU: the
floating point operations that torch counts in an update, over its time and the peak of the device.

``--device cpu --size tiny`` runs all of it without a GPU.
"""

import argparse
import copy
import logging
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import transformers
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.optim import FP16Optimizer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import emo_fairseq
from benchmarks.results import Ratio, add_json_option, save_ratios
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.fusion.concat import ConcatFusion
from emo_fairseq.modules.heads import FusedEmbedding, LinearHead
from emo_fairseq.modules.pooling import MeanPooling
from emo_fairseq.pretrained.hf_text import HuggingFaceTextEncoder
from emo_fairseq.pretrained.hf_wav2vec2 import HuggingFaceWav2Vec2

N_LABELS = 4
SAMPLE_RATE = 16_000
SIZES: Mapping[str, Mapping[str, int]] = {
    "tiny": {"width": 32, "layers": 2, "heads": 2, "rows": 2, "seconds": 1, "tokens": 8},
    "large": {"width": 1024, "layers": 24, "heads": 16, "rows": 16, "seconds": 5, "tokens": 24},
}
#: Dense bfloat16 operations a second, from NVIDIA's data sheets, by a part of the device's name.
PEAKS: Mapping[str, float] = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10": 125e12,
    "4090": 165e12,
}
OPTIONS = (
    "--task emotion_prediction --data . --arch robertaEMO --optimizer emotion_adamw --lr 1e-5 "
    "--weight-decay 0.01 --bf16 --fp16-no-flatten-grads"
)
TOLERANCE = 2e-3  # of float32 on two devices, relative to the largest value

Inputs = dict[str, dict[str, Tensor]]


def configs(size: str) -> tuple[Any, Any]:
    """Return the configurations of both encoders, without dropout."""
    shape = SIZES[size]
    common: dict[str, Any] = {
        "hidden_size": shape["width"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "intermediate_size": 4 * shape["width"],
    }
    text = transformers.RobertaConfig(
        **common,
        vocab_size=50_265 if size == "large" else 100,
        max_position_embeddings=514,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    convolutions: dict[str, Any] = (
        {} if size == "large" else {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16}
    )
    speech = transformers.Wav2Vec2Config(
        **common,
        **convolutions,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
        conv_bias=True,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
    )
    return text, speech


def build(size: str) -> RobertaEMOModel:
    """Build the plugin's model with random weights."""
    torch.manual_seed(1)
    text, speech = configs(size)
    encoders = {
        "text": ModalityEncoder(HuggingFaceTextEncoder(text)),
        "speech": ModalityEncoder(HuggingFaceWav2Vec2(speech, {"do_normalize": True})),
    }
    fusion = ConcatFusion({name: MeanPooling(x.embed_dim) for name, x in encoders.items()})
    width = fusion.output_dim
    return RobertaEMOModel(encoders, fusion, FusedEmbedding(width), LinearHead(width, N_LABELS, 0))


def make_batch(size: str, device: str) -> tuple[Inputs, Tensor]:
    """Return the inputs of the plugin's model, the last row shorter, and labels (B,)."""
    shape = SIZES[size]
    generator = torch.Generator().manual_seed(2)
    n_rows, n_samples = shape["rows"], shape["seconds"] * SAMPLE_RATE
    tokens = torch.randint(5, 90, (n_rows, shape["tokens"]), generator=generator)
    waveform = torch.randn(n_rows, n_samples, generator=generator)
    text_mask, speech_mask = torch.zeros_like(tokens).bool(), torch.zeros_like(waveform).bool()
    text_mask[-1, shape["tokens"] // 2 :] = True
    speech_mask[-1, n_samples // 2 :] = True
    present = torch.ones(n_rows, dtype=torch.bool)
    inputs = {
        "text": {"tokens": tokens.masked_fill(text_mask, 1), "padding_mask": text_mask},
        "speech": {"waveform": waveform.masked_fill(speech_mask, 0), "padding_mask": speech_mask},
    }
    moved = {
        name: {k: x.to(device) for k, x in {**source, "present": present}.items()}
        for name, source in inputs.items()
    }
    return moved, torch.randint(N_LABELS, (n_rows,), generator=generator).to(device)


# -- Parity ----------------------------------------------------------------------------------------


def check_parity(device: str) -> dict[str, float]:
    """Compare the device with the CPU, and padded rows with rows alone, in float32.

    Returns:
        The largest differences, relative to the largest value compared.

    Raises:
        AssertionError: one is above :data:`TOLERANCE`.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = build("tiny").train()
    moved = copy.deepcopy(model).to(device)
    results = []
    for moved_model, where in ((model, "cpu"), (moved, device)):
        inputs, labels = make_batch("tiny", where)
        logits = moved_model(**inputs).logits
        nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
        gradients = {
            name: p.grad for name, p in moved_model.named_parameters() if p.grad is not None
        }
        results.append((logits, gradients))
    (logits, gradients), (there, gradients_there) = results
    assert gradients.keys() == gradients_there.keys()
    largest = max(float(g.abs().max()) for g in gradients.values())
    short = {
        name: {
            k: x[-1:] if k == "present" else _unpadded(x, s["padding_mask"]) for k, x in s.items()
        }
        for name, s in make_batch("tiny", device)[0].items()
    }
    alone = moved.eval()(**short).logits
    differences = {
        "logits": _difference(logits, there),
        "gradients": max(
            float((g - gradients_there[name].cpu()).abs().max()) / largest
            for name, g in gradients.items()
        ),
        "padding": _difference(there[-1:].cpu(), alone),
    }
    for name, difference in differences.items():
        print(f"parity on {device}, {name:10s} {difference:.1e}")
        assert difference < TOLERANCE, f"{name} differs by {difference:.1e} on {device}"
    return differences


def _unpadded(x: Tensor, padding_mask: Tensor) -> Tensor:
    return x[-1:, : int((~padding_mask[-1]).sum())]


def _difference(expected: Tensor, actual: Tensor) -> float:
    return float((expected - actual.cpu()).detach().abs().max() / expected.detach().abs().max())


# -- Speed -----------------------------------------------------------------------------------------


def plugin_step(size: str, device: str) -> Callable[[], None]:
    """Return an update of the plugin in bfloat16, with float32 copies of the parameters."""
    model = build(size).to(device, torch.bfloat16).train()
    parsed = options.parse_args_and_arch(options.get_training_parser(), OPTIONS.split())
    optimizer = FP16Optimizer.build_optimizer(
        convert_namespace_to_omegaconf(parsed), list(model.parameters())
    )
    inputs, labels = make_batch(size, device)

    def step() -> None:
        optimizer.zero_grad()
        logits = model(**inputs).logits.float()
        optimizer.backward(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        optimizer.multiply_grads(1 / len(labels))
        optimizer.clip_grad_norm(1.0)
        optimizer.step()

    return step


class Loop(nn.Module):
    """The peer's model: Hugging Face encoders, means, a linear layer."""

    def __init__(self, size: str) -> None:
        super().__init__()
        text, speech = configs(size)
        self.text = transformers.RobertaModel(text, add_pooling_layer=False)
        self.speech = transformers.Wav2Vec2Model(speech)
        self.head = nn.Linear(text.hidden_size + speech.hidden_size, N_LABELS)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the logits (B, K)."""
        text_mask = (~inputs["text"]["padding_mask"]).long()
        text = self.text(input_ids=inputs["text"]["tokens"], attention_mask=text_mask)
        speech_mask = (~inputs["speech"]["padding_mask"]).long()
        speech = self.speech(inputs["speech"]["waveform"], attention_mask=speech_mask)
        weights = text_mask[..., None] / text_mask.sum(dim=1)[:, None, None]
        pooled = (text.last_hidden_state * weights).sum(dim=1)
        return self.head(torch.cat([pooled, speech.last_hidden_state.mean(dim=1)], dim=1))


def loop_step(size: str, device: str) -> Callable[[], None]:
    """Return an update of the loop in bfloat16 by autocast."""
    torch.manual_seed(1)
    model = Loop(size).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01, fused=True)
    inputs, labels = make_batch(size, device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            logits = model(inputs).float()
        nn.functional.cross_entropy(logits, labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def count_operations(step: Callable[[], None]) -> int:
    """Return the floating point operations of matrix products and convolutions of an update."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def seconds_of(step: Callable[[], None], updates: int, device: str) -> float:
    """Return the seconds of an update, the mean of several after one that warms up."""
    step()
    _synchronize(device)
    began = time.perf_counter()
    for _ in range(updates):
        step()
    _synchronize(device)
    return (time.perf_counter() - began) / updates


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_of(device: str) -> float | None:
    """Return the peak of the device in bfloat16; None if it is not known."""
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def measure_speed(size: str, device: str, updates: int, rounds: int, peak: float | None) -> Ratio:
    """Time both in turn, print speed and MFU of each, and return their ratio."""
    steps = {"plugin": plugin_step(size, device), "loop": loop_step(size, device)}
    operations = {name: count_operations(step) for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(seconds_of(step, updates, device))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    n_rows = SIZES[size]["rows"]
    for name, median in medians.items():
        rate = operations[name] / median
        mfu = f"MFU {rate / peak:.1%}" if peak else "peak of the device not known"
        print(f"{name:8s} {n_rows / median:8.2f} utterances/s, {rate / 1e12:.3g} TFLOP/s, {mfu}")
    ratio = medians["loop"] / medians["plugin"]
    print(f"plugin is {ratio:.2f} x the loop")
    return Ratio(
        of=f"RoBERTa + wav2vec 2.0, {size}, full tuning, bf16, {device}",
        measured=n_rows / medians["plugin"],
        unit="utterances/s",
        against="Hugging Face loop with autocast",
        ratio=ratio,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    logging.getLogger().setLevel(logging.WARNING)  # fairseq sets DEBUG on import
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--size", choices=SIZES, default="large")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-tflops", type=float, help="of the device in bfloat16, for MFU")
    add_json_option(parser)
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU; --device cpu --size tiny runs the script without one")
    emo_fairseq.register()
    check_parity(args.device)
    peak = args.peak_tflops * 1e12 if args.peak_tflops else peak_of(args.device)
    ratio = measure_speed(args.size, args.device, args.updates, args.rounds, peak)
    save_ratios(args.json, [ratio])
    return 0


if __name__ == "__main__":
    sys.exit(main())
