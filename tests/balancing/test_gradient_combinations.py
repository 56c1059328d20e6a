"""Every combination of gradients against values, closed forms and the properties that its paper promises."""

import math
import sys

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.balancing.toys import Linear, step, weights

pytest.importorskip("torchjd", reason="the extra 'balancing' (TorchJD and its solvers) is not installed")
pytest.importorskip("cvxpy", reason="the extra 'balancing' (TorchJD and its solvers) is not installed")

from branchpoint.balancing import Balancer, build_balancer
from branchpoint.balancing.combinations import build_combination, nash_weights, root
from branchpoint.config import balancing_config
from branchpoint.config.balancing import GRAMIAN_METHODS

CONFLICT = ((-4.0, 1.0, 1.0), (6.0, 1.0, 1.0))

# TorchJD's published values, of which UPGrad and DualProj bear its regularisation of 1e-4; those marked * follow from
# closed forms in tests of this file too.
TABLE = [
    ("mgda", {}, (0.0, 1.0, 1.0)),  # *
    ("pcgrad", {}, (0.5848, 3.8012, 3.8012)),  # *
    ("cagrad", {"c": 0.5}, (0.1835, 1.2041, 1.2041)),  # *
    ("cagrad", {"c": 0.5, "rescale": "one_plus_c_squared"}, (0.1468, 0.9633, 0.9633)),
    ("cagrad", {"c": 0.5, "rescale": "one_plus_c"}, (0.1223, 0.8027, 0.8027)),
    ("nash_mtl", {"max_norm": 0.0}, (0.0766, 0.9985, 0.9985)),  # *
    ("nash_mtl", {}, (0.0542, 0.7061, 0.7061)),
    ("upgrad", {}, (0.2929, 1.9004, 1.9004)),
    ("imtl_g", {}, (0.0767, 1.0, 1.0)),
    ("aligned_mtl", {}, (0.2133, 0.9673, 0.9673)),
    ("dualproj", {}, (0.5563, 1.1109, 1.1109)),
    ("conflict_free", {}, (0.1588, 2.0706, 2.0706)),
]
DRAWN = ("pcgrad", "gradvac")
"""Methods whose result depends on an order of tasks that is drawn anew in each step."""
FREE_OF_CONFLICT = ["upgrad", "dualproj", "mgda", "nash_mtl", "conflict_free"]


def built(method: str, tasks: str = "ab", seed: int = 0, **options: object) -> Balancer:
    config = balancing_config(method, **options)
    return build_balancer(config, dict.fromkeys(tasks, 1.0), seed)


def combined(method: str, rows: Tensor | tuple, **options: object) -> Tensor:
    """The combination of the rows of a matrix."""
    matrix = torch.as_tensor(rows, dtype=torch.float64)
    config = balancing_config(method, **options)
    return build_combination(config)(matrix @ matrix.T).double() @ matrix


@st.composite
def matrices(draw: st.DrawFn, tasks: tuple[int, int] = (2, 4)) -> Tensor:
    """Gradients of several tasks, at angles and with lengths of every kind."""
    count = draw(st.integers(*tasks))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    rows = torch.randn(count, draw(st.integers(count, 8)), generator=generator, dtype=torch.float64)
    rows += draw(st.floats(-1.5, 1.5))  # a common direction, so that rows agree or conflict
    return rows * torch.rand(count, 1, generator=generator, dtype=torch.float64).add(0.1)


@pytest.mark.parametrize(("method", "options", "expected"), TABLE)
def test_published_values(method: str, options: dict, expected: tuple[float, ...]) -> None:
    network = Linear(dict(zip("ab", CONFLICT, strict=True)))
    balancer = built(method, **options)
    balancer.attach(network)
    found = step(balancer, network)
    torch.testing.assert_close(found, torch.tensor(expected).double(), atol=1e-3, rtol=0)
    own = weights(balancer)
    torch.testing.assert_close(sum(own[name] * network.rows[name] for name in "ab"), found)


