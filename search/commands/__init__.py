"""Commands of `reid-pareto`, one module each; `search.cli` registers them."""
