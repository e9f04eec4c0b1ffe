"""Runs many trials: study, sampler, Ray runner, resume, monitor, and the command line."""
