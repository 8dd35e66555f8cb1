"""Runners that do one job with one package, each in a process of its own: `PYTHON -m eval.speed.peers.NAME FOLDER`.

They share only `common.py`, so that a peer's own environment, without llmattr, can run them.
"""
