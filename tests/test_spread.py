"""How sparsity is spread: over layers by ERK, over rounds by Han's schedule, over one threshold by
magnitudes relative to their group."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruneexp.cli.compose import compose
from pruneexp.config.read import read
from pruneexp.config.recipe import Invalid
from pruneexp.pruning import Gradual
from pruneexp.pruning.allocation import Erk, Global, count
from pruneexp.pruning.criterion import RootMeanSquare
from pruneexp.pruning.group import Group
from pruneexp.pruning.schedule import Cubic, OneShot, Rounds
from pruneexp.pruning.scope import All
from pruneexp.pruning.structure import NOfM

WIDE = Group("wide", {"wide": (10, 784)})
THIN = Group("thin", {"thin": (10, 10)})


class TestErk:
    def kept(self, groups: list[Group], final: float) -> list[int]:
        masked = Erk().masked(groups, Cubic(), final, 100, 100)
        return [group.units - number for group, number in zip(groups, masked, strict=True)]

    def test_density_goes_with_the_sum_of_the_dimensions(self) -> None:
        """794 of 7,940 weights over dimensions of 794 and 20: 774.49 and 19.51."""
        assert self.kept([WIDE, THIN], 0.9) == [774, 20]

    def test_what_would_keep_more_than_it_has_stays_dense_and_the_rest_is_solved_again(
        self,
    ) -> None:
        """4,764 of 7,940: the thin layer would keep 117 of its 100."""
        assert self.kept([WIDE, THIN], 0.4) == [4664, 100]

    def test_a_kernel_counts_with_its_height_and_width(self) -> None:
        """Dimensions of 4 + 4 + 3 + 3 and 4 + 4: of 16 kept 11 and 5 would be 10.2 and 5.8."""
        groups = [Group("conv", {"conv": (4, 4, 3, 3)}), Group("fc", {"fc": (4, 4)})]
        assert self.kept(groups, 0.9) == [10, 6]

    def test_joint_recurrent_weights_are_one_matrix(self) -> None:
        """Dimensions of 8 + (3 + 2), beside 8 + 5."""
        joint = Group("lstm", {"ih": (8, 3), "hh": (8, 2)})
        assert self.kept([joint, Group("fc", {"fc": (8, 5)})], 0.5) == [20, 20]

    @given(
        st.lists(st.tuples(*[st.integers(1, 60)] * 2), min_size=1, max_size=8),
        st.floats(0, 0.999),
    )
    def test_the_total_is_exact(self, shapes: list[tuple[int, int]], final: float) -> None:
        groups = [Group(str(n), {str(n): shape}) for n, shape in enumerate(shapes)]
        masked = Erk().masked(groups, Cubic(), final, 100, 100)
        assert sum(masked) == count(final, sum(group.weights for group in groups))
        assert all(0 <= m <= g.weights for m, g in zip(masked, groups, strict=True))

    def test_it_does_not_go_with_a_structure_of_one_sparsity(self) -> None:
        model = nn.Sequential(nn.Linear(8, 40), nn.Linear(40, 4))
        recipe = Gradual(sparsity=0.5, allocation=Erk(), structure=NOfM(), scope=All())
        with pytest.raises(Invalid, match="sparsity"):
            recipe.ranked_groups(model)

    def test_a_run_masks_what_it_says(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(784, 10), nn.Linear(10, 10))
        recipe = Gradual(sparsity=0.9, allocation=Erk(), schedule=OneShot(begin=0.0))
        masks = recipe.attach(model, steps=1).finish()
        assert [int(mask.sum()) for mask in masks.values()] == [774, 20]


class TestRounds:
    def test_each_removes_the_same_share_of_what_is_left(self) -> None:
        rounds = Rounds(rounds=2)
        assert rounds.updates(100) == [0, 50]
        assert [rounds.at(step, 100, 0.75) for step in (0, 49, 50, 100)] == [0.5, 0.5, 0.75, 0.75]

    def test_each_is_followed_by_as_many_steps(self) -> None:
        rounds = Rounds(rounds=5, begin=0.5)
        assert rounds.updates(100) == [50, 60, 70, 80, 90]
        told = [rounds.at(step, 100, 0.9) for step in rounds.updates(100)]
        assert told == pytest.approx([1 - 0.1 ** (n / 5) for n in range(1, 6)])

    @given(st.integers(1, 9), st.integers(10, 1000))
    def test_every_update_is_a_round(self, rounds: int, steps: int) -> None:
        schedule = Rounds(rounds=rounds)
        levels = [schedule.at(step, steps, 0.9) for step in schedule.updates(steps)]
        assert len(levels) == rounds and levels == sorted(set(levels)) and levels[-1] == 0.9

    def test_one_round_is_one_shot(self) -> None:
        assert Rounds(rounds=1).updates(100) == [0] and Rounds(rounds=1).at(0, 100, 0.9) == 0.9

    @pytest.mark.parametrize("wrong", [{"rounds": 0}, {"begin": 1.0}])
    def test_what_cannot_be_is_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(Invalid, match=next(iter(wrong))):
            Rounds(**wrong)

    def test_its_name_starts_from_a_trained_model(self) -> None:
        run = read(compose(["pruning=iterative"]).configurations[0])
        assert isinstance(run.pruning, Gradual)
        assert (
            run.pruning.starts_from.word == "dense" and run.pruning.starts_from.stage(9)[1] == 0.1
        )
        assert isinstance(run.pruning.schedule, Rounds)


class TestRootMeanSquare:
    def test_scores_are_shares_of_the_groups_root_mean_square(self) -> None:
        """3 and 4 have a root mean square of sqrt(12.5)."""
        (scores,) = RootMeanSquare().scores([torch.tensor([3.0, -4.0])], [None], [])
        assert scores.tolist() == pytest.approx([3 / 12.5**0.5, 4 / 12.5**0.5])

    def test_one_threshold_does_not_empty_a_layer_of_small_weights(self) -> None:
        masks = {}
        for criterion in (None, RootMeanSquare()):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20))
            with torch.no_grad():
                model[1].weight.mul_(0.01)
            given = {} if criterion is None else {"criterion": criterion}
            recipe = Gradual(
                sparsity=0.5, allocation=Global(), schedule=OneShot(begin=0.0), **given
            )
            pruner = recipe.attach(model, steps=1)
            masks[criterion is None] = [float(m.float().mean()) for m in pruner.masks().values()]
        assert masks[True][1] < 0.05 and masks[False] == pytest.approx([0.5, 0.5], abs=0.06)

    def test_zeros_throughout_stay_numbers(self) -> None:
        (scores,) = RootMeanSquare().scores([torch.zeros(3)], [None], [])
        assert scores.tolist() == [0, 0, 0]
