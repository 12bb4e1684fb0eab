"""The rules of options do not contradict each other, and no option is always idle.

Random options are checked as a training checks them; each refusal is answered as its sentence
proposes, in every way that it proposes, until the options are accepted. Rules that contradict each
other lead back to options that were refused before.
"""

import random
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args

import pytest
from codes import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_fairseq.criterions.registered import EmotionDistillationConfig, EmotionSupConConfig
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.architectures import complete_config
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.encoders import transformer_size
from emo_fairseq.models.fusions import check_fusion, cross_attention_query
from emo_fairseq.options.checking import check_nothing_stays_random, check_options, idle_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.options.option import Rule, rules_of
from emo_fairseq.options.registered import registered_schemas
from emo_fairseq.targets import TARGETS
from emo_fairseq.tasks.config import EmotionPredictionConfig

Options = Mapping[str, Any]
Encoders = Mapping[str, EncoderSpec]
GROUPS = (EmotionPredictionConfig, RobertaEMOConfig, EmotionSupConConfig)
RULES = {name: rule for schema in GROUPS for name, rule in rules_of(schema).items()}
GROUP_OF = {name: schema for schema in GROUPS for name in rules_of(schema)}

STORED = EncoderSpec("features:x", "frames")
ENCODERS: dict[str, list[EncoderSpec]] = {
    "text": [EncoderSpec("scratch:", "tokens"), EncoderSpec("hf:x", "tokens"), STORED],
    "speech": [
        EncoderSpec("scratch:", "waveform"),
        EncoderSpec("scratch:", "log_mel"),
        EncoderSpec("scratch:", "tokens"),
        EncoderSpec("hf:x", "waveform", {"front_end": {"do_normalize": True}}),
        EncoderSpec("hf:x", "waveform", {"front_end": {"do_normalize": False}}),
        EncoderSpec("hf:x", "waveform", {"config": {"model_type": "whisper"}}),
        STORED,
    ],
    "video": [STORED, EncoderSpec("hf:x", "pixels")],
}
_OPTION = re.compile(r"--([a-z][a-z-]*)(?: ([a-z_]+|CHECKPOINT|\d+)\b)?")


def named(text: str) -> dict[str, str]:
    """Return the options that a text names, each with the word behind it."""
    return {name.replace("-", "_"): word for name, word in _OPTION.findall(text)}


TEXTS = {"speech_conv_layers": "[(8, 10, 5)]", "augment_speed": "0.9,1", "regression_loss": "l1"}
_WIDTHS = [1, 6, 16, 64]


def values_of(name: str) -> list[Any]:
    """Return values of an option that are not its default, one out of its range among them."""
    (field,) = (one for one in fields(GROUP_OF[name]) if one.name == name)
    kind = next((one for one in get_args(field.type) if one is not type(None)), field.type)
    rule = RULES[name]
    if kind is bool:
        return [not rule.default]
    if (kind is int and "dim" in name) or "heads" in name:
        return [*_WIDTHS, 0]
    if kind in (int, float):
        numbers = [kind(x) for x in (-1, 0, 0.25, 0.5, 1, 2, 3)]
        return [x for x in dict.fromkeys(numbers) if rule.is_given(x)]
    if hasattr(kind, "__members__"):
        return [x.value for x in kind if rule.is_given(x.value)]
    return [TEXTS.get(name, "x")]


VALUES = {name: values_of(name) for name in RULES}
_ENCODERS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(specs) for name, specs in ENCODERS.items()}
).filter(bool)
_ANY = st.lists(
    st.sampled_from(list(VALUES)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(VALUES[name]))
    ),
    max_size=8,
).map(dict)
_TUNINGS = [f"{name}_tuning" for name in ENCODERS]


@st.composite
def related_choices(draw: st.DrawFn) -> Options:
    """Draw an option, and some of those that the reasons why it does not act name."""
    name = draw(st.sampled_from([name for name, rule in RULES.items() if rule.acts]))
    reasons = " ".join(condition.describe() for condition in RULES[name].acts)
    names = [other for other in [*named(reasons), *_TUNINGS] if other in VALUES]
    chosen = [name, *draw(st.lists(st.sampled_from(names), max_size=3))]
    return {other: draw(st.sampled_from(VALUES[other])) for other in chosen}


_SIZES = st.dictionaries(  # more often than the others, since they depend on each other
    st.sampled_from([n for n in VALUES if "embed_dim" in n or "heads" in n or "layers" in n]),
    st.sampled_from([0, 1, 6, 16]),
    max_size=4,
).map(lambda sizes: {n: x if n != "speech_conv_layers" else TEXTS[n] for n, x in sizes.items()})


