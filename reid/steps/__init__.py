"""The steps of a trial, one module each; `reid.pipeline` strings them together."""