@settings(max_examples=30, deadline=None)
@given(matrices(tasks=(2, 2)), st.floats(0.1, 0.9))
def test_closed_forms_of_two_tasks(rows: Tensor, c: float) -> None:
    g1, g2 = rows
    # MGDA (Sener and Koltun 2018, eq. 5)
    gamma = ((g2 - g1) @ g2 / (g1 - g2).square().sum()).clamp(0, 1)
    expected = gamma * g1 + (1 - gamma) * g2
    torch.testing.assert_close(combined("mgda", rows), expected, atol=1e-9 * float(rows.norm()), rtol=0)
    # PCGrad (Yu et al. 2020, algorithm 1)
    inner = (g1 @ g2).clamp(max=0)
    expected = (g1 - inner / g2.square().sum() * g2) + (g2 - inner / g1.square().sum() * g1)
    torch.testing.assert_close(combined("pcgrad", rows), expected)
    # UPGrad, the mean of projections, is half of it for two tasks
    torch.testing.assert_close(combined("upgrad", rows), expected / 2, atol=1e-5 * float(rows.norm()), rtol=1e-4)
    # CAGrad (Liu et al. 2021, eq. 4), the dual solved on a grid
    w = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    mixed, mean = w * g1 + (1 - w) * g2, (g1 + g2) / 2
    best = mixed[(mixed @ mean + c * mean.norm() * mixed.norm(dim=1)).argmin()]
    if best.norm() > 0.1 * rows.norm():
        expected = mean + c * mean.norm() / best.norm() * best
        torch.testing.assert_close(combined("cagrad", rows, c=c), expected, atol=3e-3 * float(rows.norm()), rtol=3e-3)


