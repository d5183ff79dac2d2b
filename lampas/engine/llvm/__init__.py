"""From LLVM IR text to machine code: builder, targets, compiler and its cache. Knows no graphs."""
