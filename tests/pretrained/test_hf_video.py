"""Video encoders of Hugging Face: pictures and features are those of transformers itself."""

import json
from pathlib import Path

import hf_folders
import numpy as np
import pytest
import torch
from codes import raises
from hf_folders import CLIP, PICTURE, VIDEO_FAMILIES

from emo_fairseq import pretrained
from emo_fairseq.encoder_spec import check_spec
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.lora import adapted_layers, add_lora
from emo_fairseq.pretrained.hf_clips import plan_clips

transformers = pytest.importorskip("transformers")
pytest.importorskip("PIL")

TIGHT = {"atol": 1e-5, "rtol": 1e-5}
ALL = [*VIDEO_FAMILIES, "clip"]
CLIPS = ["vivit", "videomae", "timesformer"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    built = {family: hf_folders.build_video(root / family, family) for family in VIDEO_FAMILIES}
    return {**built, "clip": hf_folders.build_clip(root / "clip")}


def load(folder: Path) -> Encoder:
    spec = pretrained.describe("video", f"hf:{folder}")
    encoder = pretrained.build(spec)
    pretrained.load(encoder, spec)
    return encoder.eval()


def batch(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (len(lengths), max(lengths), PICTURE, PICTURE, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    mask = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    return pixels * ~mask[:, :, None, None, None], mask


@pytest.mark.parametrize("family", VIDEO_FAMILIES)
def test_pictures_are_those_of_the_image_processor(folders: dict[str, Path], family: str) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (8, 11, 3)).astype(np.uint8)
    picture = noise.repeat(4, axis=0).repeat(3, axis=1)
    name = VIDEO_FAMILIES[family][2][0]
    settings = json.loads((folders[family] / "preprocessor_config.json").read_text())
    processor = hf_folders.picture_processor(name, **settings)
    is_video = name == "VivitImageProcessor"
    theirs = processor([picture], return_tensors="pt")["pixel_values"]
    theirs = theirs.reshape(3, PICTURE, PICTURE) if is_video else theirs.reshape(theirs.shape[-3:])
    spec = pretrained.describe("video", f"hf:{folders[family]}")
    sized = torch.from_numpy(spec.picture_size.apply(picture).copy())
    ours = pretrained.build(spec).pictures(sized, torch.float32)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(ours, theirs.float(), **TIGHT)


@pytest.mark.parametrize("family", ["vit", "dinov2", "clip_vision_model", "clip"])
def test_features_of_pictures_are_class_tokens(folders: dict[str, Path], family: str) -> None:
    encoder = load(folders[family])
    theirs = transformers.AutoModel.from_pretrained(folders[family]).eval()
    theirs = getattr(theirs, "vision_model", theirs)
    pixels, mask = batch([3, 1])
    with torch.no_grad():
        states, padding = encoder.layers(pixels=pixels, padding_mask=mask)
        normalized = encoder.pictures(pixels[0], torch.float32)  # type: ignore[operator]
        outputs = theirs(normalized, output_hidden_states=True)
    assert torch.equal(padding, mask)
    last = outputs.last_hidden_state[:, 0]
    if "clip" in family:
        last = outputs.pooler_output
    torch.testing.assert_close(states[-1][0], last, **TIGHT)
    for ours, expected in zip(states[:-1], outputs.hidden_states, strict=False):
        torch.testing.assert_close(ours[0], expected[:, 0], **TIGHT)


@pytest.mark.parametrize("family", CLIPS)
def test_features_of_clips_are_means_over_space(folders: dict[str, Path], family: str) -> None:
    encoder = load(folders[family])
    theirs = transformers.AutoModel.from_pretrained(folders[family]).eval()
    pixels, mask = batch([CLIP + 2, CLIP])
    with torch.no_grad():
        states, padding = encoder.layers(pixels=pixels, padding_mask=mask)
        clips = torch.stack([pixels[0, :CLIP], pixels[0, 2:], pixels[1, :CLIP]])
        tokens = theirs(encoder.pictures(clips, torch.float32)).last_hidden_state  # type: ignore[operator]
    places = (PICTURE // 8) ** 2
    tokens = tokens[:, tokens.size(1) % places :]  # without a class token
    if family == "timesformer":
        steps = tokens.reshape(3, places, CLIP, -1).mean(dim=1)
    else:
        steps = tokens.reshape(3, CLIP // 2, places, -1).mean(dim=2)
    n_new = 2 if family == "timesformer" else 1  # steps of the last two frames
    torch.testing.assert_close(states[-1][0], torch.cat([steps[0], steps[1, -n_new:]]), **TIGHT)
    n_steps = steps.size(1)
    torch.testing.assert_close(states[-1][1, :n_steps], steps[2], **TIGHT)
    assert padding.tolist() == [[False] * (n_steps + n_new), [False] * n_steps + [True] * n_new]


@pytest.mark.parametrize("family", ALL)
def test_features_do_not_depend_on_padding(folders: dict[str, Path], family: str) -> None:
    encoder = load(folders[family])
    pixels, mask = batch([7, 3, 5])
    noise = torch.randint(0, 256, pixels.shape, dtype=torch.uint8)
    pixels = torch.where(mask[:, :, None, None, None], noise, pixels)
    with torch.no_grad():
        states, padding = encoder.layers(pixels=pixels, padding_mask=mask)
        for row, length in enumerate([7, 3, 5]):
            alone, _ = encoder.layers(
                pixels=pixels[row : row + 1, :length], padding_mask=mask[row : row + 1, :length]
            )
            n_frames = int((~padding[row]).sum())
            assert alone[-1].shape[1] == n_frames
            for ours, expected in zip(states, alone, strict=True):
                torch.testing.assert_close(ours[row, :n_frames], expected[0], **TIGHT)


@pytest.mark.parametrize(("n_frames", "step"), [(n, s) for n in range(1, 14) for s in (1, 2)])
def test_every_step_of_a_row_is_kept_once(n_frames: int, step: int) -> None:
    frames, steps = plan_clips(n_frames, CLIP, step)
    assert frames.shape[1] == CLIP
    assert int(frames.max()) == n_frames - 1
    begins = frames.reshape(-1, step)[steps, 0].tolist()  # the first frame of each step
    assert len(begins) == -(-n_frames // step)
    assert begins == sorted(set(begins))
    if step == 1:
        assert begins == list(range(n_frames))


@pytest.mark.parametrize("family", ALL)
def test_blocks_hold_every_parameter_once(folders: dict[str, Path], family: str) -> None:
    encoder = load(folders[family])
    held = [parameter for block in encoder.blocks() for parameter in block.parameters()]
    assert len(encoder.blocks()) == encoder.n_layers + 1
    assert {id(x) for x in held} == {id(x) for x in encoder.parameters()}
    assert len({id(x) for x in held}) == len(held)


@pytest.mark.parametrize("family", ALL)
def test_lora_adapts_the_attention_of_every_layer(folders: dict[str, Path], family: str) -> None:
    encoder = load(folders[family])
    encoder.requires_grad_(False)
    pixels, mask = batch([3, CLIP])
    before = encoder(pixels=pixels, padding_mask=mask)[0]
    add_lora(encoder, ["query", "value"], 2, 4.0, 0.0)
    after = encoder(pixels=pixels, padding_mask=mask)[0]
    torch.testing.assert_close(after, before, **TIGHT)  # at first it changes nothing
    updates = dict(adapted_layers(encoder))
    # TimeSformer has one layer for both, and attention over time and over space.
    assert len(updates) == 2 * encoder.n_layers
    after.square().sum().backward()
    assert all(update.lora_B.grad.abs().sum() > 0 for update in updates.values())


def test_gradients_reach_the_whole_encoder(folders: dict[str, Path]) -> None:
    for family in ALL:
        encoder = ModalityEncoder(load(folders[family]), "weighted")
        pixels, mask = batch([3, CLIP])
        features, _ = encoder(present=torch.tensor([True, True]), pixels=pixels, padding_mask=mask)
        features.square().sum().backward()
        names = [
            name
            for name, parameter in encoder.named_parameters()
            if parameter.grad is None and "mask_token" not in name
        ]
        assert names == [], family


# -- What is refused -------------------------------------------------------------------------------


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    with raises("encoder-unsupported"):
        pretrained.describe("video", f"hf:{hf_folders.build(tmp_path)}")
    with raises("encoder-spec-invalid"):
        check_spec("video", "fairseq:model.pt")
    with raises("encoder-spec-invalid"):
        check_spec("video", "scratch:tiny")


def test_a_folder_without_settings_of_pictures_is_refused(tmp_path: Path) -> None:
    folder = hf_folders.build_video(tmp_path)
    file = folder / "preprocessor_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "size": {"height": 8, "width": 8}}))
    with raises("preprocessor-mismatch"):
        pretrained.describe("video", f"hf:{folder}")
    file.write_text(json.dumps({**settings, "image_mean": [0.5, 0.5]}))
    with raises("preprocessor-invalid"):
        pretrained.describe("video", f"hf:{folder}")
    file.unlink()
    with raises("preprocessor-missing"):
        pretrained.describe("video", f"hf:{folder}")