# -- checking, and following a sentence ------------------------------------------------------------


def configs(options: Options) -> list[Any]:
    """Return the options of task, model and criterion."""
    return [
        schema(**{name: x for name, x in options.items() if GROUP_OF[name] is schema})
        for schema in GROUPS
    ]


def check(encoders: Encoders, target: str, options: Options) -> None:
    """Check options as a training does, up to the sizes of the model."""
    task, model, criterion = configs(options)
    context = OptionContext(encoders, task, TARGETS[target])
    check_options(context, task, EmotionPredictionConfig)
    context = OptionContext(encoders, task, TARGETS[target], model=model)
    check_options(context, model, RobertaEMOConfig)
    check_options(context, task, EmotionPredictionConfig)
    check_nothing_stays_random(model, task, encoders)
    filled: Any = Namespace(**vars(model) | {"_name": "robertaEMO_tiny"})
    complete_config(filled, encoders)
    for name, spec in encoders.items():
        if not spec.is_pretrained:
            transformer_size(name, filled, spec)
    check_fusion(filled, {name: spec.input for name, spec in encoders.items()})
    context = OptionContext(encoders, task, TARGETS[target], criterion=criterion)
    check_options(context, criterion, EmotionSupConConfig)
    known = OptionContext(encoders, task, TARGETS[target], takes_prototypes=True)
    check_options(known, task, EmotionPredictionConfig)


def remedies(error: UsageError, options: Options) -> Iterator[dict[str, Any]]:
    """Yield the options after each way in which the sentence proposes to change them."""
    problem, _, remedy = str(error).rpartition("; ")
    if error.code == "option-out-of-range":
        yield without(options, next(iter(named(str(error)))))
    elif error.code == "option-idle":
        yield from remedies_of_idle(problem, options)
    elif "change one of them" in remedy:
        (heads, n_heads), (width, _) = named(problem).items()
        yield {**options, heads: 1}
        yield {**options, width: int(n_heads)}
    elif error.code == "width-without-encoder":
        (width,) = named(problem)
        yield {**options, width: 16}  # and frames are another question
    else:
        yield from remedies_of_others(problem, remedy, options)


def remedies_of_idle(problem: str, options: Options) -> Iterator[dict[str, Any]]:
    """Leave the options out, or give another one in their place or beside them."""
    subject, _, reason = re.split(r" (does|do) not act: ", problem)
    idle = without(options, *named(subject))
    yield idle
    for name, word in named(" ".join(re.findall(r"(?:unlike with|\(see) .*", reason))).items():
        yield {**(options if word else idle), name: word_value(name, word)}


def remedies_of_others(problem: str, remedy: str, options: Options) -> Iterator[dict[str, Any]]:
    given = [name for name in named(problem) if name in options]
    if "leave the option out" in remedy:
        yield without(options, *given)
    if "leave out one of the two" in remedy:
        yield from (without(options, name) for name in given)
    if "train it" in remedy:
        yield without(options, next(iter(named(problem))))
    for clause in re.split(r", (?:or )?| or ", remedy):
        for name, word in named(clause).items():
            if clause.startswith("leave "):
                yield without(options, name)
            elif name in RULES and name != "modality":  # another one changes the encoders
                yield {**options, name: word_value(name, word)}


def word_value(name: str, word: str) -> Any:
    """Return the value that a sentence names behind an option, else one that is in its range."""
    if word:
        return int(word) if word.isdigit() else word
    rule = RULES[name]
    return next(x for x in VALUES[name] if rule.range is None or x in rule.range)


def without(options: Options, *names: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def follow(encoders: Encoders, target: str, options: Options) -> None:
    """Follow every way that refusals propose, until each ends in options that are accepted.

    An assertion fails where a sentence proposes nothing, or what was refused on the way to it.
    """
    done: list[Options] = []

    def follow_from(current: Options, before: list[Options]) -> None:
        refusal = refusal_of(encoders, target, current)
        if refusal is not None:
            way = [*before, current]
            assert len(way) < 30, f"{refusal}: no end after {len(way)} steps"
            proposed = list(remedies(refusal, current))
            assert proposed, f"{refusal}: proposes nothing that can be followed"
            again = [x for x in proposed if x in way]
            assert not again, f"{refusal}: leads back to options that were refused: {again}"
            for further in proposed:
                if further not in done:  # on another way
                    follow_from(further, way)
        done.append(current)

    follow_from(options, [])


def refusal_of(encoders: Encoders, target: str, options: Options) -> UsageError | None:
    try:
        check(encoders, target, options)
    except UsageError as error:
        return error
    return None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_ENCODERS, st.sampled_from(["emotion", "vad"]), st.one_of(_ANY, related_choices(), _SIZES))
