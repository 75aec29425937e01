"""What a run leaves behind: the folder, the durable store, checkpoints, and the manifest that says how it was made."""
