"""Derivatives: of scalars, of vectors, summed up, of second order, switched off, self-written."""

import torch

print("A scalar: the gradient of x² + 3x at 2 is 2x + 3 = 7")
x = torch.tensor(2.0, requires_grad=True)
y = x**2 + 3 * x
y.backward()
print("  x.grad =", x.grad.item(), " y was made by", y.grad_fn.name())

print("A vector needs weights for its parts: a vector-Jacobian product")
v = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
(v**3).backward(torch.tensor([1.0, 0.0, 0.5]))
print("  v.grad =", v.grad)

print("Gradients are added up until they are cleared")
for _ in range(2):
    (v * 2).sum().backward()
print("  after two more walks:", v.grad)
v.grad = None
(v * 2).sum().backward()
print("  cleared first:", v.grad)

print("Second derivatives: x⁴ has 12x²")
x = torch.tensor(1.5, requires_grad=True)
(first,) = torch.autograd.grad(x**4, x, create_graph=True)
(second,) = torch.autograd.grad(first, x)
print("  ", first.item(), second.item(), "expected", 12 * 1.5**2)

print("Nothing is recorded without need")
with torch.no_grad():
    print("  in no_grad:", (x * 2).requires_grad, " detached:", (x * 2).detach().requires_grad)


class SafeRoot(torch.autograd.Function):
    """A square root whose slope stays finite at zero."""

    @staticmethod
    def forward(ctx, value):
        root = value.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx, gradient):
        (root,) = ctx.saved_tensors
        return gradient / (2 * root.clamp(min=1e-3))


print("An operation with a derivative of our own")
values = torch.tensor([0.0, 4.0], requires_grad=True)
SafeRoot.apply(values).sum().backward()
print("  gradient:", values.grad)

print("A Jacobian matrix, row by row")
print(torch.autograd.functional.jacobian(lambda p: torch.stack([p[0] * p[1], p[0] + p[1]]), v[:2]))
