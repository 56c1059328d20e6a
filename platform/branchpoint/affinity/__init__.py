"""Experimental: which tasks help each other, and the groupings and sharing trees that follow.

Names, tables and results of this package may change between releases.
"""
