"""The neural functions that stand at top level, with their own argument orders and defaults."""

import numpy as np
import pytest

import lampas

torch = pytest.importorskip("torch")

CALLS = {
    "T.conv2d(x[None], y[None, None], padding=1)": ((1, 4, 4), (3, 3)),
    "T.max_pool1d(x, 2)": ((2, 3, 6),),
    "T.adaptive_max_pool1d(x, 2)": ((2, 3, 5),),
    "T.batch_norm(x, None, y, None, None, True, 0.1, 1e-5, True)": ((4, 3), (3,)),
    "T.batch_norm(x, None, None, y, y * y, False, 0.1, 1e-5, True)": ((4, 3), (3,)),
    "T.instance_norm(x, y, None, None, None, True, 0.1, 1e-5, True)": ((2, 3, 4), (3,)),
    "T.layer_norm(x, (3,), y)": ((2, 3), (3,)),
    "T.group_norm(x, 1)": ((2, 3, 4),),
    "T.dropout(x, 0.5, False)": ((2, 3),),
    "T.feature_dropout(x, 0.0, True)": ((2, 3, 4),),
    "T.kl_div(x, y * y)": ((2, 3), (2, 3)),
    "T.kl_div(x, y, 1, log_target=True)": ((2, 3), (2, 3)),
    "T.binary_cross_entropy_with_logits(x, y * y, reduction=2)": ((2, 3), (2, 3)),
    "T.poisson_nll_loss(x, y * y, True, False, 1e-8, 1)": ((2, 3), (2, 3)),
    "T.hinge_embedding_loss(x, y.sign())": ((4,), (4,)),
    "T.margin_ranking_loss(x, y, y.sign(), 0.5, 1)": ((4,), (4,)),
    "T.cosine_embedding_loss(x, y, T.ones(2), 0.1, 2)": ((2, 3), (2, 3)),
    "T.triplet_margin_loss(x, y, x * y)": ((2, 3), (2, 3)),
    "T.prelu(x, y)": ((2, 3), (3,)),
    "x.prelu(y)": ((2, 3), (3,)),
    "T.selu_(x * 1)": ((2, 3),),
    "T.threshold(x, 0.1, 2.0)": ((2, 3),),
    "T.embedding_bag(x, T.tensor([0, 2, 1]), T.tensor([0, 2]), mode=1)[0]": ((4, 3),),
    "T.pdist(x)": ((4, 3),),
    "T.pixel_shuffle(x, 2)": ((4, 2, 2),),
}


@pytest.mark.parametrize("text", CALLS)
def test_calls(text):
    numbers = np.random.default_rng(len(text))
    arrays = [numbers.standard_normal(shape).astype("f4") for shape in CALLS[text]]
    made = []
    for library in (lampas, torch):
        names = {name: library.tensor(array) for name, array in zip("xy", arrays, strict=False)}
        result = eval(text, {"T": library, **names})
        made.append([part.numpy() for part in (result if isinstance(result, tuple) else (result,))])
    assert len(made[0]) == len(made[1])
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)
