"""The trainer of ``--ddp-backend fully_sharded``: a rank holds a part of each trained parameter.

It is FSDP2 (:func:`torch.distributed.fsdp.fully_shard`; Zhao et al. 2023, "PyTorch FSDP:
experiences on scaling fully sharded data parallel"): trained parameters, their gradients and the
moments of the optimizer are split among the ranks by rows, and the layer of an encoder is whole
only while it computes. What is frozen has neither gradients nor moments, and stays whole on each
rank.

Checkpoints are those of any training: whole tensors, gathered one after the other and moved to the
CPU of the first rank, which writes them. A training may be resumed on another number of ranks, or
with another backend.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fairseq import utils
from fairseq.trainer import Trainer
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils._pytree import tree_map_only

_EMERGENCY = "crash.pt"  # which fairseq writes on the rank that failed; whole tensors need them all


class FullyShardedTrainer(Trainer):
    """fairseq's trainer of a model that is sharded among several ranks."""

    _wrapped_model: nn.Module | None
    _wrapped_criterion: nn.Module | None

    def __init__(self, cfg: Any, *args: Any, **kwargs: Any) -> None:
        with _without_bf16(cfg):
            super().__init__(cfg, *args, **kwargs)

    @property
    def is_fsdp(self) -> bool:
        """Return False: what fairseq does then is for fairscale."""
        return False

    @property
    def always_call_state_dict_during_save_checkpoint(self) -> bool:
        """Return True: all ranks gather what the first one writes."""
        return True

    @property
    def model(self) -> nn.Module:
        """The model, sharded when it is first needed."""
        if self._wrapped_model is None:
            precision = torch.bfloat16 if self.cfg.common.bf16 else torch.float32
            self._wrapped_model = self._sharded(self._model, precision)
        return self._wrapped_model

    @property
    def criterion(self) -> nn.Module:
        """The criterion, sharded if it has parameters: an optimizer takes tensors of one kind."""
        if self._wrapped_criterion is None:
            self._wrapped_criterion = self._sharded(self._criterion, torch.float32)
        return self._wrapped_criterion

    def _sharded(self, module: nn.Module, precision: torch.dtype) -> nn.Module:
        module = module.to(self.device)
        if not utils.has_parameters(module):
            return module
        mesh = DeviceMesh.from_group(self.data_parallel_process_group, self.device.type)
        return shard(module, mesh, precision)

    def _build_optimizer(self) -> None:
        with _without_bf16(self.cfg):
            super()._build_optimizer()
        self.optimizer.optimizer.register_load_state_dict_pre_hook(_shard_moments)

    def clip_grad_norm(self, clip_norm: float) -> Tensor:
        """Clip by the norm over the shards of all ranks, which is the same on each."""
        norm: Tensor = self.optimizer.clip_grad_norm(clip_norm, _whole)
        return norm

    def state_dict(self) -> Any:
        """Return what a checkpoint holds, whole on the first rank; all ranks have to call this."""
        writes = self.is_data_parallel_master

        def gather(tensor: DTensor) -> Tensor | None:
            whole = tensor.full_tensor()
            return whole.cpu() if writes else None

        return tree_map_only(DTensor, gather, super().state_dict())

    def save_checkpoint(self, filename: str, extra_state: Any) -> Any:
        """Write a checkpoint, unless it is the emergency one of a single rank."""
        is_emergency = Path(filename).name == _EMERGENCY
        return None if is_emergency else super().save_checkpoint(filename, extra_state)


@contextlib.contextmanager
def _without_bf16(cfg: Any) -> Iterator[None]:
    """Keep parameters float32 under ``--bf16``: FSDP makes the bfloat16 ones of them itself."""
    given, cfg.common.bf16 = cfg.common.bf16, False
    try:
        yield
    finally:
        cfg.common.bf16 = given


# -- tensors ---------------------------------------------------------------------------------------


def shard(module: nn.Module, mesh: DeviceMesh, precision: torch.dtype) -> nn.Module:
    """Shard the trained parameters of a model or a criterion in place, and return it.

    Args:
        module: whole, and the same on all ranks.
        mesh: of the ranks.
        precision: of the computation; trained parameters, gradients and moments are float32.
    """
    frozen = {parameter for parameter in module.parameters() if not parameter.requires_grad}

    def cast(tensor: Tensor) -> Tensor:
        is_cast = tensor.dtype == torch.float32 and not tensor.requires_grad
        return tensor.to(precision) if is_cast else tensor

    module._apply(cast)  # as .bfloat16() does, which modules may override
    is_half = precision != torch.float32
    policy = MixedPrecisionPolicy(precision, torch.float32) if is_half else MixedPrecisionPolicy()
    options: dict[str, Any] = {"mesh": mesh, "mp_policy": policy, "ignored_params": frozen}
    attributes = {name: dict(vars(whole)) for name, whole in module.named_parameters()}
    for layer in _trained_layers(getattr(module, "encoders", nn.ModuleDict())):
        fully_shard(layer, **options)
    # Ranks may use different parameters, such as those of a modality that a batch lacks.
    fully_shard(module, **options).set_reduce_scatter_unused_params(True)
    for name, part in module.named_parameters():  # other objects than before
        vars(part).update(attributes[name])  # learning rate and weight decay of its own
    module.register_load_state_dict_pre_hook(_shard_parameters)
    return module


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _trained_layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers below a module that have trained parameters; each is called as a module."""
    for child in module.children():
        if isinstance(child, ParametrizationList):  # of LoRA, or the norm of a weight: no layers
            continue
        if not isinstance(child, nn.ModuleList):
            yield from _trained_layers(child)
        elif len({type(layer) for layer in child}) == 1:
            for layer in child:
                if any(parameter.requires_grad for parameter in layer.parameters()):
                    yield layer


def _shard_parameters(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
    """Split what a checkpoint holds as the parameters are split, before it is loaded."""
    for name, own in module.state_dict().items():
        if isinstance(own, DTensor) and name in state:
            state[name] = _like(state[name], own)


def _shard_moments(optimizer: torch.optim.Optimizer, state_dict: Any) -> Any:
    """Split what a checkpoint holds of each parameter as that is split, before it is loaded."""
    own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
    parameters = dict(zip(numbers, own, strict=True))
    state = {
        number: {name: _like(value, parameters[number]) for name, value in values.items()}
        for number, values in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def _like(value: Any, parameter: Tensor) -> Any:
    """Return a whole tensor split as a parameter of its shape is; anything else as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor):
        return value
    if isinstance(value, DTensor) or value.shape != parameter.shape:
        return value
    whole = value.to(parameter.device)
    # Every rank has read all of it: nothing is sent.
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
