"""The tests that train or run whole commands, and which file of them a process takes next."""

from typing import Any

from xdist.scheduler import LoadFileScheduling

# `make test-fast` leaves them out. In the order in which they run: two processes begin at the two
# ends, and what the last ones need is little beside what the first ones need.
SLOW = (
    "fairseq_commands/",
    "criterions/test_terms_on_two_ranks.py",
    "tasks/test_leak_matrix.py",
    "experiments/test_jobs.py",
    "experiments/test_suites.py",
    "experiments/test_sweep",
    "test_entry_points.py",
    "test_light_imports.py",
    "docs/",
    "data_prep/test_binarize.py",
    "data_prep/test_tokenize_speech.py",
    "data_prep/test_toy.py",
    "fuzz/",
    "cli/",
    "pretrained/test_fairseq_checkpoints.py",
    "vad_to_emotion/test_vad_commands.py",
    "vad_to_emotion/test_zero_shot.py",
    "report/test_folder.py",
    "inference/test_predictor.py",
    "inference/test_model_folder.py",
    "serving/",
    "export/",
)
QUICK = len(SLOW)


def place(name: str) -> int:
    """The place of a test or file, named from the repository on, among the slow ones.

    Of all others it is :data:`QUICK`.
    """
    found = (number for number, start in enumerate(SLOW) if name.startswith(f"tests/{start}"))
    return next(found, QUICK)


class FromTwoEnds(LoadFileScheduling):  # type: ignore[misc]
    """A file at a time; every second process of pytest-xdist takes slow ones from their end.

    Tests of a folder need the same trained models, libraries and servers, which a process makes
    ready once for all of its tests. Two that go through the folders side by side would make all of
    them ready twice.
    """

    def schedule(self) -> None:
        """Give each process its first files, or more of what is left."""
        if self.collection is None:
            collected = next(iter(self.registered_collections.values()))
            self._numbers = {name: number for number, name in enumerate(collected)}
        super().schedule()

    def _assign_work_unit(self, node: Any) -> None:
        slow = [file for file in self.workqueue if place(file) < QUICK]
        from_the_end = slow and self.nodes.index(node) % 2
        file = slow[-1] if from_the_end else next(iter(self.workqueue))
        names = self.workqueue.pop(file)
        self.assigned_work.setdefault(node, {})[file] = names
        # xdist would look for each test in the list of all of them.
        node.send_runtest_some([self._numbers[name] for name, done in names.items() if not done])
