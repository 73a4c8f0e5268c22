"""Torture with one seed after another, for as long as one likes."""
