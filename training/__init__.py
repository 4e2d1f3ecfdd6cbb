"""The training room: recipes, runs and reports. Its log of experiments is `LOG.md`."""
