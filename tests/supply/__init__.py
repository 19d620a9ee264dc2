"""What is installed to run and build the project: pinned, hashed, licensed, and known to be sound.

``python -m tests.supply`` judges the locks against ``allowed.toml``; no network is needed but for
known vulnerabilities, which are looked up where the package index tells of them.
"""
