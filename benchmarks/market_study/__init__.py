"""The study on Market-1501: the script, and what is kept of each study beside it."""
