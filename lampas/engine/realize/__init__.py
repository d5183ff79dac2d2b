"""Joins graph, schedule and device: from nodes to values in memory."""
