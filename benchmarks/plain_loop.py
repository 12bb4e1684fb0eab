"""The peer: a plain PyTorch loop round a Hugging Face encoder, as tutorials write it.

    python -m benchmarks.plain_loop MODEL_FOLDER DATA_DIR [--grouped] [--peft lora] [--updates N]

AdamW, linear decay after a warm-up, mean pooling, one linear layer, texts tokenized batch by batch
and padded to the longest; batches at random, or with `--grouped` from texts of like length. Prints
one JSON object: the loop's speed, and after whole epochs the scores of the test split by the epoch
that was best on the valid split.
"""

import argparse
import copy
import importlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn

from data_prep.schema import Utterance, read_corpus, read_manifest

GROUP = 50  # batches whose texts are sorted by length together


class Classifier(nn.Module):
    """An encoder, the mean of its last layer, a linear layer."""

    def __init__(self, folder: str, n_labels: int, adapter: str | None, rank: int) -> None:
        super().__init__()
        self.encoder = transformers.AutoModel.from_pretrained(folder)
        if adapter is not None:
            self.encoder = _adapted(self.encoder, adapter, rank)
        self.head = nn.Linear(self.encoder.config.hidden_size, n_labels)

    def forward(self, batch: Any) -> Tensor:
        """(B, T) ids and mask -> (B, n_labels) logits."""
        features = self.encoder(**batch).last_hidden_state
        real = batch["attention_mask"][..., None].to(features.dtype)
        return self.head((features * real).sum(dim=1) / real.sum(dim=1))


def _adapted(encoder: nn.Module, adapter: str, rank: int) -> nn.Module:
    """Return an encoder with LoRA or DoRA of peft in its queries and values."""
    peft = importlib.import_module("peft")
    settings = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=["query", "value"], use_dora=adapter == "dora"
    )
    adapted: nn.Module = peft.get_peft_model(encoder, settings)
    return adapted


def batches(rows: Sequence[Utterance], size: int, grouped: bool) -> Iterator[list[Utterance]]:
    """One epoch of random batches; grouped: sorted by length within large random groups."""
    order = random.sample(list(rows), len(rows))
    if grouped:
        step = size * GROUP
        groups = [order[i : i + step] for i in range(0, len(order), step)]
        ordered = [row for g in groups for row in sorted(g, key=lambda r: len(str(r.text)))]
        cut = [ordered[i : i + size] for i in range(0, len(ordered), size)]
        random.shuffle(cut)
        yield from cut
        return
    for i in range(0, len(order), size):
        yield order[i : i + size]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain_loop", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--grouped", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16 in training")
    parser.add_argument("--peft", choices=("lora", "dora"), help="adapt the encoder by peft")
    parser.add_argument("--rank", type=int, default=8, help="of --peft")
    parser.add_argument("--updates", type=int, help="stop after so many, and score nothing")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    print(json.dumps(run(args)))


def run(args: argparse.Namespace) -> dict[str, float]:
    """Train, and score; returns what is printed."""
    labels = list(read_corpus(args.data).labels["emotion"])
    splits = {name: read_manifest(args.data / f"{name}.tsv") for name in ("train", "valid", "test")}
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    model = Classifier(args.model, len(labels), args.peft, args.rank)
    n_updates = args.epochs * -(-len(splits["train"]) // args.batch_size)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.01)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, n_updates // 10, n_updates)

    def encode(rows: Sequence[Utterance]) -> tuple[Any, Tensor]:
        batch = tokenizer([row.text for row in rows], padding=True, return_tensors="pt")
        inputs = {k: batch[k] for k in ("input_ids", "attention_mask")}
        return inputs, torch.tensor([labels.index(str(row.emotion)) for row in rows])

    seconds, seen, done, best = 0.0, 0, 0, (-1.0, model.state_dict())
    for _ in range(args.epochs):
        model.train()
        started = time.perf_counter()
        for rows in batches(splits["train"], args.batch_size, args.grouped):
            inputs, target = encode(rows)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                logits = model(inputs)
            loss = nn.functional.cross_entropy(logits.float(), target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            seen, done = seen + len(rows), done + 1
            if done == args.updates:
                break
        seconds += time.perf_counter() - started
        if args.updates:
            return {"utterances_per_second": seen / seconds}
        scored = score(model, splits["valid"], encode)["weighted_f1"]
        if scored > best[0]:
            best = scored, copy.deepcopy(model.state_dict())
    model.load_state_dict(best[1])
    test = score(model, splits["test"], encode)
    return {"utterances_per_second": seen / seconds, "valid_weighted_f1": best[0], **test}


@torch.no_grad()
def score(model: Classifier, rows: Sequence[Utterance], encode: Any) -> dict[str, float]:
    """Weighted F1 and accuracy, by scikit-learn."""
    model.eval()
    truth, prediction = [], []
    for i in range(0, len(rows), 64):
        inputs, target = encode(rows[i : i + 64])
        truth += target.tolist()
        prediction += model(inputs).argmax(dim=1).tolist()
    return {
        "weighted_f1": float(f1_score(truth, prediction, average="weighted")),
        "accuracy": float(accuracy_score(truth, prediction)),
    }


if __name__ == "__main__":
    main()
