"""LoRA (Hu et al. 2021, arXiv:2106.09685): low-rank updates of frozen linear layers; and DoRA.

The weight itself is parametrized, instead of ``forward`` alone being replaced: the attention of
fairseq and of WavLM passes ``q_proj.weight`` to torch's function and never calls ``q_proj``. A
layer that is called computes its output by way of the factors, which needs neither the updated
weight nor a gradient of its size, and drops features of each token.

Call :func:`add_lora` after the pretrained weights are loaded: afterwards, an initialization that
writes into ``weight`` in place writes into a temporary tensor.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.bulk_dropout import bulk_dropout

# Role of a layer: the names that the families give to it.
LAYER_NAMES: Mapping[str, Sequence[str]] = {
    # fairseq, wav2vec 2.0…, ViT… | BERT… | DeBERTa-v2 | MPNet | DistilBERT | w2v-BERT | TimeSformer
    # (whose one layer has all three roles)
    "query": ("q_proj", "query", "query_proj", "attn.q", "q_lin", "linear_q", "qkv"),
    "key": ("k_proj", "key", "key_proj", "attn.k", "k_lin", "linear_k", "qkv"),
    "value": ("v_proj", "value", "value_proj", "attn.v", "v_lin", "linear_v", "qkv"),
    "output": ("out_proj", "o_proj", "attention.output.dense", "attn.o", "out_lin", "linear_out"),
    "ffn": (
        "fc1",  # fairseq, Whisper
        "fc2",
        "intermediate.dense",  # BERT, RoBERTa, DeBERTa, MPNet
        "output.dense",
        "intermediate_dense",  # wav2vec 2.0, HuBERT, WavLM
        "output_dense",
        "ffn.lin1",  # DistilBERT
        "ffn.lin2",
    ),
}

_ORIGINAL = ".parametrizations.weight.original"
_UPDATE = ".parametrizations.weight.0."


class LowRankUpdate(nn.Module):
    """Parametrize a weight: W -> W + (alpha / rank) B A.

    With DoRA (Liu et al. 2024, arXiv:2402.09353, eq. 5) the rows of that sum are brought to learned
    lengths, which are at first those of the rows of W. As in its section 4.3, and in peft, no
    gradient passes through the lengths that are divided by.

    Args:
        weight: (out, in), which determines the shape, dtype and device of the factors.
        rank: r; A is (r, in) and B is (out, r).
        alpha: the update is scaled by alpha / r.
        dropout: probability that an input feature of a token is dropped from the update in
            training.
        dora: learn the lengths of the rows, too.
    """

    scale: Tensor
    lora_magnitude_vector: nn.Parameter | None  # (out,)

    def __init__(
        self, weight: Tensor, rank: int, alpha: float, dropout: float, dora: bool = False
    ) -> None:
        super().__init__()
        n_outputs, n_inputs = weight.shape
        self.lora_A = nn.Parameter(weight.new_empty(rank, n_inputs))
        self.lora_B = nn.Parameter(weight.new_zeros(n_outputs, rank))
        # As in nn.Linear and peft. Since B = 0, the initial output is the pretrained model's.
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.lora_magnitude_vector = nn.Parameter(_row_lengths(weight)) if dora else None
        # Saved with the factors, so that a state dict alone suffices to merge them.
        self.register_buffer("scale", weight.new_tensor(alpha / rank))
        self.dropout = dropout

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight, for what reads it and does not call the layer.

        Its dropout drops the same features for all tokens of a batch, since a weight does not see
        them: A (m * x) = (A m) x, so that columns of A are dropped.
        """
        down: Tensor = self.lora_A  # (r, in)
        if self._drops:
            ones = down.new_ones(down.size(1))
            down = down * nn.functional.dropout(ones, self.dropout)
        return updated_weight(weight, down, self.lora_B, self.scale, self.lora_magnitude_vector)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the output of the layer by way of the factors; dropout is as in peft.

        Args:
            x: (..., in).
            weight: (out, in), not updated.
            bias: (out,).

        Returns:
            (..., out).
        """
        dropped = bulk_dropout(x, self.dropout) if self._drops else x
        rows = nn.functional.linear(dropped, self.lora_A) * self.scale  # (..., r)
        if self.lora_magnitude_vector is None:
            output = nn.functional.linear(x, weight, bias)
            return _add_product(output, rows, self.lora_B)
        with torch.no_grad():
            lengths = _row_lengths(
                updated_weight(weight, self.lora_A, self.lora_B, self.scale, None)
            )
        stretch = self.lora_magnitude_vector / lengths
        if dropped is x:
            update = _add_product(nn.functional.linear(x, weight), rows, self.lora_B) * stretch
            return update if bias is None else update + bias
        update = nn.functional.linear(rows, self.lora_B) * stretch
        lengthened = nn.functional.linear(dropped, weight) * (stretch - 1)
        return nn.functional.linear(x, weight, bias) + lengthened + update

    @property
    def _drops(self) -> bool:
        return self.training and self.dropout > 0

    def extra_repr(self) -> str:
        dora = ", dora" if self.lora_magnitude_vector is not None else ""
        scale = float(self.scale)
        return f"rank={self.lora_A.size(0)}, scale={scale}, dropout={self.dropout}{dora}"


def updated_weight(
    weight: Tensor, down: Tensor, up: Tensor, scale: Tensor, magnitude: Tensor | None
) -> Tensor:
    """Return W + scale B A, with rows of the given lengths if there are any.

    Args:
        weight: W, (out, in).
        down: A, (r, in).
        up: B, (out, r).
        scale: scalar.
        magnitude: (out,), the lengths of DoRA; None of LoRA.
    """
    updated = weight + (scale * (up @ down)).to(weight.dtype)
    if magnitude is None:
        return updated
    return updated * (magnitude / _row_lengths(updated.detach()))[:, None].to(weight.dtype)


def _row_lengths(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight.detach(), dim=1)


def _add_product(output: Tensor, rows: Tensor, up: Tensor) -> Tensor:
    """Return output + rows B^T in one pass: (..., out) + (..., r) (r, out)."""
    flat = torch.addmm(output.flatten(0, -2), rows.flatten(0, -2), up.t())
    return flat.view(output.shape)


# -- Add and merge updates -------------------------------------------------------------------------


def add_lora(
    module: nn.Module,
    targets: Sequence[str],
    rank: int,
    alpha: float,
    dropout: float,
    dora: bool = False,
) -> list[str]:
    """Freeze a module, and add trainable low-rank updates to some of its linear layers.

    Args:
        module: a pretrained encoder, modified in place; its output does not change.
        targets: the layers: keys of :data:`LAYER_NAMES`, or the last part or parts of dotted
            names.
        rank: of the updates.
        alpha: the updates are scaled by alpha / rank.
        dropout: see :class:`LowRankUpdate`.
        dora: likewise.

    Returns:
        The names of the adapted layers. Layers that share one weight share its update.

    Raises:
        UsageError: a target matches no layer, or a number is out of range.

    >>> model = nn.ModuleDict({"q_proj": nn.Linear(4, 4), "fc1": nn.Linear(4, 8)})
    >>> add_lora(model, ["query"], rank=2, alpha=4.0, dropout=0.0)
    ['q_proj']
    >>> [name for name, _ in model.named_parameters() if is_adapter(name)]
    ['q_proj.parametrizations.weight.0.lora_A', 'q_proj.parametrizations.weight.0.lora_B']
    >>> merge_lora(model)
    >>> sorted(model.state_dict())
    ['fc1.bias', 'fc1.weight', 'q_proj.bias', 'q_proj.weight']
    """
    if rank < 1 or alpha <= 0 or not 0 <= dropout < 1:
        raise UsageError(
            f"LoRA needs a rank of at least 1, a positive alpha and a dropout in [0, 1), "
            f"not {rank}, {alpha} and {dropout}",
            "lora-out-of-range",
        )
    adapted = _find_targets(module, targets)
    module.requires_grad_(False)
    updates: dict[Tensor, LowRankUpdate] = {}
    for name, linear in adapted.items():
        if parametrize.is_parametrized(linear, "weight"):
            raise UsageError(f"LoRA: the weight of {name} is parametrized already", "lora-twice")
        weight = linear.weight
        if weight not in updates:
            update = LowRankUpdate(weight, rank, alpha, dropout, dora)
            updates[weight] = update.train(linear.training)
        is_plain = type(linear).forward is nn.Linear.forward
        parametrize.register_parametrization(linear, "weight", updates[weight])
        if is_plain:
            # torch has given the layer a class of its own, which merge_lora takes away.
            type(linear).forward = _forward  # type: ignore[assignment, method-assign]
    return list(adapted)


def _forward(self: nn.Linear, x: Tensor) -> Tensor:
    weight = self.get_submodule("parametrizations.weight")
    assert isinstance(weight, parametrize.ParametrizationList)
    update = weight[0]
    assert isinstance(update, LowRankUpdate)
    original: Tensor = weight.original
    return update.linear(x, original, self.bias)


def merge_lora(module: nn.Module) -> None:
    """Replace W by the updated weight, so that the layers are plain linear layers again.

    Args:
        module: adapted by :func:`add_lora`, modified in place. Its weights stay frozen.
    """
    merged: set[Tensor] = set()
    for linear, weight in _adapted_layers(module):
        weight.eval()  # without dropout
        # torch deletes the property from the layer's class, which a deep copy of the layer shares.
        own = type(linear)
        linear.__class__ = type(own.__name__, own.__bases__, dict(vars(own)))
        # The sum is written into W in place. Where layers share W, once is enough.
        is_first = weight.original not in merged
        merged.add(weight.original)
        parametrize.remove_parametrizations(linear, "weight", leave_parametrized=is_first)


def _adapted_layers(
    module: nn.Module,
) -> Iterator[tuple[nn.Linear, parametrize.ParametrizationList]]:
    for linear in list(module.modules()):
        if isinstance(linear, nn.Linear) and parametrize.is_parametrized(linear, "weight"):
            weight = linear.get_submodule("parametrizations.weight")
            assert isinstance(weight, parametrize.ParametrizationList)
            if isinstance(weight[0], LowRankUpdate):
                yield linear, weight


def adapted_layers(module: nn.Module) -> Iterator[tuple[str, LowRankUpdate]]:
    """Yield the name of each adapted layer, and its update."""
    names = {part: name for name, part in module.named_modules()}
    for linear, weight in _adapted_layers(module):
        update = weight[0]
        assert isinstance(update, LowRankUpdate)
        yield names[linear], update


def has_lora(module: nn.Module) -> bool:
    """Return whether a layer of the module is adapted."""
    return any(True for _ in _adapted_layers(module))


def _find_targets(module: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    linears = {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    wanted = dict.fromkeys(linears, False)
    for target in targets:
        hits = [name for name in linears if _is_called(name, target)]
        if not hits:
            layers = ", ".join(sorted({re.sub(r"\b\d+\b", "*", name) for name in linears}))
            raise UsageError(
                f"LoRA: no linear layer is called {target}; use {', '.join(LAYER_NAMES)}, or the "
                f"last part of one of these: {layers or '(there is none)'}",
                "lora-targets",
            )
        wanted.update(dict.fromkeys(hits, True))
    if not any(wanted.values()):
        raise UsageError(
            f"LoRA: name the layers to adapt: {', '.join(LAYER_NAMES)}", "lora-targets"
        )
    return {name: linear for name, linear in linears.items() if wanted[name]}


def _is_called(name: str, target: str) -> bool:
    """Return whether a target selects a layer.

    >>> _is_called("layer.0.output.dense", "ffn"), _is_called("layer.0.output.dense", "output")
    (True, False)
    >>> _is_called("layer.0.attention.output.dense", "ffn")
    False
    >>> _is_called("layer.0.attention.qkv", "query"), _is_called("layer.0.attention.qkv", "value")
    (True, True)
    """
    if target not in LAYER_NAMES:
        return _ends_in(name, target)
    # "attention.output.dense" ends in "output.dense" too: the longest ending determines the role.
    endings = [
        (len(ending), role)
        for role, names in LAYER_NAMES.items()
        for ending in names
        if _ends_in(name, ending)
    ]
    return (max(endings, default=(0, ""))[0], target) in endings


def _ends_in(name: str, ending: str) -> bool:
    return f".{name}".endswith(f".{ending}")


# -- State dicts -----------------------------------------------------------------------------------


def is_adapter(name: str) -> bool:
    """Return whether the tensor of this name belongs to an update.

    >>> is_adapter("layers.0.fc1.parametrizations.weight.0.lora_A"), is_adapter("layers.0.fc1.bias")
    (True, False)
    """
    return _UPDATE in f".{name}"


def original_name(name: str) -> str:
    """Return the name of a parameter in the model without updates.

    >>> original_name("layers.0.fc1.parametrizations.weight.original")
    'layers.0.fc1.weight'
    >>> original_name("layers.0.fc1.bias")
    'layers.0.fc1.bias'
    """
    if f".{name}".endswith(_ORIGINAL):
        return name.removesuffix(_ORIGINAL.removeprefix(".")) + "weight"
    return name


def plain_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the state dict of an adapted module to that of the pretrained one."""
    return {original_name(name): value for name, value in state.items() if not is_adapter(name)}


def merged_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the state dict of an adapted module to that of the merged one.

    Raises:
        ValueError: the weight of an update is missing.
    """
    for name in filter(is_adapter, state):
        weight = f"{name.rpartition('.0.')[0]}.original"
        if weight not in state:
            raise ValueError(
                f"the state has LoRA's update of {original_name(weight)} but not the weight"
            )
    merged = plain_state_dict(state)
    for name in state:
        if not f".{name}".endswith(_ORIGINAL):
            continue
        update = name.removesuffix(_ORIGINAL.removeprefix(".")) + _UPDATE.removeprefix(".")
        down, up, scale = (state[update + part] for part in ("lora_A", "lora_B", "scale"))
        magnitude = state.get(f"{update}lora_magnitude_vector")
        merged[original_name(name)] = updated_weight(state[name], down, up, scale, magnitude)
    return merged
