"""Tiny real checkpoints: models that fairseq built, in files as fairseq writes them."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import ARCH_CONFIG_REGISTRY
from fairseq.models.hubert.hubert import HubertConfig, HubertModel
from fairseq.models.roberta import RobertaModel
from fairseq.models.wav2vec.wav2vec import Wav2VecConfig, Wav2VecModel
from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config, Wav2Vec2Model
from fairseq_data2vec_example import build_data2vec2
from omegaconf import OmegaConf, flag_override, open_dict
from torch import Tensor, nn

CONVOLUTIONS = "[(8, 10, 5)] + [(8, 3, 2)] * 2"  # one frame sees 40 samples, every 20 there is one
REACH, HOP = 40, 20

# What wav2vec 2.0, HuBERT and data2vec call by the same names.
TRANSFORMER: Mapping[str, Any] = {
    "conv_feature_layers": CONVOLUTIONS,
    "encoder_layers": 3,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 2,
    "encoder_layerdrop": 0.5,  # which must be off
    "conv_pos": 8,
    "conv_pos_groups": 2,
    "final_dim": 4,
}


@dataclass
class Tiny:
    """A model of fairseq's, its flat options, and what its task is called."""

    model: nn.Module
    args: Namespace
    extra: Mapping[str, Any]

    def save(
        self,
        file: Path,
        style: str = "args",
        weights: Mapping[str, Any] | None = None,
        zipped: bool = True,
    ) -> Path:
        """Write it as fairseq does: ``args`` of old, plain ``cfg``, or ``omegaconf`` pickled."""
        state = {
            **(
                {"args": self.args}
                if style == "args"
                else {"args": None, "cfg": config_of(self.args, plain=style == "cfg")}
            ),
            "model": dict(self.model.state_dict() if weights is None else weights),
            "optimizer_history": [{"optimizer_name": "FairseqAdam", "num_updates": 3}],
            "extra_state": {"train_iterator": {"epoch": 1}},
            **self.extra,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, file, _use_new_zipfile_serialization=zipped)
        return file


def config_of(args: Namespace, plain: bool = True) -> Any:
    """fairseq's nested configuration of flat options."""
    flat = {name: value for name, value in vars(args).items() if name != "w2v_args"}
    known = "wav2vec2" if args.arch.startswith("data2vec") else args.arch
    config = convert_namespace_to_omegaconf(Namespace(**{**flat, "arch": known}))
    if known != args.arch:
        config.model._name = args.arch
    if "modalities" in args:
        with open_dict(config):
            config.model = {**flat, "_name": args.arch}
    if "w2v_args" in args:
        with open_dict(config.model), flag_override(config, "allow_objects", True):
            config.model.w2v_args = args.w2v_args
    return OmegaConf.to_container(config, enum_to_str=True) if plain else config


def wav2vec2(normalize: bool = False, **options: Any) -> Tiny:
    options = {**TRANSFORMER, "quantize_targets": True, "latent_vars": 4, **options}
    model = Wav2Vec2Model(Wav2Vec2Config(**options))
    return _tiny(model, "wav2vec2", "audio_pretraining", normalize, options)


def hubert(normalize: bool = False, **options: Any) -> Tiny:
    options = {**TRANSFORMER, "label_rate": 50, **options}
    symbols = dictionary(6)
    task = Namespace(sample_rate=16_000)
    model = HubertModel(HubertConfig(**options), task, [symbols])
    return _tiny(
        model,
        "hubert",
        "hubert_pretraining",
        normalize,
        options,
        task_state={"dictionaries": [symbols]},
    )


