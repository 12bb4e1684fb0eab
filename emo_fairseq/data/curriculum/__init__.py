"""Curriculum learning: a train set that grows, each epoch with the first rows of an order.

:mod:`.pacing` has the share of the rows by epoch, :mod:`.orders` the orders of the rows, and
:mod:`.dataset` leaves out the rows that are not in the epoch.
"""
