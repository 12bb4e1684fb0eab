"""Reading tables loads no torch, and no import registers anything or changes the interpreter."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import data_prep

COMMANDS = sorted(Path(data_prep.__file__).parent.glob("commands/[a-z]*.py"))
LIGHT = [
    "emo_fairseq",
    "emo_fairseq.errors",
    "emo_fairseq.modalities",
    "emo_fairseq.option_values",
    "emo_fairseq.targets",
    "emo_fairseq.encoder_spec",
    "emo_fairseq.compat.excepthook",
    "emo_fairseq.data.manifest",
    "emo_fairseq.evaluation",
    "emo_fairseq.evaluation.attention",
    "emo_fairseq.evaluation.embeddings",
    "emo_fairseq.evaluation.names",
    "emo_fairseq.evaluation.predictions",
    "emo_fairseq.evaluation.tables",
    "emo_fairseq.report",
    "emo_fairseq.inference.live",
    "emo_fairseq.inference.occlusion",
    "emo_fairseq.inference.onnx_model",
    "emo_fairseq.inference.predictor",
    "emo_fairseq.serving.server",
    "data_prep.schema",
    # The command lines: --help and a wrong option take no longer than Python takes to start.
    "emo_fairseq.cli.__main__",
    "emo_fairseq.cli.analyze.command",
    "emo_fairseq.cli.evaluate.command",
    "emo_fairseq.cli.export",
    "emo_fairseq.cli.predict.command",
    "emo_fairseq.cli.push",
    "emo_fairseq.cli.serve",
    "emo_fairseq.cli.train.command",
    "emo_fairseq.experiments.collect",
    "emo_fairseq.experiments.score",
    "emo_fairseq.experiments.search",
    "emo_fairseq.experiments.sweep",
    "emo_fairseq.export.merge_lora",
    "emo_fairseq.report.__main__",
    "emo_fairseq.vad_to_emotion.__main__",
    "data_prep.folds.__main__",
    *(f"data_prep.commands.{file.stem}" for file in COMMANDS),
]
# Of all of these in one interpreter, since each takes half a second to start.
PROGRAM = """
import importlib, logging, sys
hook, arguments, path = sys.excepthook, list(sys.argv), list(sys.path)
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"fairseq", "ftfy", "kaldi_native_fbank", "omegaconf", "pandas", "scipy", "sklearn"}
    heavy = (heavy | {"torch", "transformers"}) & sys.modules.keys()
    assert not heavy, f"{name} imports {', '.join(sorted(heavy))}"
    assert sys.excepthook is hook, f"{name} replaces sys.excepthook"
    assert (sys.argv, sys.path) == (arguments, path), name
    assert not logging.getLogger().handlers, f"{name} sets up logging"
"""
HEAVY = ["emo_fairseq.losses", "emo_fairseq.models.config", "emo_fairseq.inference.torch_model"]


def start(program: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-c", program, *words]
    printing_tracebacks = "EMO_FAIRSEQ_TRACEBACK"
    environment = {k: v for k, v in os.environ.items() if k != printing_tracebacks}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run(program: str, *words: str) -> None:
    finished = start(program, *words)
    assert finished.returncode == 0, finished.stderr[-2000:]


def test_light_modules_load_no_torch_and_change_nothing() -> None:
    run(PROGRAM, *LIGHT)


# All in one interpreter and a fork of it, since loading torch and fairseq takes seconds.
REGISTERED = """
import argparse, importlib, os, sys
from fairseq import criterions, models, optim, tasks, utils

def is_registered():
    names = ["emotion_prediction" in tasks.TASK_REGISTRY]
    names += ["robertaEMO_tiny" in models.ARCH_MODEL_REGISTRY]
    names += [{"emotion_supcon", "emotion_prediction_cri"} <= criterions.CRITERION_REGISTRY.keys()]
    names += ["emotion_adamw" in optim.OPTIMIZER_REGISTRY]
    assert len(set(names)) == 1, names
    return names[0]

assert not is_registered()
if (child := os.fork()) == 0:
    sys.path.insert(0, ".")
    utils.import_user_module(argparse.Namespace(user_dir="emo_fairseq"))
    assert is_registered()
    assert getattr(sys.excepthook, "prints_mistakes", False)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0, "--user-dir"
hook = sys.excepthook
for name in sys.argv[1:]:
    importlib.import_module(name)
    assert sys.excepthook is hook, f"{name} replaces sys.excepthook"
