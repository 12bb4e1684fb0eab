"""Import fairseq and transformers without the libraries that few of their parts use.

``fairseq.tasks.audio_classification`` and ``fairseq.criterions.sentence_prediction`` import
functions of scikit-learn and SciPy, ``fairseq.logging.progress_bar`` imports tensorboardX,
``torch.onnx`` defines operators of ONNX, and the modules that all models of transformers share
import torch's compiler, ``torch.distributed.tensor`` and ``scipy.optimize``: two seconds of every
start. They use them when a task of that kind is trained, or a model is exported, sharded or
compiled. While they are imported here, such a name is one that imports its module when it is called
or read; whoever else imports the module gets the module.
"""

import functools
import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from emo_fairseq.compat.garbage_collection import no_garbage_collection

# Modules that these take names from, each after the package that holds it.
_OF_FAIRSEQ = (
    "sklearn",
    "sklearn.metrics",
    "scipy.stats",
    "tensorboardX",
    "pyarrow",  # for its plasma, which no pyarrow of today has
    "torch.onnx.ops",
)
_OF_TRANSFORMERS = (
    "scipy.optimize",
    "torch._dynamo",
    "torch._dynamo._trace_wrapped_higher_order_op",
    "transformers.distributed.checkpoint",
    "transformers.distributed.expert_parallel",
    "transformers.distributed.fsdp",
    "transformers.distributed.parallel_utils",
    "transformers.distributed.pipeline_parallel",
    "transformers.distributed.sharding_utils",
    "transformers.distributed.tensor_parallel",
    "transformers.integrations.flex_attention",
)
_OF_HUB_CLIENT = ("httpx._main",)  # a command line, which imports rich and Pygments
_SHARED_BY_MODELS = (
    "transformers.modeling_layers",
    "transformers.activations",
    "transformers.generation.utils",
)
_MODELS = "models"


def import_fairseq(name: str = "fairseq") -> ModuleType:
    """Import fairseq without the libraries that few of its parts use; later calls import no more.

    The level of the root logger stays, which one of fairseq's models sets to DEBUG on import.

    Args:
        name: of the module that is returned, which imports fairseq.
    """
    if "fairseq" in sys.modules:
        return importlib.import_module(name)
    with no_garbage_collection(), _deferred(_OF_FAIRSEQ), _with_log_of_commands():
        from emo_fairseq.compat.configs_on_demand import configs_on_demand  # which imports Hydra

        with configs_on_demand():
            return importlib.import_module(name)


@contextmanager
def _with_log_of_commands() -> Iterator[None]:
    """Let commands of fairseq configure the log, and no task or criterion of its library."""
    configure = logging.basicConfig

    def configure_for_commands(**options: Any) -> None:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.startswith("fairseq."):
            configure(**options)

    logging.basicConfig = configure_for_commands
    try:
        yield
    finally:
        logging.basicConfig = configure


def import_transformers() -> ModuleType:
    """Import transformers and the names of its models, and return it.

    Raises:
        ImportError: transformers is not installed.
    """
    with no_garbage_collection(), _deferred(_OF_HUB_CLIENT):
        library = importlib.import_module("transformers")
        with _parsed_once():
            importlib.import_module("transformers.models")
    return library


def import_transformers_models() -> None:
    """Import what the models of transformers share likewise. Later calls do nothing.

    Raises:
        ImportError: transformers is not installed.
    """
    import_transformers()
    to_come = [name for name in _SHARED_BY_MODELS if name not in sys.modules]
    if not to_come:
        return
    with no_garbage_collection(), _deferred(_OF_TRANSFORMERS):
        for name in to_come:
            importlib.import_module(name)


@contextmanager
def _parsed_once() -> Iterator[None]:
    """Let ``transformers.models`` take the names of its parts from what transformers has parsed.

    Both read all files of all models for them, which takes a third of a second each.
    """
    module = sys.modules.get("transformers.utils.import_utils")
    define = getattr(module, "define_import_structure", None)
    if module is None or define is None or "transformers.models" in sys.modules:
        yield
        return

    def define_once(path: Any, prefix: str | None = None) -> Any:
        folder = Path(path).parent
        if prefix is not None or folder.name != _MODELS:
            return define(path, prefix)
        return without_prefix(define(folder, prefix=_MODELS))  # is cached by transformers

    module.define_import_structure = define_once  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.define_import_structure = define  # type: ignore[attr-defined]


def without_prefix(structure: Mapping[Any, Mapping[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Return the structure of ``transformers.models`` from that of transformers, which has others.

    >>> without_prefix({frozenset(): {"models.bert": {"BertModel"}, "pipelines": {"pipeline"}}})
    {frozenset(): {'bert': {'BertModel'}}}
    """
    start = f"{_MODELS}."
    return {
        libraries: {
            name.removeprefix(start): names
            for name, names in parts.items()
            if name.startswith(start)
        }
        for libraries, parts in structure.items()
    }


@contextmanager
def _deferred(names: Sequence[str]) -> Iterator[None]:
    """Replace modules that are installed and not imported yet by ones whose names import them."""
    replaced = {name: _Deferred(name) for name in names if _is_to_come(name)}
    for name, module in replaced.items():
        package, _, part = name.rpartition(".")
        if package in replaced:
            setattr(replaced[package], part, module)
    sys.modules.update(replaced)
    try:
        yield
    finally:
        for name, module in replaced.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _is_to_come(name: str) -> bool:
    """Return whether a module is not imported yet, and its top package is installed."""
    return name not in sys.modules and importlib.util.find_spec(name.split(".")[0]) is not None


class _Deferred(ModuleType):
    """A module that gives for every name a class which imports the real module when it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _DeferredName(name, (), {"_module": self.__name__})


class _DeferredName(type):
    """A function or class of a module that is imported when it is called or read.

    An object is an instance of such a class only once the module has been imported.
    """

    _module: str

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        if not (cls._is_deferred() and arguments and callable(arguments[0])):
            return cls._load()(*arguments, **options)

        # A decorator, such as torch.compiler.disable, which is applied when the function is called.
        @functools.wraps(arguments[0])
        def decorated(*further: Any, **more: Any) -> Any:
            return cls._load()(*arguments, **options)(*further, **more)

        return decorated

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._load(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        return cls._is_loaded() and isinstance(instance, cls._load())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return cls._is_loaded() and issubclass(subclass, cls._load())

    def _is_deferred(cls) -> bool:
        return isinstance(sys.modules.get(cls._module), _Deferred)

    def _is_loaded(cls) -> bool:
        return cls._module in sys.modules and not cls._is_deferred()

    def _load(cls) -> Any:
        if cls._is_deferred():  # used already by what is being imported
            for name, module in list(sys.modules.items()):
                related = f"{name}.".startswith(f"{cls._module}."), cls._module.startswith(name)
                if isinstance(module, _Deferred) and any(related):
                    del sys.modules[name]
        return getattr(importlib.import_module(cls._module), cls.__name__)
