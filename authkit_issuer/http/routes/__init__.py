"""The operations, one module per noun; independent of one another."""
