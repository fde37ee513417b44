"""Executors, one file a kind, behind one protocol; failure classification beside the kind it is for."""
