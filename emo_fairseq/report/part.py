"""One system on one split, with all that is known of it: what a report's figures are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emo_fairseq.evaluation.attention import (
    Attended,
    read,
)
from emo_fairseq.evaluation.bootstrap import N_RESAMPLES, Interval, Speakers, intervals
from emo_fairseq.evaluation.embeddings import read_embeddings
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    Metrics,
    Predictions,
    metrics_and_baseline,
)
from emo_fairseq.report.data_dir import Facts, no_facts, read_facts

UTTERANCES = "utterances"
SPEAKERS = "speakers"
GROUPS = ("emotion", "speaker", "corpus")


@dataclass(frozen=True, eq=False)
class Part:
    """One system on one split.

    Attributes:
        run: names the predictions file among several; empty if there is one.
        split: its name.
        system: what was predicted.
        facts: what the data dir says of the same utterances.
        embeddings: (N, D), NaN where unknown; None if there is no file of them.
        attended: the utterances of this split whose attention was saved; None without a file.
        figures: of :func:`emo_fairseq.evaluation.statistics.metrics_and_baseline`.
        intervals: over what ("utterances", "speakers") -> figure -> interval.
        speakers: of the utterances, as the data dir names them.
        leaks: that ``--allow-leak`` let pass, a sentence each.
    """

    run: str
    split: str
    system: Predictions
    facts: Facts
    embeddings: np.ndarray | None
    attended: Sequence[Attended] | None
    figures: Metrics
    intervals: Mapping[str, Mapping[str, Interval]]
    speakers: Speakers
    leaks: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Run and split."""
        return f"{self.run}, {self.split}" if self.run else self.split

    def groups(self) -> dict[str, list[str | None]]:
        """What utterances have in common, by name: those of these that are known of any.

        The emotion is the manifest's; without one the true label stands in, whatever it is of.
        """
        known = {name: self.facts.column(name) for name in GROUPS}
        if isinstance(self.system, LabelPredictions) and not any(known[GROUPS[0]]):
            names = self.system.names
            known["truth"] = [names[label] for label in self.system.truth.tolist()]
        return {name: column for name, column in known.items() if any(column)}


def make_part(
    run: str,
    split: str,
    system: Predictions,
    data_dir: Path | None = None,
    embeddings: Path | None = None,
    attention: Path | None = None,
    n_resamples: int = N_RESAMPLES,
) -> Part:
    """Read what is known of a system's utterances, and measure it.

    Raises:
        UsageError, data_prep.errors.ManifestError: a data dir or another file that does not fit.
    """
    ids = system.ids
    facts = no_facts(len(ids)) if data_dir is None else read_facts(data_dir, split, ids)
    rows, derive = system.statistics()
    drawn = {UTTERANCES: intervals(rows, derive, n_resamples=n_resamples)}
    speakers = Speakers.from_names(facts.column("speaker"))
    if not speakers.refusal:
        drawn[SPEAKERS] = intervals(rows, derive, speakers)
    values = None if embeddings is None else read_embeddings(embeddings, split, ids)
    attended = None if attention is None else [x for x in read(attention) if x.split == split]
    return Part(
        run, split, system, facts, values, attended, metrics_and_baseline(system), drawn, speakers
    )
