"""Keep what fairseq stores with Hydra as it is given until Hydra reads it.

Every task, model and criterion of fairseq stores its dataclass, and Hydra converts each to a
configuration at once: a third of an import of fairseq, for a hundred of which a training reads ten
and a prediction none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import OmegaConf


@contextmanager
def configs_on_demand() -> Iterator[None]:
    """Convert what is stored with Hydra in this context where it is read.

    What cannot be converted is an error there, too, and not where it is stored.
    """
    store = ConfigStore.store

    def store_as_given(
        self: ConfigStore,
        name: str,
        node: Any,
        group: str | None = None,
        package: str | None = None,
        provider: str | None = None,
    ) -> None:
        store(self, name, {}, group, package, provider)
        file = name if name.endswith(".yaml") else f"{name}.yaml"
        folder = self.repo if group is None else self._open(group)
        folder[file] = _NodeOnDemand(file, node, group, package, provider)

    ConfigStore.store = store_as_given  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigStore.store = store  # type: ignore[method-assign]


class _NodeOnDemand(ConfigNode):
    """A node of Hydra's store, which holds a configuration or what one is made of."""

    _node: Any

    @property
    def node(self) -> Any:
        if not OmegaConf.is_config(self._node):
            self._node = OmegaConf.structured(self._node)
        return self._node

    @node.setter
    def node(self, node: Any) -> None:
        self._node = node
