"""The functions, layers and losses that `functions.py` times one by one: a name and an expression a line.

Forward expressions see the library `t`, its functions `F`, and of 512 × 1024: numbers `x`, positive numbers `y`, columns `i`
(int64), sorted rows `s`.  Training expressions give a layer (or a function) and what it is called with, from `leaf(*shape)`.
"""

from __future__ import annotations

UNARY = """abs neg exp log sqrt rsqrt sin cos tan tanh sigmoid erf erfc erfinv expm1 log1p log2 log10 exp2 ceil floor round
trunc frac sign reciprocal square asin acos atan sinh cosh asinh acosh atanh lgamma digamma isnan isfinite logit""".split()
BINARY = """add sub mul div pow maximum minimum fmod remainder atan2 hypot eq lt logaddexp floor_divide copysign""".split()
ALONG = """sum mean prod amax amin argmax std var logsumexp cumsum cumprod softmax log_softmax median sort argsort
count_nonzero logcumsumexp nansum mode diff""".split()
WHOLE = "sum mean prod max min argmax std norm median unique".split()

FORWARD = """
relu: F.relu(x)
gelu: F.gelu(x)
silu: F.silu(x)
layer_norm: F.layer_norm(x, (1024,))
batch_norm: F.batch_norm(x, None, None, training=True)
normalize: F.normalize(x)
cosine_similarity: F.cosine_similarity(x, y)
cdist: t.cdist(x[:, :64], y[:, :64])
pdist: F.pdist(x[:256, :64])
cross_entropy: F.cross_entropy(x, i[:, 0])
dropout: F.dropout(x, 0.5)
randn: t.randn(512, 1024)
rand: t.rand(512, 1024)
randint: t.randint(0, 10, (512, 1024))
randperm: t.randperm(524288)
multinomial: t.multinomial(y, 5)
topk 5: x.topk(5)[0]
topk 5 of columns: x.topk(5, 0)[0]
topk 100: x.topk(100)[0]
sort of all: x.view(-1).sort()[0]
kthvalue: x.kthvalue(5)[0]
quantile: t.quantile(x, 0.3, dim=1)
searchsorted: t.searchsorted(s, x)
bucketize: t.bucketize(x, s[0, :100].contiguous())
histc: t.histc(x, 50)
bincount: t.bincount(i.view(-1))
unique of integers: t.unique(i)
isin: t.isin(i, i[0, :10])
nonzero: (x > 1).nonzero()
x[x > 1]: x[x > 1]
masked_fill: x.masked_fill(x > 1, 0.0)
where: t.where(x > 0, x, y)
clamp: x.clamp(-1, 1)
lerp: t.lerp(x, y, 0.3)
addcmul: t.addcmul(x, x, y)
gather: x.gather(1, i)
scatter: x.scatter(1, i, y)
scatter_add: x.scatter_add(1, i, y)
scatter_reduce: x.scatter_reduce(1, i, y, "amax")
index_select: x.index_select(0, i[0] % 512)
index_add: x.index_add(0, i[:, 0] % 512, y)
x[rows]: x[i[:, 0] % 512]
x[rows, columns]: x[i[:, 0] % 512, i[:, 1]]
embedding: F.embedding(i[:, :32] % 512, x)
one_hot: F.one_hot(i[:64], 1024)
x[0, 0] + x[1, 1]: x[0, 0] + x[1, 1]
cat: t.cat([x, y], 1)
stack: t.stack([x, y], 2)
chunk and cat: t.cat(x.chunk(4, 1))
unbind and stack: t.stack(x.unbind(0))
transposed: x.t().contiguous()
permuted: x.view(8, -1, 32, 32).permute(0, 2, 3, 1).contiguous()
flip: x.flip(1)
roll: x.roll(3, 1)
rot90: t.rot90(x)
tril: x.tril()
repeat: x.repeat(2, 2)
repeat_interleave: x.repeat_interleave(2, 1)
pad: F.pad(x, (1, 1))
pad, reflecting: F.pad(x.view(1, 1, 512, 1024), (2, 2, 2, 2), mode="reflect")
unfold: x.unfold(1, 4, 2).contiguous()
mm: x @ y.t()
mv: x @ y[0]
bmm: t.bmm(x.view(8, -1, 1024), y.view(8, -1, 1024).transpose(1, 2))
einsum: t.einsum("ij,kj->ik", x, y)
dot: t.dot(x.view(-1), y.view(-1))
inv: t.linalg.inv(x[:256, :256])
solve: t.linalg.solve(x[:256, :256], y[:256, :256])
cholesky: t.linalg.cholesky(x[:256, :256] @ x[:256, :256].t() + 256 * t.eye(256))
qr: t.linalg.qr(x[:256, :256])[0]
svd: t.linalg.svd(x[:128, :128])[1]
eigvalsh: t.linalg.eigvalsh(x[:128, :128] @ x[:128, :128].t())
det: t.linalg.det(x[:256, :256])
fft: t.fft.fft(x).real
rfft: t.fft.rfft(x).real
to float16: x.half()
to bfloat16: x.bfloat16()
to int64: x.long()
bfloat16 sum: x.bfloat16() + y.bfloat16()
int64 sum: i + i
int64 quotient: i // 7
int64 rest: i % 7
complex product: (t.complex(x, y) * t.complex(y, x)).real
accuracy: (x.argmax(1) == i[:, 0]).float().mean()
max_pool2d: F.max_pool2d(x.view(1, 8, 512, 128), 2)
adaptive_avg_pool2d: F.adaptive_avg_pool2d(x.view(1, 8, 512, 128), 7)
interpolate, bilinear: F.interpolate(x.view(1, 8, 512, 128), scale_factor=2, mode="bilinear")
interpolate, antialiased: F.interpolate(x.view(1, 8, 512, 128), size=(100, 50), mode="bilinear", antialias=True)
grid_sample: F.grid_sample(x.view(1, 8, 512, 128), s.reshape(-1)[:8192].view(1, 64, 64, 2), align_corners=False)
im2col: F.unfold(x.view(1, 8, 512, 128), 3)
pixel_shuffle: F.pixel_shuffle(x.view(1, 8, 512, 128), 2)
arange: t.arange(524288)
linspace: t.linspace(0, 1, 524288)
zeros: t.zeros(512, 1024)
eye: t.eye(1024)
"""

