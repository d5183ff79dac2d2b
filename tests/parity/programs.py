"""Small programs whose printed output must be PyTorch's, character for character.  `T` is the library."""

# fmt: off
PROGRAMS = {
"repr": """
a = T.tensor([[1.5, -2.0], [3.25, 4.0]], requires_grad=True)
print(a, a.t(), a[0], (a * 2), (a * 2).sum(), a.mean(), a.exp(), a + 1, a - 1, a / 2, -a, a @ a, a.view(4), a.reshape(-1, 1))
print(T.tensor([1, 2, 3]), T.tensor(True), T.tensor([1 + 2j]), T.zeros(0, 3), T.tensor(3.0, dtype=T.float64), T.arange(2000))
print(a.detach(), a.clone(), a.unsqueeze(0), a.squeeze(), a.permute(1, 0), a.expand(2, 2, 2), a.flatten(), a.select(0, 1), a.narrow(0, 0, 1))
print(T.Size([2, 3]), a.shape, a.size(), a.size(0), a.stride(), a.dtype, a.device, T.device('cpu'), T.float32, type(a))
""",
"grad names": """
a = T.tensor([0.5, 0.25], requires_grad=True); b = T.tensor([2.0, 3.0], requires_grad=True)
for f in ('a + b', 'a - b', 'a * b', 'a / b', 'a ** 2', 'a ** b', '2 ** a', 'a.exp()', 'a.log()', 'a.sqrt()', 'a.abs()', 'a.sin()', 'a.tanh()', 'a.sigmoid()', 'a.relu()', 'a.clamp(0, 1)', 'a.max()', 'a.min()', 'a.max(0).values', 'a.sum()', 'a.sum(0)', 'a.mean()', 'a.mean(0)', 'a.prod()', 'a.std()', 'a.var()', 'a.norm()', 'T.cat([a, b])', 'T.stack([a, b])', 'a[0]', 'a[:1]', 'a[None]', 'a[[0, 1]]', 'a.unbind()[1]', 'a.split(1)[0]', 'T.dot(a, b)', 'T.outer(a, b)', 'a.softmax(0)', 'a.log_softmax(0)', 'a.cumsum(0)', 'a.sort().values', 'a.clone()', 'a.to(T.float64)', 'a.neg()', 'a.reciprocal()', 'a.rsqrt()', 'a.square()', 'T.where(a > 0, a, b)', 'T.maximum(a, b)', 'a.lerp(b, 0.5)', 'a.gather(0, T.tensor([1]))', 'a.masked_fill(a > 1, 0.0)', 'a.repeat(2)', 'a.roll(1)', 'a.flip(0)', 'a.logsumexp(0)', 'a.index_select(0, T.tensor([0]))', 'a.diag()', 'a.view(2, 1).matmul(b.view(1, 2))'):
    r = eval(f)
    print(f, r.grad_fn.name())
""",
"views share": """
x = T.arange(12.).view(3, 4); y = x.t(); z = y[1]; w = x[:, ::2]
z.add_(100); print(x, y, w)
w.zero_(); print(x, z)
x.view(-1)[5] = -1; print(y)
print(x._version, z.storage_offset(), w.stride(), y.is_contiguous(), y.contiguous().stride(), x.diagonal(), x.unfold(1, 2, 2))
d = x.diagonal(); d.fill_(7); print(x)
e = T.as_strided(x, (2, 2), (1, 4), 1); e.mul_(2); print(x)
a, b, c = x.unbind(0); b.copy_(a); print(x)
print(x.data_ptr() == x.view(-1).data_ptr(), x[1].data_ptr() - x.data_ptr(), y.storage_offset())
""",
"views autograd": """
a = T.ones(4, requires_grad=True); b = a * 1; v = b[1:3]; v.mul_(3); print(b, v.grad_fn.name(), b.grad_fn.name())
(b * T.tensor([1., 2., 3., 4.])).sum().backward(); print(a.grad)
a = T.ones(2, 2, requires_grad=True); b = a.clone(); b[0] = 5; b.t()[1] *= 2; b.sum().backward(); print(b, a.grad)
a = T.ones(3, requires_grad=True); b = a.clone(); c = b.view(3, 1); b.add_(1); c.mul_(2); (b ** 2).sum().backward(); print(a.grad)
x = T.zeros(3); w = T.ones(1, requires_grad=True); x[1] = w * 2; print(x); x.sum().backward(); print(w.grad)
a = T.ones(3, requires_grad=True); b = a * 2; b.data.mul_(10); print(b); b.sum().backward(); print(a.grad)
with T.no_grad():
    a.add_(1)
print(a, a.is_leaf, a._version)
""",
"accumulate": """
w = T.tensor([1., 2.], requires_grad=True)
for i in range(3):
    (w * w).sum().backward(); print(w.grad)
g = w.grad; w.grad.zero_(); print(g); w.grad = None; (w * 3).sum().backward(); print(w.grad, g, w.grad.requires_grad)
y = (w ** 3).sum(); (g1,) = T.autograd.grad(y, w, create_graph=True); print(g1.detach()); (g2,) = T.autograd.grad(g1.sum(), w); print(g2)
z = w * 2; z.retain_grad(); z.sum().backward(); print(z.grad, w.grad, z.retains_grad)
a = T.ones(2, requires_grad=True); b = T.ones(2, requires_grad=True); (a * b).sum().backward(inputs=[a]); print(a.grad, b.grad)
print(T.autograd.grad((a * b).sum(), [a, b], allow_unused=True))
out = a * 2; out.backward(T.tensor([1., 10.])); print(a.grad)
""",
"in place": """
F = T.nn.functional
for f in (lambda x: F.leaky_relu_(x, 0.2), lambda x: x.exp_(), lambda x: x.mul_(x.detach() + 1), lambda x: x.sigmoid_(), lambda x: F.elu_(x), lambda x: x.clamp_(0, 1), lambda x: x.pow_(2), lambda x: x.mul_(3).add_(1), lambda x: F.relu_(x), lambda x: F.dropout(x, 0.0, inplace=True), lambda x: x.masked_fill_(x > 0, 2.0), lambda x: x.div_(2)):
    a = T.tensor([-1.0, 0.5, 2.0], requires_grad=True); b = f(a * 1); b.sum().backward(); print(b.detach(), a.grad)
a = T.tensor([1.0, 2.0], requires_grad=True); w = T.tensor([3.0, 4.0], requires_grad=True); b = (a * 1).mul_(w); b.sum().backward(); print(a.grad, w.grad)
b = (a * 1).exp_(); b.add_(1)
try: b.sum().backward()
except RuntimeError as error: print('modified' in str(error))
""",
"hooks": """
a = T.tensor([1., 2.], requires_grad=True)
h = a.register_hook(lambda g: g * 10); b = a * 3
b.register_hook(lambda g: print('b', g)); b.sum().backward(); print(a.grad); h.remove(); a.grad = None; (a * 3).sum().backward(); print(a.grad)
n = (a * 2).exp(); n.grad_fn.register_hook(lambda gi, go: print('exp', gi, go)); n.sum().backward()
a.register_post_accumulate_grad_hook(lambda t: print('done', t.grad)); (a * 2).sum().backward()
print(n.grad_fn.next_functions[0][0].name(), (a * 2).grad_fn.next_functions[0][0].name())
""",
"modes": """
w = T.ones(2, requires_grad=True)
with T.no_grad():
    print((w * 2).requires_grad, T.is_grad_enabled())
    with T.enable_grad():
        print((w * 2).requires_grad)
@T.no_grad()
def f(x): return x * 2
print(f(w).requires_grad, (w * 2).requires_grad)
with T.inference_mode():
    print((w * 2).requires_grad, T.is_inference_mode_enabled())
T.set_grad_enabled(False); print((w * 2).requires_grad); T.set_grad_enabled(True)
with T.set_grad_enabled(False): print((w * 2).requires_grad)
print((w * 2).detach().requires_grad, w.detach().is_leaf, (w * 2).is_leaf)
""",
"function": """
class Cube(T.autograd.Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.save_for_backward(x); ctx.k = k; print(ctx.needs_input_grad)
        return x ** 3 * k
    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return g * 3 * x ** 2 * ctx.k, None
x = T.tensor([1., 2.], requires_grad=True)
y = Cube.apply(x, 2); print(y.grad_fn.name()); y.sum().backward(); print(x.grad)
g, = T.autograd.grad(Cube.apply(x, 1).sum(), x, create_graph=True); print(T.autograd.grad(g.sum(), x))
class Two(T.autograd.Function):
    @staticmethod
    def forward(ctx, a, b): ctx.mark_non_differentiable(m := a > b); return a + b, m
    @staticmethod
    def backward(ctx, g, gm): return g, g * 2
a = T.ones(2, requires_grad=True); b = T.zeros(2, requires_grad=True); s, m = Two.apply(a, b); print(s.requires_grad, m.requires_grad); s.sum().backward(); print(a.grad, b.grad)
class Inplace(T.autograd.Function):
    @staticmethod
    def forward(ctx, x): ctx.mark_dirty(x); return x.mul_(2)
    @staticmethod
    def backward(ctx, g): return g * 2
c = T.ones(2, requires_grad=True) * 1; d = Inplace.apply(c); print(d is c, c); d.sum().backward()
""",
"promotion": """
kinds = [T.uint8, T.int8, T.int16, T.int32, T.int64, T.float16, T.bfloat16, T.float32, T.float64, T.complex64, T.complex128, T.bool]
for a in kinds:
    print(a, [str((T.ones(1, dtype=a) + T.ones(1, dtype=b)).dtype) for b in kinds], (T.ones(1, dtype=a) * 2).dtype, (T.ones(1, dtype=a) * 2.5).dtype, (T.ones(1, dtype=a) * T.tensor(1.5)).dtype, (T.ones(1, dtype=a) * T.tensor(1.5, dtype=T.float64)).dtype, (T.ones(1, dtype=a) / 2).dtype)
print(T.tensor([1, 2]) / 2, T.tensor([7, -7]) // 2, T.tensor([7, -7]) % 3, T.tensor([7., -7.]) // 2, 2 - T.tensor([1]), 2 ** T.tensor([3]), 1 / T.tensor([4.]))
print(T.result_type(T.tensor([1]), 1.0), T.promote_types(T.int32, T.float16), T.can_cast(T.float32, T.int32))
""",
"indexing": """
x = T.arange(24).view(2, 3, 4)
for k in ('0', '-1', '0, 1', '0, 1, 2', ':, 1', '..., 0', 'None, 0', ':, None', '0, ..., 1', ':, 1:', ':, ::2', '[0, 1]', '[0, 1], [1, 2]', ':, [0, 2]', '[0], :, [1]', ':, [[0, 1], [1, 2]]', 'x > 10', 'x[:, :, 0] > 3', ':, T.tensor([True, False, True])', 'T.tensor(1)', 'T.tensor([1, 0]), T.tensor([0, 2])', 'slice(0, 1)', 'True', 'False', '1:1', ':, -2:', '[[0], [1]], [0, 1]', '0, [1, 2], None', '..., [0, 3]', 'T.tensor([[0, 1]])', '[1], 1:, [0, 1]'):
    r = eval(f'x[{k}]'); print(k, r.shape, r.reshape(-1)[:6])
y = x.clone(); y[0] = 1; y[:, 1] = T.arange(4); y[y > 15] = 0; y[[0, 1], [0, 1]] = -1; y[..., 0] += 5; y[1, 2, 3] = 9; print(y)
y[T.tensor([True, False])] = 3; print(y); y[:, [0, 2]] = T.zeros(4, dtype=T.int64); print(y)
z = T.zeros(4); z[[1, 1, 2]] += 1; print(z); z.index_put_((T.tensor([1, 1, 2]),), T.ones(3), accumulate=True); print(z)
w = T.arange(3., requires_grad=True); (w[[0, 0, 2]] * T.tensor([1., 2., 3.])).sum().backward(); print(w.grad)
""",
"numpy": """
import numpy as np
a = np.arange(6.).reshape(2, 3); t = T.from_numpy(a); t.add_(1); print(a); a[0, 0] = 50; print(t)
b = t.numpy(); b[1] = 0; print(t, t.dtype); u = t[0].numpy(); u[:] = 3; print(t)
print(np.sin(T.zeros(2)), np.add(T.ones(2), 1), T.ones(2) + np.ones(2), np.asarray(T.ones(2)), np.array(T.tensor([1, 2])), T.tensor(np.float32(2)), T.tensor(np.array([1, 2], dtype=np.int32)), T.as_tensor(a).dtype)
print(T.tensor([np.float64(1.0)]).dtype, T.tensor([np.array([1, 2]), np.array([3, 4])]), np.float32(2) * T.ones(2))
v = T.from_numpy(np.arange(10)[::2]); print(v, v.stride()); print(T.from_dlpack(np.arange(3)), np.from_dlpack(T.arange(3)))
c = T.ones(3); d = c.numpy(); c.mul_(2); print(d); c = c * 2; print(d); print(T.ones(2).tolist(), T.tensor(3).item(), T.tensor([[1.5]]).tolist(), float(T.tensor(2.5)), int(T.tensor(2.7)), bool(T.tensor(0)))
print(f'{T.tensor(1.23456):.2f}', f'{T.tensor(3)}', [1, 2, 3][T.tensor(1)], range(T.tensor(3)))
""",
"copies": """
import copy, pickle
a = T.tensor([1., 2.], requires_grad=True); b = copy.deepcopy(a); print(b, b is a); c = pickle.loads(pickle.dumps(a)); print(c)
x = T.zeros(2); y = x; z = x.clone(); x.add_(1); print(y, z); d = {x: 1}; print(d[x], x in [x], x == x, hash(x) == hash(x))
l = [x, x.view(2)]; m = copy.deepcopy(l); m[0].add_(5); print(m, l); e = a.detach(); e.mul_(3); print(a)
print(T.zeros_like(a), T.ones_like(a, dtype=T.int64), T.full_like(a, 7.), a.new_zeros(2, 2), a.new_tensor([1]), T.empty(2, 0).shape, T.full((2,), 3), T.full((2,), True), T.eye(2), T.linspace(0, 1, 5), T.arange(0, 1, 0.25), T.arange(3.), T.logspace(0, 2, 3))
x = T.randn(3, 4); print(x.t().is_contiguous(), x.to(T.float32) is x, x.contiguous() is x, x.float() is x)
""",
"shapes": """
x = T.arange(24.).view(2, 3, 4)
print(x.permute(2, 0, 1).shape, x.transpose(0, 2).shape, x.flatten(1).shape, x.unflatten(2, (2, 2)).shape, x.unsqueeze(-1).shape, x[:, :1].squeeze(1).shape, x.movedim(0, 2).shape, x.mT.shape, x.T.shape if False else '', x.chunk(2, 2)[1].shape, [s.shape for s in x.split([1, 2], 1)], x.repeat(2, 1, 1).shape, x.tile(2).shape, x.expand(5, 2, 3, 4).stride(), x.swapaxes(0, 1).shape, x.ravel().shape, x.view(6, -1).shape, T.atleast_2d(T.tensor(1.)).shape, x.sum((0, 2)).shape, x.sum(1, keepdim=True).shape, x.mean(-1), x.argmax(1), x.max(2).indices, x.cumsum(2)[0, 0], x.any(), x.all(1), x.numel(), x.ndim, x.nbytes, x.element_size())
print(T.cat([x, x], 1).shape, T.stack([x, x], 1).shape, T.hstack([T.zeros(2), T.ones(1)]), T.vstack([T.zeros(2), T.ones(2)]), T.meshgrid(T.arange(2), T.arange(3), indexing='ij')[0], T.broadcast_tensors(T.zeros(2, 1), T.zeros(3))[0].shape, T.tril(T.ones(3, 3)), T.einsum('ij,jk->ik', T.ones(2, 3), T.ones(3, 2)))
""",
"functional": """
from importlib import import_module
F = import_module(T.autograd.__name__ + '.functional')
f = lambda x: (x ** 2).sum(); x = T.tensor([1., 2.])
print(F.jacobian(lambda x: x ** 2, x), F.hessian(f, x), F.vjp(f, x), F.jvp(lambda x: x ** 3, x, T.ones(2)), F.hvp(f, x, T.ones(2)), F.vhp(f, x, T.ones(2)))
d = x.double().requires_grad_(); print(T.autograd.gradcheck(lambda a: (a.sin() * a).sum(), d), T.autograd.gradgradcheck(lambda a: a.exp() * a, d))
""",
"printoptions": """
T.set_printoptions(precision=2, sci_mode=True); print(T.tensor([1.2345, 100.])); T.set_printoptions(profile='default')
T.set_printoptions(threshold=5, edgeitems=1, linewidth=40); print(T.arange(100.).view(10, 10)); T.set_printoptions(profile='default')
print(T.tensor([1e-8, 1.0]), T.tensor([1e10, 1.0]), T.tensor([float('nan'), float('inf'), -1.5]), T.tensor([0.1, 1000.0]), T.rand(3, 3).shape, T.tensor([[True, False]]), T.tensor([1.0, 2.0], dtype=T.bfloat16), T.tensor([], dtype=T.int32), T.zeros(2, 0, 3))
""",
"random": """
T.manual_seed(0); print(T.rand(3), T.randn(2, 3), T.randint(0, 10, (4,)), T.randperm(5), T.zeros(3).normal_(), T.zeros(3).uniform_(-1, 1), T.bernoulli(T.full((4,), 0.5)), T.multinomial(T.tensor([1., 2., 3.]), 2), T.randn(20)[-3:], T.normal(0., 1., (2,)))
g = T.Generator().manual_seed(5); print(T.rand(2, generator=g), g.initial_seed(), T.initial_seed()); s = T.get_rng_state(); a = T.rand(2); T.set_rng_state(s); print(T.equal(a, T.rand(2)))
""",
"training": """
T.manual_seed(0)
m = T.nn.Sequential(T.nn.Linear(4, 8), T.nn.ReLU(), T.nn.Linear(8, 3)); o = T.optim.SGD(m.parameters(), lr=0.1, momentum=0.9); x = T.randn(16, 4); y = T.randint(0, 3, (16,))
print(m, o)
for i in range(5):
    o.zero_grad(); l = T.nn.functional.cross_entropy(m(x), y); l.backward(); o.step(); print(f'{l.item():.5f}')
print([tuple(p.shape) for p in m.parameters()], list(m.state_dict()), l)
""",
}
# fmt: on
