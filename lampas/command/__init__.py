"""The subcommands of `lampas`, a file each."""
