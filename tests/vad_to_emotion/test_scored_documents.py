"""The table of systems."""

import math

from emo_fairseq.evaluation.bootstrap import Estimate
from emo_fairseq.vad_to_emotion.table import SystemRow, SystemTable, to_markdown


def test_an_interval_that_is_undefined_beside_its_metric_is_a_word() -> None:
    estimates = {
        ("accuracy", ""): Estimate(0.5, 0.25, 0.75),
        ("macro_f1", ""): Estimate(0.5, math.nan, math.nan),
        ("ccc", "valence"): Estimate(math.nan, math.nan, math.nan),
    }
    text = to_markdown(SystemTable("valid", [SystemRow("forest", 4, estimates)]))
    (row,) = [line for line in text.splitlines() if line.startswith("| forest")]
    assert {cell.strip() for cell in row.strip("|").split("|")} == {
        "forest",
        "0.500 (0.250 to 0.750)",
        "0.500 (undefined)",
        "–",
    }
