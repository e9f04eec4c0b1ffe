"""One trial of a compression search: data, networks, training, pruning, quantization, export, timing."""
