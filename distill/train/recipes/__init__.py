"""Recipes: how a generative student is trained, in straight-line code. Needs the extra [train].

Read ``run.py`` first: it is a training run from top to bottom.

| module | what |
|---|---|
| ``recipe`` | the frozen description of a run, with each recipe's defaults |
| ``base`` | base weights from a path, a hub or a package, pinned by digest |
| ``encode`` | examples → token ids, answers apart from prompts |
| ``preflight`` | what must hold before any compute |
| ``batch`` | token ids → tensors, and the student's logits on the answers |
| ``teachers`` | teachers that score tokens: in process, or behind vLLM |
| ``steps`` | the loss of each recipe on one batch |
| ``loop`` | optimiser, checkpoints, curve: killed and resumed it ends as if it had not been |
| ``adapter`` | the result: a peft folder with manifest and digest |
"""
