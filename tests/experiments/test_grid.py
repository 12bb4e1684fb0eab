"""The grid of a sweep: from overrides with choices to runs."""

import json

import pytest
from codes import raises

from emo_fairseq.experiments.grid import combinations, plan_runs, run_name
from emo_fairseq.experiments.options import Options
from emo_fairseq.options.differences import changed_options

YAML = """# @package _group_
common: {seed: 1}
task: {_name: emotion_prediction, data: DATA}
dataset: {batch_size: 8}
optimization: {max_update: 3, lr: [0.001]}
lr_scheduler: {_name: polynomial_decay, total_num_update: "${optimization.max_update}"}
"""


@pytest.fixture
def config_dir(tmp_path, write_data):
    data = write_data({"a": "anna", "b": "berta", "c": "carl"})
    sets = [{"train": ["a"], "valid": ["b"], "test": ["c"]}, {"train": ["c"], "valid": ["a"]}]
    sets[1]["test"] = ["b"]
    content = {"protocol": "two", "unit": "speaker", "seed": 1, "base": "all"}
    (data / "folds").mkdir()
    folds = {**content, "folds": dict(zip("12", sets, strict=True))}
    (data / "folds" / "two.json").write_text(json.dumps(folds))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "small.yaml").write_text(YAML.replace("DATA", str(data)))
    return tmp_path / "config"


def plan(config_dir, *overrides):
    return plan_runs(config_dir, "small", overrides)


def test_every_combination():
    words = combinations(["common.seed=1,2", "+task.target=vad,emotion", "optimization.lr=[0.1]"])
    assert len(words) == len(set(words)) == 4
    assert words[1] == ("common.seed=1", "+task.target=emotion", "optimization.lr=[0.1]")


def test_all_folds_of_a_protocol(config_dir):
    """With seeds; the option need not be in the YAML."""
    runs = plan(config_dir, "common.seed=1,2", "task.fold=all-of:two")
    folds = [(run.options.seed, run.options.protocol, run.options.fold) for run in runs]
    assert folds == [(1, "two", "1"), (1, "two", "2"), (2, "two", "1"), (2, "two", "2")]
    assert runs[1].name == "small,common.seed=1,task.fold=two-2"


def test_some_folds(config_dir):
    runs = plan(config_dir, "task.fold=two/2,two/1")
    assert [run.options.fold for run in runs] == ["2", "1"]


def test_interpolations_are_resolved_for_reading_alone(config_dir):
    (run,) = plan(config_dir, "optimization.max_update=7")
    assert run.options.get("lr_scheduler.total_num_update") == 7
    assert run.composed.get("lr_scheduler.total_num_update") == "${optimization.max_update}"


def test_a_name_does_not_hang_on_the_order():
    first = run_name("small", ["common.seed=1", "++task.fold=two/1"])
    assert first == run_name("small", ["++task.fold=two/1", "common.seed=1"])
    assert first != run_name("other", ["++task.fold=two/1", "common.seed=1"])
    assert run_name("small", ["model.dropout=-0.1"]) != run_name("small", ["model.dropout=0.1"])


def test_a_long_name_stays_short_and_its_own():
    words = [f"model.option_{number}=0.1" for number in range(40)]
    one, two = run_name("small", words), run_name("small", [*words[:-1], "model.option_39=0.2"])
    assert max(len(one), len(two)) < 200
    assert one != two


@pytest.mark.parametrize("fold", ["leave_speaker_group_out/3", f"k_fold/{'long' * 60}"])
def test_a_long_name_ends_with_seed_and_fold(fold):
    """Progress lines and folders of a sweep then tell its runs apart."""
    words = [f"model.option_{number}=0.1" for number in range(40)]
    name = run_name("small", [f"++task.fold={fold}", "common.seed=2", *words])
    assert name.startswith("small")
    assert f",common.seed=2,task.fold={fold.replace('/', '-')}"[:80] in name
    assert len(name) < 200


@pytest.mark.parametrize(
    ("override", "code"),
    [
        ("dataset.valid_subset=test", "test-set-selects"),
        ('dataset.valid_subset="test,valid"', "test-set-selects"),
        ("dataset.train_subset=test", "test-set-trained-on"),
        ("checkpoint.save_dir=here", "option-set-by-sweep"),
        ("task.no_such=1", "override-refused"),
        ("common.seed=first", "override-refused"),
        ("common.seed=range(1,3)", None),
        ("optimization.lr=interval(0,1)", "choice-not-discrete"),
        ("+task.modality=text/a,text-a", "run-name-duplicate"),
    ],
)
def test_overrides_that_a_sweep_refuses(config_dir, override, code):
    if code is None:
        assert len(plan(config_dir, override)) == 2
        return
    with raises(code):
        plan(config_dir, override)


def test_folds_that_do_not_exist(config_dir):
    with pytest.raises(ValueError, match=r"three\.json"):
        plan(config_dir, "task.fold=all-of:three")


def test_valid_may_be_measured_beside_test(config_dir):
    assert len(plan(config_dir, 'dataset.valid_subset="valid,test"')) == 1


def test_no_such_config(config_dir):
    with raises("config-name-unknown"):
        plan_runs(config_dir, "big", [])


def test_options_without_effect_on_a_training():
    before = Options.of({"common": {"log_interval": 1, "seed": 1}, "dataset": {"num_workers": 0}})
    now = Options.of({"common": {"log_interval": 9, "seed": 2}, "checkpoint": {"save_dir": "x"}})
    assert changed_options(before.of_training, now.of_training) == ["common.seed 1 -> 2"]


def test_a_system_is_the_same_with_the_checkpoints_of_its_seed_and_fold():
    def options(seed, fold, start):
        return Options.of(
            {"common": {"seed": seed}, "task": {"fold": f"two/{fold}", "init_from": start}}
        )

    one = options(1, 1, "runs/seed1,fold=two-1/checkpoint_best.pt")
    two = options(12, 2, "runs/seed12,fold=two-2/checkpoint_best.pt")
    assert one.of_system == two.of_system
    assert one.of_system != options(1, 2, "runs/seed12,fold=two-2/checkpoint_best.pt").of_system


def test_the_default_fusion_names_no_system_of_its_own() -> None:
    """Checkpoints of before left out a fusion that was not given; those of today hold it."""

    def options(**model: str) -> Options:
        return Options.of(
            {"model": {"_name": "robertaEMO", **model}, "task": {"modality": "text+speech"}}
        )

    assert options().of_system == options(fusion="cross_attention").of_system
    assert options().of_system != options(fusion="gated").of_system