ACTIVATIONS = """ELU SELU CELU GELU SiLU Mish Hardswish Hardsigmoid ReLU6 LeakyReLU Softplus Softsign Tanhshrink
Hardshrink LogSigmoid Sigmoid Tanh PReLU RReLU GLU""".split()
LAYERS = """
Softmax: nn.Softmax(1), leaf(256, 512)
Linear: nn.Linear(512, 512), leaf(256, 512)
Bilinear: nn.Bilinear(64, 64, 32), leaf(128, 64), leaf(128, 64)
LayerNorm: nn.LayerNorm(512), leaf(256, 512)
RMSNorm: nn.RMSNorm(512), leaf(256, 512)
BatchNorm1d: nn.BatchNorm1d(512), leaf(256, 512)
Conv1d: nn.Conv1d(32, 64, 3, padding=1), leaf(16, 32, 256)
Conv2d: nn.Conv2d(32, 64, 3, padding=1), leaf(16, 32, 28, 28)
Conv2d 5×5: nn.Conv2d(32, 64, 5, padding=2), leaf(16, 32, 28, 28)
Conv2d 1×1: nn.Conv2d(32, 64, 1), leaf(16, 32, 28, 28)
Conv2d, stride 2: nn.Conv2d(32, 64, 3, 2, 1), leaf(16, 32, 28, 28)
Conv2d, 4 groups: nn.Conv2d(32, 64, 3, padding=1, groups=4), leaf(16, 32, 28, 28)
Conv2d, depthwise: nn.Conv2d(32, 32, 3, padding=1, groups=32), leaf(16, 32, 28, 28)
Conv2d, dilated: nn.Conv2d(32, 64, 3, padding=2, dilation=2), leaf(16, 32, 28, 28)
ConvTranspose2d: nn.ConvTranspose2d(32, 16, 4, 2, 1), leaf(16, 32, 28, 28)
Conv3d: nn.Conv3d(16, 32, 3, padding=1), leaf(4, 16, 12, 12, 12)
ConvTranspose3d: nn.ConvTranspose3d(16, 8, 2, 2), leaf(4, 16, 12, 12, 12)
MaxPool2d: nn.MaxPool2d(2), leaf(16, 32, 28, 28)
MaxPool2d 3×3: nn.MaxPool2d(3, 2, 1), leaf(16, 32, 28, 28)
AvgPool2d: nn.AvgPool2d(2), leaf(16, 32, 28, 28)
AdaptiveAvgPool2d: nn.AdaptiveAvgPool2d(1), leaf(16, 32, 28, 28)
AdaptiveMaxPool2d: nn.AdaptiveMaxPool2d(5), leaf(16, 32, 28, 28)
FractionalMaxPool2d: nn.FractionalMaxPool2d(2, output_ratio=0.5), leaf(16, 32, 28, 28)
MaxPool3d: nn.MaxPool3d(2), leaf(4, 16, 12, 12, 12)
BatchNorm2d: nn.BatchNorm2d(32), leaf(16, 32, 28, 28)
GroupNorm: nn.GroupNorm(8, 32), leaf(16, 32, 28, 28)
InstanceNorm2d: nn.InstanceNorm2d(32, affine=True), leaf(16, 32, 28, 28)
LocalResponseNorm: nn.LocalResponseNorm(5), leaf(16, 32, 28, 28)
Upsample, nearest: nn.Upsample(scale_factor=2), leaf(16, 32, 28, 28)
Upsample, bilinear: nn.Upsample(scale_factor=2, mode="bilinear"), leaf(16, 32, 28, 28)
Upsample, bicubic: nn.Upsample(scale_factor=2, mode="bicubic"), leaf(16, 32, 28, 28)
ReflectionPad2d: nn.ReflectionPad2d(2), leaf(16, 32, 28, 28)
ZeroPad2d: nn.ZeroPad2d(2), leaf(16, 32, 28, 28)
Dropout: nn.Dropout(0.5), leaf(16, 32, 28, 28)
Unfold: nn.Unfold(3), leaf(16, 32, 28, 28)
Fold: nn.Fold((28, 28), 3, padding=1), leaf(16, 72, 784)
grid_sample: lambda x: F.grid_sample(x, places(16, 14, 14, 2) * 2 - 1, align_corners=False), leaf(16, 32, 28, 28)
RNN: nn.RNN(128, 128, batch_first=True), leaf(64, 32, 128)
LSTM: nn.LSTM(128, 128, batch_first=True), leaf(64, 32, 128)
LSTM, 2 layers, both ways: nn.LSTM(128, 64, 2, batch_first=True, bidirectional=True), leaf(64, 32, 128)
GRU: nn.GRU(128, 128, batch_first=True), leaf(64, 32, 128)
LSTMCell: nn.LSTMCell(512, 256), leaf(256, 512)
GRUCell: nn.GRUCell(512, 256), leaf(256, 512)
TransformerEncoderLayer: nn.TransformerEncoderLayer(128, 8, 256, batch_first=True), leaf(64, 32, 128)
TransformerDecoderLayer: nn.TransformerDecoderLayer(128, 8, 256, batch_first=True), leaf(64, 32, 128), leaf(64, 32, 128)
attention: lambda q: F.scaled_dot_product_attention(q, q, q), leaf(16, 8, 128, 32)
attention, causal: lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), leaf(16, 8, 128, 32)
attention, dropout: lambda q: F.scaled_dot_product_attention(q, q, q, dropout_p=0.1), leaf(16, 8, 128, 32)
Embedding: lambda w: F.embedding(whole(1000, 64, 32), w), leaf(1000, 128)
EmbeddingBag: lambda w: F.embedding_bag(whole(1000, 64, 32), w), leaf(1000, 128)
EmbeddingBag, maximum: lambda w: F.embedding_bag(whole(1000, 64, 32), w, mode="max"), leaf(1000, 128)
cross_entropy: lambda x: F.cross_entropy(x, whole(512, 256)), leaf(256, 512)
cross_entropy, smoothed: lambda x: F.cross_entropy(x, whole(512, 256), label_smoothing=0.1), leaf(256, 512)
cross_entropy, 2-d: lambda x: F.cross_entropy(x, whole(32, 16, 28, 28)), leaf(16, 32, 28, 28)
binary_cross_entropy: lambda x: F.binary_cross_entropy_with_logits(x, places(256, 512)), leaf(256, 512)
mse_loss: lambda x: F.mse_loss(x, places(256, 512)), leaf(256, 512)
smooth_l1_loss: lambda x: F.smooth_l1_loss(x, places(256, 512)), leaf(256, 512)
kl_div: lambda x: F.kl_div(F.log_softmax(x, 1), places(256, 512), reduction="batchmean"), leaf(256, 512)
gaussian_nll_loss: lambda x: F.gaussian_nll_loss(x, places(256, 512), places(256, 512) + 0.1), leaf(256, 512)
multi_margin_loss: lambda x: F.multi_margin_loss(x, whole(512, 256)), leaf(256, 512)
cosine_embedding_loss: lambda a, b: F.cosine_embedding_loss(a, b, t.ones(256)), leaf(256, 512), leaf(256, 512)
triplet_margin_loss: lambda a, b: F.triplet_margin_loss(a, b, a + 1), leaf(256, 512), leaf(256, 512)
ctc_loss: lambda x: F.ctc_loss(x.log_softmax(2), 1 + whole(19, 16, 15), t.full((16,), 50), t.full((16,), 15)), leaf(50, 16, 20)
var: lambda x: x.var(1), leaf(256, 512)
logsumexp: lambda x: t.logsumexp(x, 1), leaf(256, 512)
cumsum: lambda x: x.cumsum(1), leaf(256, 512)
cumprod: lambda x: x.cumprod(1), leaf(256, 512)
prod: lambda x: x.prod(1), leaf(256, 512)
sort: lambda x: x.sort(1)[0], leaf(256, 512)
topk: lambda x: x.topk(5)[0], leaf(256, 512)
max: lambda x: x.max(1)[0], leaf(256, 512)
median: lambda x: x.median(1)[0], leaf(256, 512)
x[rows]: lambda x: x[whole(256, 256)], leaf(256, 512)
x[mask]: lambda x: x[places(256, 512) > 0.5], leaf(256, 512)
scatter_add: lambda x: t.zeros(256, 512).scatter_add(1, whole(512, 256, 8), x[:, :8]), leaf(256, 512)
index_add: lambda x: t.zeros(64, 512).index_add(0, whole(64, 256), x), leaf(256, 512)
sum of rows: lambda x: sum(x.unbind(0)), leaf(256, 512)
cat: lambda x: t.cat([x, x * 2], 1), leaf(256, 512)
x @ x.t(): lambda x: x @ x.t(), leaf(256, 512)
cdist: lambda x: t.cdist(x, x + 1), leaf(256, 512)
pdist: lambda x: F.pdist(x), leaf(256, 512)
inv: lambda x: t.linalg.inv(x[:, :256]), leaf(256, 512)
solve: lambda x: t.linalg.solve(x[:, :256], x[:, 256:]), leaf(256, 512)
cholesky: lambda x: t.linalg.cholesky(x @ x.t() + t.eye(256)), leaf(256, 512)
svdvals: lambda x: t.linalg.svdvals(x[:, :128]), leaf(256, 512)
rfft: lambda x: t.fft.rfft(x).abs(), leaf(256, 512)
"""


def lines_of(text: str) -> dict[str, str]:
    """Expressions by name."""
    pairs = [line.partition(": ") for line in text.strip().splitlines()]
    return {name: expression for name, _, expression in pairs}


def forward_cases() -> dict[str, str]:
    """What is timed without gradients."""
    cases = {name: f"t.{name}(x)" for name in UNARY}
    cases |= {name: f"t.{name}(x, y)" for name in BINARY}
    for name in ALONG:
        cases |= {f"{name}, dim {dim}": f"t.{name}(x, dim={dim})" for dim in (0, 1)}
    cases |= {f"{name} of all": f"t.{name}(x)" for name in WHOLE}
    return cases | lines_of(FORWARD)


def training_cases() -> dict[str, str]:
    """What is timed with its gradients."""
    cases = {name: f"nn.{name}(), leaf(256, 512)" for name in ACTIVATIONS}
    return cases | lines_of(LAYERS)
