"""Classifiers on the frozen encoder beside the evaluations: its floors, second data sets, accuracy on the way."""
