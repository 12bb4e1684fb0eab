"""A model from its options and the state of its task, and the files that its weights come from."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from fairseq.dataclass.utils import merge_with_parent
from omegaconf import DictConfig, OmegaConf, open_dict

from emo_fairseq import pretrained
from emo_fairseq.compat.initialization import SkipRandomParameters
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.architectures import complete_config
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.dialogue_encoders import complete_dialogue_config
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.models.tuning import tune
from emo_fairseq.modules.lora import is_adapter
from emo_fairseq.option_values import FULL
from emo_fairseq.task_state import TaskState

logger = logging.getLogger(__name__)

TRAINED = "trained"  # of --checkpoint-weights: what the pretrained files hold is not saved again


def build_for_inference(options: Mapping[str, Any], state: TaskState) -> RobertaEMOModel:
    """Build the model of a checkpoint or a model folder, ready for its state dict.

    Args:
        options: of the model, as the checkpoint holds them (a DictConfig or plain values).
        state: what the model reads and predicts.

    Returns:
        A model in evaluation mode, on the CPU. Its weights are arbitrary, but those that
        ``--checkpoint-weights trained`` leaves to the encoders' own files.

    Raises:
        UsageError: the options do not go together, or an encoder's files are gone.
    """
    cfg = merge_with_parent(RobertaEMOConfig(), OmegaConf.create(plain(options)), True)
    fill_config(cfg, state)
    with SkipRandomParameters():
        model = RobertaEMOModel.build(cfg, state)
    load_left_out(model, cfg, state)
    tune(model, cfg)
    leave_out_pretrained(model, cfg, state)
    return model.eval()


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as plain values: choices as strings, interpolations resolved."""
    if not OmegaConf.is_config(config):
        return dict(config)
    options = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    assert isinstance(options, dict)
    return {str(name): value for name, value in options.items()}


def fill_config(cfg: DictConfig, state: TaskState) -> None:
    """Put a value into every field that is missing or None, in place.

    The checkpoint then holds every size, and later versions of the architectures do not change it.
    """
    with open_dict(cfg):
        complete_config(cfg, state.encoders)
        complete_dialogue_config(cfg, state.options)


def load_pretrained(
    model: RobertaEMOModel, encoders: Mapping[str, EncoderSpec], only: Collection[str] | None = None
) -> None:
    """Load the pretrained weights of the encoders into a model that has just been built.

    Args:
        model: takes them.
        encoders: of the model.
        only: the modalities whose encoders get them; None = all.

    Raises:
        UsageError: the files are gone, do not fit, or are no longer those that the spec names.
    """
    for name, spec in encoders.items():
        if spec.is_pretrained and (only is None or name in only):
            pretrained.load(model.encoders[name].backbone, spec)
            logger.info("%s: weights of %s loaded", name, spec.spec)


def left_out_encoders(cfg: RobertaEMOConfig, encoders: Mapping[str, EncoderSpec]) -> list[str]:
    """Return the modalities whose encoders ``--checkpoint-weights trained`` leaves out."""
    return [
        name
        for name, spec in encoders.items()
        if spec.is_pretrained and str(getattr(cfg, f"{name}_tuning")) != FULL
    ]


def load_left_out(model: RobertaEMOModel, cfg: RobertaEMOConfig, state: TaskState) -> None:
    """Load from the encoders' own files what ``--checkpoint-weights trained`` has not saved."""
    if cfg.checkpoint_weights == TRAINED:
        load_pretrained(model, state.encoders, left_out_encoders(cfg, state.encoders))


def leave_out_pretrained(model: RobertaEMOModel, cfg: RobertaEMOConfig, state: TaskState) -> None:
    """Keep out of state dicts what the files hold, with ``--checkpoint-weights trained``."""
    if cfg.checkpoint_weights != TRAINED:
        return
    left_out = left_out_encoders(cfg, state.encoders)
    prefixes = tuple(f"encoders.{name}.backbone." for name in left_out)
    model.leave_out(
        name for name in model.state_dict() if name.startswith(prefixes) and not is_adapter(name)
    )
