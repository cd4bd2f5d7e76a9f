"""The `freshet` command: one file a command, thin. The only package that may import all the others."""
