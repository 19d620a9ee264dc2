"""Losses of distillation: pure functions of tensors, and a composition read from configuration.

| module | what |
|---|---|
| ``buckets`` | logits → log-probabilities to compare: the whole vocabulary, or top-k and a tail |
| ``divergences`` | forward and reverse KL, generalised JSD, skew KL: between two rows of buckets |
| ``sequence`` | negative log-likelihood of answers; masked means; token weights; confidence |
| ``preference`` | DPO with soft preferences, Plackett–Luce, LiPO |
| ``spec`` | which terms, with which weight: parsed from a mapping, without torch |
| ``compose`` | the sum of a spec's terms on one batch |

Shapes: B sequences, T positions, V vocabulary, K buckets, D drafts. All log-probabilities are
natural (nats). Logits at position t predict the label at t: who calls has shifted them.
"""
