"""Transforms, constraints and their registries beside PyTorch's."""

import pytest

import lampas
from tests.parity.families import assert_alike, evaluate, outcome, parameters_of, phrase_of

torch = pytest.importorskip("torch")

TRANSFORMS = {
    "D.ExpTransform()": "a",
    "D.SigmoidTransform()": "a",
    "D.TanhTransform()": "a",
    "D.SoftplusTransform()": "a",
    "D.AbsTransform()": "a",
    "D.AffineTransform(0.5, -2.0)": "a",
    "D.AffineTransform(a, b)": "P",
    "D.AffineTransform(0.5, b, event_dim=1)": "P",
    "D.PowerTransform(a)": "b",
    "D.CumulativeDistributionTransform(D.Normal(a, b))": "c",
    "D.SoftmaxTransform()": "P",
    "D.StickBreakingTransform()": "P",
    "D.CorrCholeskyTransform()": "T.stack([a, b])",
    "D.LowerCholeskyTransform()": "S",
    "D.PositiveDefiniteTransform()": "S",
    "D.ReshapeTransform((3,), (3, 1))": "P",
    "D.IndependentTransform(D.ExpTransform(), 1)": "P",
    "D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.ExpTransform()])": "a",
    "D.ComposeTransform([D.ExpTransform(), D.StickBreakingTransform()])": "P",
    "D.ComposeTransform([D.StickBreakingTransform(), D.AffineTransform(1.0, 2.0)])": "P",
    "D.StackTransform([D.ExpTransform(), D.TanhTransform()])": "P",
    "D.CatTransform([D.ExpTransform(), D.TanhTransform()], 1, [1, 2])": "P",
    "D.ExpTransform().inv": "a",
    "D.ExpTransform(cache_size=1)": "a",
    "D.identity_transform": "a",
}  # fmt: skip
METHODS = """
t(x) | t.inv(t(x)) | t.log_abs_det_jacobian(x, t(x)) | t.inv.log_abs_det_jacobian(t(x), x) | t.sign | t.bijective
t.domain | t.codomain | t.domain.event_dim | t.codomain.event_dim | t.event_dim | t.forward_shape(x.shape) | t.inverse_shape(t(x).shape)
t.codomain.check(t(x)) | t.domain.check(x) | t.inv.inv is t | t.with_cache() | t.with_cache() == t | t == t | t.inv == t.inv | t
""".replace("\n", " | ").split(" | ")  # fmt: skip


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms(transform: str) -> None:
    made = []
    for library in (lampas, torch):
        parameters = parameters_of(library)
        parameters["x"] = evaluate(library, TRANSFORMS[transform], parameters)
        parameters["t"] = evaluate(library, transform, parameters)
        found = [
            outcome(lambda e=e, lib=library, names=parameters: evaluate(lib, e, names))
            for e in METHODS
            if e.strip()
        ]
        made.append(found)
    for method, ours, theirs in zip([e for e in METHODS if e.strip()], *made, strict=True):
        assert_alike(ours, theirs, 1e-9, method)


CONSTRAINTS = """
C.boolean | C.one_hot | C.nonnegative_integer | C.positive_integer | C.integer_interval(-1, 2) | C.real | C.real_vector | C.positive
C.nonnegative | C.greater_than(0.5) | C.greater_than_eq(T.tensor(0.5)) | C.less_than(0.5) | C.unit_interval | C.interval(-0.5, 1.5)
C.half_open_interval(0.0, 1.0) | C.simplex | C.multinomial(3) | C.lower_triangular | C.lower_cholesky | C.corr_cholesky | C.square
C.symmetric | C.positive_semidefinite | C.positive_definite | C.cat([C.real, C.positive], 0, [1, 2]) | C.stack([C.real, C.positive, C.boolean])
C.independent(C.positive, 1) | C.MixtureSameFamilyConstraint(C.positive) | C.dependent | C.dependent_property(lambda self: 1) | D.Uniform.support
""".replace("\n", " | ").split(" | ")  # fmt: skip
CHECKED = (
    "T.tensor([[0.0, 1.0, 0.0], [1.0, 2.0, -1.0], [0.5, float('nan'), 0.5]])",
    "T.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]])",
    "T.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])",
    "T.tensor([0.25, 0.75])",
)
FACTS = "c.is_discrete | c.event_dim | D.biject_to(c) | D.transform_to(c) | C.is_dependent(c) | c"


