"""What a recovery dialog says and offers, apart from how it is drawn."""
