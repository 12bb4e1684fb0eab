"""A conversation as it goes on: each turn is predicted when it has ended."""

import threading
from dataclasses import replace

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.inference.encoded_turns import EncodedTurn
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.item_audio import Audio
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop, never
from emo_fairseq.inference.transcribing import Transcribe
from emo_fairseq.inference.turn_context import TurnContext, predict_in_context
from emo_fairseq.inference.videos import describe_unread
from emo_fairseq.modalities import TEXT, VIDEO


class LiveConversation:
    """The turns of one conversation so far.

    Of the turns before, their texts and their embeddings are kept as far as the model reads them,
    and never their recordings. A model that reads the turns before a turn alone
    (``--dialogue-causal``, or ``--context-past`` without ``--context-future``) predicts what
    :meth:`EmotionPredictor.predict` does for the whole dialogue. One that was trained with the
    turns after it, too, has none of these here; its predictions have a warning. A model without
    dialogues predicts each turn alone.

    ::

        conversation = LiveConversation(load_predictor("models/live"))
        conversation.add_turn(samples, text="You did what?", speaker="Ross").label

    Several threads may add turns, which are predicted one after another; the predictor may be used
    beside it.

    Args:
        predictor: of the conversation.

    Attributes:
        n_turns: how many were predicted.
    """

    def __init__(self, predictor: EmotionPredictor) -> None:
        self._predictor = predictor
        self._contexts = [TurnContext() for _ in predictor.engine.members]  # of the next turn
        self._lock = threading.Lock()
        self._warnings = _warnings_of(predictor)
        self.n_turns = 0

    def add_turn(
        self,
        audio: Audio | None = None,
        text: str | None = None,
        speaker: str | None = None,
        *,
        sample_rate: float = SAMPLE_RATE,
        transcribe: Transcribe | None = None,
        should_stop: ShouldStop = never,
    ) -> Prediction:
        """Predict for the next turn.

        Args:
            audio: see :meth:`EmotionPredictor.predict`.
            text: what was said.
            speaker: who speaks, by any name that is the same throughout the conversation.
            sample_rate: of arrays, in Hz.
            transcribe: see :meth:`EmotionPredictor.predict`.
            should_stop: see :meth:`EmotionPredictor.predict`.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: as :meth:`EmotionPredictor.predict`. The turn is then no part of the
                conversation.
        """
        with self._lock:
            item = self._predictor.read_item(
                audio,
                text,
                sample_rate,
                transcribe,
                speaker=speaker,
                name=f"turn {self.n_turns + 1}",
            )
            engine = self._predictor.engine
            (prediction,), turns = predict_in_context(engine, [item], self._contexts, should_stop)
            self.n_turns += 1
            self._contexts = [
                context if turn is None else _next_context(member, context, turn)
                for member, context, (turn,) in zip(
                    engine.members, self._contexts, turns, strict=True
                )
            ]
        return replace(prediction, warnings=(*prediction.warnings, *self._warnings))


def _next_context(member: ModelEngine, context: TurnContext, turn: EncodedTurn) -> TurnContext:
    """Return the context after a turn, with the turns that a later one may be read with."""
    turns = [*context.before, turn]
    preprocessor = member.preprocessor
    n_past = preprocessor.reach.past
    texts = [number for number, turn in enumerate(turns) if turn.item.has(TEXT)]
    first = min(texts[len(texts) - n_past :] if n_past else [], default=len(turns))
    if preprocessor.encodes_dialogues:
        first = min(first, len(turns) - preprocessor.window_size + 1)
    return TurnContext(turns[max(0, first) :], n_before=context.n_before + 1)


def _warnings_of(predictor: EmotionPredictor) -> list[str]:
    """Return the warnings of every prediction of a conversation that goes on."""
    warnings = []
    if VIDEO in predictor.modalities:
        warnings.append(describe_unread(predictor.modalities, of="a live turn"))
    if predictor.engine.reads_future:
        warnings.append(
            "the model was trained with the turns after each one, and a live conversation has none"
        )
    if predictor.engine.groups_items:
        warnings.append(
            "the model was trained with --normalize-by speaker, and a live turn is normalized by "
            "itself"
        )
    return warnings
