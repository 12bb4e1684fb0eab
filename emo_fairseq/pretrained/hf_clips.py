"""Video encoders of Hugging Face, which read clips: ViViT, VideoMAE and TimeSformer."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.pretrained.hf_files import recorded_states, transformers
from emo_fairseq.pretrained.pictures import NormalizedPictures

# From the tokens (N, S, C) of clips, and their number of time steps, to (N, steps, C).
OverSpace = Callable[[Tensor, int], Tensor]


def time_first(tokens: Tensor, n_steps: int) -> Tensor:
    """Average tokens over space, those of one step after another.

    >>> time_first(torch.tensor([[[1.0], [3.0], [5.0], [7.0]]]), 2).tolist()
    [[[2.0], [6.0]]]
    """
    return tokens.unflatten(1, (n_steps, -1)).mean(dim=2)


def space_first(tokens: Tensor, n_steps: int) -> Tensor:
    """Average tokens over space, those of one place after another.

    >>> space_first(torch.tensor([[[1.0], [3.0], [5.0], [7.0]]]), 2).tolist()
    [[[3.0], [5.0]]]
    """
    return tokens.unflatten(1, (-1, n_steps)).mean(dim=1)


class ClipPlan(NamedTuple):
    """Which frames of one row are those of each clip.

    Attributes:
        frames: (N, F) numbers of the frames of each clip.
        steps: numbers of the time steps that are kept, of those of all clips.
    """

    frames: Tensor
    steps: Tensor


def plan_clips(n_frames: int, clip_frames: int, step_frames: int) -> ClipPlan:
    """Divide a row into clips of equal length.

    The last clip ends with the row, and its steps that the clip before has are left out. A row that
    is shorter than a clip repeats its last frame, and what the encoder makes of that is dropped. So
    features depend neither on padding nor on what is behind them.

    >>> plan_clips(5, 4, 2).frames.tolist(), plan_clips(5, 4, 2).steps.tolist()
    ([[0, 1, 2, 3], [1, 2, 3, 4]], [0, 1, 3])
    >>> plan_clips(3, 4, 2).frames.tolist(), plan_clips(3, 4, 2).steps.tolist()
    ([[0, 1, 2, 2]], [0, 1])

    Args:
        n_frames: T of the row, at least 1.
        clip_frames: F of a clip.
        step_frames: frames of a time step.
    """
    n_clips = -(-n_frames // clip_frames)
    last = max(0, n_frames - clip_frames)  # the first frame of the last clip
    first = torch.arange(n_clips).mul(clip_frames).clamp(max=last)
    frames = (first[:, None] + torch.arange(clip_frames)).clamp(max=n_frames - 1)
    steps_of_clip = clip_frames // step_frames
    n_whole = (n_clips - 1) * steps_of_clip
    n_left = n_frames - (n_clips - 1) * clip_frames  # frames that only the last clip has
    n_kept = -(-n_left // step_frames)
    if n_clips == 1:
        return ClipPlan(frames, torch.arange(n_kept))
    kept = torch.arange(steps_of_clip - n_kept, steps_of_clip) + n_whole
    return ClipPlan(frames, torch.cat([torch.arange(n_whole), kept]))


class HuggingFaceClips(Encoder):
    """Encode a video in clips of as many frames as the model was trained on.

    A feature is the mean over space of the tokens of one time step: of the two frames of a tubelet,
    of VideoMAE and ViViT; of one frame, of TimeSformer.

    Args:
        config: configuration of transformers.
        front_end: settings of its image processor.
        layers: where the layers are in the model.
        step_frames: frames of a time step.
        n_class_tokens: tokens before those of the frames.
        over_space: averages the others over space.
        options: further arguments of the model.

    Raises:
        UsageError: a clip is not whole time steps.
    """

    def __init__(
        self,
        config: Any,
        front_end: Mapping[str, Any],
        layers: str,
        step_frames: int,
        n_class_tokens: int,
        over_space: OverSpace,
        **options: Any,
    ) -> None:
        super().__init__()
        self.clip_frames, self.step_frames = int(config.num_frames), step_frames
        if self.clip_frames < 1 or self.clip_frames % step_frames:
            raise UsageError(
                f"{config.model_type}: clips of {self.clip_frames} frames are not whole steps of "
                f"{step_frames}; fetch the model again",
                "encoder-config-invalid",
            )
        self.model = transformers().AutoModel.from_config(config, **options)
        self.pictures = NormalizedPictures(front_end)
        self._n_class_tokens, self._over_space = n_class_tokens, over_space
        self._layers: Sequence[nn.Module] = list(operator.attrgetter(layers)(self.model))
        self.embed_dim = config.hidden_size
        self.n_layers = config.num_hidden_layers

    def layers(self, pixels: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of videos.

        Args:
            pixels: (B, T, H, W, 3) of 0 to 255.
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`; one frame a time step.
        """
        lengths = (~padding_mask).sum(dim=1).tolist()
        plans = [plan_clips(n, self.clip_frames, self.step_frames) for n in lengths]
        clips = torch.cat(
            [row[x.frames.to(row.device)] for row, x in zip(pixels, plans, strict=True)]
        )
        counts = [len(x.frames) * (self.clip_frames // self.step_frames) for x in plans]
        states = []
        for steps in self.time_steps(clips):
            rows = [
                row[x.steps.to(row.device)]
                for row, x in zip(steps.flatten(0, 1).split(counts), plans, strict=True)
            ]
            states.append(nn.utils.rnn.pad_sequence(rows, batch_first=True))
        kept = torch.tensor([len(x.steps) for x in plans], device=pixels.device)
        width = torch.arange(states[0].size(1), device=pixels.device)
        return states, width >= kept[:, None]

    def time_steps(self, clips: Tensor) -> list[Tensor]:
        """Return the features (N, F / step_frames, C) of clips (N, F, H, W, 3) after each layer."""
        n_steps = self.clip_frames // self.step_frames
        with recorded_states(self._layers) as recorded:
            dtype = next(self.model.parameters()).dtype
            output = self.model(self.pictures(clips, dtype)).last_hidden_state
        recorded[-1] = output  # after the final norm
        return [self._over_space(tokens[:, self._n_class_tokens :], n_steps) for tokens in recorded]

    def blocks(self) -> Sequence[nn.Module]:
        norm = getattr(self.model, "layernorm", None)  # VideoMAE may have none
        return in_blocks((self.model.embeddings,), self._layers, (norm,))
