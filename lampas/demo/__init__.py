"""The main job: a network learns to read digits (`lampas demo`)."""