import emo_fairseq
emo_fairseq.register()
emo_fairseq.register()
assert is_registered()
raise emo_fairseq.errors.UsageError("no such folder", "folder-missing")
"""


def test_register_and_user_dir_register_everything_and_errors_of_users_print_one_line() -> None:
    """As a program does that uses fairseq's functions, and dies of an error of its user."""
    finished = start(REGISTERED, *HEAVY)
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == "error: no such folder [folder-missing]"
    assert "Traceback" not in finished.stderr


DEFERRED = """
import logging, sys
from omegaconf import OmegaConf
structured, converted = OmegaConf.structured, []
def convert_and_note(given, *flags, **more):
    converted.append(getattr(given, "__module__", ""))
    return structured(given, *flags, **more)
OmegaConf.structured = convert_and_note
from emo_fairseq.compat.deferred_imports import import_fairseq
import_fairseq()
assert not [x for x in converted if x.startswith("fairseq")], "Hydra converts what none reads"
OmegaConf.structured = structured
root = logging.getLogger()
assert (root.level, root.handlers) == (logging.WARNING, []), "the log is that of fairseq"
loaded = {"pandas", "pyarrow", "scipy", "sklearn", "torch.onnx.ops"} & sys.modules.keys()
assert not loaded, f"fairseq imports {loaded}"
from fairseq.criterions import sentence_prediction
from fairseq.tasks import audio_classification
assert sentence_prediction.f1_score([0, 1], [0, 1]) == 1.0
assert audio_classification.sklearn_metrics.accuracy_score([0, 1], [0, 0]) == 0.5
import scipy.stats
import sklearn.metrics
assert sklearn.metrics.__file__ and scipy.stats.__file__
import torch.onnx
x = torch.arange(8.0).view(1, 1, 2, 4)
one, zero, positions = torch.ones(2, 2), torch.zeros(2, 2), torch.arange(2)[None]
rotated = torch.onnx.ops.rotary_embedding(x, one, zero, positions)
assert torch.equal(rotated, x), "no operator of ONNX"

from dataclasses import dataclass
from fairseq.models import MODEL_DATACLASS_REGISTRY
from hydra.core.config_store import ConfigNode, ConfigStore
@dataclass
class OfUser:
    size: int = 3
store = ConfigStore.instance()
store.store("of_user", OfUser, group="model")
assert type(store._load("model/of_user.yaml")) is ConfigNode, "a store of others is changed"
for name, given in {"of_user": OfUser, **MODEL_DATACLASS_REGISTRY}.items():
    loaded = store.load(f"model/{name}.yaml")
    assert OmegaConf.get_type(loaded.node) in (given, dict), name
    loaded.node._set_flag("struct", False)
    loaded.node.changed = 1
    assert "changed" not in store.load(f"model/{name}.yaml").node, name
assert store.load("optimizer/adam.yaml").node.adam_eps == 1e-8
assert store.load("common.yaml").node.seed == 1
"""


@pytest.mark.extended
def test_fairseq_is_imported_without_what_few_of_its_parts_use_and_they_use_it_all_the_same() -> (
    None
):
    run(DEFERRED)


PREDICTS = """
import sys
from emo_fairseq.cli.__main__ import main
assert main(["predict", sys.argv[1], "--text", "So glad!", "--cpu"]) == 0
unused = {"kaldi_native_fbank", "matplotlib", "onnxruntime", "pandas", "pyarrow", "scipy", "sympy"}
unused |= {"sklearn", "tensorboardX", "torch._dynamo", "torch.onnx.ops", "transformers"}
assert not unused & sys.modules.keys(), f"a prediction imports {unused & sys.modules.keys()}"
"""


def test_a_prediction_of_text_imports_what_it_uses(trained_models: Any) -> None:
    run(PREDICTS, str(trained_models.folder("--modality text")))


