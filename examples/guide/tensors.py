"""Tensors: made in several ways, viewed, combined, and shared with NumPy."""

import torch

torch.manual_seed(0)

print("Made from data, filled, drawn at random:")
table = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print(table, table.shape, table.dtype)
print(torch.zeros(2, 3, dtype=torch.long))
print(torch.rand(2, 2), torch.arange(0, 10, 3), torch.linspace(0, 1, 5))

print("\nA view shares memory with what it was made from:")
column = table[:, 1]
column.mul_(10)
print(table)
print("transposed, strides", table.t().stride(), "against", table.stride())

print("\nShapes are matched by broadcasting:")
print(torch.arange(3).reshape(3, 1) * 10 + torch.arange(4))

print("\nDtypes are promoted, and converted when asked:")
print((torch.tensor([1, 2]) + 0.5).dtype, table.to(torch.int32).dtype, (table > 3).dtype)

print("\nReduced along a dimension:")
print(table.sum(dim=0), table.mean(dim=1, keepdim=True), table.argmax().item())

print("\nNumPy sees the same memory:")
array = table.numpy()
array[0, 0] = -1
print(table[0, 0].item(), torch.from_numpy(array) is not table)

print("\nMatrix products and equations:")
square = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
right = torch.tensor([3.0, 5.0])
solution = torch.linalg.solve(square, right)
print(solution, torch.allclose(square @ solution, right))
