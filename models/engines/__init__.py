"""The machines that turn prompt ids into answer ids, all behind one protocol; see base.py."""
