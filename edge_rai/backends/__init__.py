"""The inference runtimes a session can use."""
