"""LoRA (Hu et al. 2021, arXiv:2106.09685): low-rank updates of frozen linear layers.

The weight itself is parametrized, instead of ``forward`` being wrapped: the attention of fairseq
and of WavLM passes ``q_proj.weight`` to torch's function and never calls ``q_proj``.

Call :func:`add_lora` after the pretrained weights are loaded: afterwards, an initialization that
writes into ``weight`` in place writes into a temporary tensor.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from emo_fairseq.errors import UsageError

# Role of a layer: the names that the families give to it.
LAYER_NAMES: Mapping[str, Sequence[str]] = {
    #         fairseq, wav2vec 2.0…, Whisper | BERT… | DeBERTa-v2 | MPNet | DistilBERT | w2v-BERT
    "query": ("q_proj", "query", "query_proj", "attn.q", "q_lin", "linear_q"),
    "key": ("k_proj", "key", "key_proj", "attn.k", "k_lin", "linear_k"),
    "value": ("v_proj", "value", "value_proj", "attn.v", "v_lin", "linear_v"),
    "output": ("out_proj", "attention.output.dense", "attn.o", "out_lin", "linear_out"),
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

    Args:
        weight: (out, in), which determines the shape, dtype and device of the factors.
        rank: r; A is (r, in) and B is (out, r).
        alpha: the update is scaled by alpha / r.
        dropout: probability that an input feature is dropped from the update in training.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        n_outputs, n_inputs = weight.shape
        self.lora_A = nn.Parameter(weight.new_empty(rank, n_inputs))
        self.lora_B = nn.Parameter(weight.new_zeros(n_outputs, rank))
        # As in nn.Linear and peft. Since B = 0, the initial output is the pretrained model's.
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        # Saved with the factors, so that a state dict alone suffices to merge them.
        self.register_buffer("scale", weight.new_tensor(alpha / rank))
        self.dropout = dropout

    def forward(self, weight: Tensor) -> Tensor:
        down: Tensor = self.lora_A  # (r, in)
        if self.training and self.dropout > 0:
            # A parametrization does not see the layer's input. But A (m * x) = (A m) x: to drop
            # features of the input is to drop columns of A, the same for all tokens of a batch.
            ones = down.new_ones(down.size(1))
            down = down * nn.functional.dropout(ones, self.dropout)
        update = self.scale * (self.lora_B @ down)
        return weight + update.to(weight.dtype)

    def extra_repr(self) -> str:
        return f"rank={self.lora_A.size(0)}, scale={float(self.scale)}, dropout={self.dropout}"


# -- Add and merge updates -------------------------------------------------------------------------


def add_lora(
    module: nn.Module, targets: Sequence[str], rank: int, alpha: float, dropout: float
) -> list[str]:
    """Freeze a module, and add trainable low-rank updates to some of its linear layers.

    Args:
        module: a pretrained encoder, modified in place; its output does not change.
        targets: the layers: keys of :data:`LAYER_NAMES`, or the last part or parts of dotted
            names.
        rank: of the updates.
        alpha: the updates are scaled by alpha / rank.
        dropout: see :class:`LowRankUpdate`.

    Returns:
        The names of the adapted layers. Layers that share one weight share its update.

    Raises:
        UsageError: a target matches no layer, or a number is out of range.

    >>> model = nn.ModuleDict({"q_proj": nn.Linear(4, 4), "fc1": nn.Linear(4, 8)})
    >>> add_lora(model, ["query"], rank=2, alpha=4.0, dropout=0.0)
    ['q_proj']
    >>> adapter_names(model)
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
            updates[weight] = LowRankUpdate(weight, rank, alpha, dropout).train(linear.training)
        parametrize.register_parametrization(linear, "weight", updates[weight])
    return list(adapted)


def merge_lora(module: nn.Module) -> None:
    """Replace W by W + (alpha / rank) B A, so that the layers are plain linear layers again.

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
    return max(endings, default=(0, ""))[1] == target


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


def adapter_names(module: nn.Module) -> list[str]:
    """Return the names of the parameters of the updates."""
    return [name for name, _ in module.named_parameters() if is_adapter(name)]


def lora_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """Return the part of the module's state dict that belongs to the updates."""
    return {name: tensor for name, tensor in module.state_dict().items() if is_adapter(name)}


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
        merged[original_name(name)] = state[name] + (scale * (up @ down)).to(state[name].dtype)
    return merged


def load_plain_state_dict(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a state dict of the pretrained module into an adapted one, and keep the updates.

    Raises:
        RuntimeError: from ``load_state_dict``: keys or shapes do not match.
    """
    own = module.state_dict()
    names = {original_name(name): name for name in own if not is_adapter(name)}
    renamed = {names.get(name, name): value for name, value in state.items()}
    module.load_state_dict({**lora_state_dict(module), **renamed})
