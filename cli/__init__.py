"""The `freshet` command: one file a command, thin. The only package that may import all the others."""

import os

# NumPy's products here are done before a second thread has woken up: with two threads a replica that answered 40
# requests a second used 1.2 cores. Read when NumPy is loaded, so it is said before anything else. Torch's own stay.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
