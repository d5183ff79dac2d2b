"""Distributions without PyTorch: densities beside SciPy's, identities, inverses, checks."""

import copy
import doctest
import importlib
import pickle
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from scipy import integrate, stats

import lampas
from lampas import distributions as D
from lampas.distributions import constraints

WIDE = lampas.float64
GRID = np.array([0.15, 0.4, 0.85])


def number(value: float) -> lampas.Tensor:
    return lampas.tensor(value, dtype=WIDE)


# One distribution of each family, and SciPy's with the same parameters.
CONTINUOUS = {
    "Beta": (D.Beta(number(2.0), 3.0), stats.beta(2.0, 3.0)),
    "Cauchy": (D.Cauchy(number(0.3), 1.2), stats.cauchy(0.3, 1.2)),
    "Chi2": (D.Chi2(number(3.0)), stats.chi2(3.0)),
    "Exponential": (D.Exponential(number(2.0)), stats.expon(scale=0.5)),
    "FisherSnedecor": (D.FisherSnedecor(number(3.0), 6.0), stats.f(3.0, 6.0)),
    "Gamma": (D.Gamma(number(2.5), 1.5), stats.gamma(2.5, scale=1 / 1.5)),
    "GeneralizedPareto": (D.GeneralizedPareto(number(0.1), 1.5, 0.3), stats.genpareto(0.3, 0.1, 1.5)),
    "Gumbel": (D.Gumbel(number(0.3), 1.2), stats.gumbel_r(0.3, 1.2)),
    "HalfCauchy": (D.HalfCauchy(number(1.2)), stats.halfcauchy(scale=1.2)),
    "HalfNormal": (D.HalfNormal(number(1.2)), stats.halfnorm(scale=1.2)),
    "InverseGamma": (D.InverseGamma(number(3.5), 1.5), stats.invgamma(3.5, scale=1.5)),
    "Laplace": (D.Laplace(number(0.3), 1.2), stats.laplace(0.3, 1.2)),
    "LogNormal": (D.LogNormal(number(0.3), 0.8), stats.lognorm(0.8, scale=np.exp(0.3))),
    "Normal": (D.Normal(number(0.3), 1.2), stats.norm(0.3, 1.2)),
    "Pareto": (D.Pareto(number(0.1), 3.0), stats.pareto(3.0, scale=0.1)),
    "StudentT": (D.StudentT(number(4.0), 0.3, 1.2), stats.t(4.0, 0.3, 1.2)),
    "Uniform": (D.Uniform(number(0.1), 1.2), stats.uniform(0.1, 1.1)),
    "VonMises": (D.VonMises(number(0.3), 1.2), stats.vonmises(1.2, 0.3)),
    "Weibull": (D.Weibull(number(1.2), 1.7), stats.weibull_min(1.7, scale=1.2)),
}  # fmt: skip
DISCRETE = {
    "Bernoulli": (D.Bernoulli(number(0.3)), stats.bernoulli(0.3), 1),
    "Binomial": (D.Binomial(7, number(0.3)), stats.binom(7, 0.3), 7),
    "Geometric": (D.Geometric(number(0.3)), stats.geom(0.3, loc=-1), 200),
    "NegativeBinomial": (D.NegativeBinomial(number(3.5), number(0.4)), stats.nbinom(3.5, 0.6), 200),
    "Poisson": (D.Poisson(number(2.5)), stats.poisson(2.5), 200),
}  # fmt: skip


def has(distribution: D.Distribution, fact: str) -> bool:
    try:
        found = getattr(distribution, fact)
    except NotImplementedError:
        return False
    return isinstance(found, lampas.Tensor)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_densities_and_moments(name: str) -> None:
    ours, theirs = CONTINUOUS[name]
    values = lampas.from_numpy(GRID)
    np.testing.assert_allclose(ours.log_prob(values).numpy(), theirs.logpdf(GRID), rtol=1e-9)
    if name not in ("Cauchy", "HalfCauchy", "VonMises"):
        np.testing.assert_allclose(ours.mean.item(), theirs.mean(), rtol=1e-9)
        np.testing.assert_allclose(ours.variance.item(), theirs.var(), rtol=1e-9)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_cumulative_probabilities_and_entropies(name: str) -> None:
    ours, theirs = CONTINUOUS[name]
    values = lampas.from_numpy(GRID)
    for method, wanted in (("cdf", theirs.cdf), ("icdf", theirs.ppf)):
        try:
            found = getattr(ours, method)(values)
        except NotImplementedError:
            continue
        np.testing.assert_allclose(found.numpy(), wanted(GRID), rtol=1e-9)
    if name not in ("VonMises", "FisherSnedecor"):
        np.testing.assert_allclose(ours.entropy().item(), theirs.entropy(), rtol=1e-7)


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_of_counts(name: str) -> None:
    ours, theirs, last = DISCRETE[name]
    counts = np.arange(last + 1.0)
    found = ours.log_prob(lampas.from_numpy(counts)).numpy()
    np.testing.assert_allclose(found, theirs.logpmf(counts), rtol=1e-8, atol=1e-9)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-9)
    assert ours.mean.item() == pytest.approx(theirs.mean())
    assert ours.variance.item() == pytest.approx(theirs.var())
    try:
        entropy = ours.entropy()
    except NotImplementedError:
        return
    assert entropy.item() == pytest.approx(float(theirs.entropy()), rel=1e-6)


