"""The points of a sweep: counted before they are expanded, and composed as Hydra composes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from pruneexp.cli import hydra_errors, points
from pruneexp.cli.compose import compose
from pruneexp.cli.grids import Grids, count
from pruneexp.cli.grids import points as expanded
from pruneexp.cli.points import Composer, read_points
from pruneexp.config.location import CONF
from pruneexp.config.recipe import Invalid

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.fixture(autouse=True)
def same_store() -> Iterator[None]:
    """Composing registers schemas for the whole process; a test leaves them as they were."""
    before = dict(ConfigStore.instance().repo)
    yield
    ConfigStore.instance().repo = before


def grids(*words: str) -> Grids:
    composed = compose(["-m", *words])
    assert composed.grids is not None
    return composed.grids


def outcome(compose_point: object, point: list[str]) -> object:
    """What comes of composing one point: the configuration as plain data with its types, or the
    error."""
    assert callable(compose_point)
    try:
        config = compose_point(point)
    except hydra_errors.EXPECTED as error:
        return type(error), str(error), str(hydra_errors.fault(error)[0])
    kinds = {
        key: str(OmegaConf.get_type(config, key))
        for key in config
        if not OmegaConf.is_missing(config, key)
    }
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    kinds.pop("hydra", None)
    return plain, kinds, OmegaConf.is_struct(config)


def assert_equal(given: Grids, chosen: list[list[str]]) -> None:
    composer = Composer(given.loader, given.config)
    for point in chosen:
        whole = outcome(lambda words: given.loader.load_sweep_config(given.config, words), point)
        assert outcome(composer.compose, point) == whole, point


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_point_of_an_experiment_is_what_hydra_composes(experiment: str) -> None:
    given = grids(f"experiment={experiment}", "seed=0,1", "training.threads=1")
    every = given.points()
    # of many points the first, the last and some between: each costs a tenth of a second
    assert_equal(given, every[:: max(1, len(every) // 6)] + every[-1:])


@pytest.mark.parametrize(
    "words",
    [
        ["pruning.sparsity=0.5,1.5,many", "seed=range(0,2)"],
        ["pruning/schedule=cubic,linear", "pruning.schedule.interval=5,x"],
        ["pruning/schedule=cubic,qubic"],
        ["task=glyphs,grammar", "model=mobilenet_v1_small,lstm_lm"],
        ["pruning=none,gradual", "pruning.sparsity=0.5"],
        ["training.average=null,0.9"],
        ["+model.foo=1,2"],
        ["~quantisation", "seed=1,2"],
        ["seed=1,2", "+training.new=3"],
        ["seed=1,2", "title='${model.width} ${hydra.job.name}'"],
        ["title='width ${model.width}',plain", "model.width=0.5,0.25"],
        ["model=custom", "model.factory=torch.nn:Flatten", "model.arguments={a: 1},{b: 2}"],
        ["pruning/allocation=per_layer", "pruning.allocation.at_most={fc.weight: 0.8}", "seed=1,2"],
        ["pruning/schedule=glob(*)"],
        ["pruning/start=dense", "pruning.start.steps=5,null", "keep_steps=[1],[2,3]"],
    ],
)
def test_values_groups_and_errors_are_those_of_hydra(words: list[str]) -> None:
    given = grids(*words)
    every = given.points()
    assert every
    assert_equal(given, every)


def test_a_configuration_that_depends_on_hydra_is_composed_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "experiment" / "named.yaml"
    path.parent.mkdir()
    path.write_text("# @package _global_\ntitle: ${hydra.job.override_dirname}\n")
    given = grids("--config-dir", str(tmp_path), "experiment=named", "seed=1,2")
    composer = Composer(given.loader, given.config)
    every = given.points()
    assert composer.compose(every[0]).title != composer.compose(every[1]).title
    assert_equal(given, every)


def test_a_value_of_the_command_line_is_every_points(tmp_path: Path) -> None:
    path = tmp_path / "experiment" / "two.yaml"
    path.parent.mkdir()
    union = "[{seed: '0,1', model.width: 0.5}, {pruning.sparsity: 0.5}, {pruning: none}]"
    path.write_text(f"# @package _global_\nhydra: {{sweeper: {{union: {union}}}}}\n")
    given = grids("--config-dir", str(tmp_path), "experiment=two", "seed=7", "title=all")
    every = given.points()
    assert_equal(given, every)
    assert [run.seed for run in read_points(given, ask_first=True)[0]] == [7, 7, 7]


@pytest.mark.parametrize(
    ("words", "compositions"),
    [
        (["pruning/schedule=cubic,linear", "dry_run=true"], 2),
        (["pruning/schedule=linear", "dry_run=true"], 0),  # Hydra has composed it already
        (["+training.new=3"], 1),  # what is added cannot be added twice
        (["pruning.sparsity=many,0.5"], 20),  # each point at fault, for Hydra's message
    ],
)
def test_each_choice_of_groups_is_composed_once(
    words: list[str], compositions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = grids("seed=range(0,20)", *words)
    calls: list[list[str]] = []
    whole = given.loader.load_sweep_config

    def counted(config: DictConfig, overrides: list[str]) -> DictConfig:
        calls.append(overrides)
        return whole(config, overrides)

    monkeypatch.setattr(given.loader, "load_sweep_config", counted)
    runs, unreadable = read_points(given, ask_first=True)
    assert len(calls) == compositions
    assert len(runs) + len(unreadable) == given.count()
    seeds = [run.seed for run in runs]
    assert seeds == sorted(seeds) and set(seeds) in (set(), set(range(20)))


@pytest.mark.parametrize(
    ("union", "arguments", "number"),
    [
        ([], ["seed=1"], 1),
        ([], ["seed=range(0,100000)"], 100_000),
        ([], ["seed=range(0,10,3)", "model.width=0.1,0.2"], 8),
        ([], ["model.width=range(0.1,0.55,0.1)"], 5),
        ([], ["seed=range(5,0)"], 0),
        ([{"pruning": "none"}, {"pruning.sparsity": "0.5,0.9"}], ["seed=1,2,3"], 9),
    ],
)
def test_points_are_counted_without_expanding_them(
    union: list[dict[str, object]], arguments: list[str], number: int
) -> None:
    assert count(union, arguments) == number
    if number < 100:
        assert len(expanded(union, arguments)) == number


def test_counting_a_thousand_million_points_takes_no_time() -> None:
    assert count([], ["seed=range(0,1000000000)"]) == 10**9


def test_very_many_points_are_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "MANY", 3)
    given = grids("seed=range(0,4)")
    with pytest.raises(Invalid, match=r"4 points, about 1 minutes? to read; add --yes to go on"):
        read_points(given, ask_first=True)
    runs, _ = read_points(given, ask_first=False)
    assert len(runs) == 4


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("seed=interval(0,1)", "seed takes a list of values"),
        ("model.width=range(0.1,0.5,0)", "model.width takes a step"),
    ],
)
def test_an_axis_that_cannot_be_expanded_is_named(axis: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        read_points(grids(axis), ask_first=True)


def test_what_a_short_form_refers_to_goes_where_its_start_goes() -> None:
    union = [{"pruning.start": "dense,scratch"}, {"pruning.sparsity": 0.5}, {"pruning": "none"}]
    arguments = ["pruning/start=file", "pruning.start.file=a.pth"]
    assert expanded(union, arguments) == [
        ["pruning/start=file", "pruning.start.file=a.pth"],
        ["pruning.sparsity=0.5", *arguments],
        ["pruning=none"],
    ]
    named = [{"pruning.start": "torchvision:A"}]
    assert expanded(named, ["pruning/start=dense"]) == [["pruning/start=dense"]]
