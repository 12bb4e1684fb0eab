"""``emotion-recognize import``: write a classifier of others as a model folder."""

import argparse
from pathlib import Path
from typing import Any

from emo_fairseq.cli.processes import write
from emo_fairseq.requirements import require_training_stack


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "import", help=about, description=about
    )
    parser.set_defaults(run=run, takes_further=False, loads_models=False)
    option = parser.add_argument
    which = (
        "classifier of emotions or sentiments: hf: and a folder, or ORG/NAME of the hub; of FunASR "
        "fairseq: and its folder"
    )
    option("source", metavar="SOURCE", help=which)
    option("--output", required=True, type=Path, metavar="DIR", help="folder to write")
    predicted = "what its labels are (default: %(default)s)"
    option("--target", choices=("emotion", "sentiment"), default="emotion", help=predicted)
    named = "names of its outputs in their order, where its files have none"
    option("--labels", nargs="+", default=[], metavar="NAME", help=named)
    renamed = "rename a label, such as neu=neutral (repeat for more)"
    option("--label-map", action="append", default=[], metavar="OLD=NEW", help=renamed)
    scale = "lowest and highest value of its valence, arousal and dominance, which become 0 and 1"
    option("--vad-scale", nargs=2, type=float, metavar=("LOW", "HIGH"), help=scale)
    graph = "write model.onnx, too, if its outputs are those of the model"
    option("--onnx", action="store_true", help=graph)


def run(options: argparse.Namespace) -> int:
    """Write the folder.

    Raises:
        UsageError: no classifier that can be converted, or outputs without stated labels or scale.
    """
    require_training_stack("emotion-recognize import")
    import emo_fairseq
    from data_prep.tables.given_options import pairs_of
    from emo_fairseq.export.classifier_folder import OutputSpec, write_classifier_folder
    from emo_fairseq.export.graphs import GraphOptions, GraphReport, export_graphs

    emo_fairseq.register()
    renamed = pairs_of("--label-map", options.label_map)
    scale = None if options.vad_scale is None else tuple(options.vad_scale)
    spec = OutputSpec(options.target, options.labels, renamed, scale)
    graphs: list[GraphReport] = []

    def write_graph(folder: Path) -> None:
        if options.onnx:
            graphs.extend(export_graphs(folder, GraphOptions()))

    done = write_classifier_folder(options.source, options.output, spec, write_graph)
    for graph in graphs:
        write(f"{options.output / graph.file}: written; {graph.describe()}")
    write(f"{options.output}: written; it predicts {done.target} ({', '.join(done.labels)})")
    if done.is_compared:
        write("its outputs are those of transformers, on random inputs")
    else:
        write("its outputs were compared with nothing: transformers does not have its class")
    example = "recording.wav" if done.modality == "speech" else '--text "I am fine."'
    write(f"next: emotion-recognize predict {options.output} {example}")
    return 0