MATRIX = np.array([[2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0]])


def test_multivariate_densities() -> None:
    place, matrix = lampas.from_numpy(GRID), lampas.from_numpy(MATRIX)
    cases = [
        (D.MultivariateNormal(place * 0, matrix), stats.multivariate_normal(np.zeros(3), MATRIX)),
        (D.MultivariateNormal(place * 0, precision_matrix=matrix), stats.multivariate_normal(np.zeros(3), np.linalg.inv(MATRIX))),
        (D.LowRankMultivariateNormal(place * 0, matrix[:, :2], place), stats.multivariate_normal(np.zeros(3), MATRIX[:, :2] @ MATRIX[:, :2].T + np.diag(GRID))),
    ]  # fmt: skip
    for ours, theirs in cases:
        assert ours.log_prob(place).item() == pytest.approx(theirs.logpdf(GRID))
        assert ours.entropy().item() == pytest.approx(theirs.entropy())
        product = (ours.covariance_matrix @ ours.precision_matrix).numpy()
        np.testing.assert_allclose(product, np.eye(3), atol=1e-12)
        factor = ours.scale_tril
        np.testing.assert_allclose((factor @ factor.mT).numpy(), ours.covariance_matrix.numpy())
    wishart = D.Wishart(number(5.0), matrix)
    theirs = stats.wishart(5, MATRIX)
    assert wishart.log_prob(matrix).item() == pytest.approx(theirs.logpdf(MATRIX))
    assert wishart.entropy().item() == pytest.approx(theirs.entropy())


def test_shares_and_counts_of_categories() -> None:
    shares = np.array([0.2, 0.5, 0.3])
    dirichlet = D.Dirichlet(lampas.from_numpy(GRID + 1))
    assert dirichlet.log_prob(lampas.from_numpy(shares)).item() == pytest.approx(stats.dirichlet(GRID + 1).logpdf(shares))  # fmt: skip
    assert dirichlet.entropy().item() == pytest.approx(stats.dirichlet(GRID + 1).entropy())
    counts = np.array([1.0, 3.0, 1.0])
    multinomial = D.Multinomial(5, lampas.from_numpy(shares))
    assert multinomial.log_prob(lampas.from_numpy(counts)).item() == pytest.approx(stats.multinomial(5, shares).logpmf(counts))  # fmt: skip
    assert multinomial.entropy().item() == pytest.approx(stats.multinomial(5, shares).entropy())
    categorical = D.Categorical(lampas.from_numpy(shares))
    assert categorical.entropy().item() == pytest.approx(stats.entropy(shares))
    assert categorical.perplexity().item() == pytest.approx(np.exp(stats.entropy(shares)))


@pytest.mark.parametrize(
    "distribution",
    [
        D.ContinuousBernoulli(number(0.3)),
        D.ContinuousBernoulli(number(0.5)),
        D.Kumaraswamy(number(2.0), number(1.5)),
        D.RelaxedBernoulli(number(2.0), number(0.3)),
        D.MixtureSameFamily(D.Categorical(number(0.4).expand(2)), D.Beta(number(2.0).expand(2), 3.0)),
        D.TransformedDistribution(D.Normal(number(0.2), 1.0), D.SigmoidTransform()),
    ],
    ids=str,
)  # fmt: skip
def test_densities_on_the_unit_interval_integrate_to_one(distribution: D.Distribution) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(80)
    places = lampas.from_numpy((nodes + 1) / 2)
    heights = distribution.log_prob(places).exp().numpy()
    assert (heights * weights).sum() / 2 == pytest.approx(1.0, abs=2e-4)
    if has(distribution, "mean"):
        moment = (heights * weights * places.numpy()).sum() / 2
        assert distribution.mean.item() == pytest.approx(moment, abs=2e-4)


