"""The version of this distribution, which needs edge-rai of the same version."""

VERSION = "0.1.0"
