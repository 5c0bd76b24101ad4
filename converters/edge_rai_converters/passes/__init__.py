"""Model to model: each pass says what it requires and what it ensures."""