def test_cholesky_factors_of_two_by_two_correlations_integrate_to_one() -> None:
    def height(x: float) -> float:
        factor = [[1.0, 0.0], [x, np.sqrt(1 - x * x)]]
        matrix = lampas.tensor(factor, dtype=WIDE)
        return D.LKJCholesky(2, number(1.5), validate_args=False).log_prob(matrix).exp().item()

    found, _ = integrate.fixed_quad(np.vectorize(height), -1, 1, n=40)
    assert found == pytest.approx(1.0, abs=1e-3)


# KL divergences -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [
    ("Normal", "Laplace"), ("Normal", "Gumbel"), ("Laplace", "Normal"), ("Gumbel", "Normal"), ("Gamma", "Exponential"),
    ("Gamma", "Gumbel"), ("Exponential", "Gamma"), ("Exponential", "Normal"), ("Beta", "Gamma"), ("Beta", "Normal"),
    ("Uniform", "Normal"), ("Uniform", "Gumbel"), ("Uniform", "Gamma"), ("Uniform", "Pareto"), ("Cauchy", "Cauchy"), ("Beta", "Beta"),
])  # fmt: skip
def test_divergences_are_integrals(first: str, second: str) -> None:
    p, theirs = CONTINUOUS[first]
    _, others = CONTINUOUS[second]
    q = CONTINUOUS[second][0]
    low, high = theirs.support()
    found = D.kl_divergence(p, q).item()
    wanted, _ = integrate.quad(
        lambda x: theirs.pdf(x) * (theirs.logpdf(x) - others.logpdf(x)),
        max(low, -60.0),
        min(high, 60.0),
        points=[max(low, -1.0), min(high, 1.0)],
        limit=200,
    )
    assert found == pytest.approx(wanted, abs=1e-6)
    assert found >= 0


def test_divergences_are_zero_only_between_equals() -> None:
    p = D.Gamma(lampas.tensor([1.0, 2.0]), 1.0)
    assert D.kl_divergence(p, p).abs().max().item() < 1e-6
    assert (D.kl_divergence(p, D.Gamma(2.5, 1.5)) > 0).all()


def test_the_closest_registered_pair_is_taken() -> None:
    class Near(D.Normal):
        pass

    class Far(D.Distribution):
        arg_constraints = {}  # noqa: RUF012

    assert D.kl_divergence(Near(0.0, 1.0), D.Normal(1.0, 1.0)).item() == pytest.approx(0.5)
    with pytest.raises(NotImplementedError, match="p type Far and q type Near"):
        D.kl_divergence(Far(), Near(0.0, 1.0))
    registry = D.kl._KL_REGISTRY
    try:
        D.register_kl(Far, D.Normal)(lambda p, q: "far")
        assert D.kl_divergence(Far(), Near(0.0, 1.0)) == "far"
        D.register_kl(Far, Near)(lambda p, q: "near")
        assert D.kl_divergence(Far(), Near(0.0, 1.0)) == "near"
        D.register_kl(Near, D.Normal)(lambda p, q: 1)
        D.register_kl(D.Normal, Near)(lambda p, q: 2)
        with pytest.warns(RuntimeWarning, match=r"Please register_kl\(Near, Near\)"):
            assert D.kl_divergence(Near(0.0, 1.0), Near(0.0, 1.0)) == 1
    finally:
        for pair in ((Far, D.Normal), (Far, Near), (Near, D.Normal), (D.Normal, Near)):
            registry.pop(pair, None)
        D.register_kl(D.Normal, D.Normal)(registry[D.Normal, D.Normal])  # forgets what was found
    with pytest.raises(TypeError, match="type_q"):
        D.register_kl(D.Normal, int)


# Transforms and constraints -----------------------------------------------------------------------

BIJECTIONS = [
    D.ExpTransform(),
    D.SigmoidTransform(),
    D.TanhTransform(),
    D.SoftplusTransform(),
    D.AffineTransform(0.5, -2.0),
    D.PowerTransform(number(2.0)),
    D.CumulativeDistributionTransform(D.Normal(0.0, 1.0)),
    D.StickBreakingTransform(),
    D.CorrCholeskyTransform(),
    D.ReshapeTransform((3,), (1, 3)),
    D.ComposeTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)]),
    D.IndependentTransform(D.ExpTransform(), 1),
    D.StackTransform([D.ExpTransform(), D.TanhTransform(), D.identity_transform]),
    D.CatTransform([D.ExpTransform(), D.TanhTransform()], 0, [1, 2]),
]