@settings(max_examples=25, deadline=None)
@given(matrices())
def test_equations_that_define_a_method(rows: Tensor) -> None:
    assume(torch.linalg.cond(rows) < 100)  # nearly parallel gradients lie within the solvers' regularisation
    gramian = rows @ rows.T
    # Nash-MTL: G a = 1 / a (Navon et al. 2022, claim 3.1)
    weight = build_combination(balancing_config("nash_mtl", max_norm=0.0))(gramian)
    torch.testing.assert_close(gramian @ weight * weight, torch.ones(len(rows)).double(), atol=1e-5, rtol=0)
    # IMTL-G: equal projections on all unit gradients (Liu et al. 2021, eq. 3)
    units = rows / rows.norm(dim=1, keepdim=True)
    projections = units @ combined("imtl_g", rows)
    torch.testing.assert_close(projections, projections[:1].expand_as(projections), atol=1e-6, rtol=1e-5)
    # Aligned-MTL: all singular values are brought to the smallest (Senushkin et al. 2023, eq. 8)
    u, values, v = torch.linalg.svd(rows, full_matrices=False)
    torch.testing.assert_close(combined("aligned_mtl", rows), (values.min() * u @ v).mean(0), atol=1e-6, rtol=1e-6)
    # ConFIG: equal cosines with all gradients (Liu et al. 2024, eq. 2)
    cosines = units @ torch.nn.functional.normalize(combined("conflict_free", rows), dim=0)
    torch.testing.assert_close(cosines, cosines[:1].expand_as(cosines), atol=1e-6, rtol=1e-5)
    # FairGrad: G w = w^(-1 / alpha), of the Gramian scaled to a trace of N (Ban and Ji 2024, eq. 4)
    weight = build_combination(balancing_config("fairgrad", alpha=2.0))(gramian)
    scaled = gramian * len(rows) / gramian.trace()
    torch.testing.assert_close(scaled @ weight, weight**-0.5, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", FREE_OF_CONFLICT)
@settings(max_examples=25, deadline=None)
@given(rows=matrices())
def test_no_task_is_harmed_where_that_is_promised(method: str, rows: Tensor) -> None:
    gain = rows @ combined(method, rows)
    slack = 1e-6
    assert (gain >= -slack * rows.square().sum()).all()


@settings(max_examples=100, deadline=None)
@given(rows=matrices(), ratio=st.sampled_from([1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4]))
def test_mgda_harms_no_task_whatever_the_scales_of_gradients(rows: Tensor, ratio: float) -> None:
    """The shortest convex combination d has <g_i, d> >= |d|^2 for each i (Desideri 2012, theorem 2.2)."""
    rows = torch.cat([rows[:1] * ratio, rows[1:]])
    direction = combined("mgda", rows)
    least = (rows @ direction) / rows.norm(dim=1)
    slack = 1e-9 * float(rows.norm(dim=1).min())
    assert (least >= direction.square().sum() / rows.norm(dim=1) - slack).all()


@pytest.mark.parametrize("method", ["upgrad", "dualproj", "pcgrad"])
@settings(max_examples=15, deadline=None)
@given(rows=matrices())
def test_without_conflict_nothing_changes(method: str, rows: Tensor) -> None:
    rows = rows.abs()  # all inner products positive
    plain = rows.sum(0) if method == "pcgrad" else rows.mean(0)
    torch.testing.assert_close(combined(method, rows), plain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", [method for method in GRAMIAN_METHODS if method not in DRAWN])
@settings(max_examples=15, deadline=None)
@given(rows=matrices(), seed=st.integers(0, 99))
def test_order_of_tasks_changes_nothing(method: str, rows: Tensor, seed: int) -> None:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    slack = 1e-4 * float(rows.norm())
    torch.testing.assert_close(combined(method, rows[order]), combined(method, rows), atol=slack, rtol=0.02)


@pytest.mark.parametrize("method", GRAMIAN_METHODS)
@pytest.mark.parametrize("scale", [1e-6, 1e4])
@settings(max_examples=8, deadline=None)
@given(rows=matrices())
def test_scale_of_all_gradients(method: str, scale: float, rows: Tensor) -> None:
    """Also for gradients so small that TorchJD's own solvers would not project any more."""
    torch.manual_seed(0)
    once = combined(method, rows, **({"max_norm": 0.0} if method == "nash_mtl" else {}))
    torch.manual_seed(0)
    scaled = combined(method, scale * rows, **({"max_norm": 0.0} if method == "nash_mtl" else {}))
    expected = once if method == "nash_mtl" else scale * once  # which has a length of its own
    torch.testing.assert_close(scaled, expected, rtol=1e-3, atol=1e-4 * float(expected.norm()))


def test_pairs_conflict_only_above_their_branching_point() -> None:
    """a and b share two stages, c only the first, d none: c changes nothing in the second, d nothing at all."""
    nan = math.nan
    rows = {
        "a": (-4.0, 1.0, 2.0, nan),
        "b": (6.0, 1.0, -1.0, nan),
        "c": (-9.0, 3.0, nan, nan),
        "d": (nan, nan, nan, 1.0),
    }
    for method in GRAMIAN_METHODS:
        network = Linear(rows)
        found = step(built(method, "abcd"), network)
        first = torch.tensor([row[:2] for row in (rows["a"], rows["b"], rows["c"])], dtype=torch.float64)
        second = torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
        if method not in DRAWN:
            torch.testing.assert_close(found[:2], combined(method, first))
        torch.testing.assert_close(found[2:3], combined(method, second))
        assert found[3] == 1.0, "no one else's"
        assert all(network.heads[name].grad == 1.0 for name in "abcd"), "its own gradient"


def test_what_teaches_nothing_vetoes_nothing() -> None:
    """A gradient of exactly zero would stop MGDA, Nash-MTL and IMTL-G altogether."""
    for method in GRAMIAN_METHODS:
        network = Linear({"a": (1.0, 2.0), "b": (0.0, 0.0), "c": (2.0, 1.0)})
        found = step(built(method, "abc", seed=3), network)
        torch.testing.assert_close(found, combined(method, ((1.0, 2.0), (2.0, 1.0))))
        network = Linear({"a": (0.0, 0.0), "b": (0.0, 0.0)})
        assert not step(built(method), network).any()


def test_absent_tasks_and_task_weights() -> None:
    for method in GRAMIAN_METHODS:
        network = Linear({"a": (1.0, 2.0), "b": (-5.0, 1.0), "c": (2.0, 1.0)})
        balancer = build_balancer(balancing_config(method), {"a": 1.0, "b": 1.0, "c": 3.0})
        found = step(balancer, network, {"a": 1.0, "c": 1.0})
        torch.testing.assert_close(found, combined(method, ((1.0, 2.0), (6.0, 3.0))), msg=method)
        assert network.heads["b"].grad == 0
        assert network.heads["c"].grad == 3
        assert not step(balancer, network, {}).any()


def test_draws_of_pcgrad_go_on_where_they_were_and_leave_torch_alone() -> None:
    network = Linear({"a": (1.0, 2.0, -2.0), "b": (-5.0, 1.0, 1.0), "c": (2.0, -3.0, 1.0), "d": (0.5, 0.5, -4.0)})
    first, second = built("pcgrad", "abcd", seed=1), built("pcgrad", "abcd", seed=2)
    before = torch.get_rng_state()
    drawn = [step(first, network) for _ in range(8)]
    assert torch.equal(torch.get_rng_state(), before)
    assert len({tuple(gradient.tolist()) for gradient in drawn}) > 1, "orders differ"
    first.load_state_dict(built("pcgrad", "abcd", seed=1).state_dict())
    second.load_state_dict(first.state_dict())
    for expected in drawn:
        assert torch.equal(step(second, network), expected)


def test_fairgrad_with_alpha_one_has_the_direction_of_nash() -> None:
    fair, nash = combined("fairgrad", CONFLICT, alpha=1.0), combined("nash_mtl", CONFLICT, max_norm=0.0)
    torch.testing.assert_close(fair / fair.norm(), nash / nash.norm(), atol=1e-4, rtol=0)


def test_gradvac_follows_the_average_similarity_and_goes_on_where_it_was() -> None:
    """Against its algorithm written out for two tasks, where no order is drawn (Wang et al. 2021, algorithm 1)."""
    network = Linear({"a": (1.0, 0.2), "b": (0.6, 1.0)})
    balancer = built("gradvac", beta=0.5)
    expected = {(0, 1): 0.0, (1, 0): 0.0}
    for tilt in (0.2, -0.4, -1.5, 0.1):
        network.rows["a"][1] = tilt
        rows = torch.stack(list(network.rows.values()))
        turned = rows.clone()
        for i, j in expected:
            similarity = float(rows[i] @ rows[j] / rows[i].norm() / rows[j].norm())
            target = expected[i, j]
            if similarity < target:
                missing = target * math.sqrt(1 - similarity**2) - similarity * math.sqrt(1 - target**2)
                turned[i] += rows[i].norm() * missing / (rows[j].norm() * math.sqrt(1 - target**2)) * rows[j]
            expected[i, j] = 0.5 * target + 0.5 * similarity
        resumed = built("gradvac", beta=0.5, seed=9)
        resumed.load_state_dict(balancer.state_dict())
        found = step(balancer, network)
        torch.testing.assert_close(found, turned.sum(0), rtol=1e-5, atol=1e-6)
        assert torch.equal(step(resumed, network), found)


def test_gradvac_remembers_each_set_of_tasks_by_itself() -> None:
    network = Linear({"a": (1.0, 2.0, -2.0), "b": (-5.0, 1.0, 1.0), "c": (2.0, -3.0, 1.0)})
    disturbed, undisturbed = built("gradvac", "abc"), built("gradvac", "abc")
    for _ in range(3):
        step(disturbed, network, {"a": 1.0, "b": 1.0})
        step(disturbed, network, {"b": 1.0, "c": 1.0})
        step(undisturbed, network, {"a": 1.0, "b": 1.0})
    assert torch.equal(step(disturbed, network, {"a": 1.0, "b": 1.0}), step(undisturbed, network, {"a": 1.0, "b": 1.0}))


def test_separate_networks_are_refused_before_training() -> None:
    nan = math.nan
    network = Linear({"a": (1.0, nan), "b": (nan, 1.0)})
    with pytest.raises(ValueError, match="a, b share no parameter: every combination is the sum"):
        built("upgrad").attach(network)
    build_balancer(balancing_config("upgrad"), {"a": 1.0}).attach(network)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"balancing\.method 'upgrad' needs TorchJD.*branchpoint\[balancing\]"
    ):
        built("upgrad")


def test_missing_solver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchjd._mixins as mixins

    monkeypatch.setattr(mixins, "find_spec", lambda name: None)
    for method in ("upgrad", "cagrad", "dualproj"):
        with pytest.raises(ModuleNotFoundError, match=r"branchpoint\[balancing\]"):
            built(method)


def test_nash_on_gradients_that_differ_much_and_oppose_each_other() -> None:
    rows = torch.tensor([[1e3, 2e3, 0.0], [-1.1, -2.0, 1e-3], [1e-3, 0.0, 2e-3]], dtype=torch.float64)
    gramian = rows @ rows.T
    weight = nash_weights(gramian)
    torch.testing.assert_close(gramian @ weight * weight, torch.ones(3).double(), atol=1e-4, rtol=0)
    opposed = torch.tensor([[1.0, -2.0], [-2.0, 4.0]], dtype=torch.float64)  # no solution: the ridge keeps it finite
    assert nash_weights(opposed).isfinite().all()
    assert combined("nash_mtl", ((1.0,), (-2.0,))).abs() < 1e-3


def test_root_of_a_gramian() -> None:
    rows = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 0.0]], dtype=torch.float64)  # of rank 2
    gramian = rows @ rows.T
    torch.testing.assert_close(root(gramian) @ root(gramian).T, gramian)
