"""What "remove a source" does to a prompt, and where scored ablations are kept."""