class Data2Vec(Wav2Vec2Model):
    """data2vec's audio model, which fairseq keeps among its examples and does not install.

    Of wav2vec 2.0's parts, it has always a projection, and stores its teacher beside its weights.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        width = config.encoder_embed_dim
        self.post_extract_proj = nn.Linear(self.embed, width)
        self.final_proj = nn.Linear(width, width)
        self.project_q = None

    def weights(self) -> dict[str, Any]:
        return {**self.state_dict(), "_ema": dict(self.encoder.state_dict())}


def data2vec(normalize: bool = True, **options: Any) -> Tiny:
    options = {
        **TRANSFORMER,
        "extractor_mode": "layer_norm",
        "conv_pos": 20,
        "pos_conv_depth": 4,
        **options,
    }
    model = Data2Vec(Wav2Vec2Config(**options))
    return _tiny(model, "data2vec_audio", "audio_pretraining", normalize, options)


def data2vec2(
    normalize: bool = False, audio: Mapping[str, Any] | None = None, **options: Any
) -> Tiny:
    """Build data2vec 2.0; with extra tokens in `audio`, emotion2vec."""
    audio = {
        "feature_encoder_spec": CONVOLUTIONS,
        "prenet_depth": 1,
        "prenet_dropout": 0.1,
        "prenet_layerdrop": 0.5,  # which must be off
        "conv_pos_width": 12,
        "conv_pos_depth": 3,
        "conv_pos_groups": 4,
        "use_alibi_encoder": True,
        "learned_alibi_scale": True,
        "learned_alibi_scale_per_head": True,
        "num_alibi_heads": options.get("num_heads", 6),
        "model_depth": 2,
        "decoder": {"decoder_dim": 8, "decoder_groups": 2, "decoder_layers": 2},
        **(audio or {}),
    }
    options = {
        "depth": 2,
        "num_heads": 6,  # no power of 2, like the 12 of the base model
        "embed_dim": 24,
        "mlp_ratio": 1.5,
        "layerdrop": 0.5,  # likewise
        "norm_eps": 1e-5,
        "ema_encoder_only": False,
        "end_of_block_targets": True,  # so that it returns the outputs of its layers
        **options,
    }
    model = build_data2vec2(options, audio)
    nested = {**options, "supported_modality": "AUDIO", "modalities": {"audio": audio}}
    return _tiny(model, "data2vec_multi", "audio_pretraining", normalize, nested)


def wav2vec(**options: Any) -> Tiny:
    options = {
        "conv_feature_layers": "[(8, 10, 5), (8, 4, 4), (8, 1, 1)]",  # a frame sees 25, every 20
        "conv_aggregator_layers": "[(8, 2, 1), (8, 3, 1), (8, 4, 1)]",
        "prediction_steps": 2,
        **options,
    }
    model = Wav2VecModel(Wav2VecConfig(**options))
    return _tiny(model, "wav2vec", "audio_pretraining", False, options)


def roberta(arch: str = "roberta_base", n_symbols: int = 20, **options: Any) -> Tiny:
    options = {
        "encoder_layers": 2,
        "encoder_embed_dim": 16,
        "encoder_ffn_embed_dim": 24,
        "encoder_attention_heads": 2,
        "tokens_per_sample": 12,
        "max_positions": 12,
        **options,
    }
    args = Namespace(**_flat(arch, "masked_lm", options))
    symbols = dictionary(n_symbols)
    symbols.add_symbol("<mask>")  # as the task does, behind what dict.txt names
    filled = Namespace(**vars(args))
    ARCH_CONFIG_REGISTRY[arch](filled)
    model = RobertaModel.build_model(filled, Namespace(source_dictionary=symbols))
    return Tiny(_away_from_zero(model), args, {})


def dictionary(n_symbols: int) -> Dictionary:
    symbols = Dictionary()
    for number in range(n_symbols - symbols.nspecial):
        symbols.add_symbol(str(number))
    return symbols


def as_decoder(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """RoBERTa's weights as fairseq wrote them in 2019: other names, q, k and v in one matrix."""
    old = {}
    for name, value in weights.items():
        name = name.replace("encoder.", "decoder.", 1)
        old[name.replace(".layernorm_embedding.", ".emb_layer_norm.")] = value
    for name in [name for name in old if ".q_proj." in name]:
        kind = name.rpartition(".")[2]
        parts = [old.pop(name.replace(".q_proj.", f".{p}_proj.")) for p in "qkv"]
        old[name.replace(f".q_proj.{kind}", f".in_proj_{kind}")] = torch.cat(parts)
    del old["decoder.sentence_encoder.version"]
    return old


def fine_tuned(tiny: Tiny, inner: str) -> Tiny:
    """What ``wav2vec_ctc`` leaves of a pretrained model: `inner` = args or cfg inside."""
    head = nn.Linear(16, 5)
    w2v_args = tiny.args if inner == "args" else config_of(tiny.args)
    keep = {k: v for k, v in tiny.model.state_dict().items() if not k.startswith("quantizer")}
    weights = {f"w2v_encoder.w2v_model.{name}": value for name, value in keep.items()}
    weights |= {f"w2v_encoder.proj.{name}": value for name, value in head.state_dict().items()}
    args = Namespace(
        **_flat("wav2vec_ctc", "audio_finetuning", {"normalize": tiny.args.normalize}),
        w2v_args=w2v_args,
    )
    return Tiny(_Weights(weights), args, {"task_state": {"target_dictionary": dictionary(5)}})


class _Weights(nn.Module):
    """Weights under the names of a model that need not be built."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        super().__init__()
        self.weights = weights

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.weights


def _tiny(
    model: nn.Module,
    arch: str,
    task: str,
    normalize: bool,
    options: Mapping[str, Any],
    **extra: Any,
) -> Tiny:
    args = Namespace(**_flat(arch, task, {**options, "normalize": normalize}))
    return Tiny(_away_from_zero(model), args, extra)


def _flat(arch: str, task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"arch": arch, "task": task, "data": "/gone", "optimizer": "adam", **options}


def _away_from_zero(model: nn.Module) -> nn.Module:
    """In evaluation, with biases and norms that a mistake would show in."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()
