"""What is inside a model: its parameters by block, and what happens in it while it reads a text."""
