"""Processes struck under load: how long nobody answers, and whether anything is lost or doubled."""
