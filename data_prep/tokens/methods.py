"""The ways in which a command makes tokens, each with options of its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.tokens.folder import TokenFolder
from data_prep.tokens.token_sets import TokenSet


@dataclass(frozen=True)
class Method:
    """One way to make tokens.

    Attributes:
        tokenize: writes the tokens; its parameters have the defaults of the options.
        parameters: the options that are its own, by flag; one that is not given is absent from the
            parsed options.
        needs: flags that have to be given.
    """

    tokenize: Callable[..., TokenFolder]
    parameters: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


def given_flags(options: argparse.Namespace, methods: Mapping[str, Method]) -> list[str]:
    """Return the flags that are given of those that belong to any method."""
    flags = {flag: name for method in methods.values() for flag, name in method.parameters.items()}
    return [flag for flag, name in flags.items() if hasattr(options, name)]


def parameters_of(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    methods: Mapping[str, Method],
    kind: str,
    option: str,
) -> dict[str, object]:
    """Return the options of a method as parameters of its function.

    Args:
        parser: ends with a usage error where options of another method are given, or some that the
            method needs are not.
        options: as parsed.
        methods: all that there are.
        kind: the key of the method.
        option: that chooses it, such as ``--quantizer``.
    """
    method, given = methods[kind], given_flags(options, methods)
    if idle := [flag for flag in given if flag not in method.parameters]:
        parser.error(f"{option} {kind} takes no {', '.join(idle)}")
    if absent := [flag for flag in method.needs if flag not in given]:
        parser.error(f"{option} {kind} needs {', '.join(absent)}")
    return {method.parameters[flag]: getattr(options, method.parameters[flag]) for flag in given}


def has_tokens(data_dir: Path, modality: str, name: str | None) -> bool:
    """Return whether a data dir has a token set of this name."""
    return name is not None and TokenSet(data_dir, modality, name).has_card
