"""A table of misuses: what a program may do wrong, the exception that PyTorch raises, what ours must say.

`code` runs in a function with `T` bound to the library; `error` is the exception's type, and each of
`words` must be in the message (the operation, what came, what would fit).  `tests/parity` checks
the types against PyTorch itself.
"""

from typing import NamedTuple


class Misuse(NamedTuple):
    """One wrong program."""

    name: str
    code: str
    error: type[Exception]
    words: tuple[str, ...]


# fmt: off
MISUSES = [
    # Shapes
    Misuse("add shapes", "T.zeros(2, 3) + T.zeros(4)", RuntimeError, ("size of tensor a (3)", "tensor b (4)", "dimension 1")),
    Misuse("relu of bools", "T.relu(T.tensor([True]))", RuntimeError, ("Boolean inputs not supported for relu",)),
    Misuse("mm shapes", "T.mm(T.zeros(2, 3), T.zeros(4, 5))", RuntimeError, ("mat1 and mat2 shapes cannot be multiplied", "2x3", "4x5")),
    Misuse("mm rank", "T.mm(T.zeros(2), T.zeros(2, 2))", RuntimeError, ("matrix",)),
    Misuse("bmm batch", "T.bmm(T.zeros(2, 3, 4), T.zeros(3, 4, 5))", RuntimeError, ("batch",)),
    Misuse("matmul inner", "T.zeros(5, 2, 3) @ T.zeros(4, 2)", RuntimeError, ("mat1 and mat2 shapes cannot be multiplied", "10x3", "4x2")),
    Misuse("dot sizes", "T.dot(T.zeros(3), T.zeros(4))", RuntimeError, ("3", "4")),
    Misuse("view size", "T.zeros(2, 3).view(4, 2)", RuntimeError, ("shape '[4, 2]' is invalid for input of size 6",)),
    Misuse("view stride", "T.zeros(2, 3).t().view(6)", RuntimeError, ("view size is not compatible", "reshape")),
    Misuse("reshape two unknown", "T.zeros(4).reshape(-1, -1)", RuntimeError, ("only one dimension can be inferred",)),
    Misuse("reshape indivisible", "T.zeros(5).reshape(2, -1)", RuntimeError, ("invalid for input of size 5",)),
    Misuse("expand", "T.zeros(2, 3).expand(2, 4)", RuntimeError, ("expanded size", "4", "3")),
    Misuse("expand fewer", "T.zeros(2, 3).expand(3)", RuntimeError, ("expand",)),
    Misuse("cat sizes", "T.cat([T.zeros(2, 3), T.zeros(2, 4)])", RuntimeError, ("Sizes of tensors must match", "3", "4")),
    Misuse("cat ranks", "T.cat([T.zeros(2, 3), T.zeros(2)])", RuntimeError, ("same number of dimensions",)),
    Misuse("cat empty list", "T.cat([])", (RuntimeError, ValueError), ("non-empty",)),
    Misuse("cat zero-dim", "T.cat([T.tensor(1.0)])", RuntimeError, ("zero-dimensional",)),
    Misuse("cat non-tensor", "T.cat([T.zeros(2), 3])", TypeError, ("Tensor", "int")),
    Misuse("stack sizes", "T.stack([T.zeros(2), T.zeros(3)])", RuntimeError, ("equal size", "[2]", "[3]")),
    Misuse("split sizes", "T.zeros(5).split([2, 2])", RuntimeError, ("sum exactly to 5",)),
    Misuse("chunk zero", "T.zeros(5).chunk(0)", RuntimeError, ("greater than 0",)),
    Misuse("permute count", "T.zeros(2, 3).permute(0)", RuntimeError, ("number of dimensions",)),
    Misuse("permute repeated", "T.zeros(2, 3).permute(0, 0)", RuntimeError, ("duplicate dims",)),
    Misuse("t of 3-d", "T.zeros(2, 3, 4).t()", RuntimeError, ("<= 2 dimensions", "3D")),
    Misuse("where shapes", "T.where(T.zeros(2) > 0, T.zeros(3), T.zeros(3))", RuntimeError, ("size of tensor",)),
    Misuse("negative size", "T.zeros(-1)", RuntimeError, ("negative dimension",)),
    Misuse("ragged list", "T.tensor([[1, 2], [3]])", ValueError, ("expected sequence of length 2 at dim 1 (got 1)",)),
    Misuse("gather rank", "T.zeros(2, 3).gather(0, T.zeros(2, dtype=T.int64))", RuntimeError, ("gather", "dimensions")),
    Misuse("in-place shape", "T.zeros(3).add_(T.zeros(2, 3))", RuntimeError, ("output with shape [3] doesn't match the broadcast shape [2, 3]",)),
    Misuse("copy_ shape", "T.zeros(3).copy_(T.zeros(4))", RuntimeError, ("3", "4")),
    # Dimensions and indices
    Misuse("sum dim", "T.zeros(2, 3).sum(2)", IndexError, ("Dimension out of range", "[-2, 1]", "2")),
    Misuse("transpose dim", "T.zeros(2, 3).transpose(0, 5)", IndexError, ("Dimension out of range", "5")),
    Misuse("squeeze dim", "T.zeros(2).squeeze(3)", IndexError, ("Dimension out of range",)),
    Misuse("softmax dim", "T.softmax(T.zeros(2), dim=1)", IndexError, ("Dimension out of range",)),
    Misuse("index str", "T.zeros(3)['a']", TypeError, ("invalid data type 'str'",)),
    Misuse("index int", "T.zeros(3)[3]", IndexError, ("index 3 is out of bounds for dimension 0 with size 3",)),
    Misuse("index tensor", "T.zeros(3)[T.tensor([5])]", IndexError, ("out of", "5", "3")),
    Misuse("too many indices", "T.zeros(3)[0, 0]", IndexError, ("too many indices for tensor of dimension 1",)),
    Misuse("index 0-d", "T.tensor(1.0)[0]", IndexError, ("0-dim tensor",)),
    Misuse("mask shape", "T.zeros(3)[T.tensor([True, False])]", IndexError, ("shape of the mask [2]", "indexed tensor [3]")),
    Misuse("index float", "T.zeros(3)[T.tensor([0.5])]", IndexError, ("tensors used as indices",)),
    Misuse("index string", "T.zeros(3)['a']", (IndexError, TypeError), ()),
    Misuse("negative step", "T.zeros(3)[::-1]", ValueError, ("step must be greater than zero",)),
    Misuse("index shapes", "T.zeros(3, 3)[T.tensor([0, 1]), T.tensor([0, 1, 2])]", IndexError, ("shape mismatch", "[2]", "[3]")),
    Misuse("setitem shape", "T.zeros(3).__setitem__(slice(None), T.zeros(4))", RuntimeError, ("4", "3")),
    Misuse("select range", "T.zeros(2, 3).select(1, 3)", IndexError, ("3", "out of range")),
    Misuse("narrow length", "T.zeros(3).narrow(0, 2, 2)", RuntimeError, ("exceeds dimension size (3)",)),
    Misuse("index_select range", "T.zeros(3).index_select(0, T.tensor([3]))", (IndexError, RuntimeError), ("out of range",)),
    Misuse("embedding range", "T.nn.functional.embedding(T.tensor([7]), T.zeros(3, 2))", IndexError, ("out of range",)),
    Misuse("nll target", "T.nn.functional.nll_loss(T.zeros(1, 3), T.tensor([4]))", IndexError, ("Target 4 is out of bounds",)),
    # Dtypes
    Misuse("mm dtypes", "T.mm(T.zeros(2, 2), T.zeros(2, 2, dtype=T.float64))", RuntimeError, ("same dtype",)),
    Misuse("int in-place float", "T.zeros(2, dtype=T.int64).add_(1.5)", RuntimeError, ("result type Float can't be cast to the desired output type Long",)),
    Misuse("int mean", "T.zeros(2, dtype=T.int64).mean()", RuntimeError, ("mean", "Long")),
    Misuse("bool minus", "T.tensor([True]) - T.tensor([True])", RuntimeError, ("bool tensor is not supported",)),
    Misuse("bool negative", "-T.tensor([True])", RuntimeError, ("bool tensor is not supported",)),
    Misuse("float bitwise", "T.zeros(2) & T.zeros(2)", RuntimeError, ("bitwise_and", "Float")),
    Misuse("float shift", "T.zeros(2) << 1", (RuntimeError, TypeError), ()),
    Misuse("int requires grad", "T.zeros(2, dtype=T.int64, requires_grad=True)", RuntimeError, ("floating point",)),
    Misuse("tensor of string", "T.tensor('a')", TypeError, ("str",)),
    Misuse("tensor of None", "T.tensor(None)", RuntimeError, ("Could not infer dtype of NoneType",)),
    Misuse("huge integer", "T.tensor(2 ** 70)", ValueError, ("Overflow",)),
    Misuse("int power", "T.tensor([2]) ** -1", RuntimeError, ("Integers to negative integer powers are not allowed",)),
    Misuse("nll target dtype", "T.nn.functional.nll_loss(T.zeros(1, 3), T.zeros(1))", RuntimeError, ("expected scalar type Long",)),
    Misuse("from_numpy list", "T.from_numpy([1, 2])", TypeError, ("expected np.ndarray (got list)",)),
    Misuse("linear dtype", "T.nn.functional.linear(T.zeros(2, 2), T.zeros(2, 2, dtype=T.float64))", RuntimeError, ("same dtype",)),
    # Numbers and truth
    Misuse("item of many", "T.zeros(2).item()", RuntimeError, ("a Tensor with 2 elements cannot be converted to Scalar",)),
    Misuse("truth of many", "bool(T.zeros(2))", RuntimeError, ("Boolean value of Tensor with more than one value is ambiguous",)),
    Misuse("len of 0-d", "len(T.tensor(1.0))", TypeError, ("len() of a 0-d tensor",)),
    Misuse("iterate 0-d", "list(T.tensor(1.0))", TypeError, ("iteration over a 0-d tensor",)),
    Misuse("float index", "[1, 2][T.tensor(0.5)]", TypeError, ("only integer tensors of a single element",)),
    Misuse("add string", "T.zeros(2) + 'a'", TypeError, ()),
    Misuse("add function string", "T.add(T.zeros(2), 'a')", TypeError, ("add()", "str")),
    Misuse("arange step", "T.arange(0, 3, 0)", RuntimeError, ("step must be nonzero",)),
    Misuse("arange sign", "T.arange(0, 3, -1)", RuntimeError, ("inconsistent with step sign",)),
    Misuse("clamp nothing", "T.clamp(T.zeros(2))", RuntimeError, ("At least one of 'min' or 'max' must not be None",)),
    Misuse("rounding mode", "T.div(T.zeros(2), 1, rounding_mode='up')", RuntimeError, ("rounding_mode", "'up'")),
    Misuse("dropout p", "T.nn.functional.dropout(T.zeros(2), p=1.5)", ValueError, ("between 0 and 1", "1.5")),
    Misuse("multinomial", "T.multinomial(T.ones(2), 3)", RuntimeError, ("without replacement",)),
    Misuse("randint bounds", "T.randint(3, 3, (2,))", RuntimeError, ("from", "to")),
    Misuse("max of nothing", "T.zeros(0).max()", RuntimeError, ("max()", "dim")),
    # Devices
    Misuse("to cuda", "T.zeros(2).to('cuda')", AssertionError, ("not compiled with CUDA",)),
    Misuse("unknown device", "T.device('moon')", RuntimeError, ("moon",)),
    Misuse("bad device index", "T.device('cuda:x')", RuntimeError, ("Invalid device string",)),
    # Integer division
    Misuse("// 0", "T.tensor([1, 2]) // T.tensor([1, 0])", RuntimeError, ("ZeroDivisionError",)),
    Misuse("% 0", "T.tensor([1, 2]) % T.tensor([1, 0])", RuntimeError, ("ZeroDivisionError",)),
    Misuse("fmod 0", "T.fmod(T.tensor([1, 2]), T.tensor([1, 0]))", RuntimeError, ("ZeroDivisionError",)),
    Misuse("div trunc 0", "T.div(T.tensor([1, 2]), T.tensor([1, 0]) * 2, rounding_mode='trunc')", RuntimeError, ("ZeroDivisionError",)),
    Misuse("number // 0", "5 // T.tensor([1, 0])", RuntimeError, ("ZeroDivisionError",)),
    Misuse("in-place // 0", "T.tensor([1, 2]).floor_divide_(T.tensor(0))", RuntimeError, ("ZeroDivisionError",)),
    # In place and autograd
    Misuse("leaf in-place", "T.zeros(2, requires_grad=True).add_(1)", RuntimeError, ("leaf Variable that requires grad", "in-place")),
    Misuse("leaf view in-place", "T.zeros(2, requires_grad=True)[0].add_(1)", RuntimeError, ("view of a leaf Variable",)),
    Misuse("expanded in-place", "T.zeros(1).expand(3).add_(1)", RuntimeError, ("single memory location", "clone()")),
    Misuse("no graph", "T.zeros(2).sum().backward()", RuntimeError, ("does not require grad and does not have a grad_fn",)),
    Misuse("non-scalar backward", "(T.zeros(2, requires_grad=True) * 2).backward()", RuntimeError, ("grad can be implicitly created only for scalar outputs",)),
    Misuse("gradient shape", "(T.zeros(2, requires_grad=True) * 2).backward(T.ones(3))", RuntimeError, ("Mismatch in shape", "[3]", "[2]")),
    Misuse("backward twice", "a = T.ones(2, requires_grad=True); b = (a * a).sum(); b.backward(); b.backward()", RuntimeError, ("backward through the graph a second time", "retain_graph=True")),
    Misuse("saved overwritten", "a = T.ones(2, requires_grad=True); b = a * 2; c = b * b; b.add_(1); c.sum().backward()", RuntimeError, ("modified by an inplace operation", "version 1", "expected version 0")),
    Misuse("saved result overwritten", "a = T.ones(2, requires_grad=True); b = a.exp(); b.add_(1); b.sum().backward()", RuntimeError, ("modified by an inplace operation", "ExpBackward0")),
    Misuse("numpy of grad", "T.zeros(2, requires_grad=True).numpy()", RuntimeError, ("Can't call numpy() on Tensor that requires grad",)),
    Misuse("deepcopy non-leaf", "import copy; copy.deepcopy(T.zeros(2, requires_grad=True) * 2)", RuntimeError, ("graph leaves",)),
    Misuse("grad unused", "a = T.ones(1, requires_grad=True); b = T.ones(1, requires_grad=True); T.autograd.grad(a.sum(), b)", RuntimeError, ("not have been used in the graph", "allow_unused=True")),
    Misuse("grad not required", "a = T.ones(1, requires_grad=True); T.autograd.grad(a.sum(), T.ones(1))", RuntimeError, ("does not require grad",)),
    Misuse("requires_grad of non-leaf", "(T.zeros(2, requires_grad=True) * 2).requires_grad = False", RuntimeError, ("leaf variables",)),
    Misuse("retain_grad", "T.zeros(2).retain_grad()", RuntimeError, ("retain_grad",)),
    Misuse("hook without grad", "T.zeros(2).register_hook(print)", RuntimeError, ("doesn't require gradient",)),
    Misuse("assigned grad shape", "a = T.zeros(2); a.grad = T.zeros(3)", RuntimeError, ("different size",)),
    Misuse("assigned grad type", "a = T.zeros(2); a.grad = 3", TypeError, ("Tensor or None", "int")),
    Misuse("out needs grad", "T.add(T.zeros(2, requires_grad=True), 1, out=T.zeros(2))", RuntimeError, ("out=", "differentiation")),
    Misuse("out dtype", "T.add(T.zeros(2), 1, out=T.zeros(2, dtype=T.int64))", RuntimeError, ("result type Float can't be cast", "Long")),
    # Modules, optimizers, data
    Misuse("linear input", "T.nn.Linear(3, 2)(T.zeros(4, 5))", RuntimeError, ("mat1 and mat2 shapes cannot be multiplied", "4x5", "3x2")),
    Misuse("conv channels", "T.nn.Conv2d(3, 4, 3)(T.zeros(1, 2, 8, 8))", RuntimeError, ("expected input", "3 channels", "2 channels")),
    Misuse("missing key", "T.nn.Linear(2, 2).load_state_dict({})", RuntimeError, ("Error(s) in loading state_dict for Linear", 'Missing key(s) in state_dict: "weight", "bias"')),
    Misuse("unexpected key", "m = T.nn.Linear(2, 2); m.load_state_dict({**m.state_dict(), 'x': T.zeros(1)})", RuntimeError, ('Unexpected key(s) in state_dict: "x"',)),
    Misuse("size mismatch", "T.nn.Linear(2, 2).load_state_dict(T.nn.Linear(3, 2).state_dict())", RuntimeError, ("size mismatch for weight", "[2, 3]", "[2, 2]")),
    Misuse("unknown attribute", "T.nn.Linear(2, 2).wieght", AttributeError, ("'Linear' object has no attribute 'wieght'",)),
    Misuse("parameter as number", "T.nn.Linear(2, 2).__setattr__('weight', 3)", TypeError, ("weight", "int")),
    Misuse("forward missing", "T.nn.Module()(1)", NotImplementedError, ("forward",)),
    Misuse("module before init", "type('M', (T.nn.Module,), {'__init__': lambda self: setattr(self, 'a', T.nn.Linear(1, 1))})()", AttributeError, ("cannot assign module before Module.__init__() call",)),
    Misuse("optimizer empty", "T.optim.SGD([], lr=0.1)", ValueError, ("optimizer got an empty parameter list",)),
    Misuse("negative lr", "T.optim.SGD([T.zeros(1)], lr=-1)", ValueError, ("Invalid learning rate: -1",)),
    Misuse("batch norm one value", "T.nn.BatchNorm1d(2)(T.zeros(1, 2))", ValueError, ("more than 1 value per channel",)),
    Misuse("batch norm rank", "T.nn.BatchNorm2d(2)(T.zeros(1, 2))", ValueError, ("expected 4D input (got 2D input)",)),
    Misuse("loader batch size", "T.utils.data.DataLoader([1], batch_size=0)", ValueError, ("positive integer",)),
    Misuse("cross entropy batch", "T.nn.functional.cross_entropy(T.zeros(2, 3), T.zeros(3, dtype=T.int64))", ValueError, ("batch_size (2)", "(3)")),
]
# fmt: on