MODELS_OF_TRANSFORMERS = """
import sys
from emo_fairseq.compat.deferred_imports import import_transformers, import_transformers_models
import transformers
from transformers.utils import import_utils
parse, parsed = import_utils.create_import_structure_from_path, []
def parse_and_note(path):
    parsed.append(path)
    return parse(path)
import_utils.create_import_structure_from_path = parse_and_note
import_transformers().AutoConfig
assert len(parsed) < 100, "the files of all models are parsed again"
import_utils.create_import_structure_from_path = parse
import_transformers_models()
import torch
from transformers import BertConfig
config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
model = transformers.AutoModel.from_config(config).eval()
assert model(torch.arange(3)[None]).last_hidden_state.shape == (1, 3, 8)
loaded = {"scipy", "sympy", "torch._dynamo", "torch.distributed.tensor"} & sys.modules.keys()
assert not loaded, f"models of transformers import {loaded}"

from pathlib import Path
from emo_fairseq.compat.deferred_imports import without_prefix
from transformers import modeling_utils
file = transformers.models.__file__
whole = import_utils.define_import_structure(file)  # which reads all files of all models
parsed = import_utils.define_import_structure(Path(file).parent, prefix="models")
assert without_prefix(parsed) == whole

from transformers.generation import ContinuousMixin, GenerationMixin
from transformers.loss.loss_for_object_detection import linear_sum_assignment
from transformers.masking_utils import TransformGetItemToIndex
one = torch.ones(2)
assert modeling_utils._tied_params_are_equal(one, one)
assert linear_sum_assignment([[1.0, 2.0], [0.0, 9.0]])[1].tolist() == [1, 0]
assert issubclass(GenerationMixin, ContinuousMixin)
with TransformGetItemToIndex():
    assert one[0] == 1
import torch._dynamo
assert isinstance(TransformGetItemToIndex(), TransformGetItemToIndex)
assert not isinstance(one, TransformGetItemToIndex)
assert torch.compiler.disable(len)([1]) == 1
"""


NAMES_OF_TRANSFORMERS = """
import sys
from emo_fairseq.compat.deferred_imports import import_transformers
import_transformers()
loaded = {"click", "httpx._main", "pygments", "rich"} & sys.modules.keys()
assert not loaded, f"transformers imports {loaded}"
import httpx
assert callable(httpx.main.callback), "no command line of httpx"
"""


@pytest.mark.extended
def test_transformers_is_imported_without_the_command_line_of_httpx() -> None:
    run(NAMES_OF_TRANSFORMERS)


@pytest.mark.extended
def test_models_of_transformers_are_imported_without_what_shards_and_compiles_them() -> None:
    run(MODELS_OF_TRANSFORMERS)


OPTIMIZERS = """
import sys, torch
from emo_fairseq.compat import without_compiler
def train(optimizer_class, options):
    weight = torch.nn.Parameter(torch.arange(1.0, 5.0))
    optimizer = optimizer_class([weight], lr=0.1, **options)
    for update in range(3):
        optimizer.zero_grad()
        (weight ** 2).sum().backward()
        optimizer.step()
        if update == 1:
            state = optimizer.state_dict()
            optimizer = optimizer_class([weight], lr=0.1, **options)
            optimizer.load_state_dict(state)
            optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    assert weight.requires_grad and weight.grad_fn is None
    return weight.detach().clone()
without_compiler.apply()
without_compiler.apply()
cases = [(torch.optim.AdamW, {"foreach": False}), (torch.optim.SGD, {"momentum": 0.9})]
trained = [train(*case) for case in cases]
attention = torch.nn.MultiheadAttention(4, 2)
x, padding_mask = torch.ones(3, 1, 4), torch.zeros(1, 3, dtype=torch.bool)
attention(x, x, x, key_padding_mask=padding_mask)
loaded = {"torch._dynamo", "sympy"} & sys.modules.keys()
assert not loaded, f"optimizers and attention import {loaded}"
try:
    attention(x, x, x, key_padding_mask=padding_mask[:, :2])
except AssertionError as error:
    assert "key_padding_mask" in str(error) or "Expected" in str(error), error
else:
    raise SystemExit("a padding mask of another length is accepted")
import torch._dynamo
assert all(map(torch.equal, trained, [train(*case) for case in cases]))
disabled = torch.optim.Optimizer.state_dict.__wrapped__.__wrapped__
assert hasattr(disabled, "__dynamo_disable"), "where there is a compiler, it is torch's own"
"""


@pytest.mark.extended
def test_optimizers_and_attention_import_no_compiler_and_compute_the_same() -> None:
    run(OPTIMIZERS)


CALLED = """
import contextlib, io, sys
from emo_fairseq.cli.__main__ import main
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
assert "usage: emotion-recognize" in out.getvalue()
modules = {name for name in sys.modules if name.startswith("emo_fairseq.cli.")}
loaded = [name for name in ("train", "evaluate", "predict", "analyze", "serve", "push", "export")
          if f"emo_fairseq.cli.{name}" in modules]
assert loaded == sys.argv[1:-1], loaded
assert "numpy" not in sys.modules or loaded
"""


def test_a_subcommand_is_imported_where_it_is_called() -> None:
    run(CALLED, "--help")
    run(CALLED, "push", "--help")