@pytest.mark.parametrize("transform", BIJECTIONS, ids=repr)
def test_transforms_invert(transform: D.Transform) -> None:
    assert transform.bijective
    x = lampas.from_numpy(GRID)
    y = transform(x)
    np.testing.assert_allclose(transform.inv(y).numpy(), GRID, rtol=1e-9)
    assert transform.codomain.check(y).all()
    assert tuple(transform.forward_shape(x.shape)) == tuple(y.shape)
    assert tuple(transform.inverse_shape(y.shape)) == tuple(x.shape)
    forward = transform.log_abs_det_jacobian(x, y)
    np.testing.assert_allclose((-forward).numpy(), transform.inv.log_abs_det_jacobian(y, x).numpy())


@pytest.mark.parametrize("transform", [t for t in BIJECTIONS[:7]], ids=repr)  # noqa: C416
def test_jacobians_are_derivatives(transform: D.Transform) -> None:
    x = lampas.from_numpy(GRID).requires_grad_()
    y = transform(x)
    (slope,) = lampas.autograd.grad(y.sum(), x)
    found = transform.log_abs_det_jacobian(x, y).detach().numpy()
    np.testing.assert_allclose(found, slope.abs().log().numpy(), rtol=1e-9, atol=1e-12)


def test_caches_keep_the_very_input() -> None:
    tanh = D.TanhTransform(cache_size=1)
    x = lampas.tensor([20.0])
    y = tanh(x)
    assert tanh(x) is y
    assert tanh.inv(y) is x
    assert not D.TanhTransform().inv(y).isfinite().any()
    assert tanh.with_cache(1) is tanh
    assert tanh.with_cache(0)._cache_size == 0
    inverse = tanh.inv.with_cache(0)
    assert inverse.inv == D.TanhTransform()


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.real,
        constraints.positive,
        constraints.nonnegative,
        constraints.greater_than(2.0),
        constraints.less_than(-1.0),
        constraints.unit_interval,
        constraints.interval(-2.0, 5.0),
        constraints.half_open_interval(0.0, 3.0),
        constraints.simplex,
        constraints.corr_cholesky,
        constraints.real_vector,
        constraints.independent(constraints.positive, 1),
        constraints.cat([constraints.positive, constraints.real], 0, [1, 2]),
        constraints.stack([constraints.positive, constraints.real, constraints.unit_interval]),
    ],
    ids=repr,
)
def test_registered_transforms_reach_their_constraint(constraint: constraints.Constraint) -> None:
    x = lampas.from_numpy(GRID - 0.5)
    for registry in (D.biject_to, D.transform_to):
        transform = registry(constraint)
        assert constraint.check(transform(x)).all()
    bijection = D.biject_to(constraint)
    np.testing.assert_allclose(bijection.inv(bijection(x)).numpy(), x.numpy(), rtol=1e-7, atol=1e-9)


def test_matrices_reach_their_constraints() -> None:
    x = lampas.from_numpy(MATRIX - 1)
    for name in ("lower_cholesky", "positive_definite", "positive_semidefinite"):
        constraint = getattr(constraints, name)
        transform = D.transform_to(constraint)
        assert constraint.check(transform(x)).all()
    assert not constraints.positive_definite.check(x)
    assert not constraints.symmetric.check(x.triu())
    assert not constraints.square.check(lampas.ones(2, 3))


# Distributions as objects -------------------------------------------------------------------------


def test_checks_can_be_turned_off() -> None:
    with pytest.raises(ValueError, match="parameter scale"):
        D.Normal(0.0, -1.0)
    assert D.Normal(0.0, -1.0, validate_args=False).log_prob(number(0.0)).isnan()
    with pytest.raises(ValueError, match="within the support"):
        D.Exponential(1.0).log_prob(number(-1.0))
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)


