"""The pages of the Python interface: for each package its modules, which mkdocstrings renders."""

from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Page:
    """A page: its file, its title, and the packages and modules that it describes."""

    file: str
    title: str
    modules: tuple[str, ...]


PAGES = (
    Page("data_prep", "Data preparation", ("data_prep",)),
    Page("evaluation", "Evaluation", ("emo_fairseq.evaluation", "emo_fairseq.metrics")),
    Page(
        "inference",
        "Prediction",
        ("emo_fairseq.inference", "emo_fairseq.diarization", "emo_fairseq.serving"),
    ),
    Page("export", "Export", ("emo_fairseq.export",)),
    Page(
        "training",
        "Task, criterions and training",
        ("emo_fairseq.tasks", "emo_fairseq.criterions", "emo_fairseq.training"),
    ),
    Page("losses", "Losses", ("emo_fairseq.losses",)),
    Page("models", "Models", ("emo_fairseq.models", "emo_fairseq.modules")),
    Page("pretrained", "Pretrained encoders", ("emo_fairseq.pretrained",)),
    Page("data", "Datasets", ("emo_fairseq.data",)),
    Page(
        "experiments",
        "Experiments and reports",
        ("emo_fairseq.experiments", "emo_fairseq.report", "emo_fairseq.vad_to_emotion"),
    ),
)


def pages() -> dict[str, str]:
    """Return the pages."""
    return {f"reference/api/{page.file}.md": _page(page) for page in PAGES}


def _page(page: Page) -> str:
    names = [name for package in page.modules for name in _modules(package)]
    return f"# {page.title}\n\n" + "\n".join(f"::: {name}\n" for name in names)


def _modules(package: str) -> list[str]:
    """Return the names of a package and of all modules below it."""
    folder = _REPOSITORY.joinpath(*package.split("."))
    files = sorted(folder.rglob("*.py"))
    names = [".".join(file.relative_to(_REPOSITORY).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith(".__main__")]
