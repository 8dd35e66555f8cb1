"""Running language models: loading, scoring through the prefix tree, servers, attention, gradients on a prompt."""
