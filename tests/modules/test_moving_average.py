"""Moving averages against the formula, and the module that runs with them."""

import copy

import torch
from torch import nn

from emo_fairseq.modules.moving_average import MovingAverage


def test_the_averages_follow_once_an_update() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    module[0].requires_grad_(False)
    average = MovingAverage(module, 0.75)
    assert average.names == ["1.weight", "1.bias"]
    expected = module[1].weight.detach().clone()
    for update in range(4):
        if update:
            expected = 0.75 * expected + 0.25 * module[1].weight.detach()
        for _ in range(2):  # batches of --update-freq
            average.follow(module, update)
        torch.testing.assert_close(average.averages[0], expected)
        with torch.no_grad():
            module[1].weight.add_(torch.randn_like(module[1].weight))


def test_the_output_is_that_of_a_module_with_the_averages() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.Linear(3, 2)).eval()
    average, own = MovingAverage(module, 0.9), copy.deepcopy(module)
    with torch.no_grad():
        module[2].weight.mul_(2.0)
    x = torch.randn(4, 3)
    output = average(module, x)
    assert not output.requires_grad
    assert torch.equal(output, own(x))
    assert not torch.equal(output, module(x))
    assert module[2].weight.requires_grad, "it is the module's own again"
    torch.manual_seed(1)
    drawn = average(module.train(), x)
    torch.manual_seed(1)
    assert torch.equal(drawn, own.train()(x)), "in the mode of the module"


def test_averages_are_saved_and_not_trained() -> None:
    module = nn.Linear(2, 2)
    average = MovingAverage(module, 0.9)
    assert [*average.state_dict()] == ["averages.0", "averages.1"]
    assert not any(parameter.requires_grad for parameter in average.parameters())
    average(module, torch.randn(1, 2))
    assert all(parameter.grad is None for parameter in average.parameters())