def test_what_a_refusal_proposes_leads_to_options_that_are_accepted(
    encoders: Encoders, target: str, options: Options
) -> None:
    follow(encoders, target, options)


@pytest.mark.parametrize("tuning", ["full", "lora", "frozen"])
@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.acts])
def test_what_the_refusal_of_one_option_proposes_is_accepted(name: str, tuning: str) -> None:
    for modality, specs in ENCODERS.items():
        for spec in specs:
            options = {f"{modality}_tuning": tuning, "init_from": "x"}
            options[name] = word_value(name, "")
            follow({modality: spec}, "emotion", options)


def test_features_without_layers_need_no_heads() -> None:
    encoders = {"speech": STORED}
    sizes = {"speech_encoder_layers": 0, "speech_embed_dim": 64}
    check(encoders, "emotion", sizes)
    check(encoders, "emotion", {"speech_embed_dim": 50})
    with raises("option-idle") as error:
        check(encoders, "emotion", {**sizes, "speech_attention_heads": 1})
    assert "unlike with --speech-encoder-layers 1" in str(error.value)
    check(encoders, "emotion", {**sizes, "speech_encoder_layers": 1, "speech_attention_heads": 1})
    with raises("heads-indivisible"):
        check(encoders, "emotion", {"speech_encoder_layers": 1, "speech_embed_dim": 50})


@pytest.mark.parametrize("name", ["speech_attention_heads", "attention_dropout"])
def test_an_option_of_layers_does_not_act_where_there_are_none(name: str) -> None:
    for spec in (STORED, EncoderSpec("scratch:", "log_mel")):
        options = {"speech_encoder_layers": 0, name: 0.5 if "dropout" in name else 1}
        with raises("option-idle"):
            check({"speech": spec}, "emotion", options)
        check({"speech": spec}, "emotion", {**options, "speech_encoder_layers": 2})


# -- every option acts somewhere -------------------------------------------------------------------

ALL_RULES = [
    pytest.param(schema, name, rule, id=f"{schema.__name__}.{name}")
    for schemas in registered_schemas().values()
    for schema in dict.fromkeys(schemas.values())
    for name, rule in rules_of(schema).items()
    if rule.acts
]


def random_contexts() -> Iterator[OptionContext]:
    """Yield 400 random settings, in which half of all options are given."""
    draw = random.Random(1)
    values = {
        name: [x for x in VALUES[name] if RULES[name].range is None or x in RULES[name].range]
        for name in RULES
    }
    for _ in range(400):
        chosen = {n: draw.choice(v) for n, v in values.items() if v and draw.random() < 0.5}
        if draw.random() < 0.7:  # contradicts many of the others
            chosen = without(chosen, "stack_up")
        names = [name for name in ENCODERS if draw.random() < 0.6] or ["text"]
        encoders = {name: draw.choice(ENCODERS[name]) for name in names}
        task, model, criterion = configs(chosen)
        of_teacher = EmotionDistillationConfig(
            teacher_checkpoint=draw.choice([None, "x"]), distillation=draw.choice(["kd", "dist"])
        )
        criterion = Namespace(**vars(of_teacher) | vars(criterion))
        yield OptionContext(
            encoders,
            task,
            TARGETS[draw.choice(["emotion", "vad", "emotion_distribution"])],
            model,
            criterion,
            takes_prototypes=draw.random() < 0.5,
            trains=draw.random() < 0.5,
        )


CONTEXTS = list(random_contexts())


@pytest.mark.parametrize(("schema", "name", "rule"), ALL_RULES)
def test_every_option_has_a_setting_in_which_it_acts(schema: type, name: str, rule: Rule) -> None:
    assert any(acts(context, name, rule) for context in CONTEXTS)


def acts(context: OptionContext, name: str, rule: Rule) -> bool:
    try:
        return not idle_options(context, {name: rule})
    except (UsageError, AttributeError):  # contradictory options; options of another criterion
        return False


def test_a_query_without_tokens_is_not_to_be_replaced_beside_stack_up() -> None:
    encoders = {"text": EncoderSpec("scratch:", "tokens"), "speech": STORED}
    with raises("query-without-tokens") as error:
        check(encoders, "emotion", {"stack_up": True})
    assert "leave --stack-up out" in str(error.value)
    assert cross_attention_query(RobertaEMOConfig()) == "all_tokens"
