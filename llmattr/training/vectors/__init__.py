"""A row as numbers: projected gradients, hidden states or embeddings."""
