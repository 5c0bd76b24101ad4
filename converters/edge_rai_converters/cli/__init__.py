"""The commands that this distribution adds to edge-rai; they print and never compute."""
