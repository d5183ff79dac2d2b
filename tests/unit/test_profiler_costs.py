"""What records cost, and whose work a step is."""

import math

import pytest

import lampas as torch
from lampas.engine.graph import build as g
from lampas.engine.realize.building import build_program
from lampas.engine.realize.cost import Cost
from lampas.engine.realize.origins import INDEX_CHECK, Share, joined, shares, step_shares
from lampas.engine.realize.profile import Row
from lampas.engine.realize.program import Program
from lampas.profiler.flops import operator_flops
from tests.unit.schedules import graph_of, leaf, leaves_of


def program_of(tensor: torch.Tensor) -> Program:
    return build_program(graph_of(tensor._value()))


def costs_of(program: Program) -> list[Cost]:
    return [cost for costs in program.costs for cost in costs]


def values(*shape: int) -> torch.Tensor:
    count = math.prod(shape)
    tensor = (torch.arange(count) % 7).float().reshape(shape)
    tensor.tolist()
    return tensor


def test_elements() -> None:
    x = values(64, 32)
    cost = costs_of(program_of(x.sin() + x))[0]
    assert (cost.nbytes, cost.operations, cost.place) == (2 * 64 * 32 * 4, 2 * 64 * 32, 0)


def test_element_sizes() -> None:
    assert costs_of(program_of(values(8).double().sin()))[0].itemsize == 8
    assert costs_of(program_of(values(8, 8).double() @ values(8, 8).double()))[-1].itemsize == 8


@pytest.mark.parametrize("sizes", [(64, 512, 784), (1, 300, 300), (7, 5, 3)])
def test_products(sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    program = program_of(torch.nn.functional.linear(values(m, k), values(n, k)).relu())
    costs = costs_of(program)
    assert sum(cost.operations for cost in costs) == 2 * m * n * k
    packs = [c for c, r in zip(costs, program.segments[0].records) if r.name.startswith("pack")]
    assert all(cost.operations == 0 < cost.nbytes for cost in packs)
    assert costs[-1].nbytes == 4 * (m * k + n * k + m * n)


@pytest.mark.parametrize(
    ("images", "channels", "filters", "size", "kernel", "stride"),
    [(2, 3, 4, 16, 3, 1), (2, 3, 4, 16, 5, 2), (4, 32, 32, 56, 3, 1), (16, 3, 4, 4, 3, 1)],
)
def test_convolutions(
    images: int, channels: int, filters: int, size: int, kernel: int, stride: int
) -> None:
    x, weight = values(images, channels, size, size), values(filters, channels, kernel, kernel)
    result = torch.nn.functional.conv2d(x, weight, stride=stride)
    counted = sum(cost.operations for cost in costs_of(program_of(result)))
    wanted = 2 * math.prod(result.shape) * channels * kernel * kernel
    elementwise = 4 * math.prod(x.shape)  # where images are padded to whole tiles
    assert wanted <= counted <= wanted + elementwise


def test_derivative_by_the_weight() -> None:
    x, weight = values(2, 3, 9, 9), values(4, 3, 3, 3).requires_grad_()
    torch.nn.functional.conv2d(x, weight).sum().backward()
    counted = sum(cost.operations for cost in costs_of(program_of(weight.grad)))
    assert counted >= 2 * (2 * 4 * 7 * 7) * (3 * 3 * 3)


def test_walks() -> None:
    scan = costs_of(program_of(values(16, 32).cumsum(1)))[0]
    assert (scan.nbytes, scan.operations) == (2 * 16 * 32 * 4, 16 * 32)
    index = torch.tensor([1, 0, 1])
    index.tolist()
    added = costs_of(program_of(values(4, 32).index_add(0, index, values(3, 32))))
    assert max(cost.operations for cost in added) == 3 * 32
    pooled = torch.nn.functional.max_pool2d(values(2, 3, 8, 8), 2, return_indices=True)[1]
    cost = max(costs_of(program_of(pooled)), key=lambda cost: cost.operations)
    assert cost.operations == 2 * 3 * 4 * 4 * 4
    assert cost.nbytes == 2 * 3 * 8 * 8 * 4 + 2 * 3 * 4 * 4 * 8


def test_rows_have_rates() -> None:
    row = Row("name", 2.0, Cost(4000, 6000))
    assert (row.gigabytes_a_second, row.gigaflops) == (2.0, 3.0)


# ---- origins --------------------------------------------------------------------------------------------------------


def test_shares_go_by_work() -> None:
    x, weight = values(64, 32), values(16, 32)
    program = program_of(torch.nn.functional.linear(x, weight).relu())
    found = step_shares(program.schedule, 0)
    assert joined(found) == "linear+relu"
    assert sum(share.part for share in found) == pytest.approx(1)
    assert found[0].part > 0.9
    assert found[0].shapes == ((64, 32), (16, 32))


def test_inlined_values_are_named_too() -> None:
    x = values(64, 32)
    middle = x.relu()
    program = build_program(graph_of((middle * 2)._value(), (middle * 3)._value()))
    names = {
        share.name
        for place in range(len(program.schedule.steps))
        for share in step_shares(program.schedule, place)
    }
    assert "relu" in names


def test_checks_of_indices() -> None:
    program = program_of(values(4, 8)[torch.tensor([1, 3])])
    assert step_shares(program.schedule, -1) == (Share(INDEX_CHECK, (), 1.0),)
    assert {cost.place for cost in costs_of(program)} >= {-1, 0}


def test_convolutions_that_are_interpreted() -> None:
    x = torch.nn.functional.conv2d(values(1, 2, 5, 5), values(3, 2, 3, 3)).relu()
    graph = graph_of(x._value())
    found = {share.name: share.part for share in shares(graph, range(len(graph.entries)))}
    assert found["convolution"] == pytest.approx(36 / 37, rel=0.05)


def test_long_names_are_cut() -> None:
    assert joined(tuple(Share(name, (), 0.1) for name in "abcdefa")) == "a+b+c+d+e+…"


def test_debug_table_names_operations(capsys: pytest.CaptureFixture[str]) -> None:
    node = g.exp(leaf(4, 4))
    program = build_program(graph_of(node))
    with torch.engine.settings.settings.override(debug=1):
        program.run(leaves_of(node)[0])
    assert "exp: map exp" in capsys.readouterr().err


def test_operators() -> None:
    assert operator_flops("linear", [(2, 3, 5), (7, 5), (7,)], (2, 3, 7)) == 2 * 2 * 3 * 7 * 5
    assert operator_flops("convolution", [(1, 4, 8, 8), (6, 4, 3, 3)], (1, 6, 6, 6)) == 2 * 216 * 36
    assert operator_flops("mul", [(4,), ()], (4,)) == 4
    assert operator_flops("exp", [(4,)], (4,)) == 0
