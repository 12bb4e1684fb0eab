"""The peer of speech, and of text and speech: a loop round Hugging Face encoders, as tutorials
write it.

    python -m benchmarks.hf_loop DATA_DIR --speech-model FOLDER [--text-model FOLDER] [--grouped]

AdamW, the mean of the last layer of each encoder, one linear layer on both; files decoded and texts
tokenized batch by batch and padded to the longest. Batches at random, or with ``--grouped`` of
similar length, as ``group_by_length`` of transformers makes them. Prints utterances a second; the
first update, in which libraries choose their kernels, is left out.
"""

import argparse
import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile
import torch
import transformers
from torch import Tensor, nn

from data_prep.schema import Utterance, read_corpus, read_manifest

GROUP = 50  # batches whose rows are sorted by length together, as in transformers


class Classifier(nn.Module):
    """Encoders, the mean of the last layer of each, a linear layer."""

    def __init__(self, folders: Sequence[str], n_labels: int) -> None:
        super().__init__()
        encoders = [transformers.AutoModel.from_pretrained(folder) for folder in folders]
        self.encoders = nn.ModuleList(encoders)
        self.head = nn.Linear(sum(e.config.hidden_size for e in encoders), n_labels)

    def forward(self, *batches: Any) -> Tensor:
        """Inputs of each encoder -> (B, n_labels) logits."""
        pooled = [self._pool(*pair) for pair in zip(self.encoders, batches, strict=True)]
        return self.head(torch.cat(pooled, dim=1))

    def _pool(self, encoder: nn.Module, batch: Any) -> Tensor:
        features = encoder(**batch).last_hidden_state
        if "input_ids" not in batch:  # wav2vec 2.0 base has no mask in its own recipes
            return features.mean(dim=1)
        real = batch["attention_mask"][..., None].to(features.dtype)
        return (features * real).sum(dim=1) / real.sum(dim=1)


def batches(rows: Sequence[Utterance], size: int, grouped: bool) -> Iterator[list[Utterance]]:
    """Batches without end: epochs of random ones; grouped: sorted within large random groups."""
    while True:
        order = random.sample(list(rows), len(rows))
        if grouped:
            step = size * GROUP
            groups = [order[i : i + step] for i in range(0, len(order), step)]
            order = [row for g in groups for row in sorted(g, key=lambda row: row.n_samples or 0)]
        cut = [order[i : i + size] for i in range(0, len(order), size)]
        random.shuffle(cut)
        yield from cut


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hf_loop")
    parser.add_argument("data", type=Path)
    parser.add_argument("--speech-model", required=True)
    parser.add_argument("--text-model")
    parser.add_argument("--grouped", action="store_true")
    parser.add_argument("--freeze-front-end", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=8)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    random.seed(1)
    torch.manual_seed(1)
    print(f"{train(args):.4f}")


def train(args: argparse.Namespace) -> float:
    """Train, and return the utterances a second."""
    labels = list(read_corpus(args.data).labels["emotion"])
    folders = [args.speech_model, *([args.text_model] if args.text_model else [])]
    model = Classifier(folders, len(labels)).train()
    if args.freeze_front_end:
        model.encoders[0].freeze_feature_encoder()  # type: ignore[operator]
    extractor = transformers.AutoFeatureExtractor.from_pretrained(args.speech_model)
    tokenizer = args.text_model and transformers.AutoTokenizer.from_pretrained(args.text_model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.01, fused=True)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 10, 1000)

    def encode(rows: Sequence[Utterance]) -> list[Any]:
        audio = [soundfile.read(args.data / str(row.audio), dtype="float32")[0] for row in rows]
        rate = extractor.sampling_rate
        inputs = [extractor(audio, sampling_rate=rate, padding=True, return_tensors="pt")]
        if tokenizer:
            text = [str(row.text) for row in rows]
            tokens = tokenizer(text, padding=True, return_tensors="pt")
            inputs.append({k: tokens[k] for k in ("input_ids", "attention_mask")})
        return inputs

    def precision() -> Any:
        return torch.autocast("cpu", torch.bfloat16) if args.bf16 else contextlib.nullcontext()

    seen, started = 0, 0.0
    drawn = batches(read_manifest(args.data / "train.tsv"), args.batch_size, args.grouped)
    for update in range(args.updates):
        rows = next(drawn)
        target = torch.tensor([labels.index(str(row.emotion)) for row in rows])
        with precision():
            logits = model(*encode(rows))
        loss = nn.functional.cross_entropy(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if update == 0:
            started = time.perf_counter()
        else:
            seen += len(rows)
    return seen / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
