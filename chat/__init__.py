"""The chat page: Chainlit behind a guard, drawing the assistant's typed events.

Importing this package loads neither Chainlit nor any model; `chat.serve.run` brings the page up.
"""
