"""Where a training job runs: in a process of this machine, by torchrun, on a Ray cluster, or by a
command that the operator writes.

A job is a description that can be written down, ``Job``; the same description gives the same result
wherever it runs, as far as processor, library versions and number of threads are the same.
"""