def test_a_family_without_constraints_or_support_warns() -> None:
    class Bare(D.Distribution):
        def log_prob(self, value: lampas.Tensor) -> lampas.Tensor:
            self._check_value(value)
            return value

    with pytest.warns(UserWarning, match="does not define `arg_constraints`"):
        bare = Bare()
    with pytest.warns(UserWarning, match="does not define `support`"):
        bare.log_prob(number(1.0))
    for call in (bare.sample, bare.entropy, lambda: bare.mean, lambda: bare.expand((2,))):
        with pytest.raises(NotImplementedError, match="does not implement"):
            call()
    with pytest.warns(FutureWarning, match="sample_n"):
        assert D.Normal(0.0, 1.0).sample_n(3).shape == (3,)


def test_parameters_are_computed_once_and_with_gradient() -> None:
    logits = lampas.tensor([0.5, -1.0], requires_grad=True)
    categorical = D.Categorical(logits=logits)
    with lampas.no_grad():
        probs = categorical.probs
    assert categorical.probs is probs
    assert probs.requires_grad
    assert "probs" in vars(categorical)
    assert isinstance(D.Categorical.probs, D.utils.lazy_property)


def test_expansion_keeps_the_class_and_the_checks() -> None:
    class Own(D.Normal):
        def __init__(self) -> None:
            super().__init__(0.0, 1.0)

    with pytest.raises(NotImplementedError, match=r"Subclass Own of Normal .* custom .expand"):
        Own().expand((2,))
    given = D.Normal.__new__(Own)
    assert D.Normal(0.0, 1.0).expand((2,), given) is given

    class Shifted(D.Normal):
        def __init__(self, loc: lampas.Tensor) -> None:
            self.shift = loc + 1
            super().__init__(loc, 1.0)

        def expand(self, batch_shape: tuple, _instance: object = None) -> D.Distribution:
            new = self._get_checked_instance(Shifted, _instance)
            new.shift = self.shift.expand(batch_shape)
            return super().expand(batch_shape, _instance=new)

    shifted = Shifted(lampas.tensor(1.0)).expand((3,))
    assert (shifted.shift.shape, shifted.loc.shape, shifted.batch_shape) == ((3,), (3,), (3,))
    expanded = D.Binomial(3, lampas.tensor(0.5), validate_args=False).expand((2, 1))
    assert not expanded._validate_args
    assert expanded.total_count.shape == (2, 1)


@pytest.mark.parametrize("name", ["Normal", "Gumbel", "Pareto", "StudentT", "HalfNormal"])
def test_distributions_are_copied_and_pickled(name: str) -> None:
    first = CONTINUOUS[name][0]
    value = number(1.5)
    for second in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert repr(second) == repr(first)
        assert second.log_prob(value).item() == first.log_prob(value).item()


def test_samples_repeat_and_differ() -> None:
    d = D.Wishart(lampas.tensor(4.0), lampas.eye(2))
    lampas.manual_seed(3)
    first = d.sample((5,))
    lampas.manual_seed(3)
    assert (d.sample((5,)) == first).all()
    assert not (d.sample((5,)) == first).all()
    assert d.support.check(first).all()


def test_wisharts_with_few_degrees_of_freedom() -> None:
    with pytest.warns(UserWarning, match="Low df values"):
        D.Wishart(1.5, lampas.eye(2))
    answers = iter([True, False, False])  # of the first draw, and of two more

    class Scripted(constraints.Constraint):
        def check(self, value: lampas.Tensor) -> lampas.Tensor:
            return lampas.full(value.shape[:-2], next(answers))

    class Singular(D.Wishart):
        support = Scripted()

    singular = Singular(3.0, lampas.eye(2))
    with pytest.warns(UserWarning, match="Singular sample"):
        singular.rsample(max_try_correction=2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_types(dtype: str) -> None:
    kind = getattr(lampas, dtype)
    d = D.Normal(lampas.zeros(2, dtype=kind), lampas.ones(2, dtype=kind))
    assert d.sample().dtype is kind
    assert d.log_prob(d.rsample()).dtype is kind


def test_the_package_is_imported_when_it_is_read() -> None:
    code = (
        "import sys, lampas\n"
        "assert 'lampas.distributions' not in sys.modules\n"
        "lampas.install_alias()\n"
        "from torch.distributions.studentT import StudentT\n"
        "import torch.distributions as D\n"
        "assert D is lampas.distributions and D.StudentT is StudentT\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_examples_in_docstrings_run() -> None:
    tried = 0
    for module in pkgutil.iter_modules(D.__path__, "lampas.distributions."):
        failed, count = doctest.testmod(importlib.import_module(module.name))
        assert not failed, module.name
        tried += count
    assert tried > 60