@pytest.mark.parametrize("constraint", [each for each in CONSTRAINTS if each.strip()])
def test_constraints(constraint: str) -> None:
    questions = [f"c.check({value})" for value in CHECKED] + FACTS.split(" | ")
    made = []
    for library in (lampas, torch):
        names = {"c": evaluate(library, constraint)}
        made.append(
            [
                outcome(lambda q=q, lib=library, given=names: evaluate(lib, q, given))
                for q in questions
            ]
        )
    for question, ours, theirs in zip(questions, *made, strict=True):
        assert_alike(ours, theirs, 0, question)


@pytest.mark.parametrize("constraint", ["positive", "unit_interval", "less_than(2.0)", "simplex", "interval(-1.0, 3.0)", "corr_cholesky"])  # fmt: skip
@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_registered_transforms_map_alike(constraint: str, registry: str) -> None:
    call = f"D.{registry}(C.{constraint})(a)"
    assert_alike(evaluate(lampas, call), evaluate(torch, call))


@pytest.mark.parametrize(
    "expression",
    [
        "D.biject_to(3)",
        "D.biject_to(C.boolean)",
        "D.transform_to(C.dependent)",
        "D.biject_to.register(3, None or (lambda c: 1))",
        "D.ReshapeTransform((2,), (3,))",
        "D.ExpTransform(cache_size=2)",
        "D.AbsTransform().log_abs_det_jacobian(a, a)",
        "D.StickBreakingTransform().forward_shape(())",
        "D.CorrCholeskyTransform().forward_shape((2,))",
        "D.CorrCholeskyTransform().inverse_shape((2, 3))",
        "D.CorrCholeskyTransform()(T.zeros(2))",
        "D.IndependentTransform(D.ExpTransform(), 1)(T.tensor(1.0))",
        "D.CatTransform([D.ExpTransform()], lengths=[1, 2])",
        "D.CatTransform([1])",
        "D.StackTransform([D.ExpTransform()])(a)",
        "C.cat([C.real], lengths=[1, 2])",
        "C.independent(C.real, 1).check(T.tensor(1.0))",
        "C.dependent.check(a)",
        "C.dependent.event_dim",
        "C.dependent.is_discrete",
        "C.Constraint().check(a)",
        "D.utils.vec_to_tril_matrix(T.ones(2))",
        "D.utils.tril_matrix_to_vec(T.ones(3, 3), 3)",
        "D.utils.broadcast_all('a', 1)",
    ],
)
def test_errors(expression: str) -> None:
    with pytest.raises(Exception) as theirs:
        evaluate(torch, expression)
    with pytest.raises(theirs.type) as ours:
        evaluate(lampas, expression)
    assert phrase_of(theirs.value) in str(ours.value)


@pytest.mark.parametrize("diagonal", [-2, -1, 0, 1, 2])
def test_triangles_as_vectors(diagonal: int) -> None:
    for size in (3, 4):
        call = f"D.utils.tril_matrix_to_vec(T.arange({size * size}.0).view({size}, {size}), {diagonal})"
        ours, theirs = evaluate(lampas, call), evaluate(torch, call)
        assert_alike(ours, theirs)
        back = f"D.utils.vec_to_tril_matrix({call}, {diagonal})"
        assert_alike(evaluate(lampas, back), evaluate(torch, back))


@pytest.mark.parametrize("expression", ["D.utils.probs_to_logits(p, is_binary=True)", "D.utils.probs_to_logits(P)", "D.utils.logits_to_probs(a, is_binary=True)", "D.utils.logits_to_probs(P)", "D.utils.clamp_probs(T.tensor([0.0, 0.5, 1.0]))", "D.utils.broadcast_all(1, a)[0]", "D.utils.broadcast_all(1, 2.0)[1]"])  # fmt: skip
def test_utilities(expression: str) -> None:
    assert_alike(evaluate(lampas, expression), evaluate(torch, expression))
