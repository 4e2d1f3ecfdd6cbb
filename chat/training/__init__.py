"""Training from the page: a table is looked at, a recipe written, `hearth train run` started beside the server.

Nothing is trained in the server's process; the page reads what the run writes into its folder.
"""
